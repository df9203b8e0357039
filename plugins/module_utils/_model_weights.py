# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Weight bytes from the files: safetensors headers where they are there, the shard index where they are not.

A safetensors file begins with the length of its header (8 bytes, little endian) and the header itself (JSON); the
tensors' bytes follow. Only that beginning is read.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check import MOST_BYTES, is_whole, short
from ansible_collections.gpuserve.inference.plugins.module_utils._model_json import (
    explain,
    open_file,
    parse,
    read_json,
)

INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
# Not weights: what training left behind.
NOT_WEIGHTS = frozenset(
    {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scheduler.bin", "scaler.pt"}
)
MAX_HEADER = 100_000_000  # the format's own limit
MAX_RANK = 16  # dimensions of a tensor; real ones have up to five
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "BF16": 16, "F16": 16, "I16": 16,
    "U16": 16, "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
PACKED = ("qweight", "weight_packed", "weight_q", "_blocks")

# Tried in this order; the first match names the group.
GROUPS = (
    ("lm_head", r"^(language_model\.|model\.)*(lm_head|output|embed_out)\."),
    ("other", r"vision|visual|audio|image|projector"),
    (
        "embedding",
        r"(^|\.)(embed_\w+|wte|wpe|tok_embeddings|word_embeddings|\w+_embeddings|embeddings?)\.(?!LayerNorm)",
    ),
    ("norm", r"[nN]orm|(^|\.)ln_\w+\."),
    ("experts", r"\.experts(\.|$)"),
    ("mlp", r"mixer\.(up_proj|down_proj|gate|shared_expert)"),  # Nemotron-H calls every layer's one part a mixer
    ("attention", r"attn|attention|mixer|mamba|\.conv\."),
    ("mlp", r"mlp|feed_forward|ffn|block_sparse_moe|shared_expert|\.fc\d|\.(intermediate|output)\.dense"),
)

Tensors = dict[str, tuple[str, tuple[int, ...]]]  # name -> (dtype, shape)


@dataclass
class Weights:
    """What the files say. ``weight_bytes`` is what vLLM will hold, ``checkpoint_bytes`` what the files hold."""

    source: str  # safetensors | index | config | pickle
    weight_bytes: int = 0
    checkpoint_bytes: int = 0
    draft_bytes: int = 0
    parameters: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    dtype: Optional[str] = None  # of the floating-point tensors
    has_lm_head: bool = False
    warnings: list[str] = field(default_factory=list)


def read_header(path: Path) -> Tensors:
    """Names, dtypes and shapes of a safetensors file, with its length checked against them."""
    again = "download it again"
    try:
        with open_file(path) as handle:
            size = path.stat().st_size
            start = handle.read(8)
            if len(start) < 8:
                raise ModelError(f"{path}: not a safetensors file, only {size} bytes long; {again}")
            length = struct.unpack("<Q", start)[0]
            if start[:7] == b"version":
                raise ModelError(f"{path}: a Git LFS pointer, not the weights; run 'git lfs pull' in its repository")
            if length > min(MAX_HEADER, size - 8):
                raise ModelError(f"{path}: truncated or not safetensors (header of {length} bytes in {size}); {again}")
            text = handle.read(length)
    except OSError as exc:
        raise ModelError(f"{path}: cannot be read ({exc.strerror}); check its owner and mode") from exc
    try:
        header = parse(text.decode("utf-8"), strict_keys=True)
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"{path}: its safetensors header is damaged ({explain(exc)}); {again}") from exc
    tensors, end = parse_header(header, str(path))
    if 8 + length + end != size:
        what = "truncated" if size < 8 + length + end else "longer than its header says"
        raise ModelError(f"{path}: {what} ({size} bytes, {8 + length + end} expected); {again}")
    return tensors


