# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Spells out the chosen replicas: names, ports, environments and command lines."""

from __future__ import annotations

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import GroupFit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Card, Instance

# uvicorn closes idle connections after 5 s, a proxy's pool keeps them for 60: the server must be the more patient one
KEEP_ALIVE_S = "120"


def check_ports(request: PlanRequest, count: int) -> None:
    if request.public_endpoint and count == 1:
        return
    last = request.base_port + count - 1
    if last > 65535:
        raise InputError(
            f"base_port {request.base_port}: {count} instances would reach port {last}, 65535 is the last: lower "
            "it (vllm_base_port)"
        )
    for port in range(request.base_port, last + 1):
        if port in request.reserved_ports:
            raise InputError(
                f"base_port {request.base_port}: {count} instance{'s' if count > 1 else ''} would take port "
                f"{port}, which is reserved: "
                "choose another base_port (vllm_base_port)"
            )


def address(request: PlanRequest, number: int, count: int) -> tuple[str, int]:
    if request.public_endpoint and count == 1:
        host, port = request.public_endpoint
        return str(host), int(port)
    return "127.0.0.1", request.base_port + number


def instance_name(group: tuple[Unit, ...]) -> str:
    first = group[0]
    if first.is_mig:
        return f"mig{first.index}-{first.slice_number}"
    indexes = [u.index for u in group]
    if len(indexes) == 1:
        return f"gpu{first.index}"
    if indexes == list(range(indexes[0], indexes[-1] + 1)):
        return f"gpu{indexes[0]}-{indexes[-1]}"
    return "gpu" + "_".join(str(i) for i in indexes)


def common_args(
    request: PlanRequest, host: str, port: int, tp: int, max_model_len: int, seqs: int, batched: int
) -> list[str]:
    return [
        "--host",
        host,
        "--port",
        str(port),
        "--served-model-name",
        request.served_model_name,
        "--tensor-parallel-size",
        str(tp),
        "--max-model-len",
        str(max_model_len),
        "--max-num-seqs",
        str(seqs),
        "--max-num-batched-tokens",
        str(batched),
        "--shutdown-timeout",
        str(request.shutdown_timeout),
        *(["--trust-remote-code"] if request.trust_remote_code else []),
    ]


def instances(
    request: PlanRequest, release: Release, fits: tuple[GroupFit, ...], max_model_len: int, fabric: Fabric
) -> tuple[Instance, ...]:
    out = []
    for number, fit in enumerate(sorted(fits, key=lambda f: (f.group[0].index, f.group[0].slice_number))):
        group = fit.group
        host, port = address(request, number, len(fits))
        env = {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": KEEP_ALIVE_S}
        if all(u.uuid for u in group):
            env["CUDA_VISIBLE_DEVICES"] = ",".join(u.uuid for u in group)
        else:  # indexes mean NVML's order only if CUDA is told to count like NVML
            env["CUDA_VISIBLE_DEVICES"] = ",".join(str(u.index) for u in group)
            env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        args = common_args(request, host, port, len(group), max_model_len, fit.max_num_seqs, fit.max_num_batched_tokens)
        if fit.memory is None:
            raise ValueError("an instance is planned only on cards whose memory was predicted")
        args += ["--gpu-memory-utilization", f"{fit.memory.utilization:g}"]
        if fit.pinned_bytes:
            args += ["--kv-cache-memory-bytes", str(fit.pinned_bytes)]
        if request.kv_cache_dtype != "auto":
            args += ["--kv-cache-dtype", request.kv_cache_dtype]
        if request.enforce_eager:
            args.append("--enforce-eager")
        if fit.max_cudagraph_capture_size:
            args += ["--max-cudagraph-capture-size", str(fit.max_cudagraph_capture_size)]
        if len(group) > 1 and fabric.p2p_missing(group):
            args.append("--disable-custom-all-reduce")
        args += request.extra_args
        out.append(
            Instance(instance_name(group), tuple(Card(u.index, u.uuid) for u in group), port, env, tuple(args), host)
        )
    return tuple(out)
