# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Words for a decision: a person must be able to disagree with them, so they carry the numbers."""

from __future__ import annotations

from typing import Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_choose import Choice
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import gib
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed

TARGET_NAMES = {"ttft_ms": "TTFT", "tpot_ms": "TPOT"}


def cards_text(count: int) -> str:
    return f"{count} card{'' if count == 1 else 's'}"


def shape(w: Weighed) -> str:
    return f"{w.topology} {w.replicas} x TP{w.tp}"


def _single_card_problem(weighed: Sequence[Weighed]) -> str:
    """Why no replica stands on one card, of all cards together: fewer replicas share the load among fewer."""
    return next((w.problem for w in weighed if w.tp == 1 and not w.serves), "")


def reason_text(
    request: PlanRequest, choice: Choice, units: Sequence[Unit], weighed: Sequence[Weighed], fabric: Fabric, hint: str
) -> str:
    chosen = choice.chosen
    p = chosen.prediction
    tokens = f"{gib(p['kv_cache_bytes_per_gpu'])} for KV cache ({p['kv_cache_tokens']:,} tokens an instance)"
    weights = f"{gib(p['weight_bytes_per_gpu'])} of weights"
    parts = [request.measured] if request.measured else []
    if chosen.tp == 1:
        head = "one card holds the model"
        parts.append(f"Data parallel: {head} ({weights} of {gib(p['budget_bytes'])} usable), leaving {tokens}")
        if chosen.replicas > 1:
            parts.append(f"{chosen.replicas} replicas serve side by side with no traffic between cards")
        if choice.preferred:
            parts.append(preferred_text(request, choice))
    else:
        label = (
            "Tensor parallel" if chosen.replicas == 1 else f"Hybrid, {chosen.replicas} replicas of {chosen.tp} cards"
        )
        joined = fabric.describe(chosen.fits[0].group)
        problem = _single_card_problem(weighed)
        if request.single_endpoint:
            because = "a single endpoint is asked for"
        elif request.topology != "auto" or request.tensor_parallel_size > 1:
            because = "asked for"
        elif choice.preferred:
            because = preferred_text(request, choice)
            if problem and choice.instead_of is not None and choice.instead_of.tp > 1:
                because = f"one card is not enough: {problem}; {because}"
        elif problem:
            because = f"one card is not enough: {problem}"
        else:
            because = "it uses the most cards"
        parts.append(f"{label} over {joined}: {because}")
        parts.append(f"each card holds {weights} and leaves {tokens}")
    if chosen.tp == 1 and request.topology != "auto":
        parts.append("this topology was asked for")
    limit = request.model.max_position_embeddings
    if not request.max_model_len and limit and chosen.max_model_len < limit:
        text = f"max_model_len is {chosen.max_model_len:,}, the most that surely fits, not the model's {limit:,}"
        longer = longer_candidate(chosen, weighed)
        if longer is not None and not request.single_endpoint:
            text += f" ({shape(longer)} would hold {longer.max_model_len:,}: set max_model_len to ask for it)"
        parts.append(text)
    if request.workload.targets and chosen.speed.known and chosen.speed.meets(request.workload.targets):
        parts.append(f"the targets are met: {targets_text(chosen, request)} predicted")
    if chosen.cards < len(units):
        idle = len(units) - chosen.cards
        parts.append(
            f"{cards_text(idle)} stay{'s' if idle == 1 else ''} idle: {idle_text(chosen, units, weighed, request)}"
        )
    if hint and chosen.tp > 1:
        parts.append(hint)
    return "; ".join(parts) + "."


def longer_candidate(chosen: Weighed, weighed: Sequence[Weighed]) -> Optional[Weighed]:
    """The next larger split that holds longer requests."""
    return next((w for w in weighed if w.serves and w.max_model_len > chosen.max_model_len and w.tp > chosen.tp), None)


def preferred_text(request: PlanRequest, choice: Choice) -> str:
    """Why the rule's own candidate was passed over, with both predictions."""
    chosen, base = choice.chosen, choice.instead_of
    if base is None:
        return ""
    ours, theirs = chosen.speed, base.speed
    load = request.workload.loaded(ours.concurrency)
    if choice.preferred == "latency":
        where = "on one card" if base.tp == 1 else f"with {shape(base)}"
        streams = "one stream" if ours.concurrency == 1 else load
        return (
            f"for latency, splitting pays: {ours.tpot_ms:.3g} ms a token for {streams} are predicted, "
            f"{theirs.tpot_ms:.3g} {where}"
        )
    rates = f"{ours.rate:,.0f} tokens a second are predicted for {load}, {theirs.rate:,.0f} with {shape(base)}"
    if choice.preferred == "targets":
        missed = targets_text(base, request)
        return f"it meets the targets ({targets_text(chosen, request)} predicted), {shape(base)} does not ({missed})"
    if choice.preferred == "starved":
        held = max(theirs.concurrency - theirs.queued, 1)
        return f"{shape(base)} has KV cache for only {held:,.0f} of {theirs.concurrency:,} requests at once: {rates}"
    return rates


