# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Over how many ranks vLLM can split a model."""

from __future__ import annotations

import math
from typing import Iterable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_layout
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import COLUMN, HEADS, ROW, Part
from ansible_collections.gpuserve.inference.plugins.module_utils._model_quant import Scheme
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_parts import (
    model_parts,
    scheme_for,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._releases_models import NO_ACT_ORDER_SINCE
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model


def split_problem(model: Model, tp: int, release: Optional[Release] = None) -> Optional[str]:
    """Why the model cannot be split over ``tp`` ranks, or None; given a release, also why it is not served there."""
    dropped = release is not None and release.minor >= NO_ACT_ORDER_SINCE
    if dropped and _act_order(model):
        return f"GPTQ checkpoints with desc_act are not served since vLLM 0.{NO_ACT_ORDER_SINCE}"
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
    for what, size in sizes:
        if not size or (model.experts and what == "intermediate size" and model.moe_intermediate_size):
            continue
        if size % tp:
            return f"{what} {size} cannot be divided by {tp}"
    listed = model_parts(model)
    return _uneven(listed, tp) or _quantized_problem(
        listed, scheme_for(model), tp, model.quantization or "quantization"
    )


def _act_order(model: Model) -> bool:
    quant = model.quantization_config
    gptq = str(model.quantization).startswith("gptq")
    return gptq and quant.get("desc_act") is True and quant.get("group_size") != -1


def _uneven(listed: Iterable[Part], tp: int) -> Optional[str]:
    """Whatever vLLM divides must come out even (``divide`` of distributed/utils.py)."""
    for part in listed:
        size = part.cols if part.shard == ROW or part.rows == 1 else part.rows
        if part.shard in (ROW, COLUMN) and size % tp:
            return f"{size} {'inputs' if part.shard == ROW else 'outputs'} of {part.name} cannot be divided by {tp}"
        if part.shard == HEADS and part.pieces % tp and tp % part.pieces:
            return f"{part.pieces} heads of {part.name} can neither be divided by {tp} nor copied evenly"
    return None


def _quantized_problem(listed: Iterable[Part], scheme: Optional[Scheme], tp: int, method: str) -> Optional[str]:
    """Blocks of FP8 (quantization/utils/fp8_utils.py), groups of AWQ, GPTQ and their kin (kernels/linear)."""
    if scheme is None or not (scheme.block[0] or scheme.group > 0):
        return None
    for part in listed:
        if part.shard not in (ROW, COLUMN, HEADS) or not scheme.covers(part):
            continue
        rows, cols = part.on_rank(tp)
        kept, step = (cols, scheme.block[1]) if part.shard == ROW else (rows, scheme.block[0])
        if scheme.block[0]:
            if kept % step:
                return f"{kept} of {part.name} on each of {tp} ranks break the FP8 block size of {step}"
        elif part.shard == ROW and scheme.method != "mxfp4" and scheme.group < part.cols:
            # experts may fall back to a kernel that halves the group, down to 32 (quantization/moe_wna16.py)
            smallest = min(scheme.group, 32) if part.group == "experts" else scheme.group
            if cols % smallest:
                what = f"{cols} inputs of {part.name} on each of {tp} ranks"
                return f"{what} break the {method} group size of {scheme.group}"
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
