# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter: the core's page, Ansible's own error."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.filter.plan_html import FilterModule
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_html import render_page
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, plan

PLAN_HTML = FilterModule().filters()["plan_html"]


def test_the_same_page():
    made, gpus = plan(cards("5080", "5080")), cards("5080", "5080")
    assert PLAN_HTML({"plan": made}, gpus=gpus, host="gpu1") == render_page(made, gpus, (), "gpu1")


@pytest.mark.parametrize("value", [None, "text", {}, {"plan": []}])
def test_no_plan_is_one_clear_line(value):
    with pytest.raises(AnsibleFilterError, match="plan_html: a plan as topology_plan returns it"):
        PLAN_HTML(value)
