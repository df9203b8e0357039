# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_table
short_description: Show a plan as a table
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Turns a plan of M(gpuserve.inference.topology_plan) into text of at most 100 columns. It shows the topology and its
    reason, the instances, the memory of a card, every candidate with why it was or was not chosen, and the warnings.
options:
  _input:
    description: The plan, as RV(gpuserve.inference.topology_plan#module:plan).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the plan, a line an item
  ansible.builtin.debug:
    msg: "{{ (planned.plan | gpuserve.inference.plan_table).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The text, with newlines.
  type: str
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_table import render_plan


def plan_table(plan: Any) -> str:
    try:
        return render_plan(plan)
    except GpuserveError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan_table": plan_table}
