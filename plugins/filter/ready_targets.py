# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ready_targets
short_description: What has to be asked of a plan's instances
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Turns a plan into the O(gpuserve.inference.vllm_ready#module:instances) of M(gpuserve.inference.vllm_ready).
positional: _input
options:
  _input:
    description: The plan.
    type: dict
    required: true
  door:
    description: Where the gateway listens, as port or as address and port. Empty leaves it out.
    type: str
    default: ""
  door_tls:
    description: Whether the gateway speaks TLS.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Ask every instance and the public door
  gpuserve.inference.vllm_ready:
    instances: "{{ vllm_plan | gpuserve.inference.ready_targets(door='8000') }}"
"""

RETURN = r"""
_value:
  description: One entry for each instance, and one named V(gateway) for the door.
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils import _instances


def ready_targets(plan: dict[str, Any], door: str = "", door_tls: bool = False) -> list[dict[str, Any]]:
    return _instances.ready_targets(plan, door, door_tls)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"ready_targets": ready_targets}
