# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A small roofline: how fast a candidate would serve. It is there to rank, not to promise a speed.

Decode step = max(weights read, arithmetic) + attention + fixed cost + all-reduces.
Prefill = max(arithmetic, weights read) + attention + all-reduces the size of the prompt.
Requests come in a closed loop: as soon as one is answered the next is sent, so that ``concurrency`` of them are always
there. While one request decodes, all others of its batch are prefilled once: their prefill is paid by its tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Protocol, Union

from ansible_collections.gpuserve.inference.plugins.module_utils._cards import CardData, card_data
from ansible_collections.gpuserve.inference.plugins.module_utils._speed_links import LINKS, all_reduce_ms
from ansible_collections.gpuserve.inference.plugins.module_utils._speed_work import ModelWork, model_work, tflops
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

# Where the values come from, all of it in tests/truth/speed, where the tests hold the predictions against it.
# Of the data sheet's memory bandwidth, and of its dense TFLOPS in 16-bit linear layers: one stream, long prompts and
# full batches of dense models on H200, H100, A100 and L4; each row is met with the value that the others imply.
STREAM_SHARE = 0.8
COMPUTE_SHARE = 0.6
# The same of 8 and 4 bits, and of experts, each of which sees few tokens: prefill of Qwen3-8B FP8 on H200. Checked on
# DeepSeek-V2-Lite's prefill (-15 %) and on Llama-70B FP8 over 8 x H100 (2 x TP4 against TP8: 1.30, published 1.27).
NARROW_SHARE = 0.42
# Scheduling, launch and sampling of a step, and the gaps between a layer's kernels: one stream on H200 (8B, 32 layers)
# and L4 (0.5B, 24 layers). Checked on 72B (80 layers) and 8B on two and one H100 (-3 %, +1 %).
STEP_MS = 0.3
LAYER_MS = 0.019
# Routing, sorting by expert and gathering again: gpt-oss-120b on 8 x H100 with 4, 16 and 64 streams. Checked on
# DeepSeek-V2-Lite, one stream on H200 (-1 %).
MOE_LAYER_MS = 0.045
# Bringing the inputs of a layer's matrices to 8 or 4 bits: Qwen3-8B FP8 on H200. Checked on MiniMax-M2.5 FP8 over
# 8 x H100 (-2 %).
QUANTIZED_LAYER_MS = 0.03
# Scheduling, sampling and detokenising one sequence's token; HTTP, tokenising and the first answer of a request: 128
# streams and one on two H200.
SEQUENCE_MS = 0.010
ANSWER_MS = 7.0


class HoldsRequests(Protocol):
    """What is needed of a KvPlan: how many requests of a length so many bytes hold."""

    def concurrency(self, kv_bytes: int, length: int) -> float: ...


@dataclass(frozen=True)
class SpeedPrediction:
    """Milliseconds are medians of a request; None where the card is not known.

    ``concurrency`` is what runs at once, ``queued`` what waits for KV cache or a seat of max_num_seqs.
    """

    tpot_ms: Optional[float] = None
    ttft_ms: Optional[float] = None
    output_tokens_per_s: Optional[float] = None
    requests_per_s: Optional[float] = None
    concurrency: float = 0.0
    queued: float = 0.0
    estimated_card: bool = False  # the card is in no table, its data come from its clocks

    @property
    def e2e_ms(self) -> Optional[float]:
        """From sending to the last token, by the closed loop's law: requests there = rate x time."""
        return (self.concurrency + self.queued) / self.requests_per_s * 1000 if self.requests_per_s else None


@dataclass(frozen=True)
class Engine:
    """One instance: a model on ``tp`` equal cards."""

    work: ModelWork
    card: CardData
    tflops: float
    tp: int
    link: str
    pcie_gb_s: Optional[float]
    max_num_batched_tokens: int

    def _read_ms(self, size: float) -> float:
        return size / (STREAM_SHARE * self.card.bandwidth_gb_s * 1e6)

    def _attend_ms(self, flops: float) -> float:
        return flops / self.tp / (COMPUTE_SHARE * self.card.fp16_tflops * 1e9)

    def _linear_ms(self, tokens: float, sampled: float) -> float:
        """The multiplications of ``tokens`` in the layers, and of those that are ``sampled`` in the head."""
        work = self.work
        share = COMPUTE_SHARE if self.tflops <= self.card.fp16_tflops else NARROW_SHARE
        dense = work.dense_params * tokens / share + work.expert_params * tokens / NARROW_SHARE
        head = work.head_params * sampled / COMPUTE_SHARE
        return 2.0 * (dense / self.tflops + head / self.card.fp16_tflops) / self.tp / 1e9

    def _reduce_ms(self, tokens: float) -> float:
        """The all-reduces of a step: two a layer, one after the embedding."""
        if self.tp == 1:
            return 0.0
        one = all_reduce_ms(self.link, self.card, self.tp, tokens * self.work.width_bytes, self.pcie_gb_s)
        return (2 * self.work.layers + 1) * one

    @property
    def fixed_ms(self) -> float:
        work = self.work
        narrow = work.quantized_activations and self.tflops > self.card.fp16_tflops  # else only the weights are small
        layer = LAYER_MS + (QUANTIZED_LAYER_MS if narrow else 0.0)
        return STEP_MS + layer * work.layers + MOE_LAYER_MS * work.moe_layers

    def decode_ms(self, batch: float, context: float) -> float:
        """One step of ``batch`` sequences that have ``context`` tokens each."""
        work, tp = self.work, self.tp
        linear = max(self._read_ms(work.weight_bytes(batch) / tp), self._linear_ms(batch, batch))
        attention = max(
            self._read_ms(batch * work.kv_bytes(context, tp)),
            self._attend_ms(batch * work.attention_flops(context, True)),
        )
        return self.fixed_ms + SEQUENCE_MS * batch + linear + attention + self._reduce_ms(batch)

    def prefill_ms(self, tokens: int) -> float:
        """What a prompt adds to the steps that carry it."""
        attention = self._attend_ms(tokens * self.work.attention_flops(tokens / 2, False))
        chunk = min(tokens, self.max_num_batched_tokens)
        reduces = self._reduce_ms(chunk) - self._reduce_ms(0)
        return self._linear_ms(tokens, 1) + attention + reduces * tokens / max(chunk, 1)

    def alone_ms(self, tokens: int) -> float:
        """A prompt that nothing else shares a step with: the weights are read in any case."""
        chunks = math.ceil(tokens / self.max_num_batched_tokens)
        floor = self._read_ms(self.work.weight_bytes(min(tokens, self.max_num_batched_tokens)) / self.tp)
        return max(self.prefill_ms(tokens), chunks * floor) + chunks * (self.fixed_ms + self._reduce_ms(0))


