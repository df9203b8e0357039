# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Chooses among the candidates that were weighed.

The rule, before the facts of the machine refine it: as many replicas as possible, over as many cards as possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed

# Over NVLink, more cards a replica are preferred only where they are clearly faster: a prediction may be off by that.
LATENCY_GAIN = 0.9  # time a token
RATE_GAIN = 1.05  # tokens a second at the operator's own numbers
# The same for one request at a time without NVLink. Servers differ in what PCIe carries, which long prompts and many
# requests depend on; one stream mostly waits for latencies, which differ little. Over two H200 without peer-to-peer
# traffic it was predicted to gain 1.10 and gained 1.20 (tests/truth/speed).
PCIE_STREAM_GAIN = 1.1
STARVED_GAIN = 1.1  # tokens a second where the KV cache is too small for the load
CLOSE_ENOUGH = 1.05  # of two that differ by less, the one with fewer cards a replica


@dataclass(frozen=True)
class Choice:
    """The candidate to run. ``instead_of`` is the rule's own candidate where another one was preferred."""

    chosen: Weighed
    relaxed: bool = False  # the workload's need had to be given up to find one
    preferred: str = ""  # "" (the rule), latency, rate, starved, targets
    instead_of: Optional[Weighed] = None


def choose(request: PlanRequest, pool: Sequence[Weighed], fabric: Fabric) -> Optional[Choice]:
    """The best of ``pool``; None where nothing in it starts."""
    for relaxed, able in (
        (False, [w for w in pool if w.serves]),
        (True, [w for w in pool if w.roomy]),
        (True, [w for w in pool if w.starts]),
    ):
        if able:
            return _prefer(request, able, fabric, relaxed)
    return None


def asked_for(request: PlanRequest, weighed: Sequence[Weighed]) -> list[Weighed]:
    """The candidates that the operator's wishes allow."""
    if request.single_endpoint and not request.tensor_parallel_size:
        return [w for w in weighed if w.replicas == 1 and (request.topology != "tensor_parallel" or w.tp > 1)]
    return [w for w in weighed if _allowed(w, request)]


def _allowed(w: Weighed, request: PlanRequest) -> bool:
    if request.replicas and w.replicas != request.replicas:
        return False
    if request.tensor_parallel_size and w.tp != request.tensor_parallel_size:
        return False
    if request.single_endpoint and w.replicas != 1:
        return False
    if request.topology == "data_parallel":
        return w.tp == 1
    if request.topology == "tensor_parallel":
        return w.replicas == 1 and w.tp > 1
    if request.topology == "hybrid":
        return w.replicas > 1 and w.tp > 1
    return True


def by_rule(able: Sequence[Weighed]) -> Weighed:
    """Most replicas, then most cards, then fewest cards a replica; cards that others use come last."""
    return min(able, key=lambda w: (-w.quiet_replicas, -w.quiet_cards, w.tp, -w.cards))


def _prefer(request: PlanRequest, able: list[Weighed], fabric: Fabric, relaxed: bool) -> Choice:
    if request.single_endpoint or request.topology == "tensor_parallel":
        return Choice(max(able, key=lambda w: (w.tp, w.replicas)), relaxed)
    base = by_rule(able)
    workload = request.workload
    if workload.targets:
        meeting = [w for w in able if w.speed.known and w.speed.meets(workload.targets)]
        if meeting and base not in meeting and base.speed.known:
            return Choice(_fastest(meeting), relaxed, "targets", base)
        able = meeting or able
    if base.speed.queued > 0:
        best = _fastest(able)
        if best.speed.rate > STARVED_GAIN * base.speed.rate > 0:
            return Choice(best, relaxed, "starved", base)
    wider = [w for w in able if w.tp > base.tp and w.quiet_cards == base.quiet_cards and w.speed.known]
    rivals = [w for w in wider if all(fabric.nvlink(f.group) for f in w.fits)]
    if not wider or not base.speed.known:
        return Choice(base, relaxed)
    if workload.name == "latency" and rivals:
        least = min(w.speed.tpot_ms or 0.0 for w in rivals)
        if least <= LATENCY_GAIN * (base.speed.tpot_ms or 0.0):
            near = [w for w in rivals if (w.speed.tpot_ms or 0.0) <= CLOSE_ENOUGH * least]
            return Choice(min(near, key=lambda w: w.tp), relaxed, "latency", base)
    elif workload.given:
        for some, gain in ((rivals, RATE_GAIN), (wider if workload.concurrency == 1 else (), PCIE_STREAM_GAIN)):
            best = _fastest(some) if some else base
            if best.speed.rate >= gain * base.speed.rate:
                return Choice(best, relaxed, "rate", base)
    return Choice(base, relaxed)


def _fastest(able: Sequence[Weighed]) -> Weighed:
    """The most tokens a second; of those that are about equal, what the rule prefers."""
    most = max(w.speed.rate for w in able)
    return by_rule([w for w in able if w.speed.rate * CLOSE_ENOUGH >= most])


# ---------------------------------------------------------------- wishes that contradict each other


def check_counts(request: PlanRequest, units: Sequence[Unit]) -> None:
    tp, replicas, count = request.tensor_parallel_size, request.replicas, len(units)
    if tp > count:
        raise InputError(
            f"tensor_parallel_size {tp} is more than the {count} usable card{'s' if count > 1 else ''}: lower it "
            "or add cards to gpu_ids"
        )
    if max(tp, 1) * replicas > count:
        raise InputError(
            f"{replicas} replicas of {max(tp, 1)} card{'s' if tp > 1 else ''} need {max(tp, 1) * replicas} cards, "
            f"{count} are usable: lower replicas"
        )
    if request.single_endpoint and (request.topology in ("data_parallel", "hybrid") or replicas > 1):
        what = f"replicas: {replicas}" if replicas > 1 else f"topology: {request.topology}"
        raise InputError(f"single_endpoint asks for one instance, {what} for several: drop one of the two")
    if request.topology == "data_parallel" and tp > 1:
        raise InputError(
            f"topology data_parallel has one card a replica, tensor_parallel_size is {tp}: drop one of the two"
        )
    if request.topology in ("tensor_parallel", "hybrid") and tp == 1:
        raise InputError(
            f"topology {request.topology} needs at least 2 cards a replica, tensor_parallel_size is 1: drop one "
            "of the two"
        )
    if request.topology == "tensor_parallel" and replicas > 1:
        raise InputError(f"topology tensor_parallel is one instance, replicas is {replicas}: use topology hybrid")
