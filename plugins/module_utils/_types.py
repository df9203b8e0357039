# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The dataclasses that travel along probe -> model -> plan -> apply -> verify, and their plain-dict forms.

Every ``from_dict`` ignores keys it does not know (a newer stage may add some) and raises InputError, naming the key,
where one it needs is missing or has the wrong type. Sizes are bytes, lengths are tokens, times are milliseconds.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float": 4, "float32": 4}
LARGEST = 1 << 63


def _need(data: Mapping[str, Any], key: str, what: str) -> Any:
    _mapping(data, what)
    if data.get(key) is None:
        raise InputError(f"{what}: key {key!r} is missing")
    return data[key]


def _mapping(data: Any, what: str) -> None:
    if not isinstance(data, Mapping):
        raise InputError(f"{what}: a dictionary is needed, got {_short(data)}")


def _short(value: Any) -> str:
    """A value for a message; of what may be long, only its type."""
    return repr(value)[:60] if isinstance(value, (str, int, float, type(None))) else type(value).__name__


def _whole(value: Any, what: str) -> int:
    """A whole number, also one that a template made text."""
    number: Any = None
    if isinstance(value, str) and len(value) < 40 and value.strip().lstrip("-").isascii():
        number = int(value) if value.strip().lstrip("-").isdigit() and value.count("-") < 2 else None
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST:
        number = int(value) if value == int(value) else None
    if number is None or abs(number) > LARGEST:
        raise InputError(f"{what} must be a whole number, got {_short(value)}")
    return int(number)


def _convert(value: Any, kind: str, what: str) -> Any:
    """The value as a field's annotation wants it."""
    if kind in ("int", "Optional[int]"):
        return _whole(value, what)
    if kind in ("str", "Optional[str]"):
        if isinstance(value, (int, float)) and not isinstance(value, bool):  # YAML reads 9.0 as a number
            return str(value)
        if not isinstance(value, str):
            raise InputError(f"{what} must be text, got {_short(value)}")
    elif kind == "bool":
        if not isinstance(value, bool):
            raise InputError(f"{what} must be true or false, got {_short(value)}")
    elif kind.startswith("dict"):
        if not isinstance(value, Mapping):
            raise InputError(f"{what} must be a dictionary, got {_short(value)}")
        return dict(value)
    elif kind.startswith("tuple"):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{what} must be a list, got {_short(value)}")
        return tuple(value)
    return value


