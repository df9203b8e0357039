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
from pathlib import Path
from typing import Callable, Iterable

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # it is run as a file, on hosts that do not have the collection

import engines  # noqa: E402
from contestants import CONTESTANTS, Stage  # noqa: E402
from engines import Applied  # noqa: E402

CLIENT = HERE.parents[1] / "plugins" / "module_utils" / "_bench_client.py"


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
