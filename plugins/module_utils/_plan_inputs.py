# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Refuses cards and models whose fields arithmetic cannot use, naming the field."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check import check_shape, check_text
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check_quant import check_quantization
from ansible_collections.gpuserve.inference.plugins.module_utils._types import DTYPE_BYTES, Gpu, Model

KINDS = ("full", "sliding", "chunked", "mla", "mamba")
MOST_BYTES = 1 << 50
UUID = re.compile(r"[A-Za-z0-9._:/-]*")


def checked_model(raw: Mapping[str, Any]) -> Model:
    model = Model.from_dict(raw)
    _check_model(model)
    _check_groups(model)
    try:
        check_shape(model.config, "model.config")
        check_text(model.config, model.layers)
        check_shape(model.quantization_config, "model.quantization_config")
        check_quantization(model.quantization_config, "model.quantization_config", True, model.layers)
    except ModelError as error:
        raise InputError(str(error).replace("config.json: ", "model.config: ", 1)) from None
    return model


def _check_model(model: Model) -> None:
    """Refuse what arithmetic cannot use, naming the field."""
    attention = not model.kv_layout or any(g.kind != "mamba" for g in model.kv_layout)
    least = dict.fromkeys(("weight_bytes", "layers", "vocab_size"), 1)
    least.update(dict.fromkeys(("heads", "kv_heads", "head_dim"), int(attention)))
    for f in fields(model):
        if str(f.type) != "int":
            continue
        value, low = getattr(model, f.name), least.get(f.name, 0)
        if value < low:
            raise InputError(
                f"model.{f.name} is {value}: it must be at least {low}; the model's config.json is incomplete"
            )
        high = MOST_BYTES if f.name in BYTES else 1 << 30
        if value > high:
            raise InputError(f"model.{f.name} is {value}: that is no size of a model, {high} is the most")
    if model.dtype not in DTYPE_BYTES:
        raise InputError(f"model.dtype {model.dtype!r} is unknown: use {', '.join(DTYPE_BYTES)}")
    if model.experts_per_token > model.experts:
        raise InputError(
            f"model.experts_per_token is {model.experts_per_token}: it must be at most experts, {model.experts}"
        )
    for name, size in model.weight_groups.items():
        if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 <= size <= model.weight_bytes:
            raise InputError(
                f"model.weight_groups: {name} must be a number of bytes up to weight_bytes, got {size!r:.60}"
            )


BYTES = frozenset({"weight_bytes", "checkpoint_bytes", "draft_weight_bytes", "parameters"})


def _check_groups(model: Model) -> None:
    for group in model.kv_layout:
        if group.kind not in KINDS:
            raise InputError(f"model.kv_layout: kind {group.kind!r:.60} is unknown: use {', '.join(KINDS)}")
        least = {"mla": ("rank",), "mamba": ()}.get(group.kind, ("kv_heads", "head_dim"))
        if group.kind in ("sliding", "chunked"):
            least += ("window",)
        for f in fields(group):
            if str(f.type) != "int":
                continue
            value, low = getattr(group, f.name), int(f.name in least or f.name == "layers")
            high = model.layers if f.name == "layers" else group.layers if f.name == "shared_layers" else 1 << 40
            if not low <= value <= high:
                raise InputError(
                    f"model.kv_layout: {f.name} of a {group.kind} group is {value!r:.60}: it must be a whole number of "
                    f"{low} to {high}"
                )


def checked_gpus(raw: Sequence[Any]) -> tuple[Gpu, ...]:
    gpus = tuple(Gpu.from_dict(g) for g in raw)
    seen: set[Any] = set()
    for gpu in gpus:
        _check_gpu(gpu)
        if gpu.index in seen:
            raise InputError(f"gpus: index {gpu.index} is there twice: give each card once")
        seen.add(gpu.index)
        for uuid in (gpu.uuid, *(m.uuid for m in gpu.mig_devices)):
            if uuid and uuid in seen:
                raise InputError(f"gpus: uuid {uuid!r:.60} is there twice: give each card once")
            seen.add(uuid)
    return gpus


def _whole(value: Any, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high


def _check_gpu(gpu: Gpu) -> None:
    if not _whole(gpu.index, 4095):
        raise InputError(f"gpus: index {gpu.index} is out of range: give 0 to 4095")
    what = f"gpus[{gpu.index}]"
    _check_size(gpu.memory_total_bytes, f"{what}.memory_total_bytes", MOST_BYTES)
    _check_size(gpu.memory_reserved_bytes, f"{what}.memory_reserved_bytes", gpu.memory_total_bytes)
    _check_size(gpu.memory_free_bytes, f"{what}.memory_free_bytes", gpu.memory_total_bytes)
    for mig in gpu.mig_devices:
        _check_size(mig.memory_total_bytes, f"{what}.mig_devices: memory_total_bytes", MOST_BYTES)
        _check_size(mig.memory_free_bytes, f"{what}.mig_devices: memory_free_bytes", mig.memory_total_bytes)
        if not mig.uuid:
            raise InputError(f"{what}.mig_devices: a slice has no uuid: give them as gpu_info returned them")
    for uuid in (gpu.uuid, *(m.uuid for m in gpu.mig_devices)):
        if not UUID.fullmatch(uuid):
            raise InputError(f"{what}.uuid {uuid!r:.60} is no UUID: give it as gpu_info returned it")
    if gpu.health.get("verdict", "ok") not in ("ok", "warn", "fail"):
        raise InputError(f"{what}.health: verdict {gpu.health['verdict']!r:.60} is unknown: use ok, warn or fail")
    reasons = gpu.health.get("reasons") or ()
    if not isinstance(reasons, (list, tuple)):
        raise InputError(f"{what}.health: reasons must be a list, got {reasons!r:.60}")
    if gpu.numa_node is not None and not -1 <= gpu.numa_node <= 1 << 16:
        raise InputError(f"{what}.numa_node {gpu.numa_node} is out of range: give -1 (unknown) to {1 << 16}")
    for process in gpu.processes:
        if not isinstance(process, Mapping):
            raise InputError(f"{what}.processes: each must be a dictionary, got {process!r:.60}")
        held = process.get("memory_bytes")
        if held is not None:
            _check_size(held, f"{what}.processes: memory_bytes", MOST_BYTES)


def _check_size(value: Any, what: str, high: int) -> None:
    if not _whole(value, high):
        raise InputError(f"{what} is {value!r:.60}: it must be a number of bytes from 0 to {high}")
