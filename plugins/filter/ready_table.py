# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ready_table
short_description: What the instances answered, as a table
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Renders the result of M(gpuserve.inference.vllm_ready) for people.
positional: _input
options:
  _input:
    description: RV(gpuserve.inference.vllm_ready#module:instances).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show it
  gpuserve.inference.show_text:
    text: "{{ engines.instances | gpuserve.inference.ready_table }}"
"""

RETURN = r"""
_value:
  description: The table.
  type: str
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._ready_table import render_ready


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"ready_table": render_ready}