def targets_text(w: Weighed, request: PlanRequest) -> str:
    return " and ".join(
        f"{TARGET_NAMES[key]} {w.speed.of(key) or 0.0:,.3g} ms for {target:,.4g}"
        for key, target in request.workload.targets.items()
    )


def missed_targets(w: Weighed, request: PlanRequest) -> list[str]:
    """One line for each target that the prediction does not meet."""
    out = []
    for key, target in request.workload.targets.items():
        value = w.speed.of(key)
        if value is None:
            out.append(
                f"workload: {TARGET_NAMES[key]} cannot be predicted for this card, the target is {target:,.4g} ms"
            )
        elif value > target:
            out.append(
                f"workload: predicted {TARGET_NAMES[key]} {value:,.4g} ms with "
                f"{request.workload.loaded(w.speed.concurrency)} misses the target of {target:,.4g} ms by "
                f"{value - target:,.3g} ms ({(value / target - 1):.0%})"
            )
    return out


def idle_text(chosen: Weighed, units: Sequence[Unit], weighed: Sequence[Weighed], request: PlanRequest) -> str:
    """Why cards are not used."""
    more = [w for w in weighed if w.cards > chosen.cards]
    if request.replicas or request.tensor_parallel_size:
        return "replicas or tensor_parallel_size ask for no more"
    same_tp = next((w for w in more if w.tp == chosen.tp and w.problem), None)
    if same_tp is not None:
        return same_tp.problem
    if request.single_endpoint and chosen.tp == 1:
        return "a single endpoint is asked for and the model cannot be split"
    refused = next((w for w in more if w.tp > chosen.tp and w.problem), None)
    if refused is not None:
        return f"{shape(refused)} is not possible, {refused.problem}"
    return f"{cards_text(len(units))} cannot be divided into replicas of {cards_text(chosen.tp)}"


def why_not_chosen(w: Weighed, choice: Choice, request: PlanRequest) -> str:
    chosen = choice.chosen
    if request.single_endpoint and w.replicas > 1:
        return "fits, but a single endpoint is asked for and replicas need a balancer"
    if request.topology not in ("auto", w.topology):
        return f"fits, but topology {request.topology} is asked for"
    if request.replicas and w.replicas != request.replicas:
        return f"fits, but replicas {request.replicas} is asked for"
    if request.tensor_parallel_size and w.tp != request.tensor_parallel_size:
        return f"fits, but tensor_parallel_size {request.tensor_parallel_size} is asked for"
    ours, theirs = chosen.speed, w.speed
    both = ours.known and theirs.known
    if choice.preferred and both:
        if choice.preferred == "targets" and not theirs.meets(request.workload.targets):
            return f"fits, but misses a target: {targets_text(w, request)}"
        if choice.preferred == "latency" and (theirs.tpot_ms or 0.0) > (ours.tpot_ms or 0.0):
            stream = "one stream" if ours.concurrency == 1 else request.workload.loaded(ours.concurrency)
            return f"fits, but {stream} is slower: {theirs.tpot_ms:.3g} ms a token against {ours.tpot_ms:.3g}"
        if theirs.rate < ours.rate:
            return f"fits, but slower: {theirs.rate:,.0f} tokens a second are predicted against {ours.rate:,.0f}"
    if w.cards < chosen.cards:
        return f"fits, but uses {cards_text(w.cards)} of the {chosen.cards} that {shape(chosen)} uses"
    if w.tp < chosen.tp:
        return f"fits, but {shape(chosen)} splits the model over more cards as asked"
    if w.tp > chosen.tp:
        text = (
            f"fits, but {cards_text(chosen.tp)} already hold{'s' if chosen.tp == 1 else ''} a replica; "
            "splitting further adds a synchronisation between cards in every layer"
        )
        if both and request.workload.name == "latency":
            text += f" ({theirs.tpot_ms:.3g} ms a token against {ours.tpot_ms:.3g})"
        elif both:
            text += f" ({theirs.rate:,.0f} tokens a second against {ours.rate:,.0f})"
        return text
    return "fits, but its cards are in use by others"


def why_refused(request: PlanRequest, pool: Sequence[Weighed]) -> str:
    """One line for an error: the candidate that came closest speaks for all."""
    closest = max(pool, key=lambda w: (not w.refused, w.tp, -w.replicas))
    if request.topology == "auto" and not request.tensor_parallel_size and not request.replicas:
        name = request.model.name or request.model.architecture
        return f"{name} does not fit this server in any topology; closest is {shape(closest)}: {closest.problem}"
    asked = request.topology if request.topology != "auto" else shape(closest)
    return f"{asked} cannot run: {closest.problem}"
