# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""KV cache of a rank: blocks, the token count that vLLM logs, and the longest request it holds.

Sizes follow ``v1/kv_cache_interface.py`` and ``v1/core/kv_cache_utils.py``; tests/truth/kv holds what vLLM's own code
plans for many models, and the tests compare with it block by block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_groups import Group, group_layers
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_layers import (
    KvOptions,
    kv_element_bytes,
    kv_layout,
    layer_specs,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

__all__ = ["KvPlan", "kv_element_bytes", "kv_layout", "kv_plan"]


@dataclass(frozen=True)
class KvPlan:
    """Blocks of a rank's KV cache: ``groups`` share one pool, each takes its own blocks for a request."""

    block_size: int
    bytes_per_block: int
    groups: tuple[Group, ...]
    inflight: int  # tokens a window may additionally hold while batches are in flight
    spare_blocks: int = 1  # the null block, where vLLM sets it aside before it asks whether a request fits
    least_batch: int = 1  # tokens that must go into one batch

    def blocks_per_request(self, length: int) -> int:
        total = 0
        for group in self.groups:
            if group.blocks:
                total += group.blocks
            elif group.kind == "sliding":  # a window need not begin where a block does
                total += -(-min(group.window - 1 + self.inflight, length) // group.block_size) + 1
            elif group.kind == "chunked":
                total += -(-min(group.window + self.inflight, length) // group.block_size)
            else:
                total += -(-length // group.block_size)
        return max(total, 1)

    def bytes_for(self, requests: int, length: int) -> int:
        """KV cache bytes with which vLLM says that it holds so many requests."""
        return (requests * self.blocks_per_request(length) + self.spare_blocks) * self.bytes_per_block

    def blocks(self, kv_bytes: int) -> int:
        return max(kv_bytes, 0) // self.bytes_per_block if self.groups else 1

    def concurrency(self, kv_bytes: int, length: int) -> float:
        return self.blocks(kv_bytes) / self.blocks_per_request(length)

    def tokens(self, kv_bytes: int, length: int) -> int:
        """The figure vLLM logs as "GPU KV cache size": for hybrids it depends on max_model_len."""
        return int(self.concurrency(kv_bytes, length) * length)

    def longest(self, kv_bytes: int, limit: int) -> int:
        """The longest request, up to ``limit`` tokens, that the cache holds: vLLM's own ``--max-model-len auto``."""
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
    model: Model,
    tp: int,
    release: Release,
    kv_cache_dtype: str,
    max_num_batched_tokens: int,
    block_size: int = 0,
    *,
    compute_capability: str = "",
    device: str = "cuda",
    hybrid_manager: bool = True,
    prefix_caching: Optional[bool] = None,
    async_scheduling: Optional[bool] = None,
    avx512_bf16: bool = True,
) -> KvPlan:
    """``block_size`` 0 lets the attention backend choose; ``compute_capability`` "9.0" names the card it runs on.

    ``hybrid_manager``, ``prefix_caching`` and ``async_scheduling`` are flags of vLLM; None stands for its default.
    ``avx512_bf16``: what the processors have, for device "cpu": with it the engine keeps recurrent states in float32.
    """
    options = KvOptions(kv_cache_dtype, block_size, compute_capability, device, prefix_caching, avx512_bf16)
    block, specs = layer_specs(model, tp, release, options)
    groups, size = group_layers(specs, hybrid_manager)
    ahead = async_scheduling
    if ahead is None:  # pooling models and the CPU engine have one batch in flight
        ahead = release.async_scheduling and device == "cuda" and "generate" in model.tasks
    inflight = max_num_batched_tokens * (2 if ahead else 1)
    own = min((g.block_size for g in groups if not g.blocks), default=block)
    aligned = any(g.kind == "mamba" and g.blocks > 1 for g in groups)  # states are kept at the ends of blocks
    return KvPlan(
        own,
        max(size, 1),
        groups,
        inflight,
        release.null_block_reserved if groups else 0,
        own if aligned and release.aligned_block_in_batch else 1,
    )
