# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Refuses a quantization block that vLLM would refuse, or whose sizes cannot be told."""

from __future__ import annotations

import difflib
import importlib
import re
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
LONGEST_PATTERN = 500
MOST_WILDCARDS = 6
MOST_LOOKUPS = 500_000  # entries x layers; real lists name each layer a few times
REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_PARSER: Any = getattr(re, "_parser", None) or importlib.import_module("sre_parse")  # its name until Python 3.11
# TYPE_MAP of auto_awq.py and auto_gptq.py
BITS = {
    **dict.fromkeys(("awq", "auto_awq", "awq_marlin"), (4,)),
    **dict.fromkeys(("gptq", "auto_gptq", "gptq_marlin"), (4, 8)),
}


def check_quantization(quant: Mapping[str, Any], where: str, allow_unknown: bool, layers: int = 1) -> list[str]:
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
        if entries and len(entries) * layers > MOST_LOOKUPS:
            raise ModelError(
                f"{where}.{name} has {len(entries)} entries, more than any model's; download the file again"
            )
        for entry in entries or ():
            _check_pattern(entry, f"{where}.{name}: {short(entry)}")
    return warnings


def _check_pattern(entry: str, what: str) -> None:
    """An entry may be a regular expression or hold wildcards: none that would keep the matcher busy for ever."""
    if len(entry) > LONGEST_PATTERN or (entry.count("*") > MOST_WILDCARDS and not entry.startswith("re:")):
        raise ModelError(f"{what} is no name of a layer; correct it")
    if entry.startswith("re:"):
        try:
            repeats, height = _repeats(_PARSER.parse(entry[3:]))
        except (re.error, RecursionError, OverflowError) as exc:
            raise ModelError(f"{what} is no regular expression ({exc}); correct it") from None
        if repeats > MOST_WILDCARDS or height > 1:
            raise ModelError(f"{what} repeats what repeats, or too often: matching it could take for ever; correct it")


def _repeats(parsed: Any) -> tuple[int, int]:
    """How many repetitions without a small bound an expression has, and how deep they stand in each other."""
    count, height = 0, 0
    for item in parsed if isinstance(parsed, (list, tuple)) else list(parsed):
        if isinstance(item, (int, str)) or item is None:
            continue
        name = str(item[0]) if isinstance(item, tuple) and item else ""
        if name in REPEATS and isinstance(item[1], tuple):
            inner, deep = _repeats(item[1][2])
            loop = int(item[1][1]) > 10
            count, height = count + inner + loop, max(height, deep + loop)
        elif isinstance(item, (list, tuple)) or hasattr(item, "getwidth"):
            inner, deep = _repeats(item)
            count, height = count + inner, max(height, deep)
    return count, height


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
