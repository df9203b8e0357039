# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A small roofline: enough to rank one-stream decoding on NVLink, not to promise a speed.

Time a token = fixed cost + bytes read / (share x bandwidth) + all-reduces, two a layer and one at the end.
"""

from __future__ import annotations

from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import embedding_bytes
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

# Memory bandwidth in GB/s from the makers' data sheets; the first part found in the card's name counts.
BANDWIDTH_GB_S = (
    ("b200", 8000),
    ("h200", 4800),
    ("h100 nvl", 3900),
    ("h100 pcie", 2000),
    ("h100", 3350),
    ("gh200", 4000),
    ("a100-sxm4-80", 2039),
    ("a100 80gb pcie", 1935),
    ("a100-pcie-40", 1555),
    ("a100", 1555),
    ("l40s", 864),
    ("l40", 864),
    ("l4", 300),
    ("rtx pro 6000", 1792),
    ("rtx 6000 ada", 960),
    ("a6000", 768),
    ("5090", 1792),
    ("5080", 960),
    ("5070 ti", 896),
    ("5060 ti", 448),
    ("4090", 1008),
    ("4080", 717),
    ("3090", 936),
)
STREAM_SHARE = 0.8  # of the data sheet's bandwidth that decoding reaches
FIXED_MS = 0.9  # launch, scheduling and sampling of one step
ALL_REDUCE_MS = {"nvlink": 0.010, "pcie": 0.030}  # one small all-reduce; published: 4-12 us one-shot, 17-42 us NCCL


def bandwidth(name: str) -> Optional[int]:
    low = name.lower()
    return next((value for part, value in BANDWIDTH_GB_S if part in low), None)


def active_weight_bytes(model: Model) -> float:
    """Weights read for one token: without the embedding table, and of the experts only those that are routed to."""
    table = embedding_bytes(model) / (1 if model.tie_word_embeddings else 2)
    body = float(model.weight_bytes) - (0.0 if model.tie_word_embeddings else table)
    if not model.experts:
        return body
    head = table
    experts = float(model.weight_groups.get("experts") or 0)
    if not experts:
        experts = max(body - head, 0.0) * 0.95  # attention is a small share of such a model
    return body - experts + experts * max(model.experts_per_token, 1) / model.experts


def tpot_ms(model: Model, card_name: str, tp: int, nvlink: bool) -> Optional[float]:
    """Milliseconds a token for one stream with a short context; None for a card whose bandwidth is not known."""
    speed = bandwidth(card_name)
    if speed is None:
        return None
    read = active_weight_bytes(model) / tp / (STREAM_SHARE * speed * 1e9) * 1000
    joins = (2 * model.layers + 1) * ALL_REDUCE_MS["nvlink" if nvlink else "pcie"] if tp > 1 else 0.0
    return round(FIXED_MS + read + joins, 2)
