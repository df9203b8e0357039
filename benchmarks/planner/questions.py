# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fit questions whose answer follows from a measured row.

A row says how much of its budget was not KV cache: ``budget - kv_bytes``. Weights, activations, buffers and graphs are
those of the model, the batch limits and the chip; none of them depends on how much memory the card has. So on a card
with the same chip and M bytes, started with the same flags, the KV cache gets ``M x utilisation`` less that same
amount. One request of the row's max_model_len takes the row's KV bytes over the requests they held (also measured), and
vLLM starts where the cache holds one. Lengths other than the row's own are not asked: for sliding windows and states
their need does not follow from the row.

Two limits keep the truth known. vLLM also wants ``M x utilisation`` to be free once CUDA is up, so sizes whose rest is
smaller than what the row took outside its budget are left out. And sizes closer to the edge than the row's figures are
exact (a log rounds to 0.01 GiB) are not generated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from ansible_collections.gpuserve.inference.benchmarks.planner.rows import GIB, Row

UTILIZATION = 0.9
RENTED = (16, 24, 32, 40, 48, 64, 80, 94, 141, 180)  # GiB of the cards people rent
EDGE = (0.90, 0.95, 0.98, 0.99, 1.01, 1.02, 1.05, 1.10)  # of the smallest card that works
# What a process takes beside its budget where the row does not say. By nvidia-smi the six logged rows took up to
# 2.55 GiB on one card and 3.48 GiB with tensor parallel size 2 (graphs included, which 0.26.0 kept out of the budget).
OUTSIDE = {1: 3 * GIB, 2: 4 * GIB}
ROUNDING = 0.02 * GIB


@dataclass(frozen=True)
class Question:
    id: str
    row: Row
    kind: str  # rented | edge
    memory: int  # CUDA's total of the card that is asked about
    fits: bool  # the truth


def not_kv(row: Row) -> float:
    return row.cuda_total * row.utilization - row.kv_bytes


def smallest_card(row: Row) -> float:
    return (not_kv(row) + row.request_bytes) / UTILIZATION


def checked_assumption(rows: Iterable[Row]) -> list[tuple[str, int, float]]:
    """Starts that differ in nothing but utilisation (or the length of requests): how far their ``not_kv`` lie apart.

    (model, number of starts, bytes); the questions rest on this being small.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for r in rows:
        groups.setdefault(r.flags, []).append(r)
    out = []
    for group in groups.values():
        if len({r.utilization for r in group}) > 1:
            values = [not_kv(r) for r in group]
            out.append((f"{group[0].name} TP{group[0].tp}", len(group), max(values) - min(values)))
    return out


def questions(rows: Iterable[Row]) -> list[Question]:
    out = []
    for row in rows:
        edge = smallest_card(row)
        outside = row.outside if row.outside is not None else OUTSIDE.get(row.tp, 8 * GIB)
        sizes = [("rented", f"{n} GiB", n * GIB) for n in RENTED] + [("edge", f"{f:g}", int(edge * f)) for f in EDGE]
        for kind, label, memory in sizes:
            if memory * (1 - UTILIZATION) < outside or abs(memory - edge) * UTILIZATION < ROUNDING:
                continue
            out.append(Question(f"{row.id} on {kind} {label}", row, kind, memory, memory >= edge))
    return out
