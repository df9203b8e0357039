# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What both fuzzing tests share: how hypothesis runs, JSON of any kind, and ways to spoil it.

Runs are the same every time: examples come from a fixed seed, and nothing is kept between runs. To hunt longer, with
other seeds: GPUSERVE_FUZZ=20 makes it twenty times as many examples.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
from dataclasses import fields
from typing import Any, Callable

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

hypothesis.configuration.set_hypothesis_home_dir(tempfile.gettempdir() + "/hypothesis")


MORE = max(int(os.environ.get("GPUSERVE_FUZZ") or 1), 1)


def fuzz(examples: int) -> Callable[[Any], Any]:
    return hypothesis.settings(  # type: ignore[no-any-return]
        max_examples=examples * MORE,
        derandomize=MORE == 1,
        database=None,
        deadline=None,
        phases=[p for p in hypothesis.Phase if p.name != "explain"],
        suppress_health_check=list(hypothesis.HealthCheck),
    )


HARD_NUMBERS = (
    0, 1, -1, 2, 3, 7, 16, 63, 64, 65, 127, 128, 4096, 10**6, 2**31, 2**53 + 1, 2**63, 10**18, 10**30, -(2**31), 0.5,
    1.0, 4096.0, -2.5, 1e15, 1e300, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
HARD_TEXTS = (
    "",
    "auto",
    "8",
    "-8",
    "1e9",
    "fp8",
    "full_attention",
    "a\nb",
    "\x1b[31m",
    "\ud800",
    "../x",
    "x" * 5000,
    "٣",
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(HARD_NUMBERS),
    st.integers(-(2**70), 2**70),
    st.sampled_from(HARD_TEXTS),
    st.text(max_size=8),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(HARD_TEXTS), st.text(max_size=6)), inner, max_size=4),
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every entry of nested dictionaries and lists."""
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in entries for found in [(*path, key), *places(inner, (*path, key))]]


def _retyped(value: Any) -> list[Any]:
    return [str(value), [value], {"x": value}, bool(value), None]


def _scaled(value: Any) -> list[Any]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [value, [], {}, "", 0]
    return [-value, 0, value + 1, value * 3, value * 10**9, value / 2, 1]


@st.composite  # type: ignore[untyped-decorator]
def spoiled(draw: Any, source: Any, most: int = 4) -> Any:
    """Values of ``source`` with up to ``most`` entries at any depth deleted, replaced, negated, scaled or retyped."""
    out = copy.deepcopy(draw(source))
    for _turn in range(draw(st.integers(1, most))):
        where = places(out)
        if not where:
            break
        path = draw(st.sampled_from(where))
        holder = out
        for key in path[:-1]:
            holder = holder[key]
        old = holder[path[-1]]
        how = draw(st.integers(0, 3))
        if how == 0:
            del holder[path[-1]]
        elif how == 1:
            holder[path[-1]] = draw(anything)
        else:
            holder[path[-1]] = draw(st.sampled_from(_retyped(old) if how == 2 else _scaled(old)))
    return out


def check_line(error: GpuserveError) -> None:
    """An error's text is for a person: one line, not a dump."""
    text = str(error)
    assert text
    assert text.isprintable()
    assert len(text) <= 4003


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_model(model: Model) -> None:
    """What holds for every model that was read."""
    for f in fields(model):
        if str(f.type) == "int":
            value = getattr(model, f.name)
            assert is_whole(value), f.name
            assert 0 <= value <= 1 << 50, f.name
    for name in ("layers", "vocab_size", "weight_bytes", "max_position_embeddings", "hidden_size"):
        assert getattr(model, name) >= 1, name
    assert model.experts_per_token <= model.experts
    assert all(is_whole(size) and size >= 0 for size in model.weight_groups.values())
    assert all(w.isprintable() for w in model.warnings)
    for group in model.kv_layout:
        for f in fields(group):
            if str(f.type) == "int":
                assert is_whole(getattr(group, f.name)), f.name
                assert 0 <= getattr(group, f.name) <= 1 << 50, f.name
        assert 1 <= group.layers <= model.layers
        assert group.shared_layers <= group.layers
    # attention and a recurrent part may stand side by side in a layer, nothing else may
    attention = sum(g.layers for g in model.kv_layout if g.kind != "mamba")
    assert attention <= model.layers
    written = json.dumps(model.to_dict(), allow_nan=False)
    assert Model.from_dict(json.loads(written)) == model
