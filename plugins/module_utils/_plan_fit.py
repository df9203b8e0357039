# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Whether one replica runs on a group of cards, and how well: the question behind every candidate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._memory import (
    RankMemory,
    highest_utilization,
    rank_memory,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_speed import Replica, Speed, host_speed
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_workload import Workload
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import split_problem
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import GIB, Release, batch_tier
from ansible_collections.gpuserve.inference.plugins.module_utils._runtime_memory import WIDER_GRAPHS, wider_graphs_pay
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

# max_model_len auto: a shorter context than this (or than the model's own) serves no workload that is only named ...
SHORTEST_AUTO = 2048
# ... and is planned, with a warning, only where nothing else runs; vLLM's own auto would start as well
BAREST_AUTO = 256
AUTO_STEP = 256  # auto rounds down to this, so that a few free megabytes more or less do not change the plan
AUTO_LOSS = 128  # but gives up no more than one part in so many
WIDER_GRAPHS_LOSS = 0.05  # of the KV cache, for 6 to 9 % more tokens each second (docs/measurements.md)


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
    roomy: bool  # and max_model_len is no emergency
    serves: bool  # and there is room for the workload
    problem: str = ""
    lowered_from: float = 0.0  # utilisation wanted, where less is free
    pinned_bytes: int = 0  # KV cache passed to vLLM as a number; 0: vLLM sizes it by the utilisation
    max_cudagraph_capture_size: int = 0  # tokens, passed to vLLM; 0: the release's own

    @property
    def grade(self) -> int:
        return int(self.starts) + int(self.roomy) + int(self.serves)

    @property
    def kv_bytes(self) -> int:
        """What the KV cache will have."""
        return self.pinned_bytes or max(self.memory.kv_bytes if self.memory else 0, 0)


