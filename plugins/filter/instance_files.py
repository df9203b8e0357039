# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: instance_files
short_description: A plan as a release of files
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Turns a plan into what M(gpuserve.inference.host_files) and M(gpuserve.inference.vllm_release) take.
  - All its files lie in one directory, which is named after their contents.
positional: _input
options:
  _input:
    description: The plan.
    type: dict
    required: true
  command:
    description: The words that start C(vllm).
    type: list
    elements: str
    required: true
  model_path:
    description: What C(vllm serve) is to load.
    type: str
    required: true
  unit:
    description: Text of the unit C(vllm@.service).
    type: str
    required: true
  environment:
    description: Variables laid over those of the plan.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the files of a plan
  ansible.builtin.debug:
    msg: "{{ vllm_plan | gpuserve.inference.instance_files(command=['vllm'], model_path='/models/a', unit='...') }}"
"""

RETURN = r"""
_value:
  description: V(release), the name of the release, V(files), V(secrets), V(instances) and V(targets).
  type: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.module_utils import _instances
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError


def instance_files(
    plan: dict[str, Any],
    command: list[str],
    model_path: str,
    unit: str,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    try:
        return _instances.instance_files(plan, command, model_path, environment or {}, unit)
    except GpuserveError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"instance_files": instance_files}
