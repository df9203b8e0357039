# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How much memory a rank needs, and how many tokens its KV cache holds, computed as vLLM computes it.

Weights follow the sharding of vLLM's linear layers; KV blocks follow ``v1/kv_cache_interface.py`` and the grouping of
``v1/core/kv_cache_utils.py``. What vLLM profiles at start (activations, sampler, graphs) can only be estimated: those
terms are itemised and covered by ``safety_bytes`` whenever the question is whether something fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._releases import GIB, Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import KvGroup, Model

MIB = 1024**2
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float": 4, "float32": 4}
# bytes a parameter of a quantized linear layer, scales included (group size 128 for the 4-bit ones)
QUANT_BYTES = {
    "fp8": 1.0,
    "fbgemm_fp8": 1.0,
    "modelopt": 1.0,
    "awq": 0.52,
    "awq_marlin": 0.52,
    "gptq": 0.52,
    "gptq_marlin": 0.52,
    "mxfp4": 0.53125,
    "nvfp4": 0.5625,
    "modelopt_fp4": 0.5625,
    "compressed-tensors": 1.0,
    "bitsandbytes": 0.52,
}
# Forward pass: hidden-sized copies alive at its peak. Agrees with H200 profiles of four dense models within 0.15 GiB.
HIDDEN_COPIES = 8
# The same a routed token in the fused MoE's workspaces: known from one model only, hence the wider margin for MoE.
MOE_HIDDEN_COPIES = 10
NON_TORCH = 64 * MIB
# CUDA context, cuBLAS and NCCL come before vLLM's first snapshot: they live in the (1 - utilisation) slack.
CONTEXT = 600 * MIB
NCCL_PCIE = 512 * MIB
NCCL_NVLINK = 2048 * MIB


def element_bytes(model: Model) -> int:
    return DTYPE_BYTES.get(model.dtype, 2)


def hidden_size(model: Model) -> int:
    return model.hidden_size or model.heads * model.head_dim


def kv_element_bytes(model: Model, kv_cache_dtype: str) -> int:
    """``auto`` follows the model, unless its quantization brings scales for an 8-bit cache."""
    if kv_cache_dtype.startswith("fp8"):
        return 1
    scheme = model.quantization_config.get("kv_cache_scheme") or model.quantization_config.get("kv_cache_quant_algo")
    if kv_cache_dtype == "auto" and scheme:
        return 1
    return element_bytes(model)


def kv_layout(model: Model) -> tuple[KvGroup, ...]:
    if model.kv_layout:
        return tuple(model.kv_layout)
    return (KvGroup("full", model.layers, model.kv_heads, model.head_dim, model.head_dim),)


# ---------------------------------------------------------------- what can be split


