# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Refuses a config.json whose fields contradict each other: heads, experts, ranks, recurrent layers."""

from __future__ import annotations

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_kv import layer_kinds, mamba_shape

ATTENTION_FREE = ("mamba", "mamba2", "falcon_mamba")
AGAIN = "the file is incomplete, download it again"
HEADS = ("num_attention_heads", "n_head", "n_heads")
HEAD_DIMS = ("head_dim", "attention_head_dim", "hidden_size_per_head")
KV_HEADS = (
    "n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups",
)  # fmt: skip
EXPERTS = ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")
TOP = (
    "num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k", "top_k", "moe_k",
)  # fmt: skip


def check_fields(f: Fields) -> list[str]:
    """Warnings about a model's dimensions; ModelError where they are missing or contradict each other."""
    _check_needed(f)
    if f.model_type not in ATTENTION_FREE:
        _check_heads(f)
    _check_recurrent(f)
    return _check_experts(f)


def _name(f: Fields, names: tuple[str, ...]) -> str:
    """The field that counts: the first that is there."""
    return next((n for n in names if f.text.get(n) is not None), next((n for n in names if f.has(n)), names[0]))


def _check_needed(f: Fields) -> None:
    needed = {"num_hidden_layers": f.layers, "hidden_size": f.hidden, "vocab_size": f.num("vocab_size", "n_vocab")}
    if f.model_type not in ATTENTION_FREE:
        needed["num_attention_heads"] = f.heads
    for key, value in needed.items():
        if value <= 0:
            raise ModelError(f"config.json: {key} is missing or not a positive number; {AGAIN}")
    for key in ("intermediate_size", "n_inner", "ffn_dim"):
        if f.text.get(key) == 0 and not f.experts and f.model_type not in ATTENTION_FREE:
            raise ModelError(f"config.json: {key} is 0, allowed are 1 to {1 << 24}; {AGAIN}")


def _check_heads(f: Fields) -> None:
    heads, name = f.heads, _name(f, HEADS)
    if f.num("kv_lora_rank") or f.defaults.get("kv_lora_rank"):
        _check_mla(f)
        return
    for key in HEAD_DIMS:
        if f.text.get(key) == 0:
            raise ModelError(f"config.json: {key} is 0, allowed are 1 to {1 << 16} or null; {AGAIN}")
    if not f.has("head_dim") and not f.num(*HEAD_DIMS) and f.hidden % heads:
        raise ModelError(
            f"config.json: hidden_size {f.hidden} cannot be divided by {name} {heads} and there is no head_dim; "
            "correct one of them"
        )
    kv, kv_name = f.kv_heads, _name(f, KV_HEADS)
    if isinstance(f.get(kv_name), list) or isinstance(f.get(name), list):
        return
    if not 1 <= kv <= heads or heads % kv:  # vLLM: Attention asserts that the one divides the other
        raise ModelError(
            f"config.json: {kv_name} {kv} does not divide {name} {heads}; allowed are its divisors, correct one of them"
        )


def _check_mla(f: Fields) -> None:
    for name in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"):
        if f.num(name) < 1 and not (name == "qk_rope_head_dim" and f.get(name) == 0):  # 0: positions are not rotated
            raise ModelError(
                f"config.json: {name} is missing or 0, and multi-head latent attention (kv_lora_rank, "
                f"qk_rope_head_dim, qk_nope_head_dim, v_head_dim) needs all four; {AGAIN}"
            )


def _check_recurrent(f: Fields) -> None:
    if "mamba" not in {word for kind in layer_kinds(f) for word in kind.split("+")}:
        return
    if f.has("linear_attn_config") or f.num("conv_L_cache"):
        return
    if f.num("linear_num_value_heads"):
        for name in ("linear_num_key_heads", "linear_key_head_dim", "linear_value_head_dim"):
            if f.num(name) < 1:
                raise ModelError(
                    f"config.json: {name} is missing or 0, and its linear-attention layers need it; {AGAIN}"
                )
        return
    if mamba_shape(f) is None and not _is_lightning(f):
        raise ModelError(
            "config.json: some layers are recurrent, but the size of their state is missing (ssm_state_size, "
            f"mamba_d_state, state_size or linear_num_value_heads); {AGAIN}"
        )


def _is_lightning(f: Fields) -> bool:
    """Lightning attention (MiniMax, Bailing) keeps a state of head size by head size: no field of its own."""
    return f.has("attn_type_list") or f.has("layer_group_size") or "minimax" in f.model_type


def _check_experts(f: Fields) -> list[str]:
    experts, top, name = f.experts, f.experts_per_token, _name(f, TOP)
    if not experts:
        return []
    if top > experts:
        raise ModelError(
            f"config.json: {name} {top} is more than {_name(f, EXPERTS)} {experts}; correct one of the two"
        )
    if top < 1 and f.has(name):
        raise ModelError(f"config.json: {name} is {top}, allowed are 1 to {experts}; {AGAIN}")
    if top < 1:
        return [f"config.json does not say how many of the {experts} experts a token uses: counted as 1"]
    return []
