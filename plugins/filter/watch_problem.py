# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: watch_problem
short_description: What is wrong with the settings of the watch
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Checks the settings of the watch of the replicas, each by itself and against the others.
positional: _input
options:
  _input:
    description: The settings, in seconds.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look at the settings
  ansible.builtin.debug:
    msg: "{{ {'out_after': 8.0, 'restart_after': 5.0} | gpuserve.inference.watch_problem }}"
"""

RETURN = r"""
_value:
  description: One line. Empty where nothing is wrong.
  type: str
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_settings import settings_from


def watch_problem(settings: dict[str, Any]) -> str:
    try:
        settings_from(settings, "vllm_watch_")
    except GpuserveError as exc:
        return str(exc)
    return ""


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"watch_problem": watch_problem}
