# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A small roofline: how fast a candidate would serve. It is there to rank, not to promise a speed.

Decode step = max(weights read, arithmetic) + KV read + fixed cost + all-reduces. Prefill = arithmetic + all-reduces of
the size of the prompt, paid by every request that decodes meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from ansible_collections.gpuserve.inference.plugins.module_utils._cards import CardData, card_data
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import KvPlan, kv_layout
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import embedding_bytes
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

LINKS = ("nvlink", "pcie_p2p", "pcie")
STREAM_SHARE = 0.8  # of the data sheet's bandwidth that decoding reaches
FIXED_MS = 0.9  # launch, scheduling and sampling of one step
COMPUTE_SHARE = 0.6
ALL_REDUCE_MS = {"nvlink": 0.010, "pcie_p2p": 0.020, "pcie": 0.030}
ALL_REDUCE_GB_S = {"nvlink": 300.0, "pcie_p2p": 20.0, "pcie": 8.0}


@dataclass(frozen=True)
class SpeedPrediction:
    """None where the card is not known. ``concurrency`` is what runs at once (the rest of the requests queue)."""

    tpot_ms: Optional[float] = None
    ttft_ms: Optional[float] = None
    output_tokens_per_s: Optional[float] = None
    requests_per_s: Optional[float] = None
    concurrency: float = 0.0
    queued: float = 0.0
    estimated_card: bool = False


def active_weight_bytes(model: Model) -> float:
    """Weights read for one token: without the embedding table, and of the experts only those that are routed to."""
    table = embedding_bytes(model) / (1 if model.tie_word_embeddings else 2)
    body = float(model.weight_bytes) - (0.0 if model.tie_word_embeddings else table)
    if not model.experts:
        return body
    experts = float(model.weight_groups.get("experts") or 0) or max(body - table, 0.0) * 0.95
    return body - experts + experts * max(model.experts_per_token, 1) / model.experts


def predict_speed(
    model: Model,
    card: Union[CardData, str, None],
    tp: int,
    *,
    link: str,
    concurrency: float,
    input_tokens: int,
    output_tokens: int,
    kv_plan: Optional[KvPlan] = None,
    kv_bytes: int = 0,
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 8192,
    kv_element_bytes: Optional[int] = None,
) -> SpeedPrediction:
    """One instance that ``concurrency`` requests are kept at."""
    data = card_data(card) if isinstance(card, str) else card
    wanted = max(float(concurrency), 1.0)
    running = min(wanted, float(max_num_seqs))
    if kv_plan is not None:
        running = min(running, max(kv_plan.concurrency(kv_bytes, input_tokens + output_tokens), 1.0))
    if data is None:
        return SpeedPrediction(concurrency=running, queued=wanted - running)
    stream = STREAM_SHARE * data.bandwidth_gb_s * 1e6  # bytes a ms
    elem = kv_element_bytes or model.element_bytes
    token = sum(
        (g.layers - g.shared_layers)
        * (g.rank if g.kind == "mla" else max(1, g.kv_heads // tp) * (g.head_dim + g.v_head_dim))
        * elem
        for g in kv_layout(model)
        if g.kind != "mamba"
    )
    params = active_weight_bytes(model) / model.element_bytes
    flops = COMPUTE_SHARE * data.fp16_tflops * 1e9 * tp
    step = FIXED_MS + max(active_weight_bytes(model) / tp / stream, 2 * params * running / flops)
    step += running * (input_tokens + output_tokens / 2) * token / stream
    prefill = 2 * params * input_tokens / flops
    if tp > 1:
        reduces = 2 * model.layers + 1
        size = model.width * model.element_bytes
        step += reduces * (ALL_REDUCE_MS[link] + running * size / (ALL_REDUCE_GB_S[link] * 1e6))
        prefill += reduces * (ALL_REDUCE_MS[link] + input_tokens * size / (ALL_REDUCE_GB_S[link] * 1e6))
    busy = running * prefill + output_tokens * step
    per_s = running / busy * 1000
    wait = (wanted - running) / per_s * 1000
    ttft = prefill + step + (running - 1) * prefill / 2 + wait
    tpot = (busy + wait - ttft) / max(output_tokens - 1, 1)
    return SpeedPrediction(tpot, ttft, per_s * output_tokens, per_s, running, wanted - running, data.estimated)


def predict_replicas(
    model: Model, card: Union[CardData, str, None], tp: int, replicas: int, *, concurrency: int, **given: object
) -> SpeedPrediction:
    """``replicas`` equal instances behind the door that share ``concurrency`` requests: throughput is their sum."""
    used = max(1, min(replicas, concurrency))
    one = predict_speed(model, card, tp, concurrency=concurrency / used, **given)  # type: ignore[arg-type]
    if one.output_tokens_per_s is None or one.requests_per_s is None:
        return one
    return SpeedPrediction(
        one.tpot_ms,
        one.ttft_ms,
        one.output_tokens_per_s * used,
        one.requests_per_s * used,
        one.concurrency * used,
        one.queued * used,
        one.estimated_card,
    )


def tpot_ms(model: Model, card_name: str, tp: int, nvlink: bool) -> Optional[float]:
    """Milliseconds a token for one stream with a short context; None for a card whose bandwidth is not known."""
    data = card_data(card_name)
    if data is None:
        return None
    read = active_weight_bytes(model) / tp / (STREAM_SHARE * data.bandwidth_gb_s * 1e9) * 1000
    joins = (2 * model.layers + 1) * ALL_REDUCE_MS["nvlink" if nvlink else "pcie"] if tp > 1 else 0.0
    return round(FIXED_MS + read + joins, 2)
