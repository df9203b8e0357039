# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What one rank holds of a model's weights: vLLM's "Model loading took", in bytes.

Every matrix as vLLM shares it out (``_model_formula``, ``_model_towers``) and keeps it after loading
(``_model_quant``), the buffers beside them (``_rank_buffers``), and the CUDA allocator's rounding
(``_rank_allocator``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._model_architectures import WEIGHTS_CHECKED
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import COPY, VOCAB, Part
from ansible_collections.gpuserve.inference.plugins.module_utils._model_quant import Scheme, held_sizes, total_bytes
from ansible_collections.gpuserve.inference.plugins.module_utils._model_towers import exact_towers, vision_of
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_allocator import allocated
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_buffers import kept_inputs, rotary_tables
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_parts import (
    model_fields,
    model_parts,
    scheme_for,
    whole_config,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_split import split_problem
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import NEWEST, Release
from ansible_collections.gpuserve.inference.plugins.module_utils._releases_models import WITHOUT_TENSOR_PARALLEL_PLAN
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

__all__ = [
    "embedding_bytes",
    "fp8_weight_bytes",
    "loaded",
    "model_fields",
    "rank_sizes",
    "split_problem",
    "weight_bytes_per_rank",
    "weight_margin",
]

# Bytes a parameter of a quantized linear layer, scales included (group size 128 for the 4-bit ones): for advice only.
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
# vLLM's own default for a batch on cards of 70 GiB and more; only models that keep inputs (Qwen3-VL) depend on it
BATCH = 8192
HOPPER = (9, 0)


def rank_sizes(
    listed: Iterable[Part], tp: int, element: int, scheme: Optional[Scheme], capability: tuple[int, int] = HOPPER
) -> list[tuple[str, int]]:
    """(name, bytes) of each allocation of a rank; matrices that vLLM merges are one."""
    merged: dict[str, int] = {}
    alike: dict[tuple[object, ...], list[tuple[str, int]]] = {}  # most layers repeat the one before
    for part in listed:
        layer, _dot, own = part.name.rpartition(".")
        key = layer + "." + part.fuse if part.fuse else part.name
        kind: tuple[object, ...] = (own, part.group, part.rows, part.cols, part.count, part.shard, part.pieces)
        kind += (part.element, part.fuse, bool(scheme and scheme.covers(part)), part.unloaded)
        kind += (part.unpacked and part.name,)
        sizes = alike.get(kind)
        if sizes is None:
            sizes = alike[kind] = held_sizes(part, tp, element, scheme, capability)
        for suffix, size in sizes:
            merged[key + suffix] = merged.get(key + suffix, 0) + size
    return list(merged.items())


@dataclass(frozen=True)
class Loaded:
    """A rank's model after loading, in bytes; ``allocated`` is what vLLM logs."""

    matrices: int
    tables: int  # rotary angles
    kept: int  # inputs that the model keeps for later layers
    allocated: int
    checkpoint: int  # the same matrices as the checkpoint holds them, all ranks together

    @property
    def tensors(self) -> int:
        return self.matrices + self.tables + self.kept


def loaded(
    model: Model,
    tp: int,
    max_num_batched_tokens: int = BATCH,
    capability: tuple[int, int] = HOPPER,
    release: Optional[Release] = None,
) -> Loaded:
    """Computed from the config alone."""
    f = model_fields(model)
    element, scheme = model.element_bytes, scheme_for(model)
    minor = release.minor if release else NEWEST
    listed = [p for p in model_parts(model) if not p.before or minor < p.before]
    whole = model.architecture in WITHOUT_TENSOR_PARALLEL_PLAN
    listed = [replace(p, shard=COPY) if minor < p.copied_before or (whole and p.shard != VOCAB) else p for p in listed]
    sizes = rank_sizes(listed, tp, element, scheme, capability)
    tables = rotary_tables(f, element, minor)
    kept = kept_inputs(f, vision_of(whole_config(model)), element, max_num_batched_tokens)
    # the first attention makes the tables, after its own matrices
    first = next((n for n, (name, _size) in enumerate(sizes) if name.endswith(".self_attn.o_proj")), 0) + 1
    flat = [size for _name, size in sizes]
    return Loaded(
        matrices=sum(flat),
        tables=sum(tables),
        kept=kept,
        allocated=allocated(
            flat[:first], tables, [*flat[first:], kept], widening=1 if f.model_type == "gpt_oss" else 4 // element
        ),
        checkpoint=sum(total_bytes(listed, element, scheme).values()),
    )


def weight_bytes_per_rank(
    model: Model,
    tp: int,
    max_num_batched_tokens: int = BATCH,
    capability: tuple[int, int] = HOPPER,
    release: Optional[Release] = None,
) -> int:
    """Bytes of a rank's card once the model is loaded; the card's compute capability decides on quantized kernels."""
    rank = loaded(model, tp, max_num_batched_tokens, capability, release)
    if (model.weight_bytes_source == "config" and model.known_architecture) or not rank.checkpoint:
        return rank.allocated
    # files were read: they know better how much there is, the formula how it is shared out
    read = model.weight_bytes
    if model.tie_word_embeddings:
        read -= int(model.weight_groups.get("lm_head") or 0)  # some files store the tied head a second time
    beside = rank.tables + rank.kept
    return int(beside + (rank.allocated - beside) * read / rank.checkpoint)


def weight_margin(model: Model) -> float:
    """The part by which a rank's weights may be off: what tests hold, or what stands unchecked."""
    files = model.weight_bytes_source != "config"
    if model.architecture not in WEIGHTS_CHECKED or not model.known_architecture:
        return 0.05 if files else 0.15
    rough = model.multimodal and exact_towers(whole_config(model), model_fields(model)) is None
    if rough and not files:
        return 0.1
    return 0.01


def embedding_bytes(model: Model) -> int:
    """The embedding and, if it is not tied, the output head: both are kept out of quantization as a rule."""
    return model.vocab_size * model.width * model.element_bytes * (1 if model.tie_word_embeddings else 2)


def fp8_weight_bytes(model: Model) -> int:
    """What the same weights take in FP8, embeddings and head left as they are."""
    kept = min(embedding_bytes(model), model.weight_bytes)
    return int(kept + (model.weight_bytes - kept) / model.element_bytes)
