# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for ``vllm.benchmarks.serve``: its arguments and results, and real requests to the endpoint, one by one.

A run takes as many seconds as /run/slow says, so that something can go wrong in the middle of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from typing import Any


def add_cli_args(parser: Any) -> None:
    parser.parse_args = lambda words, real=parser.parse_known_args: real(words)[0]
    for name in ("base-url", "num-prompts", "model", "random-output-len", "custom-output-len", "dataset-name"):
        parser.add_argument(f"--{name}")


async def benchmark(args: Any) -> list[tuple[float, float]]:
    times = []
    for _request in range(int(args.num_prompts)):
        body = json.dumps({"model": args.model, "prompt": "a b", "max_tokens": 4}).encode()
        head = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}
        start = time.perf_counter()
        with urllib.request.urlopen(
            urllib.request.Request(f"{args.base_url}/v1/completions", body, head), timeout=30
        ) as it:
            it.read()
        times.append((start, time.perf_counter() - start))
    try:
        with open("/run/slow", encoding="ascii") as handle:
            time.sleep(float(handle.read()))
    except FileNotFoundError:
        pass
    return times


def main(args: Any) -> dict[str, Any]:
    times = asyncio.run(benchmark(args))
    count = len(times)
    return {
        "start_times": [start for start, _took in times], "ttfts": [took / 2 for _start, took in times],
        "itls": [[took / 6] * 3 for _start, took in times], "input_lens": [2] * count, "output_lens": [4] * count,
        "errors": [""] * count,
    }  # fmt: skip