def split_problem(model: Model, tp: int) -> Optional[str]:
    """Why the model cannot be split over ``tp`` ranks, or None."""
    if tp == 1:
        return None
    if model.heads % tp:
        return f"{model.heads} attention heads cannot be divided by {tp}"
    for group in kv_layout(model):
        heads = group.kv_heads
        if heads and heads % tp and tp % heads:
            return f"{heads} KV heads can neither be divided by {tp} nor copied evenly to {tp} ranks"
    if (math.ceil(model.vocab_size / 64) * 64) % tp:
        return f"a vocabulary of {model.vocab_size} (padded to 64) cannot be divided by {tp}"
    sizes = [("intermediate size", model.intermediate_size), ("expert intermediate size", model.moe_intermediate_size)]
    step, label = _quant_step(model)
    for what, size in sizes:
        if not size or (model.experts and what == "intermediate size" and model.moe_intermediate_size):
            continue
        if size % tp:
            return f"{what} {size} cannot be divided by {tp}"
        if step and (size // tp) % step:
            return f"{what} {size} over {tp} ranks breaks the {label} of {step}"
    return None


def _quant_step(model: Model) -> tuple[int, str]:
    quant = model.quantization_config
    block = quant.get("weight_block_size")
    if isinstance(block, (list, tuple)) and block and isinstance(block[0], int) and block[0] > 0:
        return block[0], "FP8 block size"
    group = quant.get("group_size")
    if isinstance(group, int) and group > 0:
        return group, f"{model.quantization or 'quantization'} group size"
    return 0, ""


# ---------------------------------------------------------------- weights


def _linear_bytes(model: Model) -> float:
    if model.quantization:
        return QUANT_BYTES.get(str(model.quantization).lower(), 1.0)
    return float(element_bytes(model))


def _config_int(model: Model, key: str) -> int:
    value = model.config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def embedding_bytes(model: Model) -> int:
    """The embedding and, if it is not tied, the output head: both are kept out of quantization as a rule."""
    return model.vocab_size * hidden_size(model) * element_bytes(model) * (1 if model.tie_word_embeddings else 2)


def weight_bytes_per_rank(model: Model, tp: int) -> int:
    """Checkpoint bytes as one rank holds them, with copies, padding and the rotary table."""
    hidden, elem = hidden_size(model), element_bytes(model)
    total = float(model.weight_bytes)
    if model.tie_word_embeddings:
        total -= float(model.weight_groups.get("lm_head") or 0)  # some files store the tied head a second time
    copied = (2 * model.layers + 1) * hidden * elem  # norms
    if model.experts:
        copied += model.layers * model.experts * hidden * elem  # routers
    extra = 0.0
    for group in kv_layout(model):
        if group.kind == "mla":
            q_rank = _config_int(model, "q_lora_rank")
            copied += int(group.layers * hidden * (q_rank + group.rank) * _linear_bytes(model))
            nope, v_dim = _config_int(model, "qk_nope_head_dim"), _config_int(model, "v_head_dim")
            kv_rank = _config_int(model, "kv_lora_rank")
            # W_UK and W_UV are kept a second time, unpacked, for the absorbed form of attention
            extra += group.layers * (model.heads / tp) * (nope + v_dim) * kv_rank * 2
        elif group.kv_heads and tp > group.kv_heads:
            kv_weights = (
                group.layers * hidden * group.kv_heads * (group.head_dim + group.v_head_dim) * _linear_bytes(model)
            )
            extra += kv_weights * (1 / group.kv_heads - 1 / tp)  # a KV head is the smallest piece
    padding = (
        (math.ceil(model.vocab_size / 64) * 64 - model.vocab_size)
        * hidden
        * elem
        * (1 if model.tie_word_embeddings else 2)
    )
    rope = max(model.max_position_embeddings, 0) * model.head_dim * elem
    return int((total - copied + padding) / tp + copied + extra + rope)


# ---------------------------------------------------------------- KV cache


@dataclass(frozen=True)
class KvPlan:
    """Blocks of a rank's KV cache: ``groups`` share one pool, each takes its own blocks for a request."""

    block_size: int
    bytes_per_block: int
    groups: tuple[tuple[str, int, int], ...]  # (kind, window, how many groups of that kind)
    inflight: int  # tokens a window may additionally hold while batches are in flight

    def blocks_per_request(self, length: int) -> int:
        total, bs = 0, self.block_size
        for kind, window, count in self.groups:
            if kind == "sliding":
                blocks = math.ceil(min(window - 1 + self.inflight, length) / bs) + 1
            elif kind == "chunked":
                blocks = math.ceil(min(window + self.inflight, length) / bs)
            elif kind == "mamba":
                blocks = 1
            else:
                blocks = math.ceil(length / bs)
            total += blocks * count
        return max(total, 1)

    def bytes_for(self, requests: int, length: int) -> int:
        """KV cache bytes that hold so many requests; one block is vLLM's null block."""
        return (requests * self.blocks_per_request(length) + 1) * self.bytes_per_block

    def blocks(self, kv_bytes: int) -> int:
        return max(kv_bytes, 0) // self.bytes_per_block

    def concurrency(self, kv_bytes: int, length: int) -> float:
        return self.blocks(kv_bytes) / self.blocks_per_request(length)

    def tokens(self, kv_bytes: int, length: int) -> int:
        """The figure vLLM logs as "GPU KV cache size": for hybrids it depends on max_model_len."""
        return int(self.concurrency(kv_bytes, length) * length)

    def longest(self, kv_bytes: int, limit: int) -> int:
        """The longest request, up to ``limit`` tokens, that the cache holds."""
        if self.bytes_for(1, 1) > kv_bytes:
            return 0
        low, high = 1, max(limit, 1)
        while low < high:
            middle = (low + high + 1) // 2
            if self.bytes_for(1, middle) <= kv_bytes:
                low = middle
            else:
                high = middle - 1
        return low


def kv_plan(
    model: Model, tp: int, release: Release, kv_cache_dtype: str, max_num_batched_tokens: int, block_size: int = 0
) -> KvPlan:
    elem = kv_element_bytes(model, kv_cache_dtype)
    layout = [g for g in kv_layout(model) if g.layers > g.shared_layers]
    block = block_size or (release.mla_block_size if any(g.kind == "mla" for g in layout) else release.block_size)

    def token_bytes(group: KvGroup) -> int:
        if group.kind == "mla":
            return group.rank * elem  # one latent vector, a copy on every rank
        return max(1, group.kv_heads // tp) * (group.head_dim + group.v_head_dim) * elem

    attention = [g for g in layout if g.kind != "mamba"]
    state = max([math.ceil(g.state_bytes / tp) for g in layout if g.kind == "mamba"], default=0)
    if state and attention:
        # attention blocks grow until their page holds a state; states are padded to that page
        block = max(block, 16 * math.ceil(state / (16 * max(token_bytes(g) for g in attention))))
    pages = {"mamba": max(state, 1)}
    types: dict[tuple[str, int], int] = {}
    page = 0
    for group in layout:
        size = pages["mamba"] if group.kind == "mamba" else block * token_bytes(group)
        page = max(page, size)
        key = (group.kind, group.window if group.kind in ("sliding", "chunked") else 0)
        types[key] = types.get(key, 0) + group.layers - group.shared_layers
    counts = sorted(types.values()) or [1]
    per_group = counts[-1] if counts[-1] < 1.5 * counts[0] else counts[0]
    groups = tuple((kind, window, math.ceil(n / per_group)) for (kind, window), n in types.items())
    inflight = max_num_batched_tokens * (2 if release.async_scheduling else 1)
    return KvPlan(block, max(page, 1) * per_group, groups, inflight)


# ---------------------------------------------------------------- a rank


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


def activation_bytes(model: Model, tp: int, tokens: int) -> int:
    hidden, elem = hidden_size(model), element_bytes(model)
    inner = 3 * model.intermediate_size / tp
    if model.experts:
        top = max(model.experts_per_token, 1)
        inner = top * (4 * (model.moe_intermediate_size or model.intermediate_size) / tp + MOE_HIDDEN_COPIES * hidden)
    return int(tokens * elem * (inner + HIDDEN_COPIES * hidden))


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
    generate = "generate" in model.tasks
    sampler = release.sampler_bytes
    if model.config.get("final_logit_softcapping"):
        sampler += element_bytes(model)  # capping the logits keeps one more copy of them
    sampling = max_num_seqs * model.vocab_size * sampler if generate else 0
    persistent = int(max_num_seqs * model.vocab_size * release.persistent_sampler_bytes) if generate else 0
    graphs = 0 if enforce_eager else int((0.2 + 0.022 * model.layers) * GIB)
    return RankMemory(
        cuda_total=cuda_total,
        utilization=utilization,
        weights=weight_bytes_per_rank(model, tp),
        activations=max(activation_bytes(model, tp, max_num_batched_tokens), sampling),
        persistent=persistent,
        graphs=graphs,
        graphs_in_budget=release.graphs_in_budget,
        non_torch=NON_TORCH,
        kv=kv_plan(model, tp, release, kv_cache_dtype, max_num_batched_tokens),
        margin_percent=margin_percent(model),
    )


def highest_utilization(cuda_total: int, free: int, tp: int, nvlink: bool, graphs_outside: int) -> float:
    """The largest utilisation with which vLLM still passes its start gate (free >= total x utilisation)."""
    taken = CONTEXT + graphs_outside + (0 if tp == 1 else NCCL_NVLINK if nvlink else NCCL_PCIE)
    return max(math.floor((free - taken) / cuda_total * 100) / 100, 0.0)


def fp8_weight_bytes(model: Model) -> int:
    """What the same weights take in FP8, embeddings and head left as they are."""
    kept = min(embedding_bytes(model), model.weight_bytes)
    return int(kept + (model.weight_bytes - kept) / element_bytes(model))
