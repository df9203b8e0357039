# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The matrices of layers that keep a state instead of a KV cache: Mamba, gated delta nets, short convolutions.

Sharding follows ``model_executor/layers/mamba`` in vLLM: heads are shared out, groups copied where ranks outnumber
them.
"""

from __future__ import annotations

from typing import Iterator

from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_kv import mamba_shape
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import COLUMN, HEADS, ROW, Part, vector

KIND = "attention"  # the group of tensors these are counted with


def recurrent(f: Fields, base: str) -> Iterator[Part]:
    if isinstance(f.get("linear_attn_config"), dict):
        yield from _kda(f, base)
    elif f.num("linear_num_value_heads"):
        yield from _delta_net(f, base)
    elif f.num("conv_L_cache"):
        yield from _short_convolution(f, base)
    else:
        shape = mamba_shape(f)
        if shape is None:  # lightning attention
            width = f.heads * f.head_dim
            yield Part(f"{base}.qkv_proj", KIND, 3 * width, f.hidden, shard=COLUMN)
            yield Part(f"{base}.output_gate", KIND, width, f.hidden, shard=COLUMN)
            yield Part(f"{base}.out_proj", KIND, f.hidden, width, shard=ROW)
            yield vector(f"{base}.norm", KIND, width, COLUMN)
        elif shape[1]:
            yield from _mamba2(f, base, shape)
        else:
            yield from _mamba1(f, base, shape)


def _kda(f: Fields, base: str) -> Iterator[Part]:
    """Kimi's delta attention (models/kimi_linear.py, layers/kda.py)."""
    kda, h = f.get("linear_attn_config"), f.hidden
    heads, dim = int(kda.get("num_heads") or f.heads), int(kda.get("head_dim") or f.head_dim)
    inner, kernel = heads * dim, int(kda.get("short_conv_kernel_size") or 4)
    yield Part(f"{base}.qkv_proj", KIND, 3 * inner, h, shard=COLUMN)
    yield Part(f"{base}.f_a_proj", KIND, dim, h, 2)
    yield Part(f"{base}.f_b_proj", KIND, inner, dim, 2, shard=COLUMN)
    yield Part(f"{base}.b_proj", KIND, heads, h, shard=COLUMN)
    yield Part(f"{base}.conv1d", KIND, 3 * inner, kernel, linear=False, shard=COLUMN)
    yield Part(f"{base}.o_proj", KIND, h, inner, shard=ROW)
    yield vector(f"{base}.dt_bias", KIND, inner, COLUMN, element=4)
    yield vector(f"{base}.A_log", KIND, heads, COLUMN, element=4)
    yield vector(f"{base}.o_norm", KIND, dim)


def _delta_net(f: Fields, base: str) -> Iterator[Part]:
    """Qwen3-Next and Qwen3.5 (layers/mamba/gdn/)."""
    h, v_heads = f.hidden, f.num("linear_num_value_heads")
    keys = f.num("linear_num_key_heads") * f.num("linear_key_head_dim")
    values = v_heads * f.num("linear_value_head_dim")
    if f.model_type.startswith("qwen3_5"):  # four matrices in the files, two in vLLM
        for name, rows in (("in_proj_qkv", 2 * keys + values), ("in_proj_z", values)):
            yield Part(f"{base}.{name}", KIND, rows, h, shard=COLUMN, fuse="in_proj_qkvz")
        for name in ("in_proj_b", "in_proj_a"):
            yield Part(f"{base}.{name}", KIND, v_heads, h, shard=COLUMN, fuse="in_proj_ba")
    else:
        yield Part(f"{base}.in_proj_qkvz", KIND, 2 * keys + 2 * values, h, shard=COLUMN)
        yield Part(f"{base}.in_proj_ba", KIND, 2 * v_heads, h, shard=COLUMN)
    kernel = f.num("linear_conv_kernel_dim", default=4)
    yield Part(f"{base}.conv1d", KIND, 2 * keys + values, kernel, linear=False, shard=COLUMN)
    yield Part(f"{base}.out_proj", KIND, h, values, shard=ROW)
    yield vector(f"{base}.dt_bias", KIND, v_heads, COLUMN)
    yield vector(f"{base}.A_log", KIND, v_heads, COLUMN, element=4)
    yield vector(f"{base}.norm", KIND, f.num("linear_value_head_dim"))


