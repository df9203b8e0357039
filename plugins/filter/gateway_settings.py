# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_settings
short_description: What the variables of the role gateway come to
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Says what is wrong with the settings, and what follows from them. No key is in what it returns.
positional: _input
options:
  _input:
    description: The variables of the role by name, without C(gateway_).
    type: dict
    required: true
  tasks:
    description: What the model can do, as the plan says. Empty where that is not known.
    type: list
    elements: str
    default: []
  nginx_version:
    description: Version of nginx on the host. Empty where it is not known.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show what is forwarded
  ansible.builtin.debug:
    msg: "{{ ({'listen': '8000', 'enabled': true} | gpuserve.inference.gateway_settings).routes }}"
"""

RETURN = r"""
_value:
  description: >-
    V(problems), one line each; V(routes), each with V(method) and V(path); V(status_listen), empty without that
    listener; V(client_keepalive), V(off), V(safe) or V(on); V(beyond_loopback), whether other hosts can reach the
    gateway; V(affinity_key), in nginx's words what requests to one replica have in common, empty without affinity;
    V(affinity_short), pattern of the lengths of bodies that are balanced all the same, empty where there are none;
    V(names), those of C(gateway_api_keys).
  type: dict
"""

from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_clients, _gateway_settings


def gateway_settings(values: dict[str, Any], tasks: list[str] | None = None, nginx_version: str = "") -> dict[str, Any]:
    problems = _gateway_settings.problems(values)
    listen = str(values.get("listen"))
    return {
        "problems": problems,
        "routes": _gateway_settings.routes(tasks or [], values.get("extra_paths") or []),
        "status_listen": _gateway_settings.status_listen(listen, str(values.get("status_listen") or "")),
        "client_keepalive": _gateway_settings.client_keepalive(str(values.get("client_keepalive")), nginx_version),
        "affinity_key": "" if problems else _gateway_settings.affinity_key(values),
        "affinity_short": "" if problems else _gateway_settings.affinity_short(values),
        "beyond_loopback": _gateway_settings.beyond_loopback(listen),
        "names": [] if problems else sorted(_gateway_clients.given_clients(values.get("api_keys"))[0]),
    }


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"gateway_settings": gateway_settings}
