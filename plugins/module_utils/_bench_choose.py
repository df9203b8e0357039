# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which of the measured candidates wins, and whether what was measured still says something of a host.

A candidate's figure at a number of requests at once is its output tokens a second: each request is followed by the
next, so that is the same as the time of a request, turned over. At a rate it is the time of a request. Its score is the
geometric mean, over all loads, of its figure as a share of the best one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._bench import FROM_FILE, load_from
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

VERSION = 2
NAMES = {"requests": "dataset"}
CLEARLY = 0.02  # better by less than that is not better: the planner's own choice stays


@dataclass(frozen=True)
class Arrangement:
    """How a host's cards are shared out."""

    replicas: int
    tensor_parallel_size: int

    @property
    def label(self) -> str:
        return f"{self.replicas}xTP{self.tensor_parallel_size}"

    @classmethod
    def read(cls, text: str) -> Arrangement:
        """``2xTP1`` as an arrangement; InputError where it is none."""
        replicas, mark, size = text.partition("xTP")
        if not mark or not replicas.isdigit() or not size.isdigit() or not int(replicas) or not int(size):
            raise InputError(f"candidate {text!r} cannot be used: give replicas and tensor parallel size as in 2xTP1")
        return cls(int(replicas), int(size))


def figure(point: Mapping[str, Any]) -> Optional[float]:
    """More is better; None where the load was not carried."""
    figures = point["figures"]
    if point["failed"]:
        return None
    if point["rate"]:
        slow = figures.get("e2e_ms_p50")
        return 1000.0 / slow if slow else None
    return figures.get("output_tokens_per_s") or None


def scores(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """By candidate, from 0 to 1. One that did not carry a load that another one did has 0."""
    every = {name: [figure(point) for point in points] for name, points in measured.items()}
    count = max((len(row) for row in every.values()), default=0)
    best = [max((row[n] or 0.0 for row in every.values() if len(row) > n), default=0.0) for n in range(count)]
    found = {}
    for name, row in every.items():
        shares = [(row[n] or 0.0) / best[n] if n < len(row) else 0.0 for n in range(count) if best[n]]
        found[name] = math.exp(sum(map(math.log, shares)) / len(shares)) if shares and min(shares) > 0 else 0.0
    return found


def winner(measured: Mapping[str, Sequence[Mapping[str, Any]]], planned: str) -> str:
    """The candidate with the best score; ``planned`` where none is clearly better. "" where nothing was carried."""
    ranked = scores(measured)
    best = max(ranked, key=lambda name: (ranked[name], name == planned), default="")
    if not best or not ranked[best]:
        return ""
    if ranked.get(planned, 0.0) >= (1.0 - CLEARLY) * ranked[best]:
        return planned
    return best


@dataclass(frozen=True)
class Conditions:
    """What a measurement depends on. Another value of any of these makes it a measurement of something else."""

    cards: tuple[str, ...]  # names of the usable cards
    model: str
    revision: str
    vllm_version: str
    max_model_len: str  # as asked for: "auto" or tokens
    workload: str  # name, or the numbers
    device: str = "cuda"  # or cpu, or rehearsal
    requests: str = "random"  # what kind of requests, as _bench.Load says it
    load: str = ""  # lengths and loads, where they were asked for by name; "" goes with all

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "cards": list(self.cards)}


def device_of(device: str, rehearsal: bool) -> str:
    """What engines really run on: a rehearsal says nothing of the cards that it plans for."""
    return "rehearsal" if rehearsal else "cpu" if device == "cpu" else "cuda"


def asked_from(options: Mapping[str, Any]) -> dict[str, str]:
    """``requests`` and ``load`` of Conditions, from what the playbook benchmark would ask for; ``named`` says whether
    lengths and loads were set by name."""
    load = load_from(**{name: value for name, value in options.items() if name != "named"})
    words = load_words(load.to_dict()) if options.get("named") else ""
    return {"requests": load.requests, "load": words}


def load_words(load: Mapping[str, Any]) -> str:
    """Lengths and loads of what vllm_bench said of a load."""
    labels = ", ".join(str(point["label"]) for point in load.get("points") or ())
    if load.get("dataset") in FROM_FILE:
        return labels
    return f"{load['input_tokens']} + {load['output_tokens']} tokens, {labels}"


def differences(record: Mapping[str, Any], now: Conditions) -> list[str]:
    """Why a record says nothing of this host any more; empty where it does."""
    if record.get("version") != VERSION:
        return [f"its format is {record.get('version')!r} and not {VERSION}"]
    then, found = record.get("conditions", {}), []
    for name, value in now.to_dict().items():
        if name == "load" and not value:
            continue  # whoever names none now takes what was measured
        if then.get(name) != value:
            found.append(f"{NAMES.get(name, name.replace('_', ' '))} {_told(then.get(name))} then, {_told(value)} now")
    return found


def applies(record: Mapping[str, Any], now: Conditions) -> tuple[Optional[Arrangement], str]:
    """The arrangement that a record of this host speaks for, and why; or None, and why it does not speak."""
    again = "run the playbook gpuserve.inference.benchmark"
    if not record:
        return None, f"nothing was measured on this host yet, so the topology is decided as with auto; {again}"
    changed = differences(record, now)
    if changed:
        return None, (
            f"what was measured on this host is not used ({'; '.join(changed)}), so the topology is decided as with "
            f"auto; {again} again"
        )
    if not record.get("winner"):
        return None, f"no candidate carried the load when this host was measured, so auto decides; {again} again"
    best = Arrangement.read(str(record["winner"]))
    score, others = record.get("scores", {}), []
    for name, value in score.items():
        if name != best.label and value:
            others.append(f"{score[best.label] / value:.2f} x of {name}")
    when = str(record.get("measured_at", ""))[:10]
    return best, f"Measured on this host{f' on {when}' if when else ''}: {best.label}, {', '.join(others) or 'alone'}"


def _told(value: Any) -> str:
    if not isinstance(value, list):
        return repr(value)
    return ", ".join(f"{value.count(one)} x {one}" for one in dict.fromkeys(value)) or "none"
