# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table people read."""

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_table import WIDTH, render_plan
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import GIB, cards, links, plan

HOST = {"cpus": 2, "memory_bytes": 24 * GIB}


@pytest.mark.parametrize(
    "made",
    [
        plan(cards("5080", "5080")),
        plan(cards(*["5080"] * 8), links=links(8, p2p=False)),
        plan(cards("5090", "4090")),
        plan(cards("5090", "5090"), rehearsal=True, host=HOST, served_model_name="n" * 150),
        plan([], "llama-3.2-1b", device="cpu", host=HOST),
    ],
    ids=["tp2", "eight", "mixed", "rehearsal", "cpu"],
)
def test_shape(made):
    text = render_plan(made)
    lines = text.split("\n")
    assert max(len(line) for line in lines) <= WIDTH
    assert text.isascii()
    assert not [line for line in lines if line != line.rstrip()]
    for instance in made["instances"]:
        assert f"{instance['host']}:{instance['port']}" in text
        assert instance["name"] in text
    joined = " ".join(text.split())
    for warning in made["warnings"]:
        assert warning in joined
    if len(made["model"]["served_model_name"]) < 50:
        assert made["reason"] in joined


def test_content():
    made = plan(cards("5080", "5080"))
    lines = render_plan(made).split("\n")
    assert lines[0] == "llama-3.1-8b: tensor_parallel, 1 x TP2"
    assert "  weights            7.51" in lines
    chosen = [line for line in lines if line.startswith("  >")]
    assert len(chosen) == 1
    assert f"{made['prediction']['kv_cache_tokens']:,}" in chosen[0]
    assert any(
        "data_parallel" in line and " no " in line and "exceed" not in line.split("why")[0][:20] for line in lines
    )
    assert "  (1 more with fewer replicas are in `candidates`)" in lines


@pytest.mark.parametrize("value", [None, [], {}, {"plan": {}}])
def test_not_a_plan(value):
    with pytest.raises(InputError, match="a plan as topology_plan returns it"):
        render_plan(value)
