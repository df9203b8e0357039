# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What differs between vLLM releases, as data. Nothing else in the planner branches on a version.

Sources in vLLM: ``engine/arg_utils.py`` (batch defaults), ``config/cache.py`` (utilisation),
``v1/worker/gpu_worker.py`` (which terms come off the budget), ``v1/worker/gpu/`` (buffers of the newer model runner).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

GIB = 1024**3


@dataclass(frozen=True)
class BatchTier:
    """Defaults of the API server for cards with at least ``min_gib`` of memory."""

    min_gib: int
    max_num_batched_tokens: int
    max_num_seqs: int
    not_for: tuple[str, ...] = ()  # parts of card names, lower case


@dataclass(frozen=True)
class Release:
    minor: int
    gpu_memory_utilization: float
    tiers: tuple[BatchTier, ...]  # largest first
    # The newer model runner: architectures it is the default for besides dense ones; None: all models
    second_runner: Optional[frozenset[str]] = None
    second_runner_profiles_graphs: bool = True  # does it take an estimate for CUDA graphs off the budget?
    wide_graphs: tuple[int, ...] = ()  # whole compute capabilities whose graphs go up to 1024 tokens, not 512
    second_runner_profiles_encoder: bool = True  # does it profile a multimodal encoder?
    persistent_in_budget: bool = True  # do buffers made before the weights come off the budget?
    measured: bool = False  # on a card; otherwise read from the source only
    async_scheduling: bool = True  # a second batch is in flight: sliding windows keep that much more
    block_size: int = 16
    # KV cache, read in tests/truth/kv: blocks that MLA backends want, by whole compute capability and "fp8" or "auto"
    mla_blocks: tuple[tuple[int, str, int], ...] = ((9, "fp8", 64), (10, "auto", 32), (10, "fp8", 32))
    sparse_mla_block: int = 64
    # where the sparse backend keeps 656 bytes a token (V3.2's own format) for "fp8" or even "auto"
    packed_sparse_mla: tuple[tuple[int, str], ...] = ((9, "fp8"), (12, "auto"), (12, "fp8"))
    hybrid_mla_block: int = 1  # blocks of MLA beside recurrent states are a multiple of this
    null_block_reserved: int = 0  # is the pool's null block set aside before one request is asked to fit?
    hybrid_prefix_caching: bool = False  # prefix caching is on for hybrids with states: two states a request
    aligned_mamba2_states: int = 2  # of a request, with prefix caching; 3 where the prefill writes one on its way
    aligned_block_in_batch: bool = False  # with prefix caching of states, must a batch hold a whole block?
    state_mode_all: bool = False  # asked for, prefix caching keeps a state a block where the model can
    wider_windows: tuple[str, ...] = ()  # architectures whose window counts the token itself on top
    cpu_block_size: int = 128
    windows_follow_block: bool = False  # sliding windows take the engine's block size, else the kernel's smallest
    cpu_mla_block: int = 16  # without AMX
    cpu_kernel_block: int = 32
    cpu_max_num_batched_tokens: int = 2048
    cpu_max_num_seqs: int = 128
    min_compute_capability: tuple[int, int] = (7, 5)  # the CUDA 13 wheels carry nothing older


_SMALL = BatchTier(0, 2048, 256)
_LARGE = BatchTier(70, 8192, 1024, ("a100", "gb10"))
_HUGE = BatchTier(160, 16384, 1024)

# config/vllm.py: DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES
_LISTED_26 = frozenset(
    (
        "DeepseekV2ForCausalLM",
        "GraniteMoeForCausalLM",
        "InklingForCausalLM",
        "InklingForConditionalGeneration",
        "LongcatFlashNgramForCausalLM",
        "Qwen2MoeForCausalLM",
    )
)
_LISTED_27 = _LISTED_26 | {"KimiK3ForConditionalGeneration"}
_LISTED = {26: _LISTED_26, 27: _LISTED_27, 28: _LISTED_27 | {"DeepseekV4ForCausalLM"}}
OLDEST, NEWEST = 26, 33


def _release(minor: int) -> Release:
    """What each release changed: worker and model runner first, then ``v1/core/kv_cache_utils.py`` and its like."""
    return Release(
        minor=minor,
        gpu_memory_utilization=0.92,
        tiers=(_LARGE, _SMALL) if minor < 28 else (_HUGE, _LARGE, _SMALL),
        second_runner=_LISTED.get(minor),
        second_runner_profiles_graphs=minor >= 29,
        second_runner_profiles_encoder=minor >= 28,
        wide_graphs=(10,) if minor >= 28 else (),  # config/vllm.py
        persistent_in_budget=minor >= 27,  # v1/worker/gpu_worker.py: total_consumed
        measured=minor == 26,
        hybrid_mla_block=1 if minor < 27 else 128,
        state_mode_all=minor < 28,
        aligned_block_in_batch=minor < 27,
        aligned_mamba2_states=2 if minor < 32 else 3,
        hybrid_prefix_caching=minor >= 28,
        null_block_reserved=int(minor >= 29),
        wider_windows=() if minor < 29 else ("Cohere2",),
        windows_follow_block=minor >= 30,
        cpu_kernel_block=16 if minor < 29 else 32,
    )


RELEASES = {m: _release(m) for m in range(OLDEST, NEWEST + 1)}


def release_for(version: str) -> tuple[Release, Optional[str]]:
    """The data for a release, and a warning where it is newer than any known one."""
    found = re.match(r"v?(\d+)\.(\d+)(?:[.\-+a-z]|$)", str(version).strip())
    if not found:
        raise InputError(f"vllm_version {version!r} is not a version: give one like 0.32.0")
    major, minor = int(found.group(1)), int(found.group(2))
    if major == 0 and minor < OLDEST:
        raise InputError(
            f"vllm_version {version} is too old to be planned: use 0.{OLDEST} or newer (0.30 or newer is advised)"
        )
    if major > 0 or minor > NEWEST:
        return RELEASES[NEWEST], (
            f"vLLM {version} is newer than what the planner knows (0.{OLDEST} to 0.{NEWEST}): planned as "
            f"0.{NEWEST}, compare with verify"
        )
    return RELEASES[minor], None


def batch_tier(release: Release, nvml_total_bytes: int, name: str) -> BatchTier:
    low = name.lower()
    for tier in release.tiers:
        if nvml_total_bytes >= tier.min_gib * GIB and not any(part in low for part in tier.not_for):
            return tier
    return _SMALL
