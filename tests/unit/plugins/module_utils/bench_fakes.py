# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ``vllm.benchmarks.serve`` that measures nothing: the clients around it are what is tested."""

from __future__ import annotations

from pathlib import Path

SERVE = """
import time
def add_cli_args(parser):
    for name in ("--base-url", "--num-prompts", "--max-concurrency", "--request-rate", "--seed", "--model",
                 "--ready-check-timeout-sec", "--does"):
        parser.add_argument(name)
    parser.add_argument("--save-detailed", action="store_true")
    parser.add_argument("--disable-tqdm", action="store_true")
    parser.parse_args = lambda words, real=parser.parse_known_args: real(words)[0]
async def benchmark(args):
    return time.perf_counter()
def main(args):
    import asyncio, os
    if (args.does or args.model) == "raise" and args.seed.endswith("1"):
        raise ValueError("no such dataset")
    if (args.does or args.model) == "never":
        raise ValueError("no such model")
    if args.does == "die" and args.seed.endswith("1"):
        os._exit(9)
    time.sleep(0.3 * int(args.seed[-1]))  # one takes longer over its prompts
    print("words for people")
    start = asyncio.run(benchmark(args))
    count = int(args.num_prompts)
    return {"start_times": [start] * count, "ttfts": [0.1] * count, "itls": [[0.1]] * count,
            "input_lens": [5] * count, "output_lens": [2] * count, "errors": [""] * count, "more": 1}
"""


def fake_vllm(folder: Path, serve: str = SERVE) -> dict[str, str]:
    """Puts it there; what must be in the environment to find it."""
    package = folder / "vllm" / "benchmarks"
    package.mkdir(parents=True, exist_ok=True)
    (package.parent / "__init__.py").write_text("", encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "serve.py").write_text(serve, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}
