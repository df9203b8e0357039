# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The dataclasses that travel along probe -> model -> plan -> apply -> verify, and their plain-dict forms.

Every ``from_dict`` ignores keys it does not know (a newer stage may add some) and raises InputError, naming the key,
where one it needs is missing or has the wrong type. Sizes are bytes, lengths are tokens, times are milliseconds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float": 4, "float32": 4}


def _need(data: Mapping[str, Any], key: str, what: str, kind: type = object) -> Any:
    if not isinstance(data, Mapping):
        raise InputError(f"{what}: a dictionary is needed, got {type(data).__name__}")
    if key not in data:
        raise InputError(f"{what}: key {key!r} is missing")
    value = data[key]
    if kind is int:
        try:
            return int(value)
        except (TypeError, ValueError) as exc:
            raise InputError(f"{what}: {key} must be a whole number, got {value!r}") from exc
    return value


def _known(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(cls)}
    return {k: v for k, v in data.items() if k in names}


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
        what = f"gpus[{data.get('index', '?') if isinstance(data, Mapping) else '?'}]"
        kw = _known(cls, data) if isinstance(data, Mapping) else {}
        for key in ("index", "memory_total_bytes"):
            kw[key] = _need(data, key, what, int)
        kw["memory_reserved_bytes"] = int(data.get("memory_reserved_bytes") or 0)
        free = data.get("memory_free_bytes")
        if free is None:
            free = kw["memory_total_bytes"] - kw["memory_reserved_bytes"]
        kw["memory_free_bytes"] = int(free)
        kw["name"] = str(_need(data, "name", what))
        kw["uuid"] = str(data.get("uuid") or "")
        kw["compute_capability"] = str(data.get("compute_capability") or "")
        mode = data.get("mig_mode")
        if isinstance(mode, bool):
            mode = "enabled" if mode else "disabled"
        kw["mig_mode"] = str(mode or "unsupported")
        kw["mig_devices"] = tuple(MigDevice(**_known(MigDevice, m)) for m in data.get("mig_devices") or ())
        kw["processes"] = tuple(data.get("processes") or ())
        kw["health"] = data.get("health") or {"verdict": "ok", "reasons": []}
        for key in ("pcie_gen", "pcie_width", "ecc", "nvlink"):
            kw[key] = data.get(key) or {}
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
        p2p = data.get("p2p", False)
        if isinstance(p2p, str):
            p2p = p2p.strip().lower() in ("ok", "true", "yes")
        return cls(int(data.get("nvlink_count") or 0), bool(p2p), str(data.get("path") or "SYS"))

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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KvGroup:
        kw = _known(cls, data)
        kw["kind"] = str(_need(data, "kind", "model.kv_layout"))
        kw["layers"] = _need(data, "layers", "model.kv_layout", int)
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
        kw = _known(cls, data) if isinstance(data, Mapping) else {}
        for key in ("architecture", "dtype"):
            kw[key] = str(_need(data, key, "model"))
        for key in ("weight_bytes", "layers", "heads", "kv_heads", "head_dim", "vocab_size", "max_position_embeddings"):
            kw[key] = _need(data, key, "model", int)
        kw["kv_layout"] = tuple(KvGroup.from_dict(g) for g in data.get("kv_layout") or ())
        for key in ("tasks", "warnings"):
            if data.get(key) is not None:
                kw[key] = tuple(data[key])
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
        uuids = list(data.get("gpu_uuids") or ())
        cards = tuple(Card(int(i), uuids[n] if n < len(uuids) else "") for n, i in enumerate(_need(data, "gpus", what)))
        return cls(
            str(_need(data, "name", what)),
            cards,
            _need(data, "port", what, int),
            dict(data.get("env") or {}),
            tuple(data.get("args") or ()),
            str(data.get("host") or "127.0.0.1"),
        )

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
