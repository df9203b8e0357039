# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Every replicas x tensor parallel size of a host, each with whether it runs and how well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import (
    Fabric,
    Unit,
    best_groups,
    most_groups,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import Fitter, GroupFit, gib
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_speed import Speed


@dataclass(frozen=True)
class Weighed:
    """A candidate with what the decision needs to know of it."""

    replicas: int
    tp: int
    fits: tuple[GroupFit, ...]  # one a replica; empty where it cannot be formed
    refused: str = ""  # why it cannot run at all
    max_model_len: int = 0
    prediction: Mapping[str, Any] = field(default_factory=dict)
    speed: Speed = field(default_factory=Speed)

    @property
    def topology(self) -> str:
        if self.tp == 1:
            return "data_parallel"
        return "tensor_parallel" if self.replicas == 1 else "hybrid"

    @property
    def cards(self) -> int:
        return self.replicas * self.tp

    @property
    def starts(self) -> bool:
        return not self.refused and all(f.starts for f in self.fits)

    @property
    def roomy(self) -> bool:
        return self.starts and all(f.roomy for f in self.fits)

    @property
    def serves(self) -> bool:
        return not self.refused and all(f.serves for f in self.fits)

    @property
    def quiet_cards(self) -> int:
        return sum(1 for f in self.fits for u in f.group if not u.busy)

    @property
    def quiet_replicas(self) -> int:
        """Those that share no card with somebody else."""
        return sum(1 for f in self.fits if not any(u.busy for u in f.group))

    @property
    def problem(self) -> str:
        if self.refused:
            return self.refused
        bad = next((f for f in self.fits if not f.serves), None)
        if bad is None:
            return ""
        differ = any(f.problem != bad.problem for f in self.fits)
        return f"{bad.group[0].label}: {bad.problem}" if differ else bad.problem


def weigh(request: PlanRequest, units: tuple[Unit, ...], fabric: Fabric, fitter: Fitter) -> tuple[Weighed, ...]:
    """Every replicas x tensor parallel size that the number of cards allows, fewest cards a replica first."""
    out = []
    for tp in range(1, len(units) + 1):
        possible = most_groups(units, tp)
        for replicas in range(len(units) // tp, 0, -1):
            refused = ""
            if tp > 1 and replicas > possible:
                refused = _mixed_text(units, tp, replicas)
            refused = refused or fitter.split_problem(tp) or ""
            if refused:
                out.append(Weighed(replicas, tp, (), refused))
                continue
            groups = best_groups(units, tp, replicas, fabric, lambda g, n=replicas: fitter.fit(g, n).grade)  # type: ignore[misc]
            if groups is None:
                out.append(Weighed(replicas, tp, (), "the cards do not form that many groups of one kind"))
                continue
            fits = tuple(fitter.fit(g, replicas) for g in groups)
            length = fitter.auto_length(fits) if all(f.starts for f in fits) else request.max_model_len
            speed = fitter.speed(fits)
            out.append(Weighed(replicas, tp, fits, "", length, fitter.prediction(fits, length, speed), speed))
    return tuple(out)


def _mixed_text(units: tuple[Unit, ...], tp: int, replicas: int) -> str:
    if any(u.is_mig for u in units):
        return "MIG slices cannot be joined by NCCL: a slice serves a replica of its own"
    counts: dict[str, int] = {}
    for unit in units:
        name = f"{unit.name} {gib(unit.cuda_total)}"
        counts[name] = counts.get(name, 0) + 1
    have = ", ".join(f"{n} x {name}" for name, n in counts.items())
    if replicas > 1:
        return f"mixed cards ({have}) do not form {replicas} groups of {tp} equal cards"
    return f"mixed cards ({have}): tensor parallel would run at the pace and with the memory of the weakest"
