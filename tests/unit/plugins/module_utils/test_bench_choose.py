# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which candidate wins, and when what was measured is no longer worth anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_choose import (
    VERSION,
    Arrangement,
    Conditions,
    asked_from,
    differences,
    scores,
    winner,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

NOW = Conditions(("NVIDIA H200", "NVIDIA H200"), "llama", "abc", "0.32.0", "auto", "mixed")


def at(tokens: float, failed: int = 0) -> dict[str, Any]:
    return {"rate": 0.0, "failed": failed, "figures": {"output_tokens_per_s": tokens}}


def rate(e2e: float) -> dict[str, Any]:
    return {"rate": 4.0, "failed": 0, "figures": {"output_tokens_per_s": 500.0, "e2e_ms_p50": e2e}}


@pytest.mark.parametrize(
    ("measured", "planned", "expected"),
    [
        ({"2xTP1": [at(200), at(9500)], "1xTP2": [at(280), at(9600)]}, "2xTP1", "1xTP2"),
        ({"2xTP1": [at(200), at(9600)], "1xTP2": [at(280), at(5000)]}, "1xTP2", "2xTP1"),
        # less than two in a hundred: the plan stays
        ({"2xTP1": [at(100), at(1000)], "1xTP2": [at(101), at(1010)]}, "2xTP1", "2xTP1"),
        ({"2xTP1": [at(100), at(1000)], "1xTP2": [at(101), at(1010)]}, "1xTP2", "1xTP2"),
        # who does not carry a load that another one carries cannot win
        ({"2xTP1": [at(900), at(0, failed=3)], "1xTP2": [at(280), at(100)]}, "2xTP1", "1xTP2"),
        # a load that nobody carries decides nothing
        ({"2xTP1": [at(200), at(0, 3)], "1xTP2": [at(280), at(0, 5)]}, "2xTP1", "1xTP2"),
        ({"2xTP1": [rate(100.0)], "1xTP2": [rate(80.0)]}, "2xTP1", "1xTP2"),
        ({"2xTP1": [at(0, 8)]}, "2xTP1", ""),
        ({}, "2xTP1", ""),
    ],
)
def test_who_wins(measured: dict[str, Any], planned: str, expected: str) -> None:
    assert winner(measured, planned) == expected


def test_scores_are_geometric_means_of_shares() -> None:
    found = scores({"a": [at(100), at(400)], "b": [at(50), at(800)]})
    assert found == pytest.approx({"a": 0.5**0.5, "b": 0.5**0.5})


def test_a_candidate_that_was_measured_at_fewer_loads_has_not_carried_the_others() -> None:
    assert scores({"a": [at(100)], "b": [at(50), at(800)]})["a"] == 0.0


@pytest.mark.parametrize("text", ["2xTP1", "1xTP8"])
def test_an_arrangement_is_read_as_it_is_told(text: str) -> None:
    assert Arrangement.read(text).label == text


@pytest.mark.parametrize("text", ["", "2", "xTP1", "2xTP", "0xTP1", "2xTP0", "twoxTP1", "-1xTP2"])
def test_what_is_no_arrangement(text: str) -> None:
    with pytest.raises(InputError, match="as in 2xTP1"):
        Arrangement.read(text)


def record(**changed: Any) -> dict[str, Any]:
    return {"version": VERSION, "conditions": replace(NOW, **changed).to_dict()}


def test_a_record_of_the_same_conditions_holds() -> None:
    assert differences(record(), NOW) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cards": ("NVIDIA H200",)}, "cards 1 x NVIDIA H200 then, 2 x NVIDIA H200 now"),
        ({"vllm_version": "0.31.0"}, "vllm version '0.31.0' then, '0.32.0' now"),
        ({"model": "qwen"}, "model 'qwen' then, 'llama' now"),
        ({"workload": "latency"}, "workload 'latency' then, 'mixed' now"),
    ],
)
def test_what_has_changed_is_named(changed: dict[str, Any], told: str) -> None:
    assert differences(record(**changed), NOW) == [told]


@pytest.mark.parametrize("broken", [{}, {"version": 1, "conditions": NOW.to_dict()}])
def test_another_format_is_not_read(broken: dict[str, Any]) -> None:
    assert differences(broken, NOW)[0].startswith("its format is")


def test_a_record_without_conditions_differs_in_all() -> None:
    assert len(differences({"version": VERSION}, NOW)) == len(NOW.to_dict()) - 1  # no load is asked for by name


ASKED = {"preset": "chat"}


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ({}, {}, ""),
        # who names no load now takes what was measured; another dataset is another thing
        ({"preset": "rag"}, {}, ""),
        (
            {"preset": "rag"},
            {"named": True},
            "load '4096 + 256 tokens, 1 at once, 8 at once, 32 at once' then, '512 + ",
        ),
        ({"preset": "chat"}, {"named": True}, ""),
        ({"dataset": "custom", "dataset_path": "/a.jsonl"}, {}, "dataset 'custom /a.jsonl' then, 'random' now"),
        (
            {"dataset": "prefix_repetition"},
            {"dataset": "prefix_repetition", "prefixes": 4},
            "dataset 'prefix_repetition, 10 prefixes' then, 'prefix_repetition, 4 prefixes' now",
        ),
        (
            {"range_ratio": 0.2},
            {"range_ratio": 0.3},
            "dataset 'random, lengths +-20%' then, 'random, lengths +-30%' now",
        ),
    ],
)
def test_another_load_is_another_measurement(then: dict[str, Any], now: dict[str, Any], told: str) -> None:
    old = replace(NOW, **asked_from({**ASKED, **then, "named": True})).to_dict()
    lines = differences({"version": VERSION, "conditions": old}, replace(NOW, **asked_from({**ASKED, **now})))
    assert "; ".join(lines).startswith(told) and bool(lines) == bool(told)
