# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: watched_hosts
short_description: How a monitoring host reaches the figures of other hosts
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Of each host, what Prometheus needs to read it, by the variables of that host. Nothing is asked of the hosts.
positional: _input
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Variables of all hosts.
    type: dict
    required: true
  certificates:
    description: Directory on the monitoring host for the certificates that hosts signed themselves.
    type: str
    required: true
  ca:
    description: File with the certificates that vouch for all others. Empty is what the system trusts.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show where the figures of the hosts are
  ansible.builtin.debug:
    msg: "{{ ['gpu1'] | gpuserve.inference.watched_hosts(hosts, '/etc/gpuserve/monitoring/tls') }}"
  vars:
    hosts:
      gpu1:
        ansible_host: 10.0.0.1
        monitoring_metrics_listen: 8091
"""

RETURN = r"""
_value:
  description:
    - For each host its C(name), its C(address) with the port, the C(scheme), C(tls) as Prometheus wants it, and
      whether its certificate is C(self_signed).
    - One that cannot be read has its C(name) and the C(problem) only.
  type: list
  elements: dict
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._preflight import parse_listen


def _watched(name: str, host: Mapping[str, Any], certificates: str, ca: str) -> dict[str, Any]:
    listen = parse_listen(str(host.get("monitoring_metrics_listen") or ""))
    if listen is None:
        return {"name": name, "problem": f"{name} has no monitoring_metrics_listen"}
    kind = str(host.get("gateway_tls") or "none")
    tls: dict[str, str] = {}
    if kind == "self_signed":
        tls["ca_file"] = f"{certificates}/{name}.pem"
    elif kind != "none" and ca:
        tls["ca_file"] = ca
    server_name = str(host.get("gateway_server_name") or "_")
    if kind != "none" and server_name != "_":
        tls["server_name"] = server_name
    return {
        "name": name,
        "address": f"{host.get('monitoring_address') or host.get('ansible_host') or name}:{listen[1]}",
        "scheme": "http" if kind == "none" else "https",
        "tls": tls,
        "self_signed": kind == "self_signed",
    }


def watched_hosts(
    hosts: list[str], hostvars: Mapping[str, Any], certificates: str, ca: str = ""
) -> list[dict[str, Any]]:
    return [
        _watched(name, hostvars[name], certificates, ca)
        if name in hostvars
        else {"name": name, "problem": f"{name} is not in the inventory"}
        for name in hosts
    ]


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"watched_hosts": watched_hosts}
