# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: listen_address
short_description: Take apart where something listens
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Splits C(PORT) or C(ADDRESS:PORT) into its parts.
positional: _input
options:
  _input:
    description: The port, or address and port. IPv6 addresses are in brackets.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the port
  ansible.builtin.debug:
    msg: "{{ ('[::1]:8000' | gpuserve.inference.listen_address).port }}"
"""

RETURN = r"""
_value:
  description: >-
    V(host), without brackets and V(0.0.0.0) where only a port is given, and V(port). Empty where the input is neither.
  type: dict
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._preflight import parse_listen


def listen_address(listen: Any) -> dict[str, Any]:
    parsed = parse_listen(str(listen))
    return {"host": parsed[0].strip("[]"), "port": parsed[1]} if parsed else {}


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"listen_address": listen_address}
