# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Refuses a quantization block that vLLM would refuse, or whose sizes cannot be told."""

from __future__ import annotations

import difflib
from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check import short, whole

# vLLM 0.26 to 0.32, model_executor/layers/quantization/__init__.py (QuantizationMethods), and the names by which
# checkpoints call them (auto-round: inc; nvfp4: modelopt_fp4)
METHODS = frozenset(
    "awq auto_awq awq_marlin auto_gptq gptq gptq_marlin fp8 fbgemm_fp8 ptpc_fp8 fp_quant modelopt modelopt_fp4 "
    "modelopt_mxfp8 modelopt_mixed humming compressed-tensors bitsandbytes experts_int8 quark moe_wna16 torchao inc "
    "auto-round auto_round mxfp4 gpt_oss_mxfp4 deepseek_v4_fp8 online fp8_per_tensor fp8_per_block fp8_per_channel "
    "int8_per_channel_weight_only nvfp4_per_token mxfp8 nvfp4 gguf".split()
)
# TYPE_MAP of auto_awq.py and auto_gptq.py
BITS = {
    **dict.fromkeys(("awq", "auto_awq", "awq_marlin"), (4,)),
    **dict.fromkeys(("gptq", "auto_gptq", "gptq_marlin"), (4, 8)),
}


def check_quantization(quant: Mapping[str, Any], where: str, allow_unknown: bool) -> list[str]:
    """Warnings about a quantization block; ModelError where it cannot be used. Its method is in vLLM's spelling."""
    if not quant:
        return []
    method = quant.get("quant_method")
    warnings = []
    if not isinstance(method, str) or method not in METHODS:
        problem = (
            f"{where} names no quant_method"
            if method == "unknown"
            else f"{where}.quant_method {short(method)} is not one that vLLM knows"
        )
        close = difflib.get_close_matches(str(method)[:60], sorted(METHODS), n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        if not allow_unknown:
            raise ModelError(
                f"{problem}; {hint}choose a model in FP8, AWQ, GPTQ, MXFP4, NVFP4 or compressed-tensors, or set "
                "allow_unknown (vllm_allow_unknown_architecture) to plan it as 8 bits a weight"
            )
        warnings.append(f"{problem}; sizes computed for it assume 8 bits a weight")
    _check_bits(quant, str(method), where)
    for name in ("group_size", "q_group_size"):
        if quant.get(name) is not None:
            _group(quant[name], f"{where}.{name}")
    if quant.get("weight_block_size") is not None:
        _block(quant["weight_block_size"], f"{where}.weight_block_size")
    _check_groups(quant, where)
    for name in ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "llm_int8_skip_modules"):
        entries = quant.get(name)
        if entries is not None and not (isinstance(entries, list) and all(isinstance(e, str) for e in entries)):
            raise ModelError(f"{where}.{name} must be a list of names, got {short(entries)}; correct it")
    return warnings


def _check_bits(quant: Mapping[str, Any], method: str, where: str) -> None:
    for name in ("bits", "w_bit", "weight_bits"):
        if quant.get(name) is None:
            continue
        bits = whole(quant[name], f"{where}.{name}", (1, 16))
        allowed = BITS.get(method)
        if allowed and bits not in allowed:
            words = " and ".join(str(n) for n in allowed)
            raise ModelError(f"{where}.{name} is {bits}, vLLM serves {words} for {method}; choose another quantization")
    if method in ("gptq", "auto_gptq", "gptq_marlin") and quant.get("sym") is False:
        raise ModelError(f"{where}.sym is false, vLLM serves symmetric {method} only; choose another quantization")


def _group(value: Any, where: str) -> None:
    if value == -1 and not isinstance(value, bool):  # a whole row
        return
    if isinstance(value, int) and not isinstance(value, bool) and value <= 0:
        raise ModelError(f"{where} is {short(value)}, allowed are -1 (a whole row) and 1 to {1 << 16}; correct it")
    whole(value, where, (1, 1 << 16))


def _block(value: Any, where: str) -> None:
    if not isinstance(value, list) or len(value) != 2:
        raise ModelError(f"{where} must be a list of two numbers such as [128, 128], got {short(value)}; correct it")
    for side in value:
        whole(side, where, (1, 1 << 16))


def _check_groups(quant: Mapping[str, Any], where: str) -> None:
    groups = quant.get("config_groups")
    if groups is None:
        return
    if not isinstance(groups, dict):
        raise ModelError(f"{where}.config_groups must be an object, got {short(groups)}; correct it")
    for name, group in groups.items():
        place = f"{where}.config_groups.{name[:40]}"
        if not isinstance(group, dict):
            continue  # format-only entries
        weights = group.get("weights")
        if weights is None:
            continue
        if not isinstance(weights, dict):
            raise ModelError(f"{place}.weights must be an object, got {short(weights)}; correct it")
        if weights.get("num_bits") is not None:
            whole(weights["num_bits"], f"{place}.weights.num_bits", (1, 16))
        if weights.get("group_size") is not None and weights["group_size"] != 0:
            _group(weights["group_size"], f"{place}.weights.group_size")
        if weights.get("strategy") == "block" and weights.get("block_structure") is not None:
            _block(weights["block_structure"], f"{place}.weights.block_structure")
