# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_table
short_description: All hosts of a run in one table
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Shows for each host its topology, replicas, cards, model, length of context, KV cache, measured speed and what
    became of it, and below the table who is out of the gateway's rotation and why.
  - Reads what the role P(gpuserve.inference.vllm#role) leaves in the hosts' variables.
positional: _input, hosts, alive
options:
  _input:
    description: The variables of the hosts, C(hostvars).
    type: dict
    required: true
  hosts:
    description: Names of the hosts, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  alive:
    description: Those of them that were reached and where no task failed, C(ansible_play_hosts).
    type: list
    elements: str
    required: true
  check:
    description: Whether this was a run in check mode, which serves nothing.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the fleet
  gpuserve.inference.show_text:
    text: "{{ hostvars | gpuserve.inference.fleet_table(ansible_play_hosts_all, ansible_play_hosts) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The text, with newlines.
  type: str
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._fleet_table import fleet_table


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"fleet_table": fleet_table}
