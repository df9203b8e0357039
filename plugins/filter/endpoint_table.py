# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: endpoint_table
short_description: A host's endpoint at one glance
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Renders what M(gpuserve.inference.endpoint_info) saw, and what M(gpuserve.inference.vllm_ready) was answered, for
    people. A line for each replica, then one verdict, with what to do next where something is wrong.
positional: _input
options:
  _input:
    description: RV(gpuserve.inference.endpoint_info#module:endpoint).
    type: dict
    required: true
  outcomes:
    description: RV(gpuserve.inference.vllm_ready#module:instances) of the same host, also where it failed.
    type: list
    elements: dict
    default: []
  line:
    description: A line for people that stands before the verdict, such as where it is served.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show it
  gpuserve.inference.show_text:
    text: "{{ seen.endpoint | gpuserve.inference.endpoint_table(outcomes=engines.instances) }}"
"""

RETURN = r"""
_value:
  description: The table and the verdict.
  type: str
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._endpoint_table import render_endpoint


def endpoint_table(endpoint: dict[str, Any], outcomes: list[dict[str, Any]] | None = None, line: str = "") -> str:
    return render_endpoint(endpoint, outcomes or [], line)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"endpoint_table": endpoint_table}
