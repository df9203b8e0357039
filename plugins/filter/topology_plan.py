# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: topology_plan
short_description: Decide how the cards of a host serve a model with vLLM
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - The same decision as M(gpuserve.inference.topology_plan), made on the controller with no call to the host.
positional: _input
extends_documentation_fragment:
  - gpuserve.inference._topology_plan
options:
  _input:
    description:
      - The cards, as M(gpuserve.inference.gpu_info) returns them. Either its whole result, or the list under its key
        RV(gpuserve.inference.gpu_info#module:gpus), in which case O(links) is given separately.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Plan for cards that were looked at before
  ansible.builtin.set_fact:
    plan: "{{ cards | gpuserve.inference.topology_plan(model=checkpoint.model, workload='latency') }}"
"""

RETURN = r"""
_value:
  description:
    - The plan, as M(gpuserve.inference.topology_plan) returns it under
      RV(gpuserve.inference.topology_plan#module:plan).
  type: dict
"""

from typing import Any, Callable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options


def topology_plan(cards: Any, **options: Any) -> dict[str, Any]:
    if isinstance(cards, Mapping):
        options = {"links": cards.get("links"), **options, "gpus": cards.get("gpus")}
    else:
        options = {**options, "gpus": cards}
    try:
        return plan_from_options(options)
    except GpuserveError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"topology_plan": topology_plan}
