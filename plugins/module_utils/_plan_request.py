# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the planner is asked: options of module and filter, checked once, here, for both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._bench_choose import (
    Conditions,
    applies,
    asked_from,
    device_of,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_flags import (
    KvFlags,
    check_extra_args,
    kv_flags,
    shapes_graphs,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_inputs import checked_gpus, checked_model
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_values import (
    choice,
    flag,
    listed,
    number,
    port,
    suggest,
    whole,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_workload import (
    Workload,
    named_workload,
    read_workload,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu, Link, Model

TOPOLOGIES = ("auto", "data_parallel", "tensor_parallel", "hybrid", "measured")
DEVICES = ("auto", "cuda", "cpu")
KV_CACHE_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")
KV_CACHE_SIZINGS = ("utilization", "pinned")
DEFAULT_VLLM_VERSION = "0.32.0"


@dataclass(frozen=True)
class PlanRequest:
    """Everything a plan depends on. Build it with ``from_options`` to have every value checked."""

    model: Model
    gpus: tuple[Gpu, ...] = ()
    links: tuple[tuple[Link, ...], ...] = ()
    workload: Workload = field(default_factory=lambda: named_workload("mixed"))
    loads: tuple[Workload, ...] = ()  # further ones whose speed is wanted; they decide nothing
    single_endpoint: bool = False
    topology: str = "auto"
    tensor_parallel_size: int = 0  # 0: the planner decides
    replicas: int = 0  # 0: the planner decides
    measured: str = ""  # what was measured, where that decided replicas and tensor_parallel_size
    gpu_ids: tuple[Any, ...] = ()  # indexes and UUIDs; empty: all
    own_pids: tuple[int, ...] = ()  # processes that the new plan replaces: their memory counts as free
    max_model_len: int = 0  # 0: auto
    gpu_memory_utilization: float = 0.0  # 0: the release's default
    max_num_seqs: int = 0
    max_num_batched_tokens: int = 0
    kv_cache_dtype: str = "auto"
    kv_cache_sizing: str = "utilization"
    enforce_eager: bool = False
    max_cudagraph_capture_size: int = 0  # tokens; 0: the release's own ...
    auto_graphs: bool = False  # ... or larger, where those were measured to be faster and cost little
    vllm_version: str = DEFAULT_VLLM_VERSION
    base_port: int = 8001
    reserved_ports: tuple[int, ...] = ()
    public_endpoint: Optional[tuple[str, int]] = None
    served_model_name: str = ""
    shutdown_timeout: int = 120
    trust_remote_code: bool = False
    extra_args: tuple[str, ...] = ()
    kv_flags: KvFlags = field(default_factory=KvFlags)  # what extra_args say of the KV cache's blocks
    device: str = "auto"
    rehearsal: bool = False
    cpus: tuple[int, ...] = ()  # core ids of the host
    host_memory_bytes: int = 0
    avx512_bf16: bool = True  # what the host's processors have
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> PlanRequest:
        """Options as the module and the filter take them; None means not given."""
        given = {k: v for k, v in options.items() if v is not None}
        unknown = sorted(set(given) - set(OPTIONS))
        if unknown:
            near = suggest(unknown[0], OPTIONS)
            raise InputError(f"unknown option {unknown[0]!r}{near or ': known are ' + ', '.join(OPTIONS)}")
        if not isinstance(given.get("model"), Mapping):
            raise InputError("model: a dictionary is needed, as model_info returns it under `model`")
        model = checked_model(given["model"])
        gpus = checked_gpus(listed(given.get("gpus", ()), "gpus"))
        links = _links(given.get("links", ()), len(gpus))
        max_len = _max_model_len(given.get("max_model_len", "auto"), model)
        workload = read_workload(given.get("workload", "mixed"))
        if workload.given and max_len and workload.tokens > max_len:
            raise InputError(
                f"workload: input_tokens + output_tokens = {workload.tokens} does not go into max_model_len "
                f"{max_len}: raise max_model_len or shorten the requests"
            )
        if workload.given and 0 < model.max_position_embeddings < workload.tokens:
            raise InputError(
                f"workload: input_tokens + output_tokens = {workload.tokens} is beyond the model's "
                f"{model.max_position_embeddings}: shorten the requests"
            )
        utilization = number(given.get("gpu_memory_utilization", 0.0), "gpu_memory_utilization")
        if not 0.0 <= utilization <= 1.0:
            raise InputError(
                f"gpu_memory_utilization {utilization:g} is out of range: give a share above 0 and up to 1, such "
                "as 0.92 (0 takes the default)"
            )
        sizing = choice(given.get("kv_cache_sizing", "utilization"), "kv_cache_sizing", KV_CACHE_SIZINGS)
        extra, notes = check_extra_args(listed(given.get("extra_args", ()), "extra_args"), sizing)
        cpus, memory, avx512_bf16 = _host(given.get("host"))
        shape = _shape(given, model, gpus)
        seqs = whole(given.get("max_num_seqs", 0), "max_num_seqs", 0, 65536)
        batched = whole(given.get("max_num_batched_tokens", 0), "max_num_batched_tokens", 0, 1 << 22)
        if seqs and batched and batched < seqs:
            raise InputError(
                f"max_num_batched_tokens {batched} is below max_num_seqs {seqs}: every sequence needs at least "
                "one token a step"
            )
        graphs, auto_graphs = _graphs(given.get("max_cudagraph_capture_size", 0))
        eager = flag(given.get("enforce_eager", False), "enforce_eager")
        if graphs and eager:
            raise InputError(
                f"max_cudagraph_capture_size is {graphs}, but enforce_eager runs without CUDA graphs: leave one out "
                "(role variables vllm_max_cudagraph_capture_size and vllm_enforce_eager)"
            )
        return cls(
            model=model,
            gpus=gpus,
            links=links,
            workload=workload,
            loads=tuple(read_workload(load) for load in listed(given.get("loads", ()), "loads")),
            single_endpoint=flag(given.get("single_endpoint", False), "single_endpoint"),
            topology=shape.topology,
            tensor_parallel_size=shape.tensor_parallel_size,
            replicas=shape.replicas,
            measured=shape.measured,
            gpu_ids=_gpu_ids(given.get("gpu_ids", "all")),
            own_pids=tuple(whole(p, "own_pids", 1, 1 << 31) for p in listed(given.get("own_pids", ()), "own_pids")),
            max_model_len=max_len,
            gpu_memory_utilization=utilization,
            max_num_seqs=seqs,
            max_num_batched_tokens=batched,
            kv_cache_dtype=choice(given.get("kv_cache_dtype", "auto"), "kv_cache_dtype", KV_CACHE_DTYPES),
            kv_cache_sizing=sizing,
            enforce_eager=eager,
            max_cudagraph_capture_size=graphs,
            auto_graphs=auto_graphs and not shapes_graphs(extra),
            vllm_version=str(given.get("vllm_version", DEFAULT_VLLM_VERSION)),
            base_port=port(given.get("base_port", 8001), "base_port"),
            reserved_ports=tuple(
                whole(p, "reserved_ports", 1, 65535) for p in listed(given.get("reserved_ports", ()), "reserved_ports")
            ),
            public_endpoint=_endpoint(given.get("public_endpoint")),
            served_model_name=_served_name(given.get("served_model_name"), model),
            shutdown_timeout=whole(given.get("shutdown_timeout", 120), "shutdown_timeout", 0, 86400),
            trust_remote_code=flag(given.get("trust_remote_code", False), "trust_remote_code"),
            extra_args=extra,
            kv_flags=kv_flags(extra),
            device=choice(given.get("device", "auto"), "device", DEVICES),
            rehearsal=flag(given.get("rehearsal", False), "rehearsal"),
            cpus=cpus,
            host_memory_bytes=memory,
            avx512_bf16=avx512_bf16,
            warnings=tuple(model.warnings) + notes + shape.warnings,
        )


@dataclass(frozen=True)
class _Shape:
    topology: str
    replicas: int
    tensor_parallel_size: int
    measured: str = ""
    warnings: tuple[str, ...] = ()


def _shape(given: Mapping[str, Any], model: Model, gpus: tuple[Gpu, ...]) -> _Shape:
    """Topology, replicas and tensor parallel size as given, or as measured on the host."""
    topology = choice(given.get("topology", "auto"), "topology", TOPOLOGIES)
    size = whole(given.get("tensor_parallel_size", 0), "tensor_parallel_size", 0, 1024)
    replicas = whole(given.get("replicas", 0), "replicas", 0, 1024)
    if topology != "measured":
        return _Shape(topology, replicas, size)
    if size or replicas:
        raise InputError(
            "topology measured takes replicas and tensor_parallel_size from what was measured: drop these two, or "
            "give another topology"
        )
    record = given.get("measured") or {}
    if not isinstance(record, Mapping):
        raise InputError("measured: a dictionary is needed, as the playbook benchmark leaves it on the host")
    now = Conditions(
        tuple(gpu.name for gpu in gpus),
        model.name,
        model.revision or "",
        str(given.get("vllm_version", DEFAULT_VLLM_VERSION)),
        str(given.get("max_model_len", "auto")),
        str(given.get("workload", "mixed")),
        device_of(str(given.get("device", "auto")), bool(given.get("rehearsal", False))),
        **asked_from(given.get("bench_load") or {}),
    )
    best, why = applies(record, now)
    if best is None:
        return _Shape("auto", 0, 0, warnings=(why,))
    return _Shape("auto", best.replicas, best.tensor_parallel_size, measured=why)


OPTIONS = (
    "gpus",
    "links",
    "model",
    "workload",
    "loads",
    "single_endpoint",
    "topology",
    "measured",
    "bench_load",
    "tensor_parallel_size",
    "replicas",
    "gpu_ids",
    "own_pids",
    "max_model_len",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_dtype",
    "kv_cache_sizing",
    "enforce_eager",
    "max_cudagraph_capture_size",
    "vllm_version",
    "base_port",
    "reserved_ports",
    "public_endpoint",
    "served_model_name",
    "shutdown_timeout",
    "trust_remote_code",
    "extra_args",
    "device",
    "rehearsal",
    "host",
)


# ---------------------------------------------------------------- one value each


def _graphs(value: Any) -> tuple[int, bool]:
    """``max_cudagraph_capture_size`` in tokens, and whether the planner may raise it."""
    if value == "auto":
        return 0, True
    try:
        return whole(value, "max_cudagraph_capture_size", 0, 16384), False
    except InputError as error:
        raise InputError(f"{error}, or auto") from None


def _max_model_len(value: Any, model: Model) -> int:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return 0
    try:
        length = whole(value, "max_model_len", 1, 1 << 30)
    except InputError:
        raise InputError(
            f"max_model_len {value!r} is not usable: give 'auto' or a whole number of tokens of at least 1, such "
            "as 8192"
        ) from None
    if 0 < model.max_position_embeddings < length:
        raise InputError(
            f"max_model_len {length} is beyond the model's {model.max_position_embeddings}: lower it "
            "(VLLM_ALLOW_LONG_MAX_MODEL_LEN is not used)"
        )
    return length


def _gpu_ids(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        if value.strip().lower() == "all":
            return ()
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, (list, tuple)) or not value:
        raise InputError(
            f"gpu_ids (vllm_gpus) {value!r} is not usable: give 'all' or a list of indexes or UUIDs, such as [0, 1]"
        )
    if [str(v).lower() for v in value] == ["all"]:
        return ()
    ids = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise InputError(f"gpu_ids: {item!r} is neither an index nor a UUID")
        ids.append(int(item) if str(item).lstrip("-").isdigit() else str(item))
    return tuple(ids)


def _links(value: Any, count: int) -> tuple[tuple[Link, ...], ...]:
    rows = listed(value, "links")
    if not rows:
        return ()
    if len(rows) != count or any(not isinstance(r, (list, tuple)) or len(r) != count for r in rows):
        raise InputError(
            f"links must have one row and one column for each of the {count} cards in gpus: give it as gpu_info "
            "returned it, or leave it out"
        )
    out = []
    for row in rows:
        for cell in row:
            if not isinstance(cell, Mapping):
                raise InputError(f"links: {cell!r} is not a dictionary with nvlink_count, p2p and path")
        try:
            out.append(tuple(Link.from_dict(cell) for cell in row))
        except (TypeError, ValueError):
            raise InputError("links: nvlink_count must be a whole number in every cell") from None
    return tuple(out)


def _endpoint(value: Any) -> Optional[tuple[str, int]]:
    if not value:
        return None
    if not isinstance(value, Mapping) or set(value) - {"host", "port"}:
        raise InputError(f"public_endpoint {value!r} is not usable: give {{host: ..., port: ...}}")
    return str(value.get("host") or "0.0.0.0"), whole(value.get("port") or 0, "public_endpoint.port", 1, 65535)


def _served_name(value: Any, model: Model) -> str:
    name = str(value or "").strip() or model.name or model.path.rstrip("/").rsplit("/", 1)[-1] or model.architecture
    if not name or any(c.isspace() or not c.isprintable() for c in name):
        raise InputError(f"served_model_name {name!r} is not usable: give a name without spaces")
    return name


def _host(value: Any) -> tuple[tuple[int, ...], int, bool]:
    if not value:
        return (), 0, True
    if not isinstance(value, Mapping) or set(value) - {"cpus", "memory_bytes", "avx512_bf16"}:
        raise InputError(
            f"host {value!r} is not usable: give {{cpus: number or list of core ids, memory_bytes: ..., "
            "avx512_bf16: true or false}"
        )
    cpus = value.get("cpus") or 0
    if isinstance(cpus, (list, tuple)):
        cores = tuple(whole(c, "host.cpus", 0, 65535) for c in cpus)
        if len(set(cores)) != len(cores):
            raise InputError("host.cpus names a core twice")
    else:
        cores = tuple(range(whole(cpus, "host.cpus", 0, 65536)))
    memory = whole(value.get("memory_bytes") or 0, "host.memory_bytes", 0, 1 << 60)
    return cores, memory, flag(value.get("avx512_bf16", True), "host.avx512_bf16")