def _short_convolution(f: Fields, base: str) -> Iterator[Part]:
    """LFM2 (layers/mamba/short_conv.py)."""
    h, inner = f.hidden, f.num("conv_dim", default=f.hidden)
    yield Part(f"{base}.in_proj", KIND, 3 * inner, h, shard=COLUMN)
    yield Part(f"{base}.conv", KIND, inner, f.num("conv_L_cache"), linear=False, shard=COLUMN)
    yield Part(f"{base}.out_proj", KIND, h, inner, shard=ROW)
    if f.flag("conv_bias"):
        yield vector(f"{base}.biases", KIND, 4 * inner, COLUMN)
        yield vector(f"{base}.out_proj.bias", KIND, h)


def _mamba2(f: Fields, base: str, shape: tuple[int, int, int, int, int, int]) -> Iterator[Part]:
    """layers/mamba/mamba_mixer2.py: A is kept in float32."""
    h = f.hidden
    inner, heads, _dim, groups, state, kernel = shape
    width = kernel + 1 if f.flag("use_conv_bias", f.flag("mamba_conv_bias", True)) else kernel
    for name, rows, pieces in (("in_proj_zx", 2 * inner, heads), ("in_proj_bc", 2 * groups * state, groups),
                               ("in_proj_dt", heads, heads)):  # fmt: skip
        yield Part(f"{base}.{name}", KIND, rows, h, shard=HEADS, pieces=pieces, fuse="in_proj")
    for name, rows, pieces in (("x", inner, heads), ("bc", 2 * groups * state, groups)):
        yield Part(f"{base}.conv1d_{name}", KIND, rows, width, linear=False, shard=HEADS, pieces=pieces, fuse="conv1d")
    yield Part(f"{base}.out_proj", KIND, h, inner, shard=ROW)
    if f.flag("mamba_proj_bias", f.flag("use_bias")):
        yield vector(f"{base}.in_proj.bias", KIND, 2 * inner + 2 * groups * state + heads, COLUMN)
        yield vector(f"{base}.out_proj.bias", KIND, h)
    yield vector(f"{base}.A", KIND, heads, COLUMN, element=4)
    yield vector(f"{base}.D_dt_bias", KIND, 2 * heads, COLUMN)
    if f.flag("mamba_rms_norm", f.model_type != "falcon_h1"):
        yield vector(f"{base}.norm", KIND, inner, COLUMN)
    if f.model_type == "falcon_h1":
        yield Part(f"{base}.mup_vector", KIND, 1, 2 * inner + 2 * groups * state + heads, linear=False, shard=COLUMN,
                   extra=True)  # fmt: skip


def _mamba1(f: Fields, base: str, shape: tuple[int, int, int, int, int, int]) -> Iterator[Part]:
    """layers/mamba/mamba_mixer.py: A is kept in float32."""
    h = f.hidden
    inner, _heads, _dim, _groups, state, kernel = shape
    rank = f.get("time_step_rank") or f.get("mamba_dt_rank")
    rank = rank if isinstance(rank, int) else -(-h // 16)
    width = kernel + 1 if f.flag("use_conv_bias", f.flag("mamba_conv_bias", True)) else kernel
    yield Part(f"{base}.in_proj", KIND, 2 * inner, h, shard=COLUMN)
    yield Part(f"{base}.conv1d", KIND, inner, width, linear=False, shard=COLUMN)
    yield Part(f"{base}.x_proj", KIND, rank + 2 * state, inner, shard=ROW)
    yield Part(f"{base}.dt_proj", KIND, inner, rank, shard=COLUMN)
    yield vector(f"{base}.dt_proj.bias", KIND, inner, COLUMN)
    yield Part(f"{base}.A_log", KIND, inner, state, linear=False, shard=COLUMN, element=4)
    yield vector(f"{base}.D", KIND, inner, COLUMN)
    yield Part(f"{base}.out_proj", KIND, h, inner, shard=ROW)
    if f.model_type == "jamba":
        yield vector(f"{base}.dt_b_c_norms", "norm", rank + 2 * state)
