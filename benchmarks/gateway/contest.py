#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways to serve one model on the cards of a host, side by side on the same cards and work.

Run it as root on a host where ``site`` has set up one replica a card (``gateway_open: true``), with memory left on the
cards for the engines to compare with (``vllm_gpu_memory_utilization: 0.2`` leaves room for three more sets):

    contest.py OUT [--python PYTHON_WITH_VLLM] [--only NAME,NAME@16/128] [--points 1,16,64,128,256]

``contest.py --list`` tells the contestants; NAME@16/128 is measured at these points only. Each repeat measures every
point with every contestant, in another order each time. OUT gets ``runs.json``, anew after every run, and the logs.

Several kinds of work can be measured one after the other on the same engines, which take minutes to start:

    contest.py OUT --points 16,128 --work 'same' --work 'mixed --range 0.5 --only gateway,vllm-dp'

Each has a name, by which OUT gets a folder, and options of its own where they differ from the others'.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # it is run as a file, on hosts that do not have the collection

import doors  # noqa: E402
import engines  # noqa: E402
from engines import Applied, Engine  # noqa: E402

CLIENT = HERE.parents[1] / "plugins" / "module_utils" / "_bench_client.py"
PORT = 9100


@dataclass
class Stage:
    """What is running: engines and doors are shared by the contestants, and started once."""

    host: Applied
    folder: Path
    engines: dict[str, Engine] = field(default_factory=dict)
    doors: dict[str, doors.Door] = field(default_factory=dict)
    next_port: int = PORT
    asked: set[str] = field(default_factory=set)  # engines and doors, since somebody emptied it

    def port(self) -> int:
        self.next_port += 10
        return self.next_port

    def engine(self, name: str, cards: list[str], *words: str, uds: str = "", **env: str) -> Engine:
        self.asked.add(name)
        if name not in self.engines:
            host = self.host
            env = {
                **host.env, "CUDA_VISIBLE_DEVICES": ",".join(cards), "VLLM_API_KEY": host.key, "HF_HUB_OFFLINE": "1",
                "VLLM_CACHE_ROOT": str(self.folder / "cache" / name), "VLLM_NO_USAGE_STATS": "1", **env,
            }  # fmt: skip
            # engines that start beside each other cannot measure what is left of a card
            kv = ["--kv-cache-memory-bytes", str(host.kv_bytes)] if host.kv_bytes else []
            self.engines[name] = Engine(name, [*host.words, *kv, *words], env, 0 if uds else self.port(), uds)
        return self.engines[name]

    def nginx(self, name: str, workers: str = "auto", top: str = "", **change: object) -> list[str]:
        self.asked.add(name)
        if name not in self.doors:
            port = self.port()
            site = doors.site_with(doors.SITE.read_text(encoding="utf-8"), port, **change)  # type: ignore[arg-type]
            site = top + site
            self.doors[name] = doors.nginx(name, port, self.folder, site, workers)
        return [f"http://127.0.0.1:{self.doors[name].port}"]

    def replicas(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.host.ports]

    def over_all(self, name: str, flag: str, *words: str, **env: str) -> list[str]:
        """One engine on every card."""
        cards = self.host.every_card
        engine = self.engine(name, [cards], flag, str(cards.count(",") + 1), *words, **env)
        return [f"http://127.0.0.1:{engine.port}"]


def gateway(stage: Stage) -> list[str]:
    return [f"http://127.0.0.1:{doors_port()}"]


def doors_port() -> str:
    for line in doors.SITE.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["listen"]:
            return words[1].rstrip(";").rpartition(":")[2]
    raise ValueError(f"{doors.SITE} listens nowhere")


def through_haproxy(stage: Stage) -> list[str]:
    stage.asked.add("haproxy")
    if "haproxy" not in stage.doors:
        servers = [f"127.0.0.1:{port}" for port in stage.host.ports]
        stage.doors["haproxy"] = doors.haproxy("haproxy", stage.port(), stage.folder, servers)
    return [f"http://127.0.0.1:{stage.doors['haproxy'].port}"]


