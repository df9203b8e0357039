# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Words for a decision: a person must be able to disagree with them, so they carry the numbers."""

from __future__ import annotations

from typing import Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import gib
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed


def cards_text(count: int) -> str:
    return f"{count} card{'' if count == 1 else 's'}"


def shape(w: Weighed) -> str:
    return f"{w.topology} {w.replicas} x TP{w.tp}"


def _single_card_problem(weighed: Sequence[Weighed]) -> str:
    return next((w.problem for w in weighed if w.tp == 1 and w.replicas == 1 and not w.serves), "")


def reason_text(
    request: PlanRequest, chosen: Weighed, units: Sequence[Unit], weighed: Sequence[Weighed], fabric: Fabric, hint: str
) -> str:
    p = chosen.prediction
    tokens = f"{gib(p['kv_cache_bytes_per_gpu'])} for KV cache ({p['kv_cache_tokens']:,} tokens an instance)"
    weights = f"{gib(p['weight_bytes_per_gpu'])} of weights"
    parts = []
    if chosen.tp == 1:
        head = "one card holds the model"
        parts.append(f"Data parallel: {head} ({weights} of {gib(p['budget_bytes'])} usable), leaving {tokens}")
        if chosen.replicas > 1:
            parts.append(f"{chosen.replicas} replicas serve side by side with no traffic between cards")
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
        elif problem:
            because = f"one card is not enough: {problem}"
        else:
            because = _latency_text(chosen, weighed)
        parts.append(f"{label} over {joined}: {because}")
        parts.append(f"each card holds {weights} and leaves {tokens}")
    if chosen.tp == 1 and request.topology != "auto":
        parts.append("this topology was asked for")
    limit = request.model.max_position_embeddings
    if not request.max_model_len and limit and chosen.max_model_len < limit:
        text = f"max_model_len is {chosen.max_model_len:,}, the most that surely fits, not the model's {limit:,}"
        longer = next(
            (w for w in weighed if w.serves and w.max_model_len > chosen.max_model_len and w.tp > chosen.tp), None
        )
        if longer is not None and not request.single_endpoint:
            text += f" ({shape(longer)} would hold {longer.max_model_len:,}: set max_model_len to ask for it)"
        parts.append(text)
    if chosen.cards < len(units):
        idle = len(units) - chosen.cards
        parts.append(
            f"{cards_text(idle)} stay{'s' if idle == 1 else ''} idle: {idle_text(chosen, units, weighed, request)}"
        )
    if hint and chosen.tp > 1:
        parts.append(hint)
    return "; ".join(parts) + "."


def _latency_text(chosen: Weighed, weighed: Sequence[Weighed]) -> str:
    single = next((w for w in weighed if w.tp == 1 and w.serves), None)
    ours = chosen.prediction.get("tpot_ms")
    theirs = single.prediction.get("tpot_ms") if single else None
    if ours and theirs:
        return f"for latency, splitting pays: {ours:g} ms a token for one stream are predicted, {theirs:g} on one card"
    return "it uses the most cards"


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


def why_not_chosen(w: Weighed, chosen: Optional[Weighed], request: PlanRequest) -> str:
    if chosen is None:
        return "fits"
    if request.single_endpoint and w.replicas > 1:
        return "fits, but a single endpoint is asked for and replicas need a balancer"
    if request.topology not in ("auto", w.topology):
        return f"fits, but topology {request.topology} is asked for"
    if request.replicas and w.replicas != request.replicas:
        return f"fits, but replicas {request.replicas} is asked for"
    if request.tensor_parallel_size and w.tp != request.tensor_parallel_size:
        return f"fits, but tensor_parallel_size {request.tensor_parallel_size} is asked for"
    if w.cards < chosen.cards:
        return f"fits, but uses {cards_text(w.cards)} of the {chosen.cards} that {shape(chosen)} uses"
    if w.tp < chosen.tp:
        ours, theirs = chosen.prediction.get("tpot_ms"), w.prediction.get("tpot_ms")
        if ours and theirs and request.workload.name == "latency" and ours < theirs:
            return f"fits, but one stream is slower: {theirs:g} ms a token against {ours:g}"
        return f"fits, but {shape(chosen)} splits the model over more cards as asked"
    if w.tp > chosen.tp:
        ours, theirs = chosen.prediction.get("tpot_ms"), w.prediction.get("tpot_ms")
        text = (
            f"fits, but {cards_text(chosen.tp)} already hold{'s' if chosen.tp == 1 else ''} a replica; "
            "splitting further adds a synchronisation between cards in every layer"
        )
        if ours and theirs and request.workload.name == "latency":
            text += f" ({theirs:g} ms a token against {ours:g})"
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
