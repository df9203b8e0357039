# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Over how many ranks vLLM can split a model."""

from __future__ import annotations

import math
from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_layout
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model


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
    problem = _mamba_problem(model, tp)
    if problem:
        return problem
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


def _mamba_problem(model: Model, tp: int) -> Optional[str]:
    """Heads and groups of recurrent layers (layers/mamba/mamba_mixer2.py, layers/mamba/gdn/)."""
    config = model.config
    for key in ("mamba_num_heads", "mamba_n_heads", "n_mamba_heads", "linear_num_key_heads", "linear_num_value_heads"):
        heads = config.get(key)
        if isinstance(heads, int) and heads > 0 and heads % tp:
            return f"{heads} heads of the recurrent layers ({key}) cannot be divided by {tp}"
    if any(config.get(k) for k in ("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")):
        for key in ("n_groups", "mamba_n_groups", "mamba_ngroups"):
            groups = config.get(key)
            if isinstance(groups, int) and groups > 1 and groups % tp:
                return f"{groups} groups of the recurrent layers ({key}) cannot be divided by {tp}, and more than one"
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
