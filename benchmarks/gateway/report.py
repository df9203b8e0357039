#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of what ``contest.py`` measured: ``report.py RUNS.json [--against NAME]``.

Each cell is the median (least..most) of the repeats. A share is taken within each repeat, where both were measured
minutes apart on the same cards, and then told in the same way.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, Callable

Run = dict[str, Any]
Figure = Callable[[Run], float]

FIGURES: dict[str, Figure] = {
    "output tokens/s": lambda run: run["output_tokens_per_s"],
    "TTFT p50 ms": lambda run: run["ttft_ms"]["p50"],
    "TTFT p99 ms": lambda run: run["ttft_ms"]["p99"],
    "TPOT p50 ms": lambda run: run["tpot_ms"]["p50"],
}


def spread(values: list[float], digits: int) -> str:
    if not values:
        return ""
    told = [f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return told[0] if len(values) == 1 else f"{told[0]} ({told[1]}..{told[2]})"


def digits_of(values: list[float]) -> int:
    return 0 if max(values, default=0) >= 1000 else 1 if max(values, default=0) >= 10 else 2


def by_repeat(runs: list[Run], name: str, point: int, figure: Figure) -> dict[int, float]:
    return {
        run["repeat"]: figure(run)
        for run in runs
        if run["contestant"] == name and run["concurrency"] == point and not run["failed"]
    }


def shares_of(runs: list[Run], name: str, against: str, point: int, figure: Figure) -> list[float]:
    """``name``'s figure over ``against``'s, repeat by repeat."""
    ours, theirs = by_repeat(runs, name, point, figure), by_repeat(runs, against, point, figure)
    return [ours[repeat] / theirs[repeat] for repeat in sorted(ours) if theirs.get(repeat)]


def tables(runs: list[Run], against: str) -> str:
    names = sorted({run["contestant"] for run in runs}, key=lambda name: (name != "gateway", name != against, name))
    points = sorted({run["concurrency"] for run in runs})
    lines = []
    for title, figure in FIGURES.items():
        lines += [f"### {title}", "", f"| at once | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for point in points:
            cells = []
            for name in names:
                values = list(by_repeat(runs, name, point, figure).values())
                cell = spread(values, digits_of(values))
                shares = shares_of(runs, name, against, point, figure) if name != against else []
                cells.append(f"{cell}<br>{spread(shares, 2)} x" if shares else cell)
            lines.append(f"| {point} | {' | '.join(cells)} |")
        lines.append("")
    failed = sum(run["failed"] for run in runs)
    lines.append(f"{len(runs)} runs, {sum(run['requests'] for run in runs):,} requests, {failed} failed.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--against", default="vllm-dp")
    args = parser.parse_args()
    for path in args.runs:
        data = json.loads(path.read_text(encoding="utf-8"))
        print(f"{json.dumps(data['host'])}\n\n{tables(data['runs'], args.against)}\n")


if __name__ == "__main__":
    main()
