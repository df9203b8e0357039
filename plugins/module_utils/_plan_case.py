# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A decision, and what is asked of it to find what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import Fabric, Unit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_choose import Choice
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_fit import Fitter, GroupFit
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_weigh import Weighed
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release


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


def fits_of_size(case: Case, fitter: Fitter, tp: int) -> list[GroupFit]:
    """Every card alone, or the first cards of one kind together."""
    if tp == 1:
        return [fitter.fit((u,), len(case.units)) for u in case.units]
    whole = [u for u in case.units if not u.is_mig]
    for unit in whole:
        group = tuple(u for u in whole if u.kind == unit.kind)[:tp]
        if len(group) == tp:
            return [fitter.fit(group, max(len(whole) // tp, 1))]
    return []


def smallest_split(case: Case, fitter: Fitter) -> int:
    """The fewest cards a replica that serve the workload; 0 where none do."""
    for tp in range(1, len(case.units) + 1):
        if fitter.split_problem(tp):
            continue
        fits = fits_of_size(case, fitter, tp)
        if fits and all(f.serves for f in fits):
            return tp
    return 0


def closest(case: Case) -> Optional[Weighed]:
    """The candidate that was chosen, or that came closest."""
    if case.chosen is not None:
        return case.chosen
    able = [w for w in case.weighed if w.fits]
    return max(able, key=lambda w: (w.tp, -w.replicas), default=None)


def tokens_of(fitter: Fitter, fits: Sequence[GroupFit]) -> int:
    length = fitter.auto_length(fits)
    return min(f.memory.kv.tokens(f.kv_bytes, length) for f in fits if f.memory is not None)
