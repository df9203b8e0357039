# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""vLLM's CPU engine: serving on a host without cards, and rehearsing a GPU plan on one.

Sources in vLLM: ``platforms/cpu.py`` and ``v1/worker/cpu_worker.py`` (environment variables, cores of each rank).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._memory import margin_percent
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_instances import (
    KEEP_ALIVE_S,
    address,
    check_ports,
    common_args,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import (
    split_problem,
    weight_bytes_per_rank,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import GIB, Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Candidate, Instance, Plan

# A rehearsal runs next to everything else on a small machine: few sequences keep its sampler buffers and warm-up small.
REHEARSAL_MAX_NUM_SEQS = 16
REHEARSAL_MAX_NUM_BATCHED_TOKENS = 2048
# A rehearsal shows that everything works, not how fast: uncompiled, an engine starts 10 to 20 s sooner and needs no C++
# compiler. -O0 alone still compiles one function at the first request of a tensor parallel engine.
REHEARSAL_ARGS = ("-O0",)
REHEARSAL_ENV = {"TORCHDYNAMO_DISABLE": "1"}
RUNTIME_BYTES = 3 * GIB // 2  # Python, torch and the activations of one engine
HOST_SHARE = 0.8  # of the host's memory that engines may take together
USUAL_KV_GIB = 4
CPU_ONLY_GPU_FLAGS = ("--disable-custom-all-reduce",)


def split_cores(cores: Sequence[int], instances: int, ranks: int) -> list[str]:
    """One VLLM_CPU_OMP_THREADS_BIND an instance: core lists of its ranks, joined by ``|``.

    Every rank gets an equal run of neighbouring cores; with fewer cores than ranks they are shared in turn.
    """
    total = instances * ranks
    if len(cores) < total:
        shares = [[cores[n % len(cores)]] for n in range(total)]
    else:
        base, spare = divmod(len(cores), total)
        shares, start = [], 0
        for n in range(total):
            size = base + (1 if n < spare else 0)
            shares.append(list(cores[start : start + size]))
            start += size
    texts = [core_list(share) for share in shares]
    return ["|".join(texts[i * ranks : (i + 1) * ranks]) for i in range(instances)]


def core_list(cores: Sequence[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"."""
    ordered, runs = sorted(cores), []
    start = previous = ordered[0]
    for core in list(ordered[1:]) + [-1]:
        if core != previous + 1:
            runs.append(str(start) if start == previous else f"{start}-{previous}")
            start = core
        previous = core
    return ",".join(runs)


def _cores(request: PlanRequest, why: str) -> tuple[int, ...]:
    if not request.cpus:
        raise InputError(
            f"host.cpus is missing: {why} needs the host's cores, give host: "
            f"{{cpus: number or list of core ids, memory_bytes: ...}}"
        )
    return request.cpus


def plan_cpu(request: PlanRequest, release: Release, warnings: tuple[str, ...]) -> Plan:
    """One instance over all cores, unless more are asked for: replicas share memory bandwidth, so they add little."""
    model = request.model
    cores = _cores(request, "device cpu")
    tp, replicas = max(request.tensor_parallel_size, 1), max(request.replicas, 1)
    if request.topology == "tensor_parallel":
        if request.tensor_parallel_size == 1:
            raise InputError(
                "topology tensor_parallel needs at least 2 ranks, tensor_parallel_size is 1: drop one of the two"
            )
        if replicas > 1:
            raise InputError(f"topology tensor_parallel is one instance, replicas is {replicas}: use topology hybrid")
        tp = max(tp, 2)
    if request.topology == "hybrid" and (tp < 2 or replicas < 2):
        raise InputError(
            "topology hybrid on device cpu needs replicas and tensor_parallel_size of at least 2: give both"
        )
    if request.topology == "data_parallel" and tp > 1:
        raise InputError(
            f"topology data_parallel has one rank a replica, tensor_parallel_size is {tp}: drop one of the two"
        )
    if request.single_endpoint and replicas > 1:
        raise InputError(
            f"single_endpoint asks for one instance, replicas: {replicas} for several: drop one of the two"
        )
    if tp * replicas > len(cores):
        raise InputError(
            f"{replicas} x TP{tp} needs at least {tp * replicas} cores, the host has {len(cores)}: lower replicas "
            "or tensor_parallel_size"
        )
    problem = split_problem(model, tp, release)
    if problem:
        raise PlanError(f"tensor_parallel cannot run: {problem}")
    if request.host_memory_bytes < 1:
        raise InputError("host.memory_bytes is missing: device cpu needs the host's memory to size the KV cache")
    check_ports(request, replicas)

    seqs = request.max_num_seqs or min(
        release.cpu_max_num_seqs, request.max_num_batched_tokens or release.cpu_max_num_seqs
    )
    batched = request.max_num_batched_tokens or max(release.cpu_max_num_batched_tokens, seqs)
    weights = weight_bytes_per_rank(model, tp)
    kv = kv_plan(model, tp, release, "auto", batched, device="cpu", avx512_bf16=request.avx512_bf16)
    ranks = replicas * tp
    room = int(request.host_memory_bytes * HOST_SHARE / ranks) - weights - RUNTIME_BYTES
    room_gib = room // GIB
    limit = request.max_model_len or model.max_position_embeddings or 1 << 20
    longest = kv.longest(room_gib * GIB, limit) if room_gib > 0 else 0
    wanted = request.max_model_len or min(limit, 2048)
    if longest < wanted:
        need = weights + RUNTIME_BYTES + kv.bytes_for(1, wanted)
        raise PlanError(
            f"{model.name or model.architecture} does not fit on this host's CPU memory: {ranks} "
            f"rank{'s' if ranks > 1 else ''} of {need / GIB:.1f} GiB each "
            f"(one request of {wanted:,} tokens) against {request.host_memory_bytes * HOST_SHARE / GIB:.1f} GiB "
            "usable"
        )
    length = request.max_model_len or (limit if longest >= limit else longest // 256 * 256 or longest)
    space = min(room_gib, max(-(-kv.bytes_for(1, length) // GIB), USUAL_KV_GIB))
    blocks = kv.blocks(space * GIB)
    prediction = {
        "weight_bytes_per_gpu": weights,
        "kv_cache_bytes_per_gpu": space * GIB,
        "kv_cache_memory_bytes": blocks * kv.bytes_per_block,
        "num_gpu_blocks": blocks,
        "block_size": kv.block_size,
        "kv_cache_tokens": kv.tokens(space * GIB, length),
        "max_concurrency": round(kv.concurrency(space * GIB, length), 2),
        "max_num_seqs": seqs,
        "max_num_batched_tokens": batched,
        "cuda_total_bytes": None,
        "gpu_memory_utilization": None,
        "budget_bytes": None,
        "activation_bytes_per_gpu": None,
        "persistent_bytes_per_gpu": None,
        "cuda_graph_bytes_per_gpu": None,
        "non_torch_bytes_per_gpu": None,
        "tpot_ms": None,
        "ttft_ms": None,
        "margin_percent": 0.0 if model.known_architecture else margin_percent(model, release),  # the bytes are given
    }
    binds = split_cores(cores, replicas, tp)
    made = []
    for n, bind in enumerate(binds):
        host, port = address(request, n, replicas)
        env = _env(bind, space)
        args = common_args(request, host, port, tp, length, seqs, batched) + list(request.extra_args)
        made.append(Instance(f"cpu{n}", (), port, env, tuple(args), host))
    topology = "data_parallel" if tp == 1 else "tensor_parallel" if replicas == 1 else "hybrid"
    reason = (
        f"CPU serving: {replicas} instance{'s' if replicas > 1 else ''} over {len(cores)} "
        f"core{'s' if len(cores) > 1 else ''}, "
        f"{weights / GIB:.1f} GiB of weights and {space} GiB of KV cache a rank."
    )
    notes = list(warnings) + ["the CPU engine serves: expect a small fraction of a card's speed"]
    if request.enforce_eager:
        notes.append("enforce_eager is not passed on: the CPU engine does not run with it")
    if request.max_cudagraph_capture_size:
        notes.append("max_cudagraph_capture_size is not passed on: the CPU engine has no CUDA graphs")
    if length < model.max_position_embeddings and not request.max_model_len:
        reason += (
            f" max_model_len is {length:,}, the most that fits, not the model's {model.max_position_embeddings:,}."
        )
    return Plan(
        topology=topology,
        replicas=replicas,
        tensor_parallel_size=tp,
        load_balancer=replicas > 1,
        max_model_len=length,
        instances=tuple(made),
        prediction=prediction,
        reason=reason,
        candidates=(
            Candidate(
                topology,
                replicas,
                tp,
                True,
                "chosen: the CPU engine runs what is asked for, one instance by default",
                dict(prediction),
            ),
        ),
        warnings=tuple(notes),
        device="cpu",
        workload=request.workload.name,
        vllm_version=request.vllm_version,
        model={
            "name": model.name,
            "path": model.path,
            "revision": model.revision,
            "served_model_name": request.served_model_name,
        },
    )


def _env(bind: str, space_gib: int) -> dict[str, str]:
    return {
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": KEEP_ALIVE_S,
        "VLLM_CPU_OMP_THREADS_BIND": bind,
        "VLLM_CPU_KVCACHE_SPACE": str(space_gib),
    }


def rehearse(plan: Plan, request: PlanRequest, release: Release) -> Plan:
    """The plan made for the cards, run by the CPU engine: same instances, names, ports and sizes."""
    cores = _cores(request, "rehearsal")
    tp = plan.tensor_parallel_size
    seqs = min(request.max_num_seqs or REHEARSAL_MAX_NUM_SEQS, REHEARSAL_MAX_NUM_SEQS)
    batched = max(
        min(request.max_num_batched_tokens or REHEARSAL_MAX_NUM_BATCHED_TOKENS, REHEARSAL_MAX_NUM_BATCHED_TOKENS), seqs
    )
    kv = kv_plan(request.model, tp, release, "auto", batched, device="cpu", avx512_bf16=request.avx512_bf16)
    space = max(-(-kv.bytes_for(1, plan.max_model_len) // GIB), 1)  # vLLM wants room for one request of max_model_len
    binds = split_cores(cores, plan.replicas, tp)
    made = []
    for n, instance in enumerate(plan.instances):
        extra = [word for word in request.extra_args if word not in CPU_ONLY_GPU_FLAGS]
        args = common_args(request, instance.host, instance.port, tp, plan.max_model_len, seqs, batched)
        args += [*REHEARSAL_ARGS, *extra]
        made.append(replace(instance, env={**_env(binds[n], space), **REHEARSAL_ENV}, args=tuple(args)))
    prediction: dict[str, Any] = dict(plan.prediction)
    prediction["rehearsal"] = {
        "kv_cache_bytes_per_rank": space * GIB,
        "kv_cache_tokens": kv.tokens(space * GIB, plan.max_model_len),
        "num_gpu_blocks": kv.blocks(space * GIB),
        "block_size": kv.block_size,
        "max_num_seqs": seqs,
        "max_num_batched_tokens": batched,
    }
    note = (
        "rehearsal: the plan is for the cards, but the CPU engine runs it; memory and speed shown are those of "
        "the cards"
    )
    ranks = plan.replicas * tp
    notes = list(plan.warnings) + [note]
    if len(cores) < ranks:
        notes.append(f"rehearsal: {ranks} ranks share {len(cores)} core{'s' if len(cores) > 1 else ''}")
    return replace(
        plan, instances=tuple(made), prediction=prediction, device="cpu", rehearsal=True, warnings=tuple(notes)
    )
