#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_keys
short_description: Hold the keys of the gateway's clients, and change them without losing a request
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Holds the clients of the gateway with their keys in C(/etc/gpuserve/gateway/clients), nginx's check of these keys,
    and the key that the gateway shows the engines. Only root can read any of them.
  - Keys can be given, or are made on the host, which they then do not leave. They are in no result, log or diff.
  - Where something changed, nginx checks it (the files are put back where it refuses), and has reloaded when the
    module returns, so that a key that was taken away is refused from then on.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.files
options:
  clients:
    description:
      - All clients whose keys the inventory gives, as a list of keys, as a list of dictionaries with C(name) and
        C(key), or as one dictionary of names and keys. Without this option those given before stay.
      - A named client whose key changed can use the old one for O(grace) seconds. What is no longer given is refused
        at once.
    type: raw
  default:
    description: Whether a client C(default) is made where there is no client at all.
    type: bool
    default: false
  open:
    description: Whether everybody is let in. Left as it is without this option.
    type: bool
  add:
    description: Names of clients that are to have a key made on this host. One that is there already keeps its key.
    type: list
    elements: str
    default: []
  rotate:
    description: Names of clients made on this host that get a new key now. The old one is good for O(grace) seconds.
    type: list
    elements: str
    default: []
  remove:
    description: Names of clients made on this host that are let in no longer.
    type: list
    elements: str
    default: []
  expire:
    description: Names of clients whose old keys end now.
    type: list
    elements: str
    default: []
  grace:
    description: Seconds that the old key of a client stays good after a change.
    type: int
    default: 0
  upstream:
    description:
      - What the gateway sends requests to.
      - The V(engines) of this host are shown their own key, which is made in C(/etc/gpuserve/engine.key) where it is
        missing. Other V(gateways) are shown O(upstream_key), or without one the key of the client.
        V(unchanged) leaves the file as it is.
    type: str
    choices:
      - engines
      - gateways
      - unchanged
    default: unchanged
  upstream_key:
    description: Key that the other gateways ask for.
    type: str
"""

EXAMPLES = r"""
- name: Let two clients in
  gpuserve.inference.gateway_keys:
    clients: "{{ vault_gateway_api_keys }}"
    upstream: engines

- name: Give one a new key, the old one is good for an hour
  gpuserve.inference.gateway_keys:
    rotate:
      - default
    grace: 3600
"""

RETURN = r"""
file:
  description: Where root reads the keys.
  returned: always
  type: str
  sample: /etc/gpuserve/gateway/clients
clients:
  description: The keys that are let in, without the keys themselves.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the client.
      type: str
      returned: always
    origin:
      description: V(given) by name, V(listed) without a name, or V(made) on this host.
      type: str
      returned: always
    until:
      description: When an old key ends, in UTC. Empty for the key that counts.
      type: str
      returned: always
files:
  description: What was done, or would be, to each file that was not as wanted.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      type: str
      returned: always
    action:
      description: V(create), V(update) or V(mode).
      type: str
      returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_clients
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_keys import GatewayKeys


def main() -> None:
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "clients": {"type": "raw", "no_log": True},
            "default": {"type": "bool", "default": False},
            "open": {"type": "bool"},
            "add": names,
            "rotate": names,
            "remove": names,
            "expire": names,
            "grace": {"type": "int", "default": 0},
            "upstream": {"type": "str", "choices": ["engines", "gateways", "unchanged"], "default": "unchanged"},
            "upstream_key": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    params = module.params
    keys = GatewayKeys(module.run_command)
    try:
        given, unnamed = (None, False)
        if params["clients"] is not None:
            given, unnamed = _gateway_clients.given_clients(params["clients"])
        wish = _gateway_clients.Wish(
            given=given,
            unnamed=unnamed,
            default=params["default"],
            add=params["add"],
            rotate=params["rotate"],
            remove=params["remove"],
            expire=params["expire"],
            grace=params["grace"],
        )
        held = keys.hold(wish, params["open"], params["upstream"], params["upstream_key"] or "", module.check_mode)
    except GpuserveError as error:
        module.fail_json(msg=str(error))
    result = {
        "changed": bool(held.changes),
        "file": keys.clients_file,
        "clients": [
            {
                "name": client.name,
                "origin": client.origin,
                "until": _gateway_clients.moment(client.until) if client.old else "",
            }
            for client in held.clients
        ],
        "files": [{"path": change.path, "action": change.action} for change in held.changes],
    }
    if module._diff:
        result["diff"] = [
            {
                "before_header": change.path,
                "after_header": change.path,
                "before": change.before,
                "after": change.after,
            }
            for change in held.changes
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
