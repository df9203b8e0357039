# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""KV cache of a rank: bytes a token, blocks, and the token count that vLLM logs.

Follows ``v1/kv_cache_interface.py`` and the grouping of ``v1/core/kv_cache_utils.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import KvGroup, Model


def kv_element_bytes(model: Model, kv_cache_dtype: str) -> int:
    """``auto`` follows the model, unless its quantization brings scales for an 8-bit cache."""
    if kv_cache_dtype.startswith("fp8"):
        return 1
    scheme = model.quantization_config.get("kv_cache_scheme") or model.quantization_config.get("kv_cache_quant_algo")
    if kv_cache_dtype == "auto" and scheme:
        return 1
    return model.element_bytes


def kv_layout(model: Model) -> tuple[KvGroup, ...]:
    if model.kv_layout:
        return tuple(model.kv_layout)
    return (KvGroup("full", model.layers, model.kv_heads, model.head_dim, model.head_dim),)


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
