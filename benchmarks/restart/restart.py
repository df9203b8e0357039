#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long one replica takes to start, cold and warm, with what may shorten it one by one and all together.

Run it as root on a host that ``site`` has set up, with the first replica stopped (its card is used), or anywhere with
``--serve``, which takes the words of one engine:

    restart.py OUT [--only cold,warm] [--repeats 3] [--kv-bytes N] [--serve '/opt/vllm/bin/vllm serve MODEL']

``restart.py --list`` tells the variants. The order is another one in each repeat. A variant that needs a filled cache
gets it by a start of its own, told as ``prime`` and kept out of the table. OUT gets ``results.json`` anew after every
start, ``results.md``, and the logs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shlex
import shutil
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gateway"))  # it is run as a file, on hosts that do not have the collection

import contest  # noqa: E402
import engines  # noqa: E402
from engines import Engine  # noqa: E402

START_SECONDS = 900.0
# what the engine's log says at the end of each phase, in the order of a start
MARKS = {
    "imports": r"vLLM API server version|non-default args",
    "engine process": r"Initializing a V1 LLM engine",
    "distributed": r"Starting to load model",
    "weights": r"Loading weights took|Model loading took",
    "dynamo": r"Dynamo bytecode transform time|Directly load AOT compilation",
    "compile": r"torch\.compile took|Initial profiling/warmup run took",
    "profiling": r"[GC]PU KV cache size",
    "graphs": r"Graph capturing finished",
    "warm-up": r"init engine \(profile",
    "API": r"Application startup complete",
}


@dataclass(frozen=True)
class Variant:
    about: str
    compiled: bool = True  # the compile cache of an earlier start is there
    pages: bool = True  # the kernel still has the files in memory
    words: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    pinned: bool = False
    site: str = ""  # what every Python of it runs first