def over_sockets(stage: Stage) -> list[str]:
    servers = []
    for name, cards in zip(stage.host.names, stage.host.cards):
        engine = stage.engine(f"uds-{name}", cards, uds=str(stage.folder / f"{name}.sock"))
        servers.append(f"unix:{engine.uds}")
    return stage.nginx("uds", servers=servers)


def others(name: str, *words: str, balancing: str = "", like: str = "", **env: str) -> Callable[[Stage], list[str]]:
    """Engines of their own, one a card, with further words or environment, behind the gateway.

    ``like`` names a contestant whose engines are taken.
    """

    def make(stage: Stage) -> list[str]:
        named = zip(stage.host.names, stage.host.cards)
        made = [stage.engine(f"{like or name}-{card}", cards, *words, **env) for card, cards in named]
        return stage.nginx(name, servers=[f"127.0.0.1:{engine.port}" for engine in made], balancing=balancing)

    return make


def without_p2p(stage: Stage) -> list[str]:
    """Cards without NVLink, as near as cards with it get: NCCL through the host's memory, no kernel of vLLM's own."""
    flag, more = "--tensor-parallel-size", "--disable-custom-all-reduce"
    return stage.over_all("tp-no-p2p", flag, more, NCCL_P2P_DISABLE="1", VLLM_ALLREDUCE_USE_SYMM_MEM="0")


# name: (what it is, what gives its addresses)
CONTESTANTS: dict[str, tuple[str, Callable[[Stage], list[str]]]] = {
    "gateway": ("one engine a card behind the gateway, as the playbook set it up", gateway),
    "vllm-dp": (
        "one `vllm serve --data-parallel-size` over all cards, with its own balancer",
        lambda stage: stage.over_all("vllm-dp", "--data-parallel-size"),
    ),
    "split": ("the engines behind the gateway, asked directly, as many clients each", Stage.replicas),
    "one": ("the first of these engines alone", lambda stage: stage.replicas()[:1]),
    "gateway_one": (
        "the gateway before that first engine alone: what passing through costs, against `one`",
        lambda stage: stage.nginx("gateway_one", servers=[f"127.0.0.1:{stage.host.ports[0]}"]),
    ),
    "haproxy": ("HAProxy before the same engines, round robin", through_haproxy),
    "least_conn": (
        "the gateway with gateway_balancing: least_conn",
        lambda stage: stage.nginx("least_conn", balancing="least_conn"),
    ),
    "random_two": (
        "the gateway with `random two least_conn`",
        lambda stage: stage.nginx("random_two", balancing="random two least_conn"),
    ),
    "affinity": (
        "the gateway with gateway_affinity: prompt, without its bound",
        lambda stage: stage.nginx("affinity", top=doors.BY_PROMPT, balancing="hash $contest_affinity consistent"),
    ),
    "by_header": (
        "the gateway with gateway_affinity: header, for requests that have none",
        lambda stage: stage.nginx("by_header", top=doors.BY_HEADER, upstream="$contest_upstream"),
    ),
    "uneven": (
        "the gateway with `random`, which loads the replicas unevenly",
        lambda stage: stage.nginx("uneven", balancing="random"),
    ),
    "batch_2048": (
        "engines that work on 2048 tokens a step at most behind the gateway",
        others("batch_2048", "--max-num-batched-tokens", "2048"),
    ),
    "batch_2048_least": (
        "these engines behind the gateway with gateway_balancing: least_conn",
        others("batch_2048_least", "--max-num-batched-tokens", "2048", balancing="least_conn", like="batch_2048"),
    ),
    "batch_4096": (
        "engines that work on 4096 tokens a step at most behind the gateway",
        others("batch_4096", "--max-num-batched-tokens", "4096"),
    ),
    "vllm-dp-2048": (
        "vllm-dp with 2048 tokens a step at most",
        lambda stage: stage.over_all("vllm-dp-2048", "--data-parallel-size", "--max-num-batched-tokens", "2048"),
    ),
    "worker": ("the gateway with one worker process", lambda stage: stage.nginx("worker", workers="1")),
    "workers_4": ("the gateway with four worker processes", lambda stage: stage.nginx("workers_4", workers="4")),
    "no_keepalive": (
        "the gateway without kept connections to the engines",
        lambda stage: stage.nginx("no_keepalive", settings={"proxy_set_header Connection": "close"}),
    ),
    "uds": ("engines on Unix sockets behind the gateway", over_sockets),
    "api2": (
        "engines with two API server processes each behind the gateway",
        others("api2", "--api-server-count", "2"),
    ),
    "rust": (
        "engines with vLLM's API server in Rust (experimental there) behind the gateway",
        others("rust", VLLM_USE_RUST_FRONTEND="1"),
    ),
    "mp": (
        "engines whose model runs in a process of its own, as vllm-dp has it, behind the gateway",
        others("mp", "--distributed-executor-backend", "mp"),
    ),
    "rust_mp": (
        "both of these: the API server in Rust, and the model in a process of its own",
        others("rust_mp", "--distributed-executor-backend", "mp", VLLM_USE_RUST_FRONTEND="1"),
    ),
    "graphs_1024": (
        "engines with CUDA graphs of up to 1024 tokens behind the gateway",
        others("graphs_1024", "--max-cudagraph-capture-size", "1024"),
    ),
    "tp": (
        "one engine over all cards, tensor parallel",
        lambda stage: stage.over_all("tp", "--tensor-parallel-size"),
    ),
    "tp-no-p2p": ("tensor parallel with peer-to-peer traffic switched off", without_p2p),
}


