# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters: the same core, the same answer, Ansible's own error."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.filter.plan_table import FilterModule as TableFilters
from ansible_collections.gpuserve.inference.plugins.filter.topology_plan import FilterModule as PlanFilters
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_table import render_plan
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, links, model, plan

TOPOLOGY_PLAN = PlanFilters().filters()["topology_plan"]
PLAN_TABLE = TableFilters().filters()["plan_table"]


def test_list_and_probe_give_the_same():
    gpus, fabric, llama = cards("5080", "5080"), links(2, p2p=False), model("llama-3.1-8b")
    expected = plan(gpus, links=fabric, workload="latency")
    assert TOPOLOGY_PLAN(gpus, model=llama, links=fabric, workload="latency") == expected
    assert (
        TOPOLOGY_PLAN({"gpus": gpus, "links": fabric, "driver_version": "580"}, model=llama, workload="latency")
        == expected
    )


def test_table():
    made = plan(cards("5080", "5080"))
    assert PLAN_TABLE(made) == render_plan(made)


@pytest.mark.parametrize(
    ("call", "needle"),
    [
        (lambda: TOPOLOGY_PLAN([], model=model("llama-3.1-8b")), "no NVIDIA card was found"),
        (lambda: TOPOLOGY_PLAN(cards("5090"), model=model("llama-3.1-8b"), topology="x"), "topology 'x' is unknown"),
        (lambda: TOPOLOGY_PLAN(cards("5090"), model=model("llama-3.1-8b"), toplogy="auto"), "did you mean 'topology'"),
        (lambda: PLAN_TABLE("text"), "a plan as topology_plan returns it"),
    ],
)
def test_errors_are_filter_errors(call, needle):
    with pytest.raises(AnsibleFilterError, match=needle):
        call()
