# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long planning takes, and what importing the planner brings in.

    .venv/bin/python benchmarks/planner/timing.py [--cards 8] [--runs 50] [--model NAME]

Ends with 1 where the median plan takes more than the bar, or where the core imports anything beside the standard
library and itself. The bar is held against the process's own time: planning is arithmetic in one thread, and where the
machine does other things the clock on the wall measures those. Both are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".venv" / "collections"
if __package__ in (None, ""):
    sys.path.insert(0, str(COLLECTIONS))

from ansible_collections.gpuserve.inference.benchmarks.planner.places import MODELS  # noqa: E402
from ansible_collections.gpuserve.inference.benchmarks.planner.stats import median, quantile  # noqa: E402

CORE = "ansible_collections.gpuserve.inference.plugins.module_utils._planner"
BAR_MS = 50.0
LINE = re.compile(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)")


def spread_ms(seconds: list[float]) -> dict[str, float]:
    ms = [1000 * s for s in seconds]
    found = {"runs": len(ms), "min": min(ms), "median": median(ms), "p90": quantile(ms, 0.9), "max": max(ms)}
    return {k: round(v, 3) for k, v in found.items()}


def options(model: str, cards: int) -> dict[str, Any]:
    from ansible_collections.gpuserve.inference.benchmarks.planner.ours import model_info

    gpus = [
        {
            "index": i, "uuid": f"GPU-{i}", "name": "NVIDIA H200", "memory_total_bytes": 150754820096,
            "memory_reserved_bytes": 644939776, "memory_free_bytes": 150109880320, "compute_capability": "9.0",
        }
        for i in range(cards)
    ]  # fmt: skip
    there, here = {"nvlink_count": 18, "p2p": True, "path": "NVL"}, {"nvlink_count": 0, "p2p": False, "path": "X"}
    links = [[here if i == j else there for j in range(cards)] for i in range(cards)]
    return {"gpus": gpus, "links": links, "model": model_info(str(MODELS / model)), "workload": "mixed"}


def time_plans(model: str, cards: int, runs: int) -> dict[str, Any]:
    """The function that module and filter call, plain options to plain plan; the model's files are read before."""
    from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options

    given = options(model, cards)
    start = time.perf_counter()
    plan = plan_from_options(given)
    first = time.perf_counter() - start
    seconds, own = [], []
    for _run in range(runs):
        start, used = time.perf_counter(), time.process_time()
        plan_from_options(given)
        seconds.append(time.perf_counter() - start)
        own.append(time.process_time() - used)
    return {
        "model": model,
        "cards": cards,
        "candidates": len(plan["candidates"]),
        "first_ms": round(1000 * first, 3),
        "ms": spread_ms(own),
        "wall_ms": spread_ms(seconds),
    }


def imports(runs: int) -> tuple[dict[str, Any], list[str]]:
    """-X importtime of the core in fresh interpreters without site-packages; and what is neither ours nor Python's.

    Beside it whole processes, with the import and without: the difference is what it costs.
    """
    environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
    after = f"import {CORE}, json, sys; print(json.dumps(sorted(sys.modules)))"
    traced: list[float] = []
    walls: dict[str, list[float]] = {"pass": [], f"import {CORE}": []}
    loaded: list[str] = []
    for _run in range(runs):
        done = subprocess.run(
            [sys.executable, "-S", "-X", "importtime", "-c", after],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        loaded = json.loads(done.stdout)
        found = {m.group(2): int(m.group(1)) for m in map(LINE.match, done.stderr.splitlines()) if m}
        traced.append(found[CORE] / 1e6)  # cumulative: with everything below it
        for command, out in walls.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-S", "-c", command], env=environment, check=True)
            out.append(time.perf_counter() - start)
    bare, full = walls.values()
    known = {*sys.stdlib_module_names, "ansible_collections", "__main__"}
    return {
        "traced_ms": spread_ms(traced),
        "bare_process_ms": spread_ms(bare),
        "importing_process_ms": spread_ms(full),
        "modules": len(loaded),
        "own": [name for name in loaded if name.startswith("ansible_collections.") and "._" in name],
    }, [name for name in loaded if name.split(".")[0] not in known]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--model", action="append", help="a directory of tests/fixtures/models; may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    args = parser.parse_args()
    models = args.model or ["llama-3.1-8b", "llama-3.3-70b", "gemma-3-27b", "qwen3-next-80b-a3b", "deepseek-v3"]
    imported, foreign = imports(max(args.runs, 30))
    data: dict[str, Any] = {
        "python": sys.version.split()[0],
        "plans": [],
        "import": {**imported, "foreign": foreign},
    }
    for model in models:
        try:
            data["plans"].append(time_plans(model, args.cards, max(args.runs, 30)))
        except Exception as error:  # a refusal is an answer too, but not one to time
            print(f"{model}: {str(error)[:200]}", file=sys.stderr)
    slow = False
    for entry in data["plans"]:
        ms = entry["ms"]
        slow = slow or ms["median"] > BAR_MS
        print(
            f"{entry['model']:22} {entry['cards']} cards, {entry['candidates']} candidates: median {ms['median']:.2f} "
            f"ms, p90 {ms['p90']:.2f}, {ms['min']:.2f} to {ms['max']:.2f} in {ms['runs']} runs; "
            f"on the wall {entry['wall_ms']['median']:.2f}, the first {entry['first_ms']:.2f}"
        )
    took = data["import"]
    print(
        f"import: median {took['traced_ms']['median']:.1f} ms by -X importtime ({took['modules']} modules loaded, "
        f"{len(took['own'])} of them ours); a process that only imports it takes "
        f"{took['importing_process_ms']['median']:.1f} ms, one that does nothing "
        f"{took['bare_process_ms']['median']:.1f} ms"
    )
    if args.json:
        args.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if foreign:
        print(f"not of the standard library: {', '.join(foreign)}", file=sys.stderr)
    if slow:
        print(f"slower than the bar of {BAR_MS:g} ms", file=sys.stderr)
    return int(bool(foreign) or slow or not data["plans"])


if __name__ == "__main__":
    sys.exit(main())
