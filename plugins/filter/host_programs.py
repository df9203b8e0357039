# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_programs
short_description: The parts of the collection that programs on a host need
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Names modules of the collection's core, and gives them with all that they import as files for
    M(gpuserve.inference.host_files).
positional: _input
options:
  _input:
    description: Names of modules in C(plugins/module_utils).
    type: list
    elements: str
    required: true
  prefix:
    description: Directory on the host below which they lie.
    type: str
    default: /opt/gpuserve
"""

EXAMPLES = r"""
- name: Carry what the watch needs
  gpuserve.inference.host_files:
    files: "{{ ['_watch_run'] | gpuserve.inference.host_programs }}"
"""

RETURN = r"""
_value:
  description: Files with V(path), V(content) and V(program), as host_files takes them.
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._host_programs import host_programs


def files(entries: list[str], prefix: str = "/opt/gpuserve") -> list[dict[str, str]]:
    return host_programs(entries, prefix)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"host_programs": files}