def parse_header(header: Any, name: str) -> tuple[Tensors, int]:
    """The tensors of a parsed header, and where the last one ends.

    The rules are the format's own (safetensors/src/tensor.rs, Metadata::validate): the tensors' bytes follow each other
    without gap or overlap, and are as many as dtype and shape say.
    """
    if not isinstance(header, dict):
        raise _damaged(name, f"it must be an object, got {type(header).__name__}")
    if not isinstance(header.get("__metadata__", {}), dict):
        raise _damaged(name, f"__metadata__ must be an object, got {short(header['__metadata__'])}")
    tensors: Tensors = {}
    spans = []
    for key, info in header.items():
        if key != "__metadata__":
            dtype, shape, first, last = _tensor(info, f"tensor {short(key)}", name)
            tensors[key] = (dtype, shape)
            spans.append((first, last, key))
    end = 0
    for first, last, key in sorted(spans):
        if first != end:
            what = "overlap those of another tensor" if first < end else "leave a gap before them"
            raise _damaged(name, f"tensor {short(key)}: data_offsets [{first}, {last}] {what}")
        end = last
    return tensors, end


def _damaged(name: str, what: str) -> ModelError:
    return ModelError(f"{name}: its safetensors header is damaged ({what}); download it again")


def _tensor(info: Any, what: str, name: str) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, first and last byte of one entry of a header."""
    if not isinstance(info, dict):
        raise _damaged(name, f"{what} must be an object, got {short(info)}")
    dtype, shape, offsets = info.get("dtype"), _sizes(info.get("shape")), _sizes(info.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ModelError(
            f"{name}: {what} has dtype {short(dtype)}, which is none of safetensors' ({', '.join(sorted(BITS))}); "
            "download it again"
        )
    if shape is None or len(shape) > MAX_RANK:
        raise _damaged(
            name, f"{what}: shape must be a list of up to {MAX_RANK} sizes from 0, got {short(info.get('shape'))}"
        )
    if offsets is None or len(offsets) != 2 or offsets[1] < offsets[0]:
        raise _damaged(
            name, f"{what}: data_offsets must be two rising numbers from 0, got {short(info.get('data_offsets'))}"
        )
    need = -(-elements(shape) * BITS[dtype] // 8)
    if need != offsets[1] - offsets[0]:
        raise _damaged(
            name, f"{what}: data_offsets hold {offsets[1] - offsets[0]} bytes, dtype and shape need {short(need)}"
        )
    return dtype, tuple(shape), offsets[0], offsets[1]


def _sizes(value: Any) -> Optional[list[int]]:
    """The value, where it is a list of sizes."""
    if not isinstance(value, list):
        return None
    whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 63 for n in value)
    return value if whole else None


def check_names(shards: Mapping[str, Tensors]) -> None:
    """A tensor stands in one file only: which of two vLLM would keep depends on their order."""
    seen: dict[str, str] = {}
    for shard, tensors in shards.items():
        for tensor in tensors:
            if tensor in seen:
                raise ModelError(
                    f"{shard}: tensor {short(tensor)} is in {seen[tensor]} too; keep the files of one download, remove "
                    "the others"
                )
            seen[tensor] = shard


def elements(shape: Iterable[int]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def shard_names(directory: Path) -> tuple[list[str], list[str]]:
    """The safetensors files vLLM loads, and those the index names that are not there.

    With an index, only its files count (weight_utils.filter_duplicate_safetensors_files): Mistral's repositories hold
    the same weights once more as consolidated*.safetensors.
    """
    return choose_shards(
        [p.name for p in directory.glob("*.safetensors")], read_json(directory / INDEX), str(directory)
    )


def choose_shards(present: list[str], index: Any, where: str) -> tuple[list[str], list[str]]:
    """Of the files present, those to load by the index, and those it names that are missing."""
    present = sorted(present)
    if index is not None:
        wanted = _wanted(index, where)
        if wanted:
            there = set(present)
            return [n for n in wanted if n in there], [n for n in wanted if n not in there]
    model = [n for n in present if n.startswith("model")]
    return (model if model and any(n.startswith("consolidated") for n in present) else present), []


def _wanted(index: Any, where: str) -> list[str]:
    """The files an index names."""
    place = f"{where}: {INDEX}"
    if not isinstance(index, dict):
        raise ModelError(f"{place} must be a JSON object, got {type(index).__name__}; download it again")
    weight_map = index.get("weight_map")
    if weight_map is None:
        return []
    if not isinstance(weight_map, dict):
        raise ModelError(
            f"{place}: weight_map must be an object of tensor and file, got {short(weight_map)}; download it again"
        )
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or not shard:
            raise ModelError(
                f"{place}: weight_map names {short(shard)} for {short(tensor)}, a file's name is needed; "
                "download it again"
            )
    wanted = sorted(set(weight_map.values()))
    for shard in wanted:
        if "/" in shard or "\\" in shard or shard in (".", ".."):
            raise ModelError(
                f"{place} names files outside the model's directory ({short(shard)}); do not use this model"
            )
        if not shard.endswith(".safetensors"):
            raise ModelError(f"{place}: weight_map names {short(shard)}, not a *.safetensors file; download it again")
    return wanted


def pickles(directory: Path) -> list[Path]:
    found = [p for pattern in PICKLES for p in directory.glob(pattern) if p.is_file()]
    return sorted(p for p in found if p.name not in NOT_WEIGHTS)


def group_of(name: str) -> str:
    """Which part of a model a tensor belongs to: embedding, lm_head, attention, mlp, experts, norm, other."""
    for group, pattern in GROUPS:
        if re.search(pattern, name):
            return group
    return "other"


def is_draft(name: str, layers: int) -> bool:
    """Layers that only predict further tokens: vLLM loads them for speculation, not for serving."""
    if re.search(r"(^|\.)mtp(\.|_)", name):
        return True
    found = re.search(r"(^|\.)layers\.(\d+)\.", name)
    if not found or re.search(r"vision|visual|audio|encoder", name):
        return False
    return int(found.group(2)) >= layers > 0


def held_bytes(name: str, dtype: str, shape: tuple[int, ...], served: str) -> int:
    """Bytes a tensor takes in vLLM: plain floating-point weights are converted to the served dtype when loaded."""
    count = elements(shape)
    if dtype in FLOATS and name.endswith((".weight", ".bias")):
        return count * DTYPE_BYTES[served]
    return count * BITS.get(dtype, 16) // 8


def parameter_count(name: str, dtype: str, shape: tuple[int, ...], bits: int) -> int:
    """Weights before quantization; scales, zero points and other helpers are not parameters."""
    last = name.rsplit(".", 1)[-1]
    if last.endswith(PACKED):
        packed = elements(shape) * BITS.get(dtype, 8)
        return packed // bits if bits else elements(shape)
    helper = r"scale|zero|g_idx|_amax|absmax|quant_map|quant_state|SCB|weight_shape|input_global|nested"
    if re.search(helper, last) or ".quant_state." in name:
        return 0
    if dtype in ("U8", "I32") and last == "weight":  # bitsandbytes, NVFP4
        return elements(shape) * BITS[dtype] // (bits or 4)
    return elements(shape)


def from_headers(shards: Mapping[str, Tensors], served_dtype: str, layers: int, bits: int = 0) -> Weights:
    out = Weights("safetensors")
    for tensors in shards.values():
        for name, (dtype, shape) in tensors.items():
            out.checkpoint_bytes += elements(shape) * BITS.get(dtype, 16) // 8
            size = held_bytes(name, dtype, shape, served_dtype)
            if is_draft(name, layers):
                out.draft_bytes += size
                continue
            group = group_of(name)
            out.has_lm_head = out.has_lm_head or group == "lm_head"
            out.weight_bytes += size
            out.groups[group] = out.groups.get(group, 0) + size
            out.parameters += parameter_count(name, dtype, shape, bits)
    return out


def header_dtype(shards: Mapping[str, Tensors]) -> Optional[str]:
    """The dtype of the floating-point tensors; where they differ, the one that can hold them all."""
    found = {FLOATS[d] for tensors in shards.values() for d, _shape in tensors.values() if d in FLOATS}
    if not found:
        return None
    return found.pop() if len(found) == 1 else "float32"


def index_total(directory: Path) -> Optional[int]:
    index = read_json(directory / INDEX)
    metadata = index.get("metadata") if isinstance(index, dict) else None
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    if total is None:
        return None
    if not is_whole(total) or not 1 <= total <= MOST_BYTES:
        raise ModelError(
            f"{directory}: {INDEX}: metadata.total_size must be a number of bytes from 1 to {MOST_BYTES}, got "
            f"{short(total)}; download it again"
        )
    return int(total)
