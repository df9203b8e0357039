# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Decides how the cards of one host serve a model: every candidate is weighed, one is chosen and spelled out.

The rule, before the facts of the machine refine it: as many replicas as possible, over as many cards as possible.
That is data parallel where one card holds the model and its KV cache, hybrid where half of the cards do, and tensor
parallel otherwise.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._cpu import plan_cpu, rehearse
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_advice import (
    advice,
    refusal_advice,
    smaller_weights,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit, select_units
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_case import Case
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_choose import (
    Choice,
    asked_for,
    check_counts,
    choose,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_explain import (
    idle_text,
    missed_targets,
    reason_text,
    why_not_chosen,
    why_refused,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import Fitter, GroupFit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_instances import check_ports, instances
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import OPTIONS, PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed, weigh
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_workload import Workload
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import release_for
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Candidate, Plan

__all__ = ["OPTIONS", "PlanRequest", "Workload", "make_plan", "plan_from_options"]


def plan_from_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options in, plan out, both plain: what module and filter share."""
    return make_plan(PlanRequest.from_options(options)).to_dict()


def make_plan(request: PlanRequest) -> Plan:
    release, note = release_for(request.vllm_version)
    warnings = list(request.warnings) + ([note] if note else [])
    if not request.model.known_architecture:
        warnings.append(
            f"architecture {request.model.architecture} is not known to the planner: planned from its config, "
            "with a margin of 15 %"
        )
    if request.device == "cpu" and not request.rehearsal:
        return plan_cpu(request, release, tuple(warnings))
    if not request.gpus:
        raise PlanError(
            "no NVIDIA card was found on this host (gpus is empty), and device (vllm_device) is cuda; see whether "
            "lspci and nvidia-smi show one, or set it to cpu"
        )
    units, notes = select_units(request, release)
    warnings += notes
    if not units:
        raise PlanError(f"no usable card is left: {'; '.join(notes)}")
    check_counts(request, units)

    fabric = Fabric(request)
    fitter = Fitter(request, release, fabric)
    weighed = weigh(request, units, fabric, fitter)
    pool = asked_for(request, weighed)
    if not pool:
        _refuse_override(request, weighed, units)
    choice = choose(request, pool, fabric)
    case = Case(request, release, units, weighed, fitter, fabric, choice)
    if choice is None:
        hints = refusal_advice(case)
        raise PlanError(
            "; ".join([why_refused(request, pool), *hints[:1]]),
            tuple(_candidate(w, None, request) for w in weighed),
        )
    chosen = choice.chosen
    check_ports(request, chosen.replicas)
    warnings += _warnings_about(choice, units, weighed, request, fabric, fitter)
    plan = Plan(
        topology=chosen.topology,
        replicas=chosen.replicas,
        tensor_parallel_size=chosen.tp,
        load_balancer=chosen.replicas > 1,
        max_model_len=chosen.max_model_len,
        instances=instances(request, release, chosen.fits, chosen.max_model_len, fabric),
        prediction=dict(chosen.prediction),
        reason=reason_text(request, choice, units, weighed, fabric, smaller_weights(case)),
        candidates=tuple(_candidate(w, choice, request) for w in weighed),
        warnings=tuple(warnings),
        device="cuda",
        workload=request.workload.name,
        vllm_version=request.vllm_version,
        model={
            "name": request.model.name,
            "path": request.model.path,
            "revision": request.model.revision,
            "served_model_name": request.served_model_name,
        },
        advice=advice(case),
    )
    return rehearse(plan, request, release) if request.rehearsal else plan


def _refuse_override(request: PlanRequest, weighed: tuple[Weighed, ...], units: tuple[Unit, ...]) -> None:
    need = {"tensor_parallel": 2, "hybrid": 4}.get(request.topology, 1)
    if request.topology != "auto" and len(units) < need:
        raise PlanError(
            f"topology {request.topology} needs at least {need} cards, {len(units)} "
            f"{'is' if len(units) == 1 else 'are'} usable"
        )
    asked = (
        f"topology {request.topology}, replicas {request.replicas or 'auto'}, tensor_parallel_size "
        f"{request.tensor_parallel_size or 'auto'}"
    )
    raise PlanError(
        f"{asked}: no arrangement of {len(units)} cards is like that",
        tuple(_candidate(w, None, request) for w in weighed),
    )


# ---------------------------------------------------------------- telling


def _candidate(w: Weighed, choice: Optional[Choice], request: PlanRequest) -> Candidate:
    relaxed = choice is not None and choice.relaxed
    if choice is not None and w is choice.chosen:
        why = "chosen" + (f", although {w.problem}" if relaxed and w.problem else "")
        return Candidate(w.topology, w.replicas, w.tp, True, why, dict(w.prediction))
    if not w.serves and not (relaxed and w.starts):
        return Candidate(w.topology, w.replicas, w.tp, False, w.problem, dict(w.prediction))
    why = why_not_chosen(w, choice, request) if choice is not None else "fits, but was not asked for"
    return Candidate(w.topology, w.replicas, w.tp, True, why, dict(w.prediction))


def _warnings_about(
    choice: Choice,
    units: tuple[Unit, ...],
    weighed: tuple[Weighed, ...],
    request: PlanRequest,
    fabric: Fabric,
    fitter: Fitter,
) -> list[str]:
    out = []
    chosen = choice.chosen
    if choice.relaxed:
        out.append(f"no topology has room for the workload: {chosen.problem}; requests will queue")
    used = {(u.index, u.slice_number) for f in chosen.fits for u in f.group}
    for unit in units:
        if (unit.index, unit.slice_number) in used:
            continue
        fit: GroupFit = fitter.fit((unit,), max(chosen.replicas, 1))
        problem = fit.problem if chosen.tp == 1 and fit.problem else idle_text(chosen, units, weighed, request)
        out.append(f"{unit.label} is left out: {problem}")
    for fit in chosen.fits:
        names = " and ".join(u.label for u in fit.group)
        if fit.lowered_from and fit.memory is not None:
            why = "other processes use memory there" if any(u.busy for u in fit.group) else "CUDA itself needs the rest"
            out.append(
                f"{names}: gpu_memory_utilization lowered from {fit.lowered_from:g} to "
                f"{fit.memory.utilization:g}, {why}"
            )
        elif any(u.busy for u in fit.group):
            out.append(f"{names}: other processes use memory there; only what is free is planned")
        if len(fit.group) > 1 and fabric.p2p_missing(fit.group):
            out.append(
                f"{names} have no peer-to-peer access over PCIe: custom all-reduce is switched off, each layer's "
                "synchronisation goes through host memory"
            )
    lengths = {f.longest for f in chosen.fits}
    if not request.max_model_len and len(lengths) > 1 and max(lengths) > 1.05 * chosen.max_model_len:
        weak = min(chosen.fits, key=lambda f: f.longest)
        out.append(
            f"{weak.group[0].label} holds the least and limits max_model_len to {chosen.max_model_len:,} on all "
            f"replicas; others hold {max(lengths):,}"
        )
    if request.single_endpoint and chosen.tp == 1 and len(units) > 1:
        other = next((w.problem for w in weighed if w.tp > 1 and w.problem), "no split of the model fits")
        out.append(f"single_endpoint: one instance on one card, because {other}")
    if request.public_endpoint and chosen.replicas > 1:
        out.append(
            f"public_endpoint is not used: {chosen.replicas} instances need a balancer of your own in front of "
            "their ports"
        )
    return out + missed_targets(chosen, request)
