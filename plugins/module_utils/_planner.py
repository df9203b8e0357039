# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Decides how the cards of one host serve a model: every candidate is weighed, one is chosen and spelled out.

The rule, before the facts of the machine refine it: as many cards as possible, each replica on as few as possible.
That is data parallel where one card holds the model and its KV cache, hybrid where half of the cards do, and tensor
parallel otherwise.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._cpu import plan_cpu, rehearse
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit, select_units
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_explain import (
    idle_text,
    reason_text,
    why_not_chosen,
    why_refused,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import Fitter, GroupFit, gib
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_instances import check_ports, instances
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import OPTIONS, PlanRequest, Workload
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed, weigh
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import release_for
from ansible_collections.gpuserve.inference.plugins.module_utils._types import DTYPE_BYTES, Candidate, Plan

__all__ = ["OPTIONS", "PlanRequest", "Workload", "make_plan", "plan_from_options"]

# Tensor parallel is preferred to data parallel for one fast stream only where it is clearly faster.
LATENCY_GAIN = 0.9
CLOSE_ENOUGH = 1.05


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
            "no GPUs to plan for: gpus is empty; check the driver with nvidia-smi, or set device: cpu "
            "(vllm_device: cpu)"
        )
    units, notes = select_units(request, release)
    warnings += notes
    if not units:
        raise PlanError(f"no usable card is left: {'; '.join(notes)}")
    _check_counts(request, units)

    fabric = Fabric(request)
    fitter = Fitter(request, release, fabric)
    weighed = weigh(request, units, fabric, fitter)
    chosen, relaxed = choose(request, weighed, units, fitter, fabric)
    check_ports(request, chosen.replicas)
    warnings += _warnings_about(chosen, relaxed, units, weighed, request, fabric, fitter)
    hint = _fp8_hint(weighed, units, fitter)
    plan = Plan(
        topology=chosen.topology,
        replicas=chosen.replicas,
        tensor_parallel_size=chosen.tp,
        load_balancer=chosen.replicas > 1,
        max_model_len=chosen.max_model_len,
        instances=instances(request, release, chosen.fits, chosen.max_model_len, fabric),
        prediction=dict(chosen.prediction),
        reason=reason_text(request, chosen, units, weighed, fabric, hint),
        candidates=tuple(_candidate(w, chosen, request, relaxed) for w in weighed),
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
    )
    return rehearse(plan, request, release) if request.rehearsal else plan


# ---------------------------------------------------------------- choosing


def choose(
    request: PlanRequest, weighed: tuple[Weighed, ...], units: tuple[Unit, ...], fitter: Fitter, fabric: Fabric
) -> tuple[Weighed, bool]:
    """The candidate to run, and whether the workload's need had to be given up to find one."""
    pool = [w for w in weighed if _allowed(w, request)]
    if request.single_endpoint and not request.tensor_parallel_size:
        pool = [w for w in weighed if w.replicas == 1 and (request.topology != "tensor_parallel" or w.tp > 1)]
    if not pool:
        _refuse_override(request, weighed, units)
    for relaxed in (False, True):
        able = [w for w in pool if (w.starts if relaxed else w.serves)]
        if able:
            return _prefer(request, able, fabric), relaxed
    why = why_refused(request, pool)
    hint = _fp8_hint(weighed, units, fitter)
    raise PlanError(why + (f"; {hint}" if hint else ""), tuple(_candidate(w, None, request, False) for w in weighed))


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


def _prefer(request: PlanRequest, able: list[Weighed], fabric: Fabric) -> Weighed:
    if request.single_endpoint or request.topology == "tensor_parallel":
        return max(able, key=lambda w: (w.tp, w.replicas))
    best = min(able, key=lambda w: (-w.quiet_cards, w.tp, -w.cards))
    if request.workload.name != "latency" or request.topology != "auto":
        return best
    return _faster_over_nvlink(best, able, fabric)


def _faster_over_nvlink(best: Weighed, able: list[Weighed], fabric: Fabric) -> Weighed:
    """For latency, splitting over NVLink pays where the time a token falls clearly."""
    base = best.prediction.get("tpot_ms")
    rivals = [
        w
        for w in able
        if w.tp > best.tp
        and w.quiet_cards == best.quiet_cards
        and w.prediction.get("tpot_ms")
        and all(fabric.nvlink(f.group) for f in w.fits)
    ]
    if not base or not rivals:
        return best
    fastest = min(w.prediction["tpot_ms"] for w in rivals)
    if fastest > LATENCY_GAIN * base:
        return best
    return min((w for w in rivals if w.prediction["tpot_ms"] <= CLOSE_ENOUGH * fastest), key=lambda w: w.tp)


def _check_counts(request: PlanRequest, units: tuple[Unit, ...]) -> None:
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
        tuple(_candidate(w, None, request, False) for w in weighed),
    )


# ---------------------------------------------------------------- telling


def _candidate(w: Weighed, chosen: Optional[Weighed], request: PlanRequest, relaxed: bool) -> Candidate:
    if w is chosen:
        why = "chosen" + (f", although {w.problem}" if relaxed and w.problem else "")
        return Candidate(w.topology, w.replicas, w.tp, True, why, dict(w.prediction))
    if not w.serves and not (relaxed and w.starts):
        return Candidate(w.topology, w.replicas, w.tp, False, w.problem, dict(w.prediction))
    why = why_not_chosen(w, chosen, request) if chosen else "fits, but was not asked for"
    return Candidate(w.topology, w.replicas, w.tp, True, why, dict(w.prediction))


def _fp8_hint(weighed: tuple[Weighed, ...], units: tuple[Unit, ...], fitter: Fitter) -> str:
    """FP8 weights, where they would let one card do what it cannot do now."""
    model = fitter.model
    if model.quantization or DTYPE_BYTES.get(model.dtype, 2) != 2:
        return ""
    if all(fitter.fit((u,), len(units)).serves for u in units):
        return ""
    small = fitter.as_fp8()
    fits = [small.fit((u,), len(units)) for u in units]
    if not all(f.serves for f in fits):
        return ""
    rank = min((f.memory for f in fits if f.memory is not None), key=lambda m: m.kv_bytes)
    length = small.auto_length(tuple(fits))
    gain = "make it data parallel" if len(units) > 1 else "make it possible"
    return (
        f"FP8 weights ({gib(rank.weights)}) would fit one card and {gain}, with about "
        f"{rank.kv.tokens(rank.kv_bytes, length):,} tokens of KV cache a card"
    )


def _warnings_about(
    chosen: Weighed,
    relaxed: bool,
    units: tuple[Unit, ...],
    weighed: tuple[Weighed, ...],
    request: PlanRequest,
    fabric: Fabric,
    fitter: Fitter,
) -> list[str]:
    out = []
    if relaxed:
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
    if request.workload.given and request.workload.tpot_ms and chosen.prediction.get("tpot_ms"):
        tpot = chosen.prediction["tpot_ms"]
        if tpot > request.workload.tpot_ms:
            out.append(
                f"workload: {tpot:g} ms a token are predicted for one stream, the target is "
                f"{request.workload.tpot_ms:g}"
            )
    return out
