# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cards and models that the planner's tests share."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "fixtures", "plans")
GIB = 1024**3
# name -> (card name, NVML total, reserved)
CARDS = {
    "5080": ("NVIDIA GeForce RTX 5080", 17094934528, 419430400),
    "5090": ("NVIDIA GeForce RTX 5090", 34190917632, 524288000),
    "4090": ("NVIDIA GeForce RTX 4090", 25757220864, 419430400),
    "3060": ("NVIDIA GeForce RTX 3060", 12884901888, 314572800),
    "h200": ("NVIDIA H200", 150754820096, 644939776),
    "h100": ("NVIDIA H100 80GB HBM3", 85520809984, 629145600),
}


def load(name: str) -> Any:
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as handle:
        return json.load(handle)


def model(name: str, **changes: Any) -> dict[str, Any]:
    out: dict[str, Any] = copy.deepcopy(load("models.json")[name])
    out.update(changes)
    return out


def cards(*kinds: str, **changes: Any) -> list[dict[str, Any]]:
    out = []
    for index, kind in enumerate(kinds):
        name, total, reserved = CARDS[kind]
        gpu = {
            "index": index, "uuid": f"GPU-{index:04d}", "name": name, "memory_total_bytes": total,
            "memory_reserved_bytes": reserved, "memory_free_bytes": total - reserved, "compute_capability": "9.0",
        }  # fmt: skip
        gpu.update(changes)
        out.append(gpu)
    return out


def links(
    count: int, pairs: tuple = (), nvlink: int = 0, p2p: bool = True, path: str = "PHB"
) -> list[list[dict[str, Any]]]:
    """Every pair over ``path``; those in ``pairs`` (all if ``nvlink`` is given without pairs) over NVLink."""
    rows = []
    for i in range(count):
        row = []
        for j in range(count):
            joined = i != j and nvlink and (not pairs or (i, j) in pairs or (j, i) in pairs)
            row.append(
                {"nvlink_count": nvlink if joined else 0, "p2p": p2p or bool(joined), "path": "NVL" if joined else path}
            )
        rows.append(row)
    return rows


def plan(gpus: list[dict[str, Any]], model_name: str = "llama-3.1-8b", **options: Any) -> dict[str, Any]:
    options.setdefault("model", model(model_name))
    return plan_from_options({"gpus": gpus, **options})


def argument(instance: dict[str, Any], flag: str) -> str:
    args: list[str] = instance["args"]
    return args[args.index(flag) + 1]
