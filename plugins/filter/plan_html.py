# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_html
short_description: Show a plan as an HTML page
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Turns a plan of M(gpuserve.inference.topology_plan) into one HTML page that needs no other file and no script.
  - It shows the decision and its reason, the memory of each card as a stacked bar, every candidate with its
    predictions, the instances with their command lines, advice and warnings.
  - The same plan always gives the same page. M(gpuserve.inference.plan_report) writes such pages to files.
positional: _input
options:
  _input:
    description:
      - The plan, as RV(gpuserve.inference.topology_plan#module:plan), or the whole registered result.
      - The result of a M(gpuserve.inference.topology_plan) task that failed because nothing fits is shown with what
        is missing.
    type: dict
    required: true
  gpus:
    description: >-
      The cards, as RV(gpuserve.inference.gpu_info#module:gpus). With them the page names the cards, shows what others
      use of them, and those that stay idle.
    type: list
    elements: dict
    default: []
  own_pids:
    description: Processes that the plan replaces. What they hold on a card is not shown as used by others.
    type: list
    elements: int
    default: []
  host:
    description: Name of the host, for the headline.
    type: str
    default: ""
seealso:
  - module: gpuserve.inference.plan_report
  - plugin: gpuserve.inference.plan_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write the page of a plan on the controller
  ansible.builtin.copy:
    content: "{{ planned | gpuserve.inference.plan_html(gpus=cards.gpus, host=inventory_hostname) }}"
    dest: plan.html
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from typing import Any, Callable, Optional

from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_html import render_page


def plan_html(plan: Any, gpus: Optional[list[Any]] = None, own_pids: Optional[list[int]] = None, host: str = "") -> str:
    try:
        return render_page(plan, gpus, own_pids, host)
    except GpuserveError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan_html": plan_html}
