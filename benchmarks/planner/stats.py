# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors and their summary."""

from __future__ import annotations

import math
from typing import Any, Iterable, Optional, Sequence


def error_percent(predicted: Optional[float], measured: Optional[float]) -> Optional[float]:
    """Signed; None where either is missing."""
    if predicted is None or not measured:
        return None
    return 100.0 * (predicted - measured) / measured


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(errors: Iterable[Optional[float]]) -> dict[str, Any]:
    """Of the absolute values; rows without an answer are counted, not averaged."""
    listed = list(errors)
    sizes = [abs(e) for e in listed if e is not None]
    out: dict[str, Any] = {"answered": len(sizes), "asked": len(listed), "median": None, "p90": None, "max": None}
    if sizes:
        out.update(median=median(sizes), p90=quantile(sizes, 0.9), max=max(sizes))
    return out


def verdicts(pairs: Iterable[tuple[Optional[bool], bool]]) -> dict[str, int]:
    """(answer, truth) -> how often right, wrong each way, and silent."""
    out = {"asked": 0, "answered": 0, "right": 0, "false_fits": 0, "false_no": 0}
    for answer, truth in pairs:
        out["asked"] += 1
        if answer is None:
            continue
        out["answered"] += 1
        if answer == truth:
            out["right"] += 1
        else:
            out["false_fits" if answer else "false_no"] += 1
    return out
