# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This collection's own planner, asked through the function that topology_plan and its filter call."""

from __future__ import annotations

from functools import cache
from typing import Any, Mapping

from ansible_collections.gpuserve.inference.benchmarks.planner.asks import answer
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options


@cache
def model_info(directory: str) -> dict[str, Any]:
    """From config.json alone: no weights, no headers."""
    return read_model(directory).to_dict()


def kind_of(directory: str) -> str:
    """What the model keeps of past tokens, in one word for the tables."""
    kinds = {group["kind"] for group in model_info(directory)["kv_layout"]}
    for kind, word in (("mla", "MLA"), ("mamba", "states"), ("chunked", "windows"), ("sliding", "windows")):
        if kind in kinds:
            return word
    return "full attention"


def options(ask: Mapping[str, Any]) -> dict[str, Any]:
    count = int(ask["tp"])
    gpus = [
        {
            "index": i,
            "uuid": f"GPU-{i}",
            "name": ask["card"],
            "memory_total_bytes": ask["memory"],
            "memory_reserved_bytes": 0,
            "memory_free_bytes": ask["memory"],
            "compute_capability": "9.0",
        }
        for i in range(count)
    ]
    pair = {"nvlink_count": 18, "p2p": True, "path": "NVL"}
    alone = {"nvlink_count": 0, "p2p": False, "path": "X"}
    return {
        "gpus": gpus,
        "links": [[alone if i == j else pair for j in range(count)] for i in range(count)],
        "model": model_info(str(ask["dir"])),
        "workload": {"input_tokens": ask["length"] - 1, "output_tokens": 1, "concurrency": 1},
        "tensor_parallel_size": count,
        "replicas": 1,
        "max_model_len": ask["length"],
        "gpu_memory_utilization": ask["utilization"],
        "max_num_seqs": ask["seqs"],
        "max_num_batched_tokens": ask["batched"],
        "kv_cache_dtype": ask["kv_cache_dtype"],
        "enforce_eager": ask["enforce_eager"],
        "vllm_version": ask["vllm"],
        "extra_args": ask["extra_args"],
    }


def ask_ours(ask: Mapping[str, Any]) -> dict[str, Any]:
    try:
        prediction = plan_from_options(options(ask))["prediction"]
    except GpuserveError as error:
        return answer(fits=False, error=str(error)[:300])
    held = prediction["max_concurrency"]
    return answer(
        weights=prediction["weight_bytes_per_gpu"],
        tokens=prediction["kv_cache_tokens"],
        # blocks are whole; the figure that vLLM would refuse by is bytes a block times blocks a request
        request=prediction["kv_cache_memory_bytes"] * ask["length"] / prediction["kv_cache_tokens"] if held else None,
        fits=True,
    )
