# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Arguments of ``vllm serve`` that an operator adds to the planned ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

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
    "--data-parallel-start-rank": "topology or replicas",
    "-dpr": "topology or replicas",
    "--nnodes": "topology",
    "-n": "topology",
    "--node-rank": "topology",
    "-r": "topology",
    "--headless": "topology",
    "--served-model-name": "served_model_name",
    "--api-key": "gateway_api_keys",
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--device-memory-utilization": "gpu_memory_utilization",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--enforce-eager": "enforce_eager",
    "--max-cudagraph-capture-size": "max_cudagraph_capture_size",
    "--shutdown-timeout": "shutdown_timeout",
    "--trust-remote-code": "trust_remote_code",
    "--device": "device",
    "--device-ids": "gpu_ids",
}
# Flags that size the KV cache: with kv_cache_sizing pinned the plan does that itself.
SIZING_FLAGS = ("--kv-cache-memory-bytes", "--num-gpu-blocks-override")
# Flags with which the operator shapes the CUDA graphs.
GRAPH_FLAGS = ("--compilation-config", "-cc", "--optimization-level", "-O", "--cudagraph-capture-sizes")
# Flags that are let through, but make the prediction a guess.
UNPLANNED_FLAGS = (
    *SIZING_FLAGS,
    *GRAPH_FLAGS,
    "--speculative-config",
    "-sc",
    "--enable-lora",
    "--cpu-offload-gb",
    "--kv-offloading-size",
    "--quantization",
    "-q",
    "--dtype",
    "--config",
    "--hf-overrides",
    "--api-server-count",
    "-asc",
    "--decode-context-parallel-size",
    "-dcp",
    "--prefill-context-parallel-size",
    "-pcp",
    "--enable-expert-parallel",
    "-ep",
    "--limit-mm-per-prompt",
    "--mm-ipc-gpu-memory-gb",
)

# "--max-num-s" is read as --max-num-seqs; no flag of vLLM's own is the beginning of one of OWNED_FLAGS
SHORTEST_ABBREVIATION = 4


def check_extra_args(args: Sequence[Any], sizing: str = "utilization") -> tuple[tuple[str, ...], tuple[str, ...]]:
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
        flag = _flag_of(word)
        owned = _owned(flag)
        if owned:
            short = "" if owned == flag else f" (for {owned})"
            raise InputError(
                f"extra_args: {flag}{short} is set by the plan: use {_variables(OWNED_FLAGS[owned])} instead"
            )
        if sizing == "pinned" and flag in SIZING_FLAGS:
            raise InputError(
                f"extra_args: {flag} contradicts kv_cache_sizing pinned, which sizes the KV cache itself: drop it, or "
                f"use kv_cache_sizing utilization (role variable vllm_kv_cache_sizing)"
            )
        if flag in UNPLANNED_FLAGS:
            notes.append(f"extra_args: {flag} is not in the memory prediction: compare with what the engine logs")
    return tuple(words), tuple(notes)


def shapes_graphs(words: Sequence[str]) -> bool:
    return any(_flag_of(word) in GRAPH_FLAGS for word in words if word.startswith("-"))


def _flag_of(word: str) -> str:
    """The flag of a word, as vLLM's parser reads it: ``--a_b.c=1`` is ``--a-b``, ``-O3`` is ``-O``."""
    flag = word.split("=", 1)[0].split(".", 1)[0]
    if not flag.startswith("--"):
        return "-O" if flag.startswith("-O") else flag
    flag = flag.replace("_", "-")
    positive = "--" + flag[5:] if flag.startswith("--no-") else flag
    return positive if positive in OWNED_FLAGS or positive in UNPLANNED_FLAGS else flag


def _owned(flag: str) -> str:
    """The owned flag that a word means: the parser also takes the beginning of a long flag for the whole."""
    if flag in OWNED_FLAGS:
        return flag
    if flag in UNPLANNED_FLAGS or not flag.startswith("--") or len(flag) < SHORTEST_ABBREVIATION:
        return ""
    return next((owned for owned in OWNED_FLAGS if owned.startswith(flag)), "")


@dataclass(frozen=True)
class KvFlags:
    """What the operator's own arguments say of the KV cache's blocks; None is the release's default."""

    block_size: int = 0
    hybrid_manager: bool = True
    prefix_caching: Optional[bool] = None
    async_scheduling: Optional[bool] = None


def kv_flags(words: Sequence[str]) -> KvFlags:
    """Read as vLLM's parser does: the last word counts."""
    out: dict[str, Any] = {}
    for position, word in enumerate(words):
        flag, _sign, value = word.partition("=")
        name = flag.replace("_", "-")
        if name == "--block-size":
            value = value or (words[position + 1] if position + 1 < len(words) else "")
            if not value.isdigit() or not 0 < int(value) <= MOST_BLOCK:
                raise InputError(f"extra_args: --block-size {value!r} is not usable: give tokens a block, such as 32")
            out["block_size"] = int(value)
        for key, on, off in SWITCHES:
            if name in (on, off):
                out[key] = name == on
    return KvFlags(**out)


# (field of KvFlags, the flag that sets it, the flag that clears it)
SWITCHES = (
    ("hybrid_manager", "--no-disable-hybrid-kv-cache-manager", "--disable-hybrid-kv-cache-manager"),
    ("prefix_caching", "--enable-prefix-caching", "--no-enable-prefix-caching"),
    ("async_scheduling", "--async-scheduling", "--no-async-scheduling"),
)
MOST_BLOCK = 65536


def _variables(option: str) -> str:
    names = option.split(" or ")
    return " or ".join(
        n if n.startswith("gateway_") else f"{n} (role variable vllm_{ROLE_NAMES.get(n, n)})" for n in names
    )


ROLE_NAMES = {"gpu_ids": "gpus"}
