# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What a quantized matrix costs: bits a weight plus scales and zero points, and which matrices are left alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Iterable, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import ROW, Part

# vLLM fuses these; an ignore list may name either form.
FUSED = {
    "q_proj": "qkv_proj",
    "k_proj": "qkv_proj",
    "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
}


@dataclass(frozen=True)
class Scheme:
    """How a method stores a weight: ``bits`` each, ``group_bytes`` for every ``group`` of them along the input."""

    method: str
    bits: float
    group: int = 0  # 0: none, -1: a whole row
    group_bytes: float = 0.0
    block: tuple[int, int] = (0, 0)  # FP8 blocks, one 4-byte scale each
    row_bytes: float = 0.0  # for every output channel
    column_bytes: float = 0.0  # for every input channel
    only: str = ""  # the one group of tensors it applies to
    ignored: tuple[str, ...] = ()
    zeros: float = 0.0  # bytes of ``group_bytes`` that are a zero point
    act_order: bool = False  # GPTQ with desc_act: groups follow an index over the inputs

    def covers(self, part: Part) -> bool:
        if not part.linear or (self.only and part.group != self.only):
            return False
        if part.group == "lm_head":
            return False
        return not any(_matches(pattern, part.name) for pattern in self.ignored)

    def bytes_of(self, part: Part) -> int:
        """In the checkpoint."""
        return (int(part.rows * part.cols * self.bits / 8) + self._helpers(part.rows, part.cols)) * part.count

    def _helpers(self, rows: int, cols: int) -> int:
        """Scales, zero points and indexes of one matrix."""
        total = rows * self.row_bytes + cols * self.column_bytes
        if self.block[0]:
            total += -(-rows // self.block[0]) * -(-cols // self.block[1]) * 4
        if self.group:
            total += rows * (1 if self.group < 0 else -(-cols // self.group)) * self.group_bytes
        return int(total)

    def held(self, part: Part, tp: int, capability: tuple[int, int]) -> list[tuple[str, int]]:
        """On a rank, after vLLM has brought it into the form its kernels read."""
        rows, cols = part.on_rank(tp)
        if self.method == "mxfp4":
            return self._held_mxfp4(part, rows, cols, capability)
        helpers = replace(self, column_bytes=0.0)
        if part.group == "experts" and self.method.startswith("gptq"):  # symmetric ones drop their zero points
            helpers = replace(helpers, group_bytes=2.0)
        if part.group == "experts" and self.group > 32:  # the kernel for odd widths halves the group (moe_wna16.py)
            while helpers.group > 32 and (rows % helpers.group or cols % helpers.group):
                helpers = replace(helpers, group=helpers.group // 2)
        if self.act_order:
            # an index and its order for each input; row-parallel layers keep the scales of all groups (auto_gptq.py)
            first = not part.fuse or part.name.endswith((".q_proj", ".gate_proj"))
            beside = replace(helpers, group_bytes=2.0)._helpers(rows, part.cols)
            beside += replace(helpers, group_bytes=self.group_bytes - 2.0)._helpers(rows, cols)
            beside += 8 * cols if first and part.group != "experts" else 0
        elif self.zeros and capability[0] == 9 and part.group != "experts":
            # Machete, Hopper's kernel, widens zero points (kernels/linear/mixed_precision/machete.py)
            beside = replace(helpers, group_bytes=self.group_bytes - self.zeros + 2)._helpers(rows, cols)
        else:
            beside = helpers._helpers(rows, cols)
        return [("", int(rows * cols * self.bits / 8) * part.count), (".scales", beside * part.count)]

    def _held_mxfp4(self, part: Part, rows: int, cols: int, capability: tuple[int, int]) -> list[tuple[str, int]]:
        """Padded to the kernel's tiles (fused_moe/oracle/mxfp4.py).

        Triton on Hopper, TensorRT-LLM's on sm100, elsewhere Marlin.
        """
        inner_step, hidden_step = {9: (64, 1), 10: (256, 256)}.get(capability[0], (128, 256))
        down = part.shard == ROW
        inner, hidden = (cols, rows) if down else (rows, cols)
        inner, hidden = -(-inner // inner_step) * inner_step, -(-hidden // hidden_step) * hidden_step
        rows, cols = (hidden, inner) if down else (inner, hidden)
        scale_cols = -(-cols // self.group)
        if capability[0] == 9:  # mxfp4_utils.py pads the scales' columns to 4, Triton's Hopper layout their rows to 256
            scale_cols = -(-scale_cols // 4) * 4
            return [("", rows * cols // 2 * part.count), (".scales", -(-rows // 256) * 256 * scale_cols * part.count)]
        return [("", rows * cols // 2 * part.count), (".scales", rows * scale_cols * part.count)]


def _matches(pattern: str, name: str) -> bool:
    """Whether an entry of an ignore list means the matrix: a name, the end or start of one, a wildcard or re:."""
    last = name.rsplit(".", 1)[-1]
    names = [name]
    if last in FUSED and not pattern.startswith("re:") and "*" not in pattern:
        names.append(name[: -len(last)] + FUSED[last])
    if ".experts." in name:  # lists name single experts
        names.append(name.replace(".experts.", ".experts.0."))
        names.append(name.rsplit(".experts.", 1)[0] + ".experts")
    for candidate in names:
        if pattern.startswith("re:"):
            try:
                if re.match(pattern[3:], candidate):
                    return True
            except re.error:
                continue
        elif "*" in pattern:
            if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), candidate):
                return True
        elif (
            candidate == pattern
            or candidate.endswith("." + pattern)
            or candidate.startswith(pattern + ".")
            or f".{pattern}." in candidate
        ):
            return True
    return False


def _list(config: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    out: list[str] = []
    for key in keys:
        value = config.get(key)
        if isinstance(value, (list, tuple)):
            out += [str(v) for v in value]
    return tuple(out)


def scheme_of(config: Mapping[str, Any]) -> Scheme:
    """The storage scheme of a quantization config; unknown methods count as 8 bits and say so in ``method``."""
    method = str(config.get("quant_method") or "")
    ignored = _list(
        config, "modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules"
    )
    inner = config.get("quantization")
    if isinstance(inner, dict):
        ignored += _list(inner, "exclude_modules")
    group = _number(config, "group_size", "q_group_size", default=128)
    bits = _number(config, "bits", "w_bit", "weight_bits", default=4)
    if method in ("fp8", "fbgemm_fp8", "modelopt", "ptpc_fp8"):
        block = config.get("weight_block_size")
        if isinstance(block, (list, tuple)) and len(block) == 2:
            return Scheme(method, 8, block=(int(block[0]), int(block[1])), ignored=ignored)
        return Scheme(method, 8, row_bytes=4 if method == "fbgemm_fp8" else 0, ignored=ignored)
    if method in ("awq", "awq_marlin"):
        return Scheme(method, bits, group, 2 + bits / 8, ignored=ignored, zeros=bits / 8)
    if method in ("gptq", "gptq_marlin"):
        ordered = bool(config.get("desc_act")) and group > 0
        return Scheme(method, bits, group, 2 + bits / 8, column_bytes=4, ignored=ignored, act_order=ordered)
    if method == "mxfp4":
        return Scheme(method, 4, 32, 1, only="experts", ignored=ignored)
    if method in ("nvfp4", "modelopt_fp4"):
        return Scheme(method, 4, 16, 1, ignored=ignored)
    if method == "bitsandbytes":
        if config.get("load_in_8bit") or config.get("_load_in_8bit"):
            return Scheme(method, 8, row_bytes=4, ignored=ignored)
        return Scheme(method, 4, 64, 1, ignored=ignored)
    if method == "compressed-tensors":
        return _compressed(config, ignored)
    return Scheme(f"unknown:{method}", 8, ignored=ignored)


def _compressed(config: Mapping[str, Any], ignored: tuple[str, ...]) -> Scheme:
    groups = config.get("config_groups")
    first = next((g for g in groups.values() if isinstance(g, dict)), {}) if isinstance(groups, dict) else {}
    stated = first.get("weights")
    weights: dict[str, Any] = stated if isinstance(stated, dict) else {}
    bits = _number(weights, "num_bits", default=8)
    if config.get("format") == "dense":
        bits = 16
    strategy = str(weights.get("strategy") or "")
    size = _number(weights, "group_size", default=0)
    if strategy in ("group", "tensor_group") or size > 0:
        is_float = weights.get("type") == "float"
        zero = 0 if weights.get("symmetric", True) else bits / 8
        return Scheme("compressed-tensors", bits, size or 128, (1 if is_float else 2) + zero, ignored=ignored)
    if strategy == "block":
        block = weights.get("block_structure") or [128, 128]
        return Scheme("compressed-tensors", bits, block=(int(block[0]), int(block[1])), ignored=ignored)
    return Scheme("compressed-tensors", bits, row_bytes=2 if strategy == "channel" else 0, ignored=ignored)


def _number(config: Mapping[str, Any], *names: str, default: int) -> int:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ModelError(f"config.json: quantization_config.{name} must be a whole number, got {value!r}")
        return int(value)
    return default


def _original(part: Part) -> Part:
    return replace(part, name=part.unpacked, linear=True)


def held_sizes(
    part: Part, tp: int, element: int, scheme: Optional[Scheme], capability: tuple[int, int]
) -> list[tuple[str, int]]:
    """What a rank allocates for a matrix: the end of its name and its bytes."""
    if part.unloaded or (part.unpacked and not (scheme and scheme.covers(_original(part)))):
        return []
    if scheme and scheme.covers(part):
        return scheme.held(part, tp, capability)
    rows, cols = part.on_rank(tp)
    return [("", rows * cols * part.count * (part.element or element))]


def total_bytes(items: Iterable[Part], element: int, scheme: Optional[Scheme]) -> dict[str, int]:
    """Bytes in the checkpoint by group of tensors."""
    out: dict[str, int] = {}
    for part in items:
        if part.extra:
            continue
        size = scheme.bytes_of(part) if scheme and scheme.covers(part) else part.size * element
        out[part.group] = out.get(part.group, 0) + size
    return out
