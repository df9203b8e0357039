# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_problems
short_description: What stands between a plan and a host
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Compares a plan with what M(gpuserve.inference.host_info) saw. Nothing is changed, and an empty list is good news.
positional: _input
options:
  _input:
    description: The plan. May be empty, then only the host is checked.
    type: dict
    required: true
  look:
    description: RV(gpuserve.inference.host_info#module:host).
    type: dict
    required: true
  prefix:
    description: Directory that the engine is installed below.
    type: str
    default: /opt/gpuserve
  engine_missing:
    description: Whether the engine is still to be installed.
    type: bool
    default: true
  engine_flavour:
    description: Which engine, V(cuda) or V(cpu).
    type: str
    default: cuda
  python:
    description: Interpreter that the engine is to run with.
    type: str
    default: python3
  lock_header:
    description: First line of the engine's lock file, which says what Pythons it is for.
    type: str
    default: ""
  model_path:
    description: Directory of a model that lies on the host.
    type: str
    default: ""
  model_directory:
    description: Directory that the model is served from, which need not be there yet.
    type: str
    default: ""
  model_bytes:
    description: Size of the model, where it is downloaded if O(model_directory) is not there. V(0) is not known.
    type: int
    default: 0
  gateway_listen:
    description: Where the gateway is to listen. Empty without a gateway.
    type: str
    default: ""
  status_listen:
    description: Where the gateway is to have health and metrics. Empty without that.
    type: str
    default: ""
  programs:
    description: Programs that must be there, by the variable that names each.
    type: dict
    default: {}
  directories:
    description: Directories that must be there, by the variable that names them.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Check the host
  ansible.builtin.assert:
    that: "{{ vllm_plan | gpuserve.inference.preflight_problems(look) | length == 0 }}"
"""

RETURN = r"""
_value:
  description: One line for each problem.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils import _preflight


def preflight_problems(plan: dict[str, Any], look: dict[str, Any], **wishes: Any) -> list[str]:
    return _preflight.problems(plan, look, _preflight.Wishes(**wishes))


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_problems": preflight_problems}
