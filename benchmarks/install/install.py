#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long vLLM takes to install from one lock: uv as the role calls it, and pip, cold and warm.

    install.py FOLDER [--lock FILE] [--repeats 3] [--uv uv] [--python python3.11]

Cold: nothing in the tool's cache. Warm: all wheels in it, a new environment. Both check every hash and compile
bytecode, as the role does for a server. The runs are interleaved; FOLDER holds caches and environments (20 GB for the
CUDA lock) on one filesystem, and is emptied before each. ``FOLDER/results.json`` has every run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[1] / "roles" / "vllm" / "files" / "locks" / "vllm-0.32.0-cuda.txt"


def uv_words(args: argparse.Namespace, place: Path) -> list[list[str]]:
    env = place / "env-uv"
    return [
        [args.uv, "venv", "--quiet", "--python", args.python, str(env)],
        [
            args.uv, "pip", "install", "--quiet", "--python", str(env / "bin" / "python"), "--require-hashes",
            "--no-deps", "--compile-bytecode", "--cache-dir", str(place / "cache-uv"), "-r", str(args.lock),
        ],
    ]  # fmt: skip


def pip_words(args: argparse.Namespace, place: Path) -> list[list[str]]:
    env = place / "env-pip"
    return [
        [args.python, "-m", "venv", str(env)],
        [
            str(env / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "--no-deps", "--cache-dir", str(place / "cache-pip"), "-r", str(args.lock),
        ],
    ]  # fmt: skip


TOOLS = {"uv": uv_words, "pip": pip_words}


def timed(args: argparse.Namespace, tool: str, warm: bool) -> dict[str, Any]:
    """One installation. Making the environment counts, removing the former one does not."""
    place = args.folder
    shutil.rmtree(place / f"env-{tool}", ignore_errors=True)
    if not warm:
        shutil.rmtree(place / f"cache-{tool}", ignore_errors=True)
    os.sync()
    begun = time.monotonic()
    for words in TOOLS[tool](args, place):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"install: {' '.join(words[:4])} failed: {done.stderr.strip()[-600:]}")
    seconds = round(time.monotonic() - begun, 2)
    python = place / f"env-{tool}" / "bin" / "python"
    said = subprocess.run(
        [str(python), "-c", "import importlib.metadata as m; print(len(list(m.distributions())))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {"tool": tool, "warm": warm, "seconds": seconds, "packages": int(said.stdout)}


def table(runs: list[dict[str, Any]]) -> str:
    lines = ["| | uv | pip | uv / pip |", "|---|---|---|---|"]
    for warm in (False, True):
        found = {
            tool: [run["seconds"] for run in runs if run["tool"] == tool and run["warm"] is warm] for tool in TOOLS
        }
        if not all(found.values()):
            continue
        cells = [f"{statistics.median(row):.1f} s ({min(row):.1f}..{max(row):.1f})" for row in found.values()]
        shares = [ours / theirs for ours, theirs in zip(found["uv"], found["pip"])]
        share = f"{statistics.median(shares):.2f} ({min(shares):.2f}..{max(shares):.2f})"
        lines.append(f"| {'warm' if warm else 'cold'} | {' | '.join(cells)} | {share} |")
    return "\n".join(lines)


def version(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--python", default=sys.executable)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "lock": args.lock.name, "uv": version(args.uv, "--version"), "cpus": os.cpu_count(),
        "pip": version(args.python, "-m", "pip", "--version").split(" from ")[0],
        "python": version(args.python, "--version"),
    }  # fmt: skip
    runs: list[dict[str, Any]] = []
    for repeat in range(args.repeats):
        # the other one first each time
        order = list(TOOLS) if repeat % 2 == 0 else list(TOOLS)[::-1]
        for warm in (False, True):
            for tool in order:
                runs.append({**timed(args, tool, warm), "repeat": repeat})
                print(json.dumps(runs[-1]), flush=True)
                text = json.dumps({"host": facts, "runs": runs}, indent=1)
                (args.folder / "results.json").write_text(text + "\n", encoding="utf-8")
    print(table(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
