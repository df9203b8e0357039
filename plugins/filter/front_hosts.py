# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: front_hosts
short_description: Hosts whose gateway sends requests to a host
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Of several hosts, those whose C(gateway_upstreams) have an entry with the name of a host.
positional: _input
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  name:
    description: The host that they may send requests to.
    type: str
    required: true
  hostvars:
    description: Variables of all hosts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which gateways stand in front of this host
  ansible.builtin.debug:
    msg: "{{ groups['gpuserve_front'] | gpuserve.inference.front_hosts(inventory_hostname, hostvars) }}"
"""

RETURN = r"""
_value:
  description: Names of hosts, in the order given.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any


def front_hosts(hosts: list[str], name: str, hostvars: Mapping[str, Any]) -> list[str]:
    found = []
    for host in hosts:
        upstreams = hostvars[host].get("gateway_upstreams", [])
        if host != name and any(isinstance(row, Mapping) and row.get("name") == name for row in upstreams):
            found.append(host)
    return found


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"front_hosts": front_hosts}
