# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Refuses cards and models whose fields arithmetic cannot use, naming the field."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu, Model

MODEL_TYPES: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (dict, "a dictionary", ("config", "quantization_config", "weight_groups")),
    (str, "text", ("name", "path", "revision", "architecture", "dtype", "weight_bytes_source", "quantization")),
    (bool, "true or false", ("tie_word_embeddings", "multimodal", "known_architecture")),
    (list, "a list", ("kv_layout", "tasks", "warnings")),
)


def checked_model(raw: Mapping[str, Any]) -> Model:
    data = {k: v for k, v in raw.items() if v is not None}
    for kind, word, names in MODEL_TYPES:
        for name in names:
            value = data.get(name)
            if value is not None and not isinstance(value, (list, tuple) if kind is list else kind):
                raise InputError(f"model.{name} must be {word}, got {value!r:.60}")
    for group in data.get("kv_layout", ()):
        if not isinstance(group, Mapping):
            raise InputError(f"model.kv_layout: each group must be a dictionary, got {group!r:.60}")
    for name, size in data.get("weight_groups", {}).items():
        if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 <= size <= 1 << 50:
            raise InputError(f"model.weight_groups: {name} must be a number of bytes, got {size!r:.60}")
    try:
        model = Model.from_dict(data)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"model: {error}") from None
    _check_model(model)
    return model


def _check_model(model: Model) -> None:
    """Refuse what arithmetic cannot use, naming the field."""
    for name in ("weight_bytes", "layers", "heads", "kv_heads", "head_dim", "vocab_size"):
        value = getattr(model, name)
        if value < 1:
            raise InputError(f"model.{name} is {value}: it must be at least 1; the model's config.json is incomplete")
        if value > 1 << 50:
            raise InputError(f"model.{name} is {value}: that is no size of a model")
    for name in (
        "hidden_size",
        "intermediate_size",
        "experts",
        "experts_per_token",
        "moe_intermediate_size",
        "max_position_embeddings",
    ):
        value = getattr(model, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 30:
            raise InputError(f"model.{name} is {value!r}: it must be a whole number of 0 to {1 << 30}")
    for group in model.kv_layout:
        for name in ("layers", "kv_heads", "head_dim", "v_head_dim", "window", "rank", "state_bytes", "shared_layers"):
            value = getattr(group, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 40:
                raise InputError(
                    f"model.kv_layout: {name} of a {group.kind} group is {value!r}: it must be a whole number of "
                    "at least 0"
                )
        if group.kind not in ("full", "sliding", "chunked", "mla", "mamba"):
            raise InputError(
                f"model.kv_layout: kind {group.kind!r} is unknown: use full, sliding, chunked, mla or mamba"
            )


def checked_gpus(raw: Sequence[Any]) -> tuple[Gpu, ...]:
    try:
        gpus = tuple(Gpu.from_dict(g) for g in raw)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"gpus: a card cannot be read ({error}): give them as gpu_info returned them") from None
    for gpu in gpus:
        _check_gpu(gpu)
        if sum(1 for g in gpus if g.index == gpu.index) > 1:
            raise InputError(f"gpus: index {gpu.index} is there twice: give each card once")
    return gpus


def _whole(value: Any, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high


def _check_gpu(gpu: Gpu) -> None:
    if not _whole(gpu.index, 4095):
        raise InputError(f"gpus: index {gpu.index} is out of range: give 0 to 4095")
    what = f"gpus[{gpu.index}]"
    sizes = {name: getattr(gpu, name) for name in ("memory_total_bytes", "memory_reserved_bytes", "memory_free_bytes")}
    for mig in gpu.mig_devices:
        sizes.update(mig_total_bytes=mig.memory_total_bytes, mig_free_bytes=mig.memory_free_bytes)
    for name, size in sizes.items():
        if not _whole(size, 1 << 50):
            raise InputError(f"{what}.{name} is {size!r:.60}: it must be a number of bytes")
    if not isinstance(gpu.health, Mapping):
        raise InputError(f"{what}.health must be a dictionary with verdict and reasons, got {gpu.health!r:.60}")
    if gpu.numa_node is not None and not isinstance(gpu.numa_node, int):
        raise InputError(f"{what}.numa_node must be a whole number, got {gpu.numa_node!r:.60}")
    for process in gpu.processes:
        if not isinstance(process, Mapping):
            raise InputError(f"{what}.processes: each must be a dictionary, got {process!r:.60}")
        held = process.get("memory_bytes")
        if held is not None and not _whole(held, 1 << 50):
            raise InputError(f"{what}.processes: memory_bytes must be a number of bytes, got {held!r:.60}")
