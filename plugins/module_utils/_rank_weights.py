# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What one rank holds of a model's weights, and over how many ranks they can be split.

Sharding follows vLLM's linear layers.
"""

from __future__ import annotations

import math
from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_layout
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

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
    return float(model.element_bytes)


def _config_int(model: Model, key: str) -> int:
    value = model.config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def embedding_bytes(model: Model) -> int:
    """The embedding and, if it is not tied, the output head: both are kept out of quantization as a rule."""
    return model.vocab_size * model.width * model.element_bytes * (1 if model.tie_word_embeddings else 2)


def weight_bytes_per_rank(model: Model, tp: int) -> int:
    """Checkpoint bytes as one rank holds them, with copies, padding and the rotary table."""
    hidden, elem = model.width, model.element_bytes
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


def fp8_weight_bytes(model: Model) -> int:
    """What the same weights take in FP8, embeddings and head left as they are."""
    kept = min(embedding_bytes(model), model.weight_bytes)
    return int(kept + (model.weight_bytes - kept) / model.element_bytes)
