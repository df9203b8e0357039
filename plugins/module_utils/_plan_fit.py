# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Whether one replica runs on a group of cards, and how well: the question behind every candidate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._memory import (
    RankMemory,
    highest_utilization,
    rank_memory,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import fp8_weight_bytes, split_problem
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import GIB, Release, batch_tier
from ansible_collections.gpuserve.inference.plugins.module_utils._speed import tpot_ms
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

# max_model_len auto: a shorter context than this (or than the model's own) is no service worth starting
SHORTEST_AUTO = 2048
AUTO_STEP = 256  # auto rounds down to this, so that a few free megabytes more or less do not change the plan


def gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


@dataclass(frozen=True)
class GroupFit:
    """One replica on one group of cards."""

    group: tuple[Unit, ...]
    memory: Optional[RankMemory]
    max_num_seqs: int
    max_num_batched_tokens: int
    longest: int  # the longest request it surely holds
    starts: bool  # vLLM starts and holds one request of max_model_len
    serves: bool  # and there is room for the workload
    problem: str = ""
    lowered_from: float = 0.0  # utilisation wanted, where less is free

    @property
    def grade(self) -> int:
        return int(self.starts) + int(self.serves)


class Fitter:
    """Answers fit questions for one request; remembers them, since candidates share groups."""

    def __init__(self, request: PlanRequest, release: Release, fabric: Fabric, model: Optional[Model] = None) -> None:
        self.request, self.release, self.fabric = request, release, fabric
        self.model = model or request.model
        self._split: dict[int, Optional[str]] = {}
        self._known: dict[tuple[tuple[Unit, ...], int], GroupFit] = {}

    def as_fp8(self) -> Fitter:
        model = replace(self.model, weight_bytes=fp8_weight_bytes(self.model), quantization="fp8", weight_groups={})
        return Fitter(self.request, self.release, self.fabric, model)

    def split_problem(self, tp: int) -> Optional[str]:
        if tp not in self._split:
            self._split[tp] = split_problem(self.model, tp)
        return self._split[tp]

    def fit(self, group: tuple[Unit, ...], replicas: int) -> GroupFit:
        share = self.request.workload.per_instance(replicas)
        key = (group, share)
        if key not in self._known:
            self._known[key] = self._fit(group, share)
        return self._known[key]

    def _fit(self, group: tuple[Unit, ...], share: int) -> GroupFit:
        request, release, model, tp = self.request, self.release, self.model, len(group)
        tier = batch_tier(release, min(u.nvml_total for u in group), group[0].name)
        seqs = request.max_num_seqs or min(tier.max_num_seqs, request.max_num_batched_tokens or tier.max_num_seqs)
        batched = request.max_num_batched_tokens or max(tier.max_num_batched_tokens, seqs)
        wanted = request.gpu_memory_utilization or release.gpu_memory_utilization
        cuda_total = min(u.cuda_total for u in group)

        def memory(utilization: float) -> RankMemory:
            return rank_memory(
                model,
                release,
                tp,
                cuda_total=cuda_total,
                utilization=utilization,
                max_num_seqs=seqs,
                max_num_batched_tokens=batched,
                kv_cache_dtype=request.kv_cache_dtype,
                enforce_eager=request.enforce_eager,
            )

        rank = memory(wanted)
        outside = 0 if rank.graphs_in_budget else rank.graphs
        highest = min(highest_utilization(u.cuda_total, u.free, tp, self.fabric.nvlink(group), outside) for u in group)
        lowered = 0.0
        if highest < wanted:
            rank, lowered = memory(highest), wanted
        return self._judge(group, rank, seqs, batched, share, lowered)

    def _judge(
        self, group: tuple[Unit, ...], rank: RankMemory, seqs: int, batched: int, share: int, lowered: float
    ) -> GroupFit:
        request = self.request
        limit = request.max_model_len or self.model.max_position_embeddings or 1 << 20
        longest = rank.kv.longest(rank.kv_bytes_sure, limit)
        need_len = request.max_model_len or min(limit, SHORTEST_AUTO)
        if request.workload.given and not request.max_model_len:
            need_len = max(need_len, min(request.workload.tokens, limit))
        starts = longest >= need_len
        # A cache is judged at the typical request, which no request longer than max_model_len can be.
        typical = min(request.workload.tokens, limit)
        needed = rank.kv.bytes_for(share, typical)
        serves = starts and needed <= rank.kv_bytes_sure
        problem = ""
        left = rank.kv_bytes_sure
        if left <= 0:
            parts = f"weights {gib(rank.weights)} + activations and buffers {gib(rank.overhead + rank.safety_bytes)}"
            problem = f"{parts} exceed the {gib(rank.budget)} usable of a card by {gib(-left)}"
        elif not starts:
            short = rank.kv.bytes_for(1, need_len)
            problem = (
                f"weights {gib(rank.weights)} leave {gib(left)} for KV cache, one request of {need_len:,} "
                f"tokens needs {gib(short)}: {gib(short - left)} short"
            )
        elif not serves:
            problem = (
                f"weights {gib(rank.weights)} leave {gib(left)} for KV cache, {request.workload.name} work "
                f"({share} x {typical:,} tokens) "
                f"needs {gib(needed)}: {gib(needed - left)} short"
            )
        if problem and lowered:
            problem += f" (others leave only {rank.utilization:.0%} of the card)"
        return GroupFit(group, rank, seqs, batched, longest, starts, serves, problem, lowered)

    def auto_length(self, fits: tuple[GroupFit, ...]) -> int:
        """max_model_len for all replicas: the shortest of what each surely holds."""
        if self.request.max_model_len:
            return self.request.max_model_len
        longest = min(f.longest for f in fits)
        limit = self.model.max_position_embeddings
        if limit and longest >= limit:
            return limit
        return longest // AUTO_STEP * AUTO_STEP or longest

    def prediction(self, fits: tuple[GroupFit, ...], max_model_len: int) -> dict[str, Any]:
        """Of one instance; where cards differ, of the weakest."""
        ranks = [(f.memory, f) for f in fits if f.memory is not None]
        memory, weakest = min(ranks, key=lambda rank: rank[0].kv_bytes)
        out = memory.prediction(max_model_len)
        group = weakest.group
        tpot = None if group[0].is_mig else tpot_ms(self.model, group[0].name, len(group), self.fabric.nvlink(group))
        out.update(
            max_num_seqs=weakest.max_num_seqs,
            max_num_batched_tokens=weakest.max_num_batched_tokens,
            tpot_ms=tpot,
            ttft_ms=None,
        )
        return out