def engine_of(
    model: Model,
    card: CardData,
    tp: int,
    link: str,
    max_num_batched_tokens: int = 8192,
    kv_element_bytes: int = 0,
    pcie_gb_s: Optional[float] = None,
) -> Engine:
    return Engine(
        model_work(model, kv_element_bytes),
        card,
        tflops(model, card),
        tp,
        link if link in LINKS else LINKS[-1],
        pcie_gb_s,
        max(max_num_batched_tokens, 1),
    )


def predict_speed(
    model: Model,
    card: Union[CardData, str, None],
    tp: int,
    *,
    link: str,
    concurrency: float,
    input_tokens: int,
    output_tokens: int,
    kv_plan: Optional[HoldsRequests] = None,
    kv_bytes: int = 0,
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 8192,
    kv_element_bytes: int = 0,
    pcie_gb_s: Optional[float] = None,
) -> SpeedPrediction:
    """One instance at which ``concurrency`` requests are kept."""
    data = card_data(card) if isinstance(card, str) else card
    wanted = max(float(concurrency), 1.0)
    running = min(wanted, float(max(max_num_seqs, 1)))
    if kv_plan is not None:
        running = min(running, max(kv_plan.concurrency(kv_bytes, input_tokens + output_tokens), 1.0))
    if data is None:
        return SpeedPrediction(concurrency=running, queued=wanted - running)
    engine = engine_of(model, data, tp, link, max_num_batched_tokens, kv_element_bytes, pcie_gb_s)
    return _closed_loop(engine, wanted, running, max(input_tokens, 1), max(output_tokens, 0))


def _closed_loop(engine: Engine, wanted: float, running: float, inputs: int, outputs: int) -> SpeedPrediction:
    alone = engine.alone_ms(inputs)
    prefill = engine.prefill_ms(inputs)
    steps = max(outputs - 1, 0)
    step = engine.decode_ms(running, inputs + outputs / 2) if steps else 0.0
    cycle = ANSWER_MS + alone + (running - 1) * prefill + steps * step
    per_s = running / cycle * 1000
    wait = (wanted - running) / per_s * 1000
    # answers of one length end together, and so the next prompts come together: as many as a step takes have their
    # first token at once, and where they fill more than one, the median waits for half of them
    together = min(running, max(engine.max_num_batched_tokens / inputs, running / 2, 1.0))
    ttft = ANSWER_MS + alone + (together - 1) * prefill
    tpot = (cycle - ttft) / steps if steps else None
    return SpeedPrediction(
        tpot, ttft + wait, per_s * outputs or None, per_s, running, wanted - running, engine.card.estimated
    )


def predict_replicas(
    model: Model,
    card: Union[CardData, str, None],
    tp: int,
    replicas: int,
    *,
    link: str,
    concurrency: int,
    input_tokens: int,
    output_tokens: int,
    **given: Any,
) -> SpeedPrediction:
    """``replicas`` equal instances behind the door share ``concurrency`` requests; throughput is their sum."""
    low, more = divmod(max(concurrency, 1), max(replicas, 1))
    parts = [(more, low + 1), (replicas - more, low)]
    out = []
    for count, share in parts:
        if count and share:
            one = predict_speed(
                model,
                card,
                tp,
                link=link,
                concurrency=share,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                **given,
            )
            out.append((count, one))
    running = sum(n * p.concurrency for n, p in out)
    queued = sum(n * p.queued for n, p in out)
    first = out[0][1]
    if first.requests_per_s is None:
        return SpeedPrediction(concurrency=running, queued=queued)
    weight = running + queued

    def mean(values: list[Optional[float]]) -> Optional[float]:
        pairs = [(n * (p.concurrency + p.queued), v) for (n, p), v in zip(out, values) if v is not None]
        return sum(w * v for w, v in pairs) / weight if pairs else None

    def total(values: list[Optional[float]]) -> Optional[float]:
        pairs = [n * v for (n, _p), v in zip(out, values) if v is not None]
        return sum(pairs) if pairs else None

    return SpeedPrediction(
        mean([p.tpot_ms for _n, p in out]),
        mean([p.ttft_ms for _n, p in out]),
        total([p.output_tokens_per_s for _n, p in out]),
        total([p.requests_per_s for _n, p in out]),
        running,
        queued,
        first.estimated_card,
    )


def tpot_ms(model: Model, card_name: str, tp: int, nvlink: bool) -> Optional[float]:
    """Milliseconds a token for one stream with a short context; None for a card that is not known."""
    got = predict_speed(
        model, card_name, tp, link="nvlink" if nvlink else "pcie", concurrency=1, input_tokens=512, output_tokens=128
    )
    return None if got.tpot_ms is None else round(got.tpot_ms, 2)
