# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Answers about a model that a plan asks for many times over, though every layer is walked for each."""

from __future__ import annotations

import functools
from typing import Any, Callable, Hashable, TypeVar

from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

Answer = TypeVar("Answer")
MOST = 256


def per_model(ask: Callable[..., Answer]) -> Callable[..., Answer]:
    """Remember ``ask(model, *rest)``. A model holds dictionaries and so has no hash: it is known by its identity."""
    known: dict[tuple[Hashable, ...], tuple[Model, Answer]] = {}

    @functools.wraps(ask)
    def answer(model: Model, *rest: Any) -> Answer:
        key = (id(model), *rest)
        found = known.get(key)
        if found is None or found[0] is not model:
            if len(known) >= MOST:
                known.clear()
            found = known[key] = (model, ask(model, *rest))  # held, so that its id goes to no other model
        return found[1]

    return answer
