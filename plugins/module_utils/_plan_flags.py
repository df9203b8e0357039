# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Arguments of ``vllm serve`` that an operator adds to the planned ones."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

# Flags the plan owns, and the option that sets them.
OWNED_FLAGS = {
    "--host": "gateway_listen or public_endpoint",
    "--port": "base_port",
    "--uds": "base_port",
    "--model": "model",
    "--model-tag": "model",
    "--tensor-parallel-size": "topology or tensor_parallel_size",
    "-tp": "topology or tensor_parallel_size",
    "--pipeline-parallel-size": "topology",
    "-pp": "topology",
    "--data-parallel-size": "topology or replicas",
    "-dp": "topology or replicas",
    "--data-parallel-size-local": "topology or replicas",
    "-dpl": "topology or replicas",
    "--data-parallel-rank": "topology or replicas",
    "-dpn": "topology or replicas",
    "--nnodes": "topology",
    "--node-rank": "topology",
    "--headless": "topology",
    "--served-model-name": "served_model_name",
    "--api-key": "gateway_api_keys",
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--enforce-eager": "enforce_eager",
    "--shutdown-timeout": "shutdown_timeout",
    "--device": "device",
    "--device-ids": "gpu_ids",
}
# Flags that are let through, but make the prediction a guess.
UNPLANNED_FLAGS = (
    "--kv-cache-memory-bytes",
    "--num-gpu-blocks-override",
    "--block-size",
    "--speculative-config",
    "--enable-lora",
    "--cpu-offload-gb",
    "--kv-offloading-size",
    "--quantization",
    "--dtype",
    "--config",
    "--hf-overrides",
    "--api-server-count",
    "--decode-context-parallel-size",
    "--compilation-config",
    "--max-cudagraph-capture-size",
)


def check_extra_args(args: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arguments as strings, and warnings for those that the prediction does not know."""
    words, notes = [], []
    for item in args:
        if isinstance(item, (Mapping, list, tuple, bool)) or item is None:
            raise InputError(f"extra_args: {item!r} is not a word: give a list of strings such as ['--dtype', 'half']")
        word = str(item)
        words.append(word)
        if not word.startswith("-"):
            continue
        if " " in word.split("=", 1)[0]:
            raise InputError(f"extra_args: {word!r} holds more than one word: give each word as its own item")
        flag = word.split("=", 1)[0]
        if flag.startswith("--"):
            flag = flag.replace("_", "-")  # vLLM accepts both spellings
            flag = "--" + flag[5:] if flag.startswith("--no-") and "--" + flag[5:] in OWNED_FLAGS else flag
        if flag in OWNED_FLAGS:
            raise InputError(f"extra_args: {flag} is set by the plan: use {_variables(OWNED_FLAGS[flag])} instead")
        if flag in UNPLANNED_FLAGS:
            notes.append(f"extra_args: {flag} is not in the memory prediction: compare with what the engine logs")
    return tuple(words), tuple(notes)


def _variables(option: str) -> str:
    names = option.split(" or ")
    return " or ".join(
        n if n.startswith("gateway_") else f"{n} (role variable vllm_{ROLE_NAMES.get(n, n)})" for n in names
    )


ROLE_NAMES = {"gpu_ids": "gpus"}
