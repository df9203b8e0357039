# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_name
short_description: A file's name for the report of a host
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - The host's name where it can be a file's name. Otherwise it is like it, with a part that keeps two hosts apart.
options:
  _input:
    description: Name of the host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: See what the report of a host is called
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | gpuserve.inference.report_name }}.html"
"""

RETURN = r"""
_value:
  description: The name, without an ending.
  type: str
"""

from typing import Any, Callable

from ansible_collections.gpuserve.inference.plugins.module_utils._plan_report import file_name


def report_name(host: Any) -> str:
    return file_name(str(host))


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"report_name": report_name}