def _fields(cls: Any, data: Any, what: str) -> dict[str, Any]:
    """What ``data`` says of the fields of ``cls``, each of its type; null counts as not said."""
    _mapping(data, what)
    out = {}
    for f in fields(cls):
        if data.get(f.name) is not None:
            out[f.name] = _convert(data[f.name], str(f.type), f"{what}.{f.name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"{what}: key {f.name!r} is missing")
    return out


# ---------------------------------------------------------------- probe


@dataclass(frozen=True)
class MigDevice:
    """One MIG slice of a card. It can serve one replica of tensor parallel size 1; NCCL cannot join slices."""

    uuid: str
    name: str
    memory_total_bytes: int
    memory_free_bytes: int


@dataclass(frozen=True)
class Gpu:
    """One card as NVML reports it. ``memory_total_bytes - memory_reserved_bytes`` is what CUDA calls its total."""

    index: int
    uuid: str
    name: str
    memory_total_bytes: int
    memory_reserved_bytes: int
    memory_free_bytes: int
    compute_capability: str = ""  # "9.0"
    pci_bus_id: str = ""
    pcie_gen: dict[str, Any] = field(default_factory=dict)  # {"current": 5, "max": 5}; empty where NVML does not say
    pcie_width: dict[str, Any] = field(default_factory=dict)  # {"current": 16, "max": 16}
    numa_node: Optional[int] = None
    mig_mode: str = "unsupported"  # enabled | disabled | unsupported
    mig_devices: tuple[Any, ...] = ()  # of MigDevice
    ecc: dict[str, Any] = field(default_factory=dict)
    processes: tuple[Any, ...] = ()  # of {"pid", "name", "memory_bytes"}
    health: dict[str, Any] = field(default_factory=lambda: {"verdict": "ok", "reasons": []})  # ok | warn | fail
    nvlink: dict[str, Any] = field(default_factory=dict)  # {"active": 18, "inactive": 0, "version": 4}

    @property
    def cuda_total_bytes(self) -> int:
        return self.memory_total_bytes - self.memory_reserved_bytes

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Gpu:
        what = f"gpus[{_short(data.get('index', '?'))}]" if isinstance(data, Mapping) else "gpus"
        _mapping(data, what)
        mode = data.get("mig_mode")
        given = {
            "uuid": "",
            "memory_reserved_bytes": 0,
            **{k: v for k, v in data.items() if v is not None},
            "mig_mode": {True: "enabled", False: "disabled"}[mode] if isinstance(mode, bool) else mode,
        }
        if data.get("memory_free_bytes") is None:
            total, reserved = _need(data, "memory_total_bytes", what), given["memory_reserved_bytes"]
            given["memory_free_bytes"] = _whole(total, f"{what}.memory_total_bytes") - _whole(
                reserved, f"{what}.memory_reserved_bytes"
            )
        kw = _fields(cls, given, what)
        devices = kw.get("mig_devices") or ()
        kw["mig_devices"] = tuple(MigDevice(**_fields(MigDevice, m, f"{what}.mig_devices")) for m in devices)
        if not kw.get("health"):
            kw.pop("health", None)
        return cls(**kw)

    def to_dict(self) -> dict[str, Any]:
        out = asdict(self)
        out["mig_devices"] = [asdict(m) for m in self.mig_devices]
        out["processes"] = list(self.processes)
        return out


@dataclass(frozen=True)
class Link:
    """How card i reaches card j. ``path`` is nvidia-smi's word: X (itself), NVL, PIX, PXB, PHB, NODE, SYS."""

    nvlink_count: int = 0
    p2p: bool = False
    path: str = "SYS"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Link:
        _mapping(data, "links")
        p2p = data.get("p2p")
        if isinstance(p2p, str):
            p2p = p2p.strip().lower() in ("ok", "true", "yes")
        kw = _fields(cls, {**data, "p2p": p2p}, "links")
        if kw.get("nvlink_count", 0) < 0:
            raise InputError(f"links.nvlink_count is {kw['nvlink_count']}: it must be 0 or more")
        return cls(**kw)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Probe:
    gpus: tuple[Any, ...] = ()  # of Gpu, by index
    links: tuple[Any, ...] = ()  # len(gpus) rows of len(gpus) Link
    driver_version: str = ""
    cuda_driver_version: str = ""
    warnings: tuple[Any, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "gpus": [g.to_dict() for g in self.gpus],
            "links": [[link.to_dict() for link in row] for row in self.links],
            "driver_version": self.driver_version,
            "cuda_driver_version": self.cuda_driver_version,
            "warnings": list(self.warnings),
        }


# ---------------------------------------------------------------- model


@dataclass(frozen=True)
class KvGroup:
    """Layers that keep the same kind of state for past tokens.

    kind: full | sliding | chunked | mla | mamba. Values that do not apply stay 0.
    full, sliding, chunked: ``kv_heads``, ``head_dim`` (of K), ``v_head_dim``; ``window`` tokens for the latter two.
    mla: ``rank`` = kv_lora_rank + qk_rope_head_dim elements a token, one copy on every rank.
    mamba: ``state_bytes`` a sequence and layer before sharding (all states together).
    ``shared_layers`` counts layers that reuse another layer's cache and so own none.
    mla with a sparse indexer: ``index_layers`` of them also keep ``index_bytes`` a token, on every rank.
    mamba, in parts: a convolution of ``conv_dim`` channels and ``conv_width`` past tokens, of whose channels
    ``conv_groups`` groups of ``conv_group_dim`` are copied where ranks outnumber them; and ``recurrent`` elements;
    ``conv_bytes`` and ``recurrent_bytes`` an element.
    """

    kind: str
    layers: int
    kv_heads: int = 0
    head_dim: int = 0
    v_head_dim: int = 0
    window: int = 0
    rank: int = 0
    state_bytes: int = 0
    shared_layers: int = 0
    index_layers: int = 0
    index_bytes: int = 0
    conv_dim: int = 0
    conv_width: int = 0
    conv_bytes: int = 0
    conv_groups: int = 0
    conv_group_dim: int = 0
    recurrent: int = 0
    recurrent_bytes: int = 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KvGroup:
        kw = _fields(cls, data, "model.kv_layout")
        kw.setdefault("v_head_dim", kw.get("head_dim", 0))
        return cls(**kw)


@dataclass(frozen=True)
class Model:
    """What the planner needs to know of a model; read from its files, never from its code."""

    architecture: str
    dtype: str  # bfloat16 | float16 | float32
    weight_bytes: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    hidden_size: int = 0
    intermediate_size: int = 0
    parameters: int = 0
    quantization: Optional[str] = None  # fp8, awq, gptq, mxfp4, compressed-tensors, ... or None
    kv_layout: tuple[Any, ...] = ()  # of KvGroup
    tie_word_embeddings: bool = False
    experts: int = 0
    experts_per_token: int = 0
    moe_intermediate_size: int = 0
    multimodal: bool = False
    tasks: tuple[Any, ...] = ("generate",)  # generate | embed
    weight_bytes_source: str = "config"  # safetensors | index | config
    known_architecture: bool = True
    name: str = ""
    path: str = ""
    revision: str = ""
    # the files' own words, for formulas that need more: config.json's text part, and its quantization part
    config: dict[str, Any] = field(default_factory=dict)
    quantization_config: dict[str, Any] = field(default_factory=dict)
    outer_config: dict[str, Any] = field(default_factory=dict)  # what config.json says beside its text part
    # bytes by kind of tensor (embedding, lm_head, attention, mlp, experts, norm, other) where headers were present
    weight_groups: dict[str, Any] = field(default_factory=dict)
    has_weights: bool = True  # False: planned from the config alone, the files are not there
    checkpoint_bytes: int = 0  # what the weight files hold on disk; differs from weight_bytes where loading converts
    draft_weight_bytes: int = 0  # layers that only speculation loads (MTP); not part of weight_bytes
    warnings: tuple[Any, ...] = ()

    @property
    def element_bytes(self) -> int:
        """Bytes of an element in the dtype the model is served in."""
        return DTYPE_BYTES.get(self.dtype, 2)

    @property
    def width(self) -> int:
        return self.hidden_size or self.heads * self.head_dim

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Model:
        kw = _fields(cls, data, "model")
        kw["kv_layout"] = tuple(KvGroup.from_dict(g) for g in kw.get("kv_layout") or ())
        for key in ("tasks", "warnings"):
            if not all(isinstance(item, str) for item in kw.get(key, ())):
                raise InputError(f"model.{key} must be a list of text")
        return cls(**kw)

    def to_dict(self) -> dict[str, Any]:
        out = asdict(self)
        out["kv_layout"] = [asdict(g) for g in self.kv_layout]
        out["tasks"] = list(self.tasks)
        out["warnings"] = list(self.warnings)
        return out


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class Card:
    """One card of an instance. ``host`` is empty for the planned host itself; a replica may span hosts later."""

    index: int
    uuid: str = ""
    host: str = ""


@dataclass(frozen=True)
class Instance:
    """One vLLM process group (one replica): what the unit ``vllm@NAME.service`` runs."""

    name: str
    cards: tuple[Any, ...]  # of Card
    port: int
    env: dict[str, Any]
    args: tuple[Any, ...]  # command line of ``vllm serve`` after the model, one word an item
    host: str = "127.0.0.1"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Instance:
        what = "plan.instances"
        gpus = _convert(_need(data, "gpus", what), "tuple", f"{what}.gpus")
        uuids = _convert(data.get("gpu_uuids") or (), "tuple", f"{what}.gpu_uuids")
        kw = _fields(cls, {**data, "env": data.get("env") or {}, "args": data.get("args") or (), "cards": gpus}, what)
        kw["cards"] = tuple(
            Card(_whole(i, f"{what}.gpus"), str(uuids[n]) if n < len(uuids) else "") for n, i in enumerate(gpus)
        )
        return cls(**kw)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "gpus": [c.index for c in self.cards],
            "gpu_uuids": [c.uuid for c in self.cards],
            "host": self.host,
            "port": self.port,
            "env": dict(self.env),
            "args": list(self.args),
        }