SMALL = ("--cudagraph-capture-sizes", "1", "2", "4", "8", "16", "32", "64")
PLAN = (("VLLM_ENABLE_STARTUP_PLAN", "1"),)
# the engine process has what the API server imported; vLLM's command line asks for spawn, its library for fork
FORK = (("VLLM_WORKER_MULTIPROC_METHOD", "fork"),)
THREADS = ("--model-loader-extra-config", '{"enable_multithread_load": true, "num_threads": 8}')
RARE_GC = "import gc\ngc.set_threshold(100_000, 50, 50)\n"
VARIANTS = {
    "cold": Variant("no cache of any kind", compiled=False, pages=False),
    "pages": Variant("the files in the kernel's memory, nothing else", compiled=False),
    "compiled": Variant("the compile cache of an earlier start, nothing else", pages=False),
    "warm": Variant("both: what a restart of the same replica finds"),
    "pinned": Variant("warm, with --kv-cache-memory-bytes", pinned=True),
    "fork": Variant("warm, with an engine process that is forked and imports nothing again", env=FORK),
    "quick": Variant("warm, pinned and forked", env=FORK, pinned=True),
    "rare_gc": Variant("warm, with Python's garbage collector every 100,000 objects, not 700", site=RARE_GC),
    "threads": Variant("warm, pinned and forked, weights read by eight threads", words=THREADS, env=FORK, pinned=True),
    "fastest": Variant("threads and rare_gc", words=THREADS, env=FORK, pinned=True, site=RARE_GC),
    "unforked": Variant("warm, with threads and rare_gc only", words=THREADS, site=RARE_GC),
    "graphs_1024": Variant("warm, with graphs of up to 1024 tokens", words=("--max-cudagraph-capture-size", "1024")),
    "graphs_2048": Variant("warm, with graphs of up to 2048 tokens", words=("--max-cudagraph-capture-size", "2048")),
    "plan": Variant("warm, with VLLM_ENABLE_STARTUP_PLAN (releases that have it)", env=PLAN),
    "graphs": Variant("warm, with graphs of up to 64 requests only", words=SMALL),
    "prefetch": Variant("warm compile cache, files read ahead by the engine", pages=False,
                        words=("--safetensors-load-strategy", "prefetch")),
    "eager": Variant("warm, neither compiled nor captured: slower answers", words=("--enforce-eager",)),
    "all": Variant("warm, with pinned, plan and graphs", words=SMALL, env=PLAN, pinned=True),
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One engine: its words and environment, and where it works."""

    words: list[str]
    env: dict[str, str]
    model: str
    out: Path
    port: int
    kv_bytes: int

    def engine(self, name: str, variant: Variant, cache: Path, tmp: str) -> Engine:
        """As the unit has it: what is kept lies below one directory, and /tmp is empty at each start."""
        kept = {
            "HOME": cache, "XDG_CACHE_HOME": cache, "VLLM_CACHE_ROOT": cache / "vllm", "TMPDIR": tmp,
            "TORCHINDUCTOR_CACHE_DIR": cache / "inductor", "TRITON_CACHE_DIR": cache / "triton",
        }  # fmt: skip
        env = {
            **self.env, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1",
            **{key: str(path) for key, path in kept.items()}, **dict(variant.env),
        }  # fmt: skip
        if variant.site:
            (Path(tmp) / "sitecustomize.py").write_text(variant.site, encoding="utf-8")
            env["PYTHONPATH"] = os.pathsep.join([tmp, *filter(None, [os.environ.get("PYTHONPATH")])])
        pinned = ["--kv-cache-memory-bytes", str(self.kv_bytes)] if variant.pinned and self.kv_bytes else []
        return Engine(name, [*self.words, *pinned, *variant.words], env, self.port)


# the second is where tests/hardware/serve.sh binds it: a machine that is a container may not write to the first
DROP = (Path("/proc/sys/vm/drop_caches"), Path("/srv/drop_caches"))


def drop_pages() -> bool:
    os.sync()
    for path in DROP:
        try:
            path.write_text("3\n", encoding="ascii")
        except OSError:
            continue
        return True
    return False


def first_token(job: Job) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", job.port, timeout=120)
    body = json.dumps({"model": job.model, "prompt": "Hello", "max_tokens": 1, "temperature": 0})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {job.env.get('VLLM_API_KEY', '')}"}
    try:
        connection.request("POST", "/v1/completions", body, headers)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Log:
    """When each mark was first seen: the engine's own times have whole seconds only."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self.seen = path, 0, dict[str, float]()

    def look(self, now: float) -> None:
        with self._path.open("rb") as handle:
            handle.seek(self._at)
            new = handle.read()
        whole = new.rfind(b"\n") + 1
        self._at += whole
        for line in new[:whole].decode(errors="replace").splitlines():
            for name, pattern in MARKS.items():
                if name not in self.seen and re.search(pattern, line):
                    self.seen[name] = now


def phases(seen: dict[str, float], healthy: float, answered: float) -> dict[str, float]:
    """Seconds of each phase that was there; they add up to the whole."""
    found, last = {}, 0.0
    for name, at in [*sorted(seen.items(), key=lambda item: item[1]), ("healthy", healthy), ("first token", answered)]:
        found[name] = round(max(0.0, at - last), 2)
        last = max(last, at)
    return found


def end(engine: Engine) -> None:
    """With all that it started: a worker that outlives its server would keep the card's memory from the next start."""
    group = engine.process.pid if engine.process is not None else 0
    engine.stop()
    for _try in range(300 if group else 0):
        if not living(group):
            return
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def living(group: int) -> bool:
    """Whether a process of the group still runs; not those that only wait for somebody to ask how they ended."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == group and words[0] not in "ZX":
            return True
    return False


def start(job: Job, name: str, variant: Variant, cache: Path) -> dict:
    """One start, to its first token, and its end. Raises RuntimeError where it does not come up."""
    # short, since sockets are made there
    with tempfile.TemporaryDirectory(prefix="restart-", dir="/tmp", ignore_cleanup_errors=True) as tmp:
        return start_in(tmp, job, name, variant, cache)


def start_in(tmp: str, job: Job, name: str, variant: Variant, cache: Path) -> dict:
    cache.mkdir(parents=True, exist_ok=True)
    dropped = False if variant.pages else drop_pages()
    engine = job.engine(name, variant, cache, tmp)
    began = time.monotonic()
    try:
        engine.start(job.out)
        log = Log(job.out / f"{name}.log")
        while True:
            log.look(time.monotonic() - began)
            if engine.healthy():
                break
            if engine.process is not None and engine.process.poll() is not None:
                raise RuntimeError(f"{name} ended with status {engine.process.returncode}; see its log")
            if time.monotonic() - began > START_SECONDS:
                raise RuntimeError(f"{name} is not healthy after {START_SECONDS:g} s; see its log")
            time.sleep(0.05)
        healthy = time.monotonic() - began
        log.look(healthy)
        if not first_token(job):
            raise RuntimeError(f"{name} is healthy but does not answer; see its log")
        answered = time.monotonic() - began
    finally:
        end(engine)
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        "seconds": round(answered, 2), "phases": phases(log.seen, healthy, answered), "pages_dropped": dropped,
        "cache_bytes": size, "load": round(os.getloadavg()[0], 1),
        "graphs_gib": graphs_gib((job.out / f"{name}.log").read_text(encoding="utf-8", errors="replace")),
    }  # fmt: skip


def graphs_gib(text: str) -> float | None:
    """GiB of the card that CUDA graphs took, as the engine's log tells: no other engine may be starting on it."""
    found = re.search(r"Graph capturing finished in \d+ secs?, took ([\d.]+) GiB", text)
    return float(found[1]) if found else None


def spread(values: list[float]) -> str:
    if not values:
        return ""
    told = f"{statistics.median(values):.1f}"
    return told if len(values) == 1 else f"{told} ({min(values):.1f}..{max(values):.1f})"


def table(runs: list[dict]) -> str:
    """Median (least..most) of the repeats, seconds; the share is that of the medians."""
    done = [run for run in runs if run["repeat"] >= 0 and not run.get("error")]
    names = [name for name in VARIANTS if any(run["variant"] == name for run in done)]
    columns = [name for name in (*MARKS, "healthy", "first token") if any(name in run["phases"] for run in done)]
    cold = [run["seconds"] for run in done if run["variant"] == "cold"]
    lines = [f"| start | seconds | of cold | {' | '.join(columns)} |", "|---" * (len(columns) + 3) + "|"]
    for name in names:
        mine = [run for run in done if run["variant"] == name]
        whole = [run["seconds"] for run in mine]
        share = f"{statistics.median(whole) / statistics.median(cold):.2f}" if cold else ""
        cells = [spread([run["phases"][column] for run in mine if column in run["phases"]]) for column in columns]
        lines.append(f"| {name} | {spread(whole)} | {share} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cache_of(name: str) -> str:
    """Words and environment are part of what vLLM calls a compiled graph by.

    Neither the bytes of the KV cache are, nor how processes are begun, nor how weights are read.
    """
    variant = VARIANTS[name]
    return name if variant.words not in ((), THREADS) or variant.env not in ((), FORK) else "plain"


def plan_of(only: list[str], repeats: int) -> list[tuple[str, int]]:
    made = []
    for repeat in range(repeats):
        order = list(only)
        random.Random(repeat).shuffle(order)
        if not repeat:  # their starts fill the cache of the others
            order.sort(key=lambda name: VARIANTS[name].compiled)
        made += [(name, repeat) for name in order]
    return made


def measure(job: Job, only: list[str], repeats: int, facts: dict) -> list[dict]:
    runs: list[dict] = []

    def keep(name: str, repeat: int, cache: Path) -> None:
        label = f"{name}-{repeat if repeat >= 0 else 'prime'}"
        try:
            figures = start(job, label, VARIANTS[name], cache)
        except RuntimeError as exc:
            figures = {"error": str(exc), "seconds": 0.0, "phases": {}}
        runs.append({"variant": name, "repeat": repeat, **figures})
        text = json.dumps({"host": facts, "runs": runs}, indent=1)
        (job.out / "results.json").write_text(text + "\n", encoding="utf-8")
        (job.out / "results.md").write_text(table(runs), encoding="utf-8")
        told = figures.get("error") or " ".join(f"{key} {value}" for key, value in figures["phases"].items())
        print(f"{time.strftime('%T')} {label:16} {figures['seconds']:7.1f} s  {told}", flush=True)

    broken: set[str] = set()
    for name, repeat in plan_of(only, repeats):
        if name in broken:
            continue
        cache = job.out / "cache" / cache_of(name)
        if not VARIANTS[name].compiled:
            shutil.rmtree(cache, ignore_errors=True)
        elif not cache.exists():
            keep(name, -1, cache)
        if not runs or runs[-1]["variant"] != name or not runs[-1].get("error"):
            keep(name, repeat, cache)
        if runs[-1].get("error"):
            broken.add(name)  # it would fail again, and the machine's time is dear
    return runs


def variants(text: str) -> list[str]:
    names = [word.strip() for word in text.split(",")]
    for name in names:
        if name not in VARIANTS:
            raise argparse.ArgumentTypeError(f"unknown variant {name!r}; there are {', '.join(VARIANTS)}")
    return names


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--list", action="store_true", help="tell the variants, and do nothing")
    parser.add_argument("--only", type=variants, default=[*VARIANTS], help="variants, with commas between")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--port", type=int, default=9090)
    parser.add_argument("--kv-bytes", type=int, default=0, help="for pinned (default: as planned for the replica)")
    parser.add_argument("--model", default="", help="directory to serve in place of the replica's, of the same shape")
    parser.add_argument("--load-format", default="", help="in place of the replica's")
    parser.add_argument("--serve", default="", help="words of an engine (default: the first replica of this host)")
    args = parser.parse_args(words)
    if not args.list and args.out is None:
        parser.error("say where to write: restart.py OUT")
    if args.repeats < 1:
        parser.error(f"--repeats is {args.repeats}; give a number above 0")
    return args


def job_of(args: argparse.Namespace) -> tuple[Job, str]:
    out = args.out.resolve()
    if args.serve:
        words = shlex.split(args.serve)
        if "serve" not in words[:-1]:
            raise ValueError(f"--serve is {args.serve!r}; give for example '/opt/vllm/bin/vllm serve MODEL'")
        model = words[words.index("serve") + 1]
        if "--served-model-name" in words:
            model = words[words.index("--served-model-name") + 1]
        return Job(words, {}, model, out, args.port, args.kv_bytes), ""
    host = engines.applied()
    env = {**host.env, "CUDA_VISIBLE_DEVICES": ",".join(host.cards[0]), "VLLM_API_KEY": host.key}
    # applied() leaves the size out, since the contest gives its own
    words = [*host.words, "--tensor-parallel-size", str(max(1, len(host.cards[0])))]
    if args.model:
        words[words.index("serve") + 1] = args.model
    if args.load_format:
        words = [*engines.without(words, "--load-format"), "--load-format", args.load_format]
    return Job(words, env, host.model, out, args.port, args.kv_bytes or host.kv_bytes), host.version


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the engine that is up is stopped
    if args.list:
        for name, variant in VARIANTS.items():
            print(f"{name:10} {variant.about}")
        return 0
    try:
        job, version = job_of(args)
    except (OSError, ValueError, KeyError) as exc:
        print(f"restart: {exc}", file=sys.stderr)
        return 2
    job.out.mkdir(parents=True, exist_ok=True)
    only = [name for name in args.only if job.kv_bytes or not VARIANTS[name].pinned]
    if len(only) < len(args.only):
        print("restart: pinned variants are left out: give --kv-bytes", file=sys.stderr)
    facts = {
        **contest.host_facts(str(Path(job.words[0]).with_name("python"))),
        "vllm": version,
        "model": job.model,
        "words": job.words,
    }
    runs = measure(job, only, args.repeats, facts)
    print(table(runs))
    return 1 if any(run.get("error") for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
