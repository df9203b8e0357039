# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What would change the answer: each sentence is the same computation with one thing changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._plan_advice_cache import (
    fewer_sequences,
    fp8_cache,
    longer_length,
    shorter_length,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_case import (
    Case,
    fits_of_size,
    smallest_split,
    tokens_of,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_choose import RATE_GAIN, asked_for
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_explain import TARGET_NAMES, cards_text, shape
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import Fitter, gib
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import (
    QUANT_BYTES,
    embedding_bytes,
    fp8_weight_bytes,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import DTYPE_BYTES, Model

MOST = 4
PCIE_GAIN = 1.2  # tokens a second that an alternative must promise to be worth a measurement
SPLITS = (1, 2, 4, 8, 16)  # that are tried when the server's own cards are too few ...
MORE_CARDS = (2, 3, 4, 6, 8, 12, 16)  # ... over so many


Advisor = Callable[[Case], str]


def advice(case: Case) -> tuple[str, ...]:
    """At most four sentences, most useful first; none where nothing is limited."""
    out = list(_for_targets(case))
    if case.limited:
        out += _first(case, (smaller_weights, _four_bit, shorter_length, fp8_cache))
        out += _first(case, (longer_length, fewer_sequences, _more_cards))
    out += _first(case, (_faster_queue, _faster_split))
    return tuple(dict.fromkeys(_sentence(text) for text in out))[:MOST]


def refusal_advice(case: Case) -> tuple[str, ...]:
    """For a model that runs in no way on these cards."""
    return tuple(_first(case, (smaller_weights, _four_bit, shorter_length, fp8_cache, fewer_sequences, _more_cards)))


def _first(case: Case, advisors: Sequence[Advisor]) -> list[str]:
    return [text for text in (advisor(case) for advisor in advisors) if text]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


# ---------------------------------------------------------------- smaller weights


def _as_fp8(model: Model) -> Optional[Model]:
    if model.quantization or DTYPE_BYTES.get(model.dtype, 2) != 2:
        return None
    small = fp8_weight_bytes(model)
    config = {"quant_method": "fp8"}
    return replace(model, weight_bytes=small, quantization="fp8", quantization_config=config, weight_groups={})


def _as_four_bit(model: Model) -> Optional[Model]:
    """In 4 bits with a scale for each 128 weights; embeddings and head left as they are."""
    each = QUANT_BYTES["awq"]
    now = QUANT_BYTES.get(str(model.quantization).lower(), 1.0) if model.quantization else float(model.element_bytes)
    if now <= 2 * each and now < 1.0:
        return None
    kept = min(embedding_bytes(model), model.weight_bytes)
    size = int(kept + (model.weight_bytes - kept) * each / now)
    config = {"quant_method": "awq", "bits": 4, "group_size": 128}
    return replace(model, weight_bytes=size, quantization="awq", quantization_config=config, weight_groups={})


def smaller_weights(case: Case) -> str:
    """FP8 weights, where they would let fewer cards do what they cannot do now."""
    model = _as_fp8(case.fitter.model)
    return _with_weights(case, model, "FP8 weights") if model else ""


def _four_bit(case: Case) -> str:
    model = _as_four_bit(case.fitter.model)
    if model is None:
        return ""
    fp8 = _as_fp8(case.fitter.model)
    if fp8 is not None and smallest_split(case, case.fitter.changed(fp8)) == 1:
        return ""  # FP8 is enough, and closer to the original
    return _with_weights(case, model, "4-bit weights (AWQ or GPTQ)")


def _with_weights(case: Case, model: Model, what: str) -> str:
    small = case.fitter.changed(model)
    if case.chosen is not None and not case.split_for_memory and not (case.choice and case.choice.relaxed):
        return ""
    tp = smallest_split(case, small)
    now = (
        case.chosen.tp if case.chosen is not None and not (case.choice and case.choice.relaxed) else len(case.units) + 1
    )
    if not tp or tp >= now:
        return ""
    fits = fits_of_size(case, small, tp)
    rank = min((f.memory for f in fits if f.memory is not None), key=lambda m: m.kv_bytes)
    tokens = rank.kv.tokens(rank.kv_bytes, small.auto_length(fits))
    room = f"with about {tokens:,} tokens of KV cache a {'card' if tp == 1 else 'replica'}"
    if tp > 1:
        return f"{what} ({gib(rank.weights)} a card) would need {tp} cards a replica, {room}"
    gain = "make it data parallel" if len(case.units) > 1 else "make it possible"
    return f"{what} ({gib(rank.weights)}) would fit one card and {gain}, {room}"


def _more_cards(case: Case) -> str:
    """The smallest number of such cards that would hold it, one replica or several."""
    if case.chosen is not None and not (case.choice and case.choice.relaxed):
        return ""
    whole = [u for u in case.units if not u.is_mig]
    if not whole:
        return ""
    alone = replace(case.request, links=())
    other = Fitter(alone, case.release, Fabric(alone), case.fitter.model)
    best = max(whole, key=lambda u: u.cuda_total)
    for count in MORE_CARDS:
        for tp in SPLITS:
            if count <= len(case.units) or count % tp or other.split_problem(tp):
                continue
            if case.request.single_endpoint and tp < count:
                continue
            group = tuple(replace(best, index=n, uuid="", free=best.cuda_total, busy=False) for n in range(tp))
            fit = other.fit(group, count // tp)
            if fit.serves:
                each = f"with {tokens_of(other, [fit]):,} tokens of KV cache a replica"
                return f"{count} cards like {best.label} would do as {count // tp} x TP{tp}, {each}"
    return ""


# ---------------------------------------------------------------- speed


def _for_targets(case: Case) -> list[str]:
    """For targets that are missed: what would meet them."""
    chosen, workload = case.chosen, case.request.workload
    if chosen is None or not workload.targets or not chosen.speed.known or chosen.speed.meets(workload.targets):
        return []
    names = " and ".join(TARGET_NAMES[key] for key in workload.targets)
    out = []
    better = [w for w in case.weighed if w.serves and w.speed.known and w.speed.meets(workload.targets)]
    if better:  # passed over only because something else was asked for
        best = max(better, key=lambda w: w.speed.rate)
        out.append(f"{shape(best)} is predicted to meet the target for {names}: {best.speed.rate:,.0f} tokens a second")
    most = _most_requests(case, chosen)
    if most:
        out.append(
            f"with at most {most:,} request{'' if most == 1 else 's'} at once instead of {workload.concurrency:,} the "
            f"target for {names} is predicted to be met"
        )
    for model, what in (
        (_as_fp8(case.fitter.model), "FP8 weights"),
        (_as_four_bit(case.fitter.model), "4-bit weights"),
    ):
        if model is None:
            continue
        other = case.fitter.changed(model)
        speed = other.speed([other.fit(f.group, chosen.replicas) for f in chosen.fits])
        if speed.known and speed.meets(workload.targets):
            times = " and ".join(f"{TARGET_NAMES[k]} {speed.of(k):,.3g} ms" for k in workload.targets)
            out.append(f"{what} are predicted to meet the target for {names}: {times}")
            break
    return out


def _most_requests(case: Case, chosen: Weighed) -> int:
    """The most requests at once on the host with which the targets are predicted to be met; 0: not even one."""
    workload = case.request.workload

    def good(number: int) -> bool:
        other = case.fitter.changed(workload=replace(workload, concurrency=number))
        speed = other.speed(chosen.fits)
        return speed.known and speed.meets(workload.targets)

    if not good(1):
        return 0
    low, high = 1, workload.concurrency
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if good(middle) else (low, middle - 1)
    return low


def _faster_queue(case: Case) -> str:
    """Replicas with too little KV cache for the load, which are predicted to be faster all the same."""
    chosen, request = case.chosen, case.request
    if chosen is None or not chosen.serves or not request.workload.given or request.workload.targets:
        return ""
    able = [w for w in asked_for(request, case.weighed) if w.roomy and not w.serves and w.tp < chosen.tp]
    best = max(able, key=lambda w: w.speed.rate, default=None)
    if best is None or best.speed.rate < PCIE_GAIN * chosen.speed.rate or not chosen.speed.known:
        return ""
    return (
        f"{shape(best)} is predicted to make {best.speed.rate:,.0f} tokens a second instead of "
        f"{chosen.speed.rate:,.0f}, although {best.speed.queued:,.0f} of {best.speed.concurrency:,} requests would "
        f"wait for KV cache (TTFT {best.speed.ttft_ms or 0:,.0f} ms): set topology {best.topology} to have it so"
    )


def _faster_split(case: Case) -> str:
    """A split that is predicted to be faster, but is not taken on a prediction alone."""
    chosen, request = case.chosen, case.request
    if chosen is None or request.topology != "auto" or not chosen.speed.known or request.workload.targets:
        return ""
    if request.single_endpoint or request.tensor_parallel_size or request.replicas:
        return ""
    rivals = [w for w in case.weighed if w.serves and w.tp > chosen.tp and w.cards == chosen.cards and w.speed.known]
    best = max(rivals, key=lambda w: (w.speed.rate, -w.tp), default=None)
    if best is None:
        return ""
    nvlink = all(case.fabric.nvlink(f.group) for f in best.fits)
    words = not request.workload.given and request.workload.name != "latency"
    if best.speed.rate < (RATE_GAIN if nvlink else PCIE_GAIN) * chosen.speed.rate or (words and not nvlink):
        return ""
    what = (
        f"{shape(best)} over {case.fabric.describe(best.fits[0].group)} is predicted to make {best.speed.rate:,.0f} "
        f"tokens a second instead of {chosen.speed.rate:,.0f} with {request.workload.loaded(chosen.speed.concurrency)}"
    )
    if nvlink:
        return (
            f"{what}: give the workload in numbers if that is your load, replicas of {cards_text(chosen.tp)} keep "
            "requests from holding up one another"
        )
    return f"{what}: servers differ much in what PCIe gives, so measure it with topology {best.topology} first"
