# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A rank's card, itemised: weights, what vLLM profiles at start, and what is left for the KV cache.

The profiled terms (activations, sampler, graphs) can only be estimated: they are covered by ``safety_bytes`` whenever
the question is whether something fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import KvPlan, kv_layout, kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import weight_bytes_per_rank
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._runtime_memory import (
    MIB,
    NON_TORCH,
    activation_bytes,
    graph_bytes,
    persistent_bytes,
    sampling_bytes,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

# CUDA context, cuBLAS and NCCL come before vLLM's first snapshot: they live in the (1 - utilisation) slack.
CONTEXT = 600 * MIB
NCCL_PCIE = 512 * MIB
NCCL_NVLINK = 2048 * MIB


@dataclass(frozen=True)
class RankMemory:
    """One rank's share of its card, itemised. ``kv_bytes`` may be negative: that much is missing."""

    cuda_total: int
    utilization: float
    weights: int
    activations: int  # the larger of forward pass and sampling, at their peak
    persistent: int  # sampler state held for good
    graphs: int
    graphs_in_budget: bool
    non_torch: int
    kv: KvPlan
    margin_percent: float

    @property
    def budget(self) -> int:
        return math.ceil(self.cuda_total * self.utilization)

    @property
    def overhead(self) -> int:
        return self.activations + self.persistent + self.non_torch + (self.graphs if self.graphs_in_budget else 0)

    @property
    def kv_bytes(self) -> int:
        return self.budget - self.weights - self.overhead

    @property
    def safety_bytes(self) -> int:
        """Held back when asking whether something fits: the estimated terms, not the exact ones, carry the error."""
        return 64 * MIB + int(self.overhead * 0.25 + self.weights * 0.0025)

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
            "activation_bytes_per_gpu": self.activations,
            "persistent_bytes_per_gpu": self.persistent,
            "cuda_graph_bytes_per_gpu": self.graphs,
            "non_torch_bytes_per_gpu": self.non_torch,
            "kv_cache_bytes_per_gpu": kv_bytes,
            "kv_cache_memory_bytes": blocks * self.kv.bytes_per_block,
            "num_gpu_blocks": blocks,
            "block_size": self.kv.block_size,
            "kv_cache_tokens": self.kv.tokens(kv_bytes, max_model_len) if max_model_len else 0,
            "max_concurrency": round(self.kv.concurrency(kv_bytes, max_model_len), 2) if max_model_len else 0.0,
            "margin_percent": self._margin(kv_bytes),
        }


def margin_percent(model: Model) -> float:
    """How far the predicted KV tokens may be off, stated beside them."""
    if not model.known_architecture:
        return 15.0
    kinds = {g.kind for g in kv_layout(model)}
    if model.experts or model.multimodal or kinds & {"mamba", "mla"}:
        return 8.0
    return 5.0 if model.quantization or model.weight_bytes_source == "config" else 3.0


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
) -> RankMemory:
    return RankMemory(
        cuda_total=cuda_total,
        utilization=utilization,
        weights=weight_bytes_per_rank(model, tp),
        activations=max(
            activation_bytes(model, tp, max_num_batched_tokens), sampling_bytes(model, release, max_num_seqs)
        ),
        persistent=persistent_bytes(model, release, max_num_seqs),
        graphs=graph_bytes(model, enforce_eager),
        graphs_in_budget=release.graphs_in_budget,
        non_torch=NON_TORCH,
        kv=kv_plan(model, tp, release, kv_cache_dtype, max_num_batched_tokens),
        margin_percent=margin_percent(model),
    )


def highest_utilization(cuda_total: int, free: int, tp: int, nvlink: bool, graphs_outside: int) -> float:
    """The largest utilisation with which vLLM still passes its start gate (free >= total x utilisation)."""
    taken = CONTEXT + graphs_outside + (0 if tp == 1 else NCCL_NVLINK if nvlink else NCCL_PCIE)
    return max(math.floor((free - taken) / cuda_total * 100) / 100, 0.0)