class Fitter:
    """Answers fit questions for one request; remembers them, since candidates share groups and groups are alike."""

    def __init__(
        self,
        request: PlanRequest,
        release: Release,
        fabric: Fabric,
        model: Optional[Model] = None,
        known_splits: Optional[dict[int, Optional[str]]] = None,
    ) -> None:
        self.request, self.release, self.fabric = request, release, fabric
        self.model = model or request.model
        self._split: dict[int, Optional[str]] = {} if known_splits is None else known_splits
        self._known: dict[tuple[tuple[Unit, ...], int], GroupFit] = {}
        self._alike: dict[tuple[Any, ...], GroupFit] = {}
        self._ranks: dict[tuple[Any, ...], RankMemory] = {}

    def changed(self, model: Optional[Model] = None, **options: Any) -> Fitter:
        """The same question with another model or other options: for advice."""
        splits = self._split if model is None else None
        return Fitter(replace(self.request, **options), self.release, self.fabric, model or self.model, splits)

    def split_problem(self, tp: int) -> Optional[str]:
        if tp not in self._split:
            self._split[tp] = split_problem(self.model, tp, self.release)
        return self._split[tp]

    def fit(self, group: tuple[Unit, ...], replicas: int) -> GroupFit:
        share = self.request.workload.per_instance(replicas)
        key = (group, share)
        if key not in self._known:
            own = self._fit(group, share, self.request.max_cudagraph_capture_size)
            self._known[key] = self._wider(own, group, share) or own
        return self._known[key]

    def _wider(self, own: GroupFit, group: tuple[Unit, ...], share: int) -> Optional[GroupFit]:
        """The same with larger graphs, where those were measured to be faster and the cache hardly gets smaller."""
        request = self.request
        if not request.auto_graphs or request.enforce_eager or own.max_num_batched_tokens <= WIDER_GRAPHS:
            return None
        if not own.starts or not wider_graphs_pay(self.model, self.release, group[0].capability):
            return None
        wide = self._fit(group, share, WIDER_GRAPHS)
        as_good = wide.grade == own.grade and wide.longest == own.longest and wide.lowered_from == own.lowered_from
        return wide if as_good and wide.kv_bytes >= (1 - WIDER_GRAPHS_LOSS) * own.kv_bytes else None

    def _rank(
        self, tp: int, cuda_total: int, utilization: float, seqs: int, batched: int, capability: str, graphs: int
    ) -> RankMemory:
        key = (tp, cuda_total, utilization, seqs, batched, capability, graphs)
        if key not in self._ranks:
            flags = self.request.kv_flags
            kv = kv_plan(
                self.model,
                tp,
                self.release,
                self.request.kv_cache_dtype,
                batched,
                flags.block_size,
                compute_capability=capability,
                hybrid_manager=flags.hybrid_manager,
                prefix_caching=flags.prefix_caching,
                async_scheduling=flags.async_scheduling,
            )
            self._ranks[key] = rank_memory(
                self.model,
                self.release,
                tp,
                cuda_total=cuda_total,
                utilization=utilization,
                max_num_seqs=seqs,
                max_num_batched_tokens=batched,
                enforce_eager=self.request.enforce_eager,
                max_cudagraph_capture_size=graphs,
                max_model_len=self.request.max_model_len,
                compute_capability=capability,
                kv=kv,
            )
        return self._ranks[key]

    def _fit(self, group: tuple[Unit, ...], share: int, graphs: int) -> GroupFit:
        request, release, tp = self.request, self.release, len(group)
        tier = batch_tier(release, min(u.nvml_total for u in group), group[0].name)
        seqs = request.max_num_seqs or min(tier.max_num_seqs, request.max_num_batched_tokens or tier.max_num_seqs)
        batched = request.max_num_batched_tokens or max(tier.max_num_batched_tokens, seqs)
        wanted = request.gpu_memory_utilization or release.gpu_memory_utilization
        cuda_total = min(u.cuda_total for u in group)
        capability = group[0].capability
        rank = self._rank(tp, cuda_total, wanted, seqs, batched, capability, graphs)
        if rank.kv.least_batch > batched and not request.max_num_batched_tokens:
            batched = rank.kv.least_batch
            rank = self._rank(tp, cuda_total, wanted, seqs, batched, capability, graphs)
        nvlink = self.fabric.nvlink(group)
        highest = min(highest_utilization(u.cuda_total, u.free, tp, nvlink, rank.outside) for u in group)
        lowered = 0.0
        if highest < wanted:
            rank, lowered = self._rank(tp, cuda_total, highest, seqs, batched, capability, graphs), wanted
        slack = int(max(highest - rank.utilization, 0.0) * cuda_total)
        key = (tp, cuda_total, rank.utilization, seqs, batched, share, lowered, slack, capability, graphs)
        if key not in self._alike:
            self._alike[key] = self._judge(group, rank, seqs, batched, share, lowered, slack)
        return replace(self._alike[key], group=group, max_cudagraph_capture_size=graphs)

    def _judge(
        self,
        group: tuple[Unit, ...],
        rank: RankMemory,
        seqs: int,
        batched: int,
        share: int,
        lowered: float,
        slack: int,
    ) -> GroupFit:
        request, workload = self.request, self.request.workload
        limit = request.max_model_len or self.model.max_position_embeddings or 1 << 20
        left = self._sure_bytes(rank, slack)
        longest = rank.kv.longest(left, limit)
        good_len = request.max_model_len or min(limit, SHORTEST_AUTO)
        need_len = request.max_model_len or min(limit, BAREST_AUTO)
        if workload.given and not request.max_model_len:
            need_len = max(need_len, min(workload.tokens, limit))
            good_len = max(good_len, need_len)
        small_batch = rank.kv.least_batch > batched
        starts, roomy = longest >= need_len and not small_batch, longest >= good_len and not small_batch
        # A cache is judged at the typical request, which no request longer than max_model_len can be.
        typical = min(workload.held_tokens(share), limit)
        needed = rank.kv.bytes_for(share, typical)
        crowded = workload.given and share > seqs
        serves = roomy and needed <= left and not crowded
        problem = ""
        if small_batch:
            problem = (
                f"max_num_batched_tokens {batched:,} is less than a block of {rank.kv.least_batch:,} tokens, by which "
                "vLLM keeps this model's states: raise it"
            )
        elif left <= 0:
            rest = rank.budget - rank.weights - left  # with what is held back
            parts = f"weights {gib(rank.weights)} + activations and buffers {gib(rest)}"
            problem = f"{parts} exceed the {gib(rank.budget)} usable of a card by {gib(-left)}"
        elif not roomy:
            short = rank.kv.bytes_for(1, good_len)
            problem = (
                f"weights {gib(rank.weights)} leave {gib(left)} for KV cache, one request of {good_len:,} "
                f"tokens needs {gib(short)}: {gib(short - left)} short"
            )
        elif crowded:
            problem = f"max_num_seqs {seqs:,} lets only so many of {share:,} requests run at once"
        elif not serves:
            problem = (
                f"weights {gib(rank.weights)} leave {gib(left)} for KV cache, {workload.name} work "
                f"({share} x {typical:,} tokens) "
                f"needs {gib(needed)}: {gib(needed - left)} short"
            )
        if problem and lowered:
            who = "others leave" if any(u.busy for u in group) else "CUDA itself leaves"
            problem += f" ({who} only {rank.utilization:.0%} of the card)"
        pinned = 0
        if request.kv_cache_sizing == "pinned":
            pinned = rank.kv.blocks(left) * rank.kv.bytes_per_block
        return GroupFit(
            group, rank, seqs, batched, longest, starts, roomy, serves, problem, lowered, pinned if starts else 0
        )

    def _sure_bytes(self, rank: RankMemory, slack: int) -> int:
        """KV cache that is surely there.

        Sized by the utilisation, vLLM takes an error of the estimate off the cache. A pinned cache stays as it is, and
        the error goes into the free memory beyond the utilisation (``slack``), as far as there is some.
        """
        if self.request.kv_cache_sizing == "pinned":
            return min(rank.kv_bytes, rank.kv_bytes_sure + slack)
        return rank.kv_bytes_sure

    def auto_length(self, fits: Sequence[GroupFit]) -> int:
        """max_model_len for all replicas: the shortest of what each surely holds."""
        if self.request.max_model_len:
            return self.request.max_model_len
        longest = min(f.longest for f in fits)
        limit = self.model.max_position_embeddings
        if limit and longest >= limit:
            return limit
        return round_length(longest)

    def speed(self, fits: Sequence[GroupFit], workload: Optional[Workload] = None) -> Speed:
        """At the workload, or at another load."""
        ranks = [
            Replica(
                self.fabric.link_kind(f.group),
                f.group[0].name,
                len(f.group),
                f.memory.kv,
                f.kv_bytes,
                f.max_num_seqs,
                f.max_num_batched_tokens,
                min(u.pcie_gb_s for u in f.group),
            )
            for f in fits
            if f.memory is not None
        ]
        return host_speed(self.model, workload or self.request.workload, self.request.kv_cache_dtype, ranks)

    def prediction(self, fits: Sequence[GroupFit], max_model_len: int, speed: Speed) -> dict[str, Any]:
        """Of one instance; where cards differ, of the weakest. Speed is that of all replicas together."""
        able = [(f.kv_bytes, f.memory.kv_bytes, n) for n, f in enumerate(fits) if f.memory is not None]
        weakest = fits[min(able)[2]]
        if weakest.memory is None:
            raise ValueError("a prediction needs cards whose memory was predicted")
        out = weakest.memory.prediction(max_model_len)
        if weakest.pinned_bytes:
            out.update(
                pinned_figures(weakest.memory, weakest.pinned_bytes, max_model_len, self.model.known_architecture)
            )
        out.update(
            max_model_len=max_model_len,
            kv_cache_sizing=self.request.kv_cache_sizing,
            max_num_seqs=weakest.max_num_seqs,
            max_num_batched_tokens=weakest.max_num_batched_tokens,
            **speed.to_dict(self.request.workload),
        )
        if self.request.loads:
            out["speeds"] = [self.speed(fits, load).to_dict(load) for load in self.request.loads]
        return out


def round_length(longest: int) -> int:
    """A round length not above ``longest``, and close to it."""
    step = AUTO_STEP
    while step > 1 and longest < AUTO_LOSS * step:
        step //= 2
    return longest // step * step


def pinned_figures(rank: RankMemory, kv_bytes: int, max_model_len: int, known: bool) -> Mapping[str, Any]:
    """What is certain of a KV cache whose bytes are passed to vLLM, instead of what profiling will leave."""
    out: dict[str, Any] = {
        "kv_cache_bytes_per_gpu": kv_bytes,
        "kv_cache_memory_bytes": kv_bytes,
        "num_gpu_blocks": rank.kv.blocks(kv_bytes),
        "kv_cache_tokens": rank.kv.tokens(kv_bytes, max_model_len) if max_model_len else 0,
        "max_concurrency": round(rank.kv.concurrency(kv_bytes, max_model_len), 2) if max_model_len else 0.0,
    }
    if known:  # of an unknown architecture the layout itself is a guess
        out["margin_percent"] = 0.0
    return out
