# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Advice where the KV cache is what limits: another data type, length, or number of sequences."""

from __future__ import annotations

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_element_bytes
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_case import (
    Case,
    closest,
    fits_of_size,
    smallest_split,
    tokens_of,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_explain import longer_candidate, shape
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import gib, round_length

WORTH = 1.02  # a gain below 2 % is no advice
FEW_SEQS = 64  # requests at once that a lowered max_num_seqs still leaves, unless the workload needs more
WISHED_REQUESTS = 4  # of full length at once, where a shorter max_model_len is offered


def fp8_cache(case: Case) -> str:
    w = closest(case)
    request, model = case.request, case.fitter.model
    if w is None or request.kv_cache_dtype != "auto" or kv_element_bytes(model, "auto") != 2:
        return ""
    if not all(_has_fp8(u) for f in w.fits for u in f.group):
        return ""
    other = case.fitter.changed(kv_cache_dtype="fp8")
    what = "an FP8 KV cache (kv_cache_dtype fp8)"
    if case.split_for_memory and smallest_split(case, other) == 1:
        fits = fits_of_size(case, other, 1)
        return f"{what} would make one card enough: data parallel with {tokens_of(other, fits):,} tokens a card"
    fits = [other.fit(f.group, w.replicas) for f in w.fits]
    if not case.short_of_cache or not all(f.starts for f in fits):
        return ""
    if case.chosen is None:
        return f"{what} would make {shape(w)} possible, with {tokens_of(other, fits):,} tokens an instance"
    tokens, now = tokens_of(other, fits), int(w.prediction["kv_cache_tokens"])
    length = other.auto_length(fits)
    if tokens < WORTH * now:
        return ""
    text = f"{what} would hold {tokens:,} tokens an instance instead of {now:,}"
    return text + (f", and max_model_len {length:,} instead of {w.max_model_len:,}" if length > w.max_model_len else "")


def _has_fp8(unit: Unit) -> bool:
    """Ada, Hopper and later convert to FP8 in hardware."""
    try:
        return tuple(int(part) for part in unit.capability.split(".")) >= (8, 9)
    except ValueError:
        return False


def shorter_length(case: Case) -> str:
    """A length that one card holds, or one that more than a request or two fit into."""
    request, w = case.request, closest(case)
    if w is None:
        return ""
    if request.max_model_len and (case.chosen is None or case.split_for_memory):
        other = case.fitter.changed(max_model_len=0)
        tp = smallest_split(case, other)
        if tp and tp < (case.chosen.tp if case.chosen else len(case.units) + 1):
            length = other.auto_length(fits_of_size(case, other, tp))
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


def longer_length(case: Case) -> str:
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


def fewer_sequences(case: Case) -> str:
    w = closest(case)
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
    tokens, now = tokens_of(other, [fit]), int(w.prediction.get("kv_cache_tokens") or 0)
    what = f"max_num_seqs {seqs} instead of {weakest.max_num_seqs} would free {gib(freed)} a card"
    if case.chosen is None:
        return f"{what} and make {shape(w)} possible, with {tokens:,} tokens an instance"
    return f"{what}: {tokens:,} tokens an instance instead of {now:,}" if tokens > WORTH * now else ""