@dataclass(frozen=True)
class Candidate:
    """One (replicas x tensor parallel size) that was weighed. ``why``: why it was rejected, or what speaks for it."""

    topology: str
    replicas: int
    tensor_parallel_size: int
    fits: bool
    why: str
    prediction: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """What a host is to run. ``prediction`` is for one instance (see DESIGN: kv_cache_tokens is what it will log)."""

    topology: str  # data_parallel | tensor_parallel | hybrid
    replicas: int
    tensor_parallel_size: int
    load_balancer: bool
    max_model_len: int
    instances: tuple[Any, ...]  # of Instance
    prediction: dict[str, Any]
    reason: str
    candidates: tuple[Any, ...]  # of Candidate
    warnings: tuple[Any, ...] = ()
    device: str = "cuda"  # cuda | cpu
    rehearsal: bool = False
    workload: str = "mixed"
    vllm_version: str = ""
    model: dict[str, Any] = field(default_factory=dict)  # {"name", "path", "revision", "served_model_name"}
    advice: tuple[Any, ...] = ()  # sentences: what would change the answer, most useful first

    def to_dict(self) -> dict[str, Any]:
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        out["instances"] = [i.to_dict() for i in self.instances]
        out["candidates"] = [c.to_dict() for c in self.candidates]
        out["warnings"] = list(self.warnings)
        out["advice"] = list(self.advice)
        return out