def runs_of(urls: dict[str, list[str]], args: argparse.Namespace, host: Applied) -> list[dict]:
    """Interleaved: every contestant at a point, then the next point; the order is another one in each repeat."""
    points = sorted({point for chosen in args.only.values() for point in chosen or args.points})
    words = [
        "--backend", "openai", "--endpoint", "/v1/completions", "--model", host.model, "--tokenizer",
        args.tokenizer or host.path, "--ignore-eos", "--temperature", "0",
    ]  # fmt: skip
    made = []
    for repeat in range(args.repeats):
        for concurrency in points:
            order = [name for name in urls if concurrency in (args.only[name] or args.points)]
            random.Random(repeat * 1000 + concurrency).shuffle(order)
            for name in order:
                clients = args.clients if concurrency >= 16 else 1
                made.append(
                    {
                        "name": f"{name}/{concurrency}/{repeat}", "urls": urls[name],
                        "words": words + prompts(args, clients),
                        "requests": max(args.least, args.rounds * concurrency), "concurrency": concurrency,
                        "clients": clients, "timeout": 300,
                        # never the same prompts twice: the engines would know them
                        "seed": args.seed + len(made),
                    }
                )  # fmt: skip
    return made


def prompts(args: argparse.Namespace, clients: int) -> list[str]:
    """What every client of a run asks: each makes prefixes of its own."""
    if args.prefixes:
        return [
            "--dataset-name", "prefix_repetition", "--prefix-repetition-num-prefixes",
            str(max(1, args.prefixes // clients)), "--prefix-repetition-prefix-len", str(args.prefix),
            "--prefix-repetition-suffix-len", str(args.input), "--prefix-repetition-output-len", str(args.output),
        ]  # fmt: skip
    return [
        "--dataset-name", "random", "--random-input-len", str(args.input), "--random-output-len", str(args.output),
        "--random-range-ratio", str(args.range),
    ]  # fmt: skip


def warm_up(urls: dict[str, list[str]], run: dict) -> list[dict]:
    words = list(run["words"])
    if "prefix_repetition" in words:  # it must make as many as there are prefixes
        words[words.index("--prefix-repetition-num-prefixes") + 1] = "2"
    small = {**run, "requests": 64, "concurrency": 32, "clients": 2, "words": words}
    return [
        {**small, "name": f"{name}/warm/0", "urls": where, "seed": 900000 + number}
        for number, (name, where) in enumerate(urls.items())
    ]


def measure(python: str, runs: list[dict], key: str, log: Path, keep: Callable[[list[dict]], None]) -> list[dict]:
    """Every run as it was measured; told on standard output as they come, and kept."""
    found: list[dict] = []
    with log.open("wb") as errors:
        client = subprocess.Popen(
            [python, str(CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "OPENAI_API_KEY": key, "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"},
        )  # fmt: skip
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(json.dumps({"runs": runs}))
        client.stdin.close()
        for line in client.stdout:
            if not line.startswith("BENCH "):
                continue
            figures = json.loads(line[6:])
            name, point, repeat = figures.pop("name").split("/")
            if point != "warm":
                found.append({"contestant": name, "concurrency": int(point), "repeat": int(repeat), **figures})
                keep(found)
            ttft = figures["ttft_ms"].get("p50", 0)
            tpot = figures["tpot_ms"].get("p50", 0)
            print(
                f"{time.strftime('%T')} {name:12} c={point:>4} {figures['output_tokens_per_s']:9.1f} tok/s "
                f"TTFT {ttft:8.2f} TPOT {tpot:6.2f} ms {figures['seconds']:6.1f} s failed {figures['failed']} "
                f"{figures['error'] or ''}",
                flush=True,
            )
        client.wait()
    return found


def host_facts(python: str) -> dict[str, object]:
    def said(*words: str) -> str:
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return (done.stdout.strip() or done.stderr.strip()).splitlines()[0] if done.stdout or done.stderr else ""

    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return {
        "card": said(*query), "cpus": os.cpu_count(), "kernel": platform.release(), "nginx": said("nginx", "-v"),
        "haproxy": said("haproxy", "-v"), "engine_python": said(python, "--version"),
    }  # fmt: skip


def numbers(text: str, between: str = ",") -> list[int]:
    try:
        found = [int(word) for word in text.split(between)]
    except ValueError:
        found = [0]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not usable; give numbers above 0, for example 1,16,64")
    return found


def contestants(text: str) -> dict[str, list[int]]:
    """The points of each that is named; none where all are meant."""
    found = {}
    for word in text.split(","):
        name, _at, points = word.strip().partition("@")
        if name not in CONTESTANTS:
            raise argparse.ArgumentTypeError(f"unknown contestant {name!r}; there are {', '.join(CONTESTANTS)}")
        found[name] = numbers(points, "/") if points else []
    return found


def arguments(words: list[str] | None = None, common: argparse.Namespace | None = None) -> argparse.Namespace:
    """As given; what is not is as in ``common``, or the default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--list", action="store_true", help="tell the contestants, and do nothing")
    parser.add_argument("--python", default="/opt/gpuserve/engines/current/bin/python", help="one that has vLLM")
    only = contestants("gateway,vllm-dp,split,one,haproxy")
    parser.add_argument("--only", type=contestants, default=only, help="contestants, with commas between")
    parser.add_argument("--points", type=numbers, default=[1, 16, 64, 128, 256], help="requests at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6, help="requests of a run, for each that is there at once")
    parser.add_argument("--least", type=int, default=8, help="requests of a run at least")
    parser.add_argument("--input", type=int, default=512, help="tokens of a prompt")
    parser.add_argument("--output", type=int, default=128, help="tokens of an answer")
    parser.add_argument("--range", type=float, default=0.0, help="lengths vary by so much of themselves, below 1")
    parser.add_argument(
        "--prefixes", type=int, default=0, help="prompts of --input tokens behind one of so many prefixes"
    )
    parser.add_argument("--prefix", type=int, default=2048, help="tokens of a prefix")
    parser.add_argument("--clients", type=int, default=8, help="client processes from 16 requests at once on")
    parser.add_argument("--tokenizer", default="", help="directory (default: the model's)")
    parser.add_argument("--wait", type=float, default=engines.HEALTH_SECONDS, help="seconds for engines to come up")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    parser.add_argument("--work", action="append", default=[], help="'NAME [OPTION]...', may be repeated; see above")
    args = parser.parse_args(words, common)
    if not args.list and args.out is None:
        parser.error("say where to write: contest.py OUT")
    if not 0 <= args.range < 1:
        parser.error(f"--range {args.range:g} is not usable; give 0 or more, and less than 1")
    if args.prefixes and args.rounds * min(args.points) < args.prefixes:
        parser.error(
            f"{args.rounds * min(args.points)} requests cannot have {args.prefixes} prefixes; give more --rounds"
        )
    return args


def works_of(args: argparse.Namespace) -> dict[str, argparse.Namespace]:
    """The options of each kind of work, by its name; one without a name where none is named."""
    found: dict[str, argparse.Namespace] = {}
    for number, text in enumerate(args.work):
        name, *words = shlex.split(text) or [""]
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name in found:
            raise ValueError(f"--work {text!r} has no name of its own; give for example --work 'mixed --range 0.5'")
        own = {"work": [], "out": args.out / name, "seed": args.seed + 7000 * number}
        found[name] = arguments([str(own["out"]), *words], argparse.Namespace(**{**vars(args), **own}))
    return found or {"": args}


def measure_work(args: argparse.Namespace, urls: dict[str, list[str]], host: Applied, facts: dict[str, object]) -> int:
    """Requests that failed, or runs that are missing."""
    args.out.mkdir(parents=True, exist_ok=True)
    urls = {name: urls[name] for name in args.only}
    runs = runs_of(urls, args, host)
    more = {"range": args.range, "prefixes": args.prefixes, "prefix": args.prefix if args.prefixes else 0}

    def keep(done: list[dict]) -> None:
        text = json.dumps({"host": facts, "input": args.input, "output": args.output, **more, "runs": done}, indent=1)
        (args.out / "runs.json").write_text(text + "\n", encoding="utf-8")

    done = measure(args.python, warm_up(urls, runs[0]) + runs, host.key, args.out / "client.log", keep)
    return sum(run["failed"] for run in done) or len(runs) - len(done)


def begin(stage: Stage, wanted: Iterable[str], most: float) -> dict[str, list[str]]:
    """Starts what the contestants need; the addresses of those that came up. Others are told and left out."""
    urls, needs = {}, {}
    for name in wanted:
        stage.asked.clear()
        urls[name] = CONTESTANTS[name][1](stage)
        needs[name] = set(stage.asked)
    for engine in stage.engines.values():
        engine.start(stage.folder)
    ready, missing = engines.wait(list(stage.engines.values()), most)
    print("started:", ready, flush=True)
    for door in stage.doors.values():
        try:
            door.start(stage.folder)
        except RuntimeError as exc:
            missing[door.name] = str(exc)
    for name, needed in needs.items():
        if reasons := [missing[one] for one in sorted(needed) if one in missing]:
            print(f"contest: without {name}: {'; '.join(reasons)}", file=sys.stderr, flush=True)
            del urls[name]
    return urls


def main() -> int:
    args = arguments()
    if args.list:
        for name, (about, _make) in CONTESTANTS.items():
            print(f"{name:13} {about}")
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 1
    stage = None
    try:
        works = works_of(args)
        stage = Stage(engines.applied(), args.out.resolve())
        wanted = dict.fromkeys(name for work in works.values() for name in work.only)
        urls = begin(stage, wanted, args.wait)
        facts = {**host_facts(args.python), "vllm": stage.host.version, "model": stage.host.model}
        failed = len(wanted) - len(urls)
        for name, work in works.items():
            print(f"work {name}" if name else "work", flush=True)
            work.only = {one: points for one, points in work.only.items() if one in urls}
            failed += measure_work(work, urls, stage.host, facts) if work.only else 1
    except (RuntimeError, ValueError, OSError) as exc:
        print(f"contest: {exc}", file=sys.stderr)
        failed = 1
    finally:
        for each in (*stage.doors.values(), *stage.engines.values()) if stage else ():
            each.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
