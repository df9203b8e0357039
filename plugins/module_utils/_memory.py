# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A rank's card, itemised: weights, what vLLM profiles at start, and what is left for the KV cache.

Weights and KV blocks are computed as vLLM computes them; the profiled terms are laws that were measured, and their
error is covered by ``safety_bytes`` whenever the question is whether something fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import KvPlan, kv_layout, kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._memo import per_model
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import (
    HOPPER,
    weight_bytes_per_rank,
    weight_margin,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import RELEASES, Release
from ansible_collections.gpuserve.inference.plugins.module_utils._runtime_memory import (
    MIB,
    Runtime,
    plain_decoder,
    runtime_memory,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

# CUDA context, cuBLAS and NCCL come before vLLM's first snapshot: they live in the (1 - utilisation) slack. The context
# of an H200 took 527 MiB.
CONTEXT = 600 * MIB
NCCL_PCIE = 512 * MIB
NCCL_NVLINK = 2048 * MIB
# Held back where the question is whether something fits: shares of the terms that are laws, and a little of the
# weights. Measured rows were met within 41 MiB (dense), 60 (multimodal) and 94 (experts, activations alone).
UNSURE = {"dense": 0.02, "multimodal": 0.08, "experts": 0.12, "recurrent": 0.06}
UNSURE_RELEASE = 0.04  # on top, for a release that was not measured
UNSURE_GRAPHS = 0.2  # of the graphs it counts, likewise
UNSURE_ALWAYS = 24 * MIB
WEIGHTS_UNSURE = 0.0005  # of architectures whose weights were compared with vLLM's own classes


@dataclass(frozen=True)
class RankMemory:
    """One rank's share of its card, itemised. ``kv_bytes`` may be negative: that much is missing."""

    cuda_total: int
    utilization: float
    weights: int
    runtime: Runtime
    kv: KvPlan
    margin_percent: float
    unsure: float = 0.12
    unsure_graphs: float = 0.0
    unsure_weights: float = 0.0005

    @property
    def budget(self) -> int:
        return math.ceil(self.cuda_total * self.utilization)

    @property
    def activations(self) -> int:
        return self.runtime.activations

    @property
    def graphs(self) -> int:
        return self.runtime.graphs

    @property
    def overhead(self) -> int:
        """What comes off the budget beside the weights."""
        r = self.runtime
        held = (r.persistent if r.persistent_in_budget else 0) + (r.graphs if r.graphs_in_budget else 0)
        return r.activations + r.non_torch + held

    @property
    def outside(self) -> int:
        """What vLLM takes without counting it: it must be free beyond the utilisation."""
        r = self.runtime
        return (0 if r.persistent_in_budget else r.persistent) + (0 if r.graphs_in_budget else r.graphs)

    @property
    def kv_bytes(self) -> int:
        return self.budget - self.weights - self.overhead

    @property
    def safety_bytes(self) -> int:
        """Held back when asking whether something fits: the estimated terms, not the exact ones, carry the error."""
        shares = self.overhead * self.unsure + self.weights * self.unsure_weights
        if self.runtime.graphs_in_budget:
            shares += self.runtime.graphs * self.unsure_graphs
        return UNSURE_ALWAYS + int(shares) + self.runtime.graphs_unsure

    @property
    def kv_bytes_sure(self) -> int:
        return self.kv_bytes - self.safety_bytes

    def _margin(self, kv_bytes: int) -> float:
        """The estimated terms weigh more the smaller the cache is that they leave."""
        return round(max(self.margin_percent, 100.0 * self.safety_bytes / kv_bytes), 1) if kv_bytes else 100.0

    def prediction(self, max_model_len: int) -> dict[str, Any]:
        kv_bytes = max(self.kv_bytes, 0)
        blocks = self.kv.blocks(kv_bytes)
        return {
            "cuda_total_bytes": self.cuda_total,
            "gpu_memory_utilization": self.utilization,
            "budget_bytes": self.budget,
            "weight_bytes_per_gpu": self.weights,
            "activation_bytes_per_gpu": self.runtime.activations,
            "persistent_bytes_per_gpu": self.runtime.persistent,
            "cuda_graph_bytes_per_gpu": self.runtime.graphs,
            "non_torch_bytes_per_gpu": self.runtime.non_torch,
            "outside_budget_bytes_per_gpu": self.outside,
            "kv_cache_bytes_per_gpu": kv_bytes,
            "kv_cache_memory_bytes": blocks * self.kv.bytes_per_block,
            "num_gpu_blocks": blocks,
            "block_size": self.kv.block_size,
            "kv_cache_tokens": self.kv.tokens(kv_bytes, max_model_len) if max_model_len else 0,
            "max_concurrency": round(self.kv.concurrency(kv_bytes, max_model_len), 2) if max_model_len else 0.0,
            "margin_percent": self._margin(kv_bytes),
        }


def margin_percent(model: Model, release: Release) -> float:
    """How far the predicted KV tokens may be off, stated beside them. Measured rows were met within 0.7 %."""
    if not model.known_architecture:
        return 15.0
    plain = plain_decoder(model)
    if release.measured:
        return 1.0 if plain else 2.0
    return 3.0 if plain else 5.0


def _unsure(model: Model) -> float:
    """How far the laws may be off for this kind of model, as a share."""
    if not model.known_architecture:
        return 0.25
    kinds = [kind for kind, has in (("experts", model.experts), ("multimodal", model.multimodal)) if has]
    if any(g.kind == "mamba" for g in kv_layout(model)):
        kinds.append("recurrent")
    return max((UNSURE[kind] for kind in kinds), default=UNSURE["dense"])


def _capability(text: str) -> tuple[int, int]:
    """Of a card that does not say, Hopper's: what most of the measured rows ran on."""
    major, _dot, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else HOPPER


@per_model
def _weights(model: Model, tp: int, batch: int, capability: tuple[int, int], minor: int) -> int:
    return weight_bytes_per_rank(model, tp, batch, capability, RELEASES[minor])


def rank_memory(
    model: Model,
    release: Release,
    tp: int,
    *,
    cuda_total: int,
    utilization: float,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    kv_cache_dtype: str = "auto",
    enforce_eager: bool = False,
    max_cudagraph_capture_size: int = 0,
    max_model_len: int = 0,
    compute_capability: str = "",
    kv: Optional[KvPlan] = None,
) -> RankMemory:
    """``kv`` where the caller knows more of the cache (card, flags) than its dtype."""
    capability, weights_off = _capability(compute_capability), weight_margin(model)
    return RankMemory(
        cuda_total=cuda_total,
        utilization=utilization,
        weights=_weights(model, tp, max_num_batched_tokens, capability, release.minor),
        runtime=runtime_memory(
            model,
            release,
            tp,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            max_model_len=max_model_len,
            enforce_eager=enforce_eager,
            max_cudagraph_capture_size=max_cudagraph_capture_size,
            generation=capability[0],
        ),
        kv=kv
        or kv_plan(model, tp, release, kv_cache_dtype, max_num_batched_tokens, compute_capability=compute_capability),
        margin_percent=margin_percent(model, release),
        unsure=_unsure(model) + (0.0 if release.measured else UNSURE_RELEASE),
        unsure_graphs=0.0 if release.measured else UNSURE_GRAPHS,
        unsure_weights=WEIGHTS_UNSURE if weights_off <= 0.01 else weights_off,
    )


def highest_utilization(cuda_total: int, free: int, tp: int, nvlink: bool, outside: int) -> float:
    """The largest utilisation with which vLLM still passes its start gate (free >= total x utilisation)."""
    taken = CONTEXT + outside + (0 if tp == 1 else NCCL_NVLINK if nvlink else NCCL_PCIE)
    return max(math.floor((free - taken) / cuda_total * 100) / 100, 0.0)
