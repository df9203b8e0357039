# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What would change the answer: each sentence is the same computation with one thing changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_element_bytes
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_choose import RATE_GAIN, Choice
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_explain import (
    TARGET_NAMES,
    cards_text,
    longer_candidate,
    shape,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import Fitter, GroupFit, gib, round_length
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import (
    QUANT_BYTES,
    embedding_bytes,
    fp8_weight_bytes,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import DTYPE_BYTES, Model

MOST = 4
WORTH = 1.02  # a gain below 2 % is no advice
FEW_SEQS = 64  # requests at once that a lowered max_num_seqs still leaves, unless the workload needs more
SPLITS = (1, 2, 4, 8, 16)  # that are tried when the server's own cards are too few ...
MORE_CARDS = (2, 3, 4, 6, 8, 12, 16)  # ... over so many
WISHED_REQUESTS = 4  # of full length at once, where a shorter max_model_len is offered


@dataclass(frozen=True)
class Case:
    """A decision, with all that is needed to ask what another one would take."""

    request: PlanRequest
    release: Release
    units: tuple[Unit, ...]
    weighed: tuple[Weighed, ...]
    fitter: Fitter
    fabric: Fabric
    choice: Optional[Choice]

    @property
    def chosen(self) -> Optional[Weighed]:
        return self.choice.chosen if self.choice else None

    @property
    def split_for_memory(self) -> bool:
        """More than one card a replica, and not because somebody or something preferred it."""
        chosen = self.chosen
        if chosen is None or chosen.tp == 1 or self.request.single_endpoint:
            return False
        asked = self.request.topology != "auto" or self.request.tensor_parallel_size > 1
        return not asked and not self._single_serves()

    def _single_serves(self) -> bool:
        return all(self.fitter.fit((u,), len(self.units)).serves for u in self.units)

    @property
    def shortened(self) -> bool:
        """auto had to stay below the model's own length."""
        limit = self.request.model.max_position_embeddings
        return bool(self.chosen is not None and not self.request.max_model_len and self.chosen.max_model_len < limit)

    @property
    def short_of_cache(self) -> bool:
        """It is the KV cache that is too small, not only the weights that are too large."""
        return self.choice is None or self.choice.relaxed or self.shortened

    @property
    def limited(self) -> bool:
        return self.short_of_cache or self.split_for_memory


Advisor = Callable[[Case], str]


def advice(case: Case) -> tuple[str, ...]:
    """At most four sentences, most useful first; none where nothing is limited."""
    out = list(_for_targets(case))
    if case.limited:
        out += _first(case, (smaller_weights, _four_bit, _shorter, _fp8_cache, _longer, _fewer_seqs, _more_cards))
    out += _first(case, (_faster_link,))
    return tuple(dict.fromkeys(_sentence(text) for text in out))[:MOST]


def refusal_advice(case: Case) -> tuple[str, ...]:
    """For a model that runs in no way on these cards."""
    return tuple(_first(case, (smaller_weights, _four_bit, _shorter, _fp8_cache, _fewer_seqs, _more_cards)))


def _first(case: Case, advisors: Sequence[Advisor]) -> list[str]:
    return [text for text in (advisor(case) for advisor in advisors) if text]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


# ---------------------------------------------------------------- smaller weights


def _as_fp8(model: Model) -> Optional[Model]:
    if model.quantization or DTYPE_BYTES.get(model.dtype, 2) != 2:
        return None
    return replace(model, weight_bytes=fp8_weight_bytes(model), quantization="fp8", weight_groups={})


def _as_four_bit(model: Model) -> Optional[Model]:
    """In 4 bits with a scale for each 128 weights; embeddings and head left as they are."""
    each = QUANT_BYTES["awq"]
    now = QUANT_BYTES.get(str(model.quantization).lower(), 1.0) if model.quantization else float(model.element_bytes)
    if now <= 2 * each and now < 1.0:
        return None
    kept = min(embedding_bytes(model), model.weight_bytes)
    size = int(kept + (model.weight_bytes - kept) * each / now)
    config = {"group_size": 128}
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
    if fp8 is not None and _smallest_split(case, case.fitter.changed(fp8)) == 1:
        return ""  # FP8 is enough, and closer to the original
    return _with_weights(case, model, "4-bit weights (AWQ or GPTQ)")


def _with_weights(case: Case, model: Model, what: str) -> str:
    small = case.fitter.changed(model)
    if case.chosen is not None and not case.split_for_memory and not (case.choice and case.choice.relaxed):
        return ""
    tp = _smallest_split(case, small)
    now = (
        case.chosen.tp if case.chosen is not None and not (case.choice and case.choice.relaxed) else len(case.units) + 1
    )
    if not tp or tp >= now:
        return ""
    fits = _fits_of_size(case, small, tp)
    rank = min((f.memory for f in fits if f.memory is not None), key=lambda m: m.kv_bytes)
    tokens = rank.kv.tokens(rank.kv_bytes, small.auto_length(fits))
    room = f"with about {tokens:,} tokens of KV cache a {'card' if tp == 1 else 'replica'}"
    if tp > 1:
        return f"{what} ({gib(rank.weights)} a card) would need {tp} cards a replica, {room}"
    gain = "make it data parallel" if len(case.units) > 1 else "make it possible"
    return f"{what} ({gib(rank.weights)}) would fit one card and {gain}, {room}"


def _fits_of_size(case: Case, fitter: Fitter, tp: int) -> list[GroupFit]:
    """Every card alone, or the first cards of one kind together."""
    if tp == 1:
        return [fitter.fit((u,), len(case.units)) for u in case.units]
    whole = [u for u in case.units if not u.is_mig]
    for unit in whole:
        group = tuple(u for u in whole if u.kind == unit.kind)[:tp]
        if len(group) == tp:
            return [fitter.fit(group, max(len(whole) // tp, 1))]
    return []


def _smallest_split(case: Case, fitter: Fitter) -> int:
    """The fewest cards a replica that serve the workload; 0 where none do."""
    for tp in range(1, len(case.units) + 1):
        if fitter.split_problem(tp):
            continue
        fits = _fits_of_size(case, fitter, tp)
        if fits and all(f.serves for f in fits):
            return tp
    return 0


# ---------------------------------------------------------------- KV cache


def _closest(case: Case) -> Optional[Weighed]:
    """The candidate that was chosen, or that came closest."""
    if case.chosen is not None:
        return case.chosen
    able = [w for w in case.weighed if w.fits]
    return max(able, key=lambda w: (w.tp, -w.replicas), default=None)


def _fp8_cache(case: Case) -> str:
    w = _closest(case)
    request, model = case.request, case.fitter.model
    if w is None or request.kv_cache_dtype != "auto" or kv_element_bytes(model, "auto") != 2:
        return ""
    if not all(_has_fp8(u, request) for f in w.fits for u in f.group):
        return ""
    other = case.fitter.changed(kv_cache_dtype="fp8")
    what = "an FP8 KV cache (kv_cache_dtype fp8)"
    if case.split_for_memory and _smallest_split(case, other) == 1:
        fits = _fits_of_size(case, other, 1)
        return f"{what} would make one card enough: data parallel with {_tokens(other, fits):,} tokens a card"
    fits = [other.fit(f.group, w.replicas) for f in w.fits]
    if not case.short_of_cache or not all(f.starts for f in fits):
        return ""
    if case.chosen is None:
        return f"{what} would make {shape(w)} possible, with {_tokens(other, fits):,} tokens an instance"
    tokens, now = _tokens(other, fits), int(w.prediction["kv_cache_tokens"])
    length = other.auto_length(fits)
    if tokens < WORTH * now:
        return ""
    text = f"{what} would hold {tokens:,} tokens an instance instead of {now:,}"
    return text + (f", and max_model_len {length:,} instead of {w.max_model_len:,}" if length > w.max_model_len else "")


def _has_fp8(unit: Unit, request: PlanRequest) -> bool:
    """Ada, Hopper and later convert to FP8 in hardware."""
    gpu = next(g for g in request.gpus if g.index == unit.index)
    try:
        return tuple(int(part) for part in gpu.compute_capability.split(".")) >= (8, 9)
    except ValueError:
        return False


def _tokens(fitter: Fitter, fits: Sequence[GroupFit]) -> int:
    length = fitter.auto_length(fits)
    return min(f.memory.kv.tokens(f.kv_bytes, length) for f in fits if f.memory is not None)


def _shorter(case: Case) -> str:
    """A length that one card holds, or one that more than a request or two fit into."""
    request, w = case.request, _closest(case)
    if w is None:
        return ""
    if request.max_model_len and (case.chosen is None or case.split_for_memory):
        other = case.fitter.changed(max_model_len=0)
        tp = _smallest_split(case, other)
        if tp and tp < (case.chosen.tp if case.chosen else len(case.units) + 1):
            length = other.auto_length(_fits_of_size(case, other, tp))
            if length < request.max_model_len:
                gain = "make one card enough for a replica" if tp == 1 else f"need {tp} cards a replica"
                return f"max_model_len {length:,} instead of {request.max_model_len:,} would {gain}"
        return ""
    if case.chosen is None or not w.prediction.get("max_concurrency"):
        return ""
    weakest = min(w.fits, key=lambda f: f.kv_bytes)
    now = float(w.prediction["max_concurrency"])
    if weakest.memory is None or now >= WISHED_REQUESTS / 2:
        return ""
    length = weakest.memory.kv.longest(weakest.kv_bytes // WISHED_REQUESTS, w.max_model_len)
    length = round_length(length)
    if length < 1:
        return ""
    held = weakest.memory.kv.concurrency(weakest.kv_bytes, length)
    return (
        f"max_model_len {length:,} instead of {w.max_model_len:,} would let {held:.1f} requests of full length run at "
        f"once in each instance instead of {now:.1f}"
    )


def _longer(case: Case) -> str:
    chosen = case.chosen
    if chosen is None or not case.shortened or case.request.single_endpoint:
        return ""
    longer = longer_candidate(chosen, case.weighed)
    if longer is None:
        return ""
    return (
        f"{shape(longer)} would hold requests of {longer.max_model_len:,} tokens instead of "
        f"{chosen.max_model_len:,}: set max_model_len to more than {chosen.max_model_len:,} to get it"
    )


def _fewer_seqs(case: Case) -> str:
    w = _closest(case)
    if w is None or not w.fits or not case.short_of_cache:
        return ""
    share = case.request.workload.per_instance(w.replicas)
    seqs = FEW_SEQS
    while seqs < share:
        seqs *= 2
    weakest = min(w.fits, key=lambda f: f.kv_bytes)
    if weakest.memory is None or weakest.max_num_seqs <= seqs:
        return ""
    other = case.fitter.changed(max_num_seqs=seqs)
    fit = other.fit(weakest.group, w.replicas)
    if fit.memory is None or not fit.starts:
        return ""
    freed = fit.memory.kv_bytes - weakest.memory.kv_bytes
    tokens, now = _tokens(other, [fit]), int(w.prediction.get("kv_cache_tokens") or 0)
    what = f"max_num_seqs {seqs} instead of {weakest.max_num_seqs} would free {gib(freed)} a card"
    if case.chosen is None:
        return f"{what} and make {shape(w)} possible, with {tokens:,} tokens an instance"
    return f"{what}: {tokens:,} tokens an instance instead of {now:,}" if tokens > WORTH * now else ""


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
                each = f"with {_tokens(other, [fit]):,} tokens of KV cache a replica"
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


def _faster_link(case: Case) -> str:
    """NVLink that a word for the workload leaves unused: the load in numbers would use it."""
    chosen, request = case.chosen, case.request
    if chosen is None or request.workload.given or request.workload.name == "latency" or request.topology != "auto":
        return ""
    if request.single_endpoint or request.tensor_parallel_size or request.replicas or not chosen.speed.known:
        return ""
    rivals = [
        w
        for w in case.weighed
        if w.serves
        and w.tp > chosen.tp
        and w.cards == chosen.cards
        and all(case.fabric.nvlink(f.group) for f in w.fits)
    ]
    best = max(rivals, key=lambda w: (w.speed.rate, -w.tp), default=None)
    if best is None or best.speed.rate < RATE_GAIN * chosen.speed.rate:
        return ""
    return (
        f"{shape(best)} over NVLink is predicted to make {best.speed.rate:,.0f} tokens a second instead of "
        f"{chosen.speed.rate:,.0f} with {request.workload.loaded(chosen.speed.concurrency)}: give the workload in "
        f"numbers if that is your load, replicas of {cards_text(chosen.tp)} keep requests from holding up one another"
    )
