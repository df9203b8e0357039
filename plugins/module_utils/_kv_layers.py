# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What one layer keeps on one rank: block sizes as the attention backend wants them, pages as hybrids need them.

Sources in vLLM: ``get_kv_cache_spec`` of ``model_executor/layers/attention/*.py`` and ``mamba/abstract.py``, and
``update_block_size_for_backend`` of ``platforms/interface.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Iterable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_groups import LayerSpec
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import DTYPE_BYTES, KvGroup, Model

PACKED_SPARSE_MLA = 656  # 512 values of 8 bits, their scales, and 64 of 16 bits
KERNEL_BLOCK = 16  # the smallest block of FlashAttention, FlashInfer and Triton


@dataclass(frozen=True)
class KvOptions:
    kv_cache_dtype: str = "auto"
    block_size: int = 0  # 0: the backend chooses
    compute_capability: str = ""
    device: str = "cuda"
    prefix_caching: Optional[bool] = None  # None: the release's default
    avx512_bf16: bool = True  # of the host's processors, which device "cpu" asks

    @property
    def major(self) -> int:
        """Compute capability, its whole part; Hopper's where it is not known."""
        head = self.compute_capability.split(".", 1)[0]
        return int(head) if head.isdigit() else 9


def cache_dtype(model: Model, kv_cache_dtype: str) -> str:
    """``auto`` follows the model, unless its quantization brings scales for a smaller cache."""
    if kv_cache_dtype != "auto":
        return kv_cache_dtype
    config = model.quantization_config
    inner = config.get("quantization")
    scheme: Any = None
    for name in ("kv_cache_scheme", "kv_cache_quant_algo"):
        for part in (inner, config):
            scheme = scheme or (part.get(name) if isinstance(part, dict) else None)
    if isinstance(scheme, dict):
        return "nvfp4" if scheme.get("num_bits") == 4 else "fp8" if scheme.get("num_bits", 8) == 8 else "auto"
    return {"fp8": "fp8", "nvfp4": "nvfp4"}.get(str(scheme).lower(), "auto")


def kv_element_bytes(model: Model, kv_cache_dtype: str) -> int:
    """Whole bytes of one element; four-bit formats count as one."""
    name = cache_dtype(model, kv_cache_dtype)
    return DTYPE_BYTES.get(name, model.element_bytes if name == "auto" else 1)


def _row_bytes(width: int, name: str, model: Model) -> int:
    """One head's key or value of a token, with the scales that lie beside it."""
    if name == "nvfp4":
        return width // 2 + width // 16
    if name.endswith("_per_token_head"):
        return (width // 2 if name.startswith("int4") else width) + 4
    return width * kv_element_bytes(model, name)


def kv_layout(model: Model) -> tuple[KvGroup, ...]:
    if model.kv_layout:
        return tuple(model.kv_layout)
    if "generate" not in model.tasks:
        return ()
    return (KvGroup("full", model.layers, model.kv_heads, model.head_dim, model.head_dim),)


def state_bytes(group: KvGroup, tp: int, float32: bool = False) -> int:
    """All recurrent states of a sequence in one layer, on one rank; ``float32`` whatever the model says."""
    if not group.conv_bytes and not group.recurrent_bytes:
        return math.ceil(group.state_bytes / tp)
    dim = group.conv_dim
    if group.conv_groups and group.conv_groups % tp:  # every rank needs the whole groups of its heads
        dim += (tp - group.conv_groups) * group.conv_group_dim
    conv = dim // tp * group.conv_width * group.conv_bytes
    return conv + group.recurrent // tp * (4 if float32 and group.recurrent else group.recurrent_bytes)


def token_bytes(group: KvGroup, model: Model, tp: int, options: KvOptions, release: Release) -> int:
    """Bytes of a token in one layer, on one rank."""
    name = cache_dtype(model, options.kv_cache_dtype)
    if group.kind == "mla":  # one latent vector, a copy on every rank
        wanted = "auto" if name == "auto" else "fp8"
        if group.index_layers and (options.major, wanted) in release.packed_sparse_mla:
            return PACKED_SPARSE_MLA
        return group.rank * kv_element_bytes(model, name)
    heads = max(1, group.kv_heads // tp)
    return heads * (_row_bytes(group.head_dim, name, model) + _row_bytes(group.v_head_dim, name, model))


def layer_specs(model: Model, tp: int, release: Release, options: KvOptions) -> tuple[int, tuple[LayerSpec, ...]]:
    """The engine's block size, and the layers that own a cache."""
    layout = [g for g in kv_layout(model) if g.layers > g.shared_layers]
    attention = [g for g in layout if g.kind != "mamba"]
    cpu = options.device == "cpu"
    float32 = cpu and options.avx512_bf16 and bool(attention)  # platforms/cpu.py, for its fast kernels
    states = {g: state_bytes(g, tp, float32) for g in layout if g.kind == "mamba"}
    kernel = release.cpu_kernel_block if cpu else KERNEL_BLOCK
    block = options.block_size or _backend_block(model, release, options, attention)
    padded = 0
    mode = _state_mode(model, release, options, bool(attention))
    if states and attention:
        # attention blocks grow until their page holds a state; states are padded to that page
        one_token = token_bytes(_reference(attention), model, tp, options, release)
        align = max(kernel, block)
        if any(g.kind == "mla" for g in attention):
            align = max(align, release.hybrid_mla_block)
        largest = max(states.values())
        if mode == "all":
            align = math.lcm(_chunk(model, states), align)
        if largest:
            block = max(block, align * math.ceil(largest / (align * one_token)))
            padded = block * one_token
    specs = []
    for group in layout:
        layers = group.layers - group.shared_layers
        if group.kind == "mamba":
            page = max(padded, states[group])
            kept = release.aligned_mamba2_states if group.conv_groups else 2
            specs.append(LayerSpec("mamba", layers, block, page, 0, {"none": 1, "align": kept}.get(mode, 0)))
            continue
        own = block
        if group.kind == "sliding" and (not release.windows_follow_block or block < kernel):
            own = kernel
        window = (
            group.window + (1 if model.architecture.startswith(release.wider_windows or ("\0",)) else 0)
            if group.window
            else 0
        )
        page = own * token_bytes(group, model, tp, options, release)
        specs.append(LayerSpec(group.kind, layers, own, page, window))
        if group.index_layers:
            specs.append(LayerSpec("mla", group.index_layers, own, own * group.index_bytes))
    return block, tuple(s for s in specs if s.page_bytes > 0)


# Models whose Mamba layers can keep a state for every block (interface SupportsMambaPrefixCaching of 0.26 and 0.27).
STATE_A_BLOCK = ("FalconH1", "GraniteMoeHybrid", "Jamba", "Mamba", "NemotronH", "Zamba2")


def _state_mode(model: Model, release: Release, options: KvOptions, hybrid: bool) -> str:
    """none: one state a request. align: the one in work and those at the ends of blocks. all: one a block."""
    hybrid = hybrid or not model.architecture.startswith(("Mamba", "FalconMamba"))
    default = release.hybrid_prefix_caching and hybrid
    if not (default if options.prefix_caching is None else options.prefix_caching):
        return "none"
    return "all" if release.state_mode_all and model.architecture.startswith(STATE_A_BLOCK) else "align"


def _chunk(model: Model, groups: Iterable[KvGroup]) -> int:
    """Tokens that a Mamba kernel takes at a time; Mamba 1 has no such notion, and counts as 2048."""
    for name in ("mamba_chunk_size", "chunk_size"):
        if isinstance(model.config.get(name), int):
            return max(int(model.config[name]), 1)
    return 256 if any(g.conv_groups for g in groups) else 2048


def _reference(attention: list[KvGroup]) -> KvGroup:
    """The layers by which vLLM aligns: those with the model's own KV heads and head size."""
    return next((g for g in attention if g.kind in ("full", "mla")), attention[0])


def _backend_block(model: Model, release: Release, options: KvOptions, attention: list[KvGroup]) -> int:
    """The block size that the attention backend of the card prefers."""
    latent = [g for g in attention if g.kind == "mla"]
    if options.device == "cpu":
        return release.cpu_mla_block if latent else release.cpu_block_size
    if any(g.index_layers for g in latent):
        return release.sparse_mla_block
    wanted = "auto" if cache_dtype(model, options.kv_cache_dtype) == "auto" else "fp8"
    for major, dtype, block in release.mla_blocks if latent else ():
        if (major, dtype) == (options.major, wanted):
            return block
    return release.block_size
