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
  - gpuserve.inference._gateway.keys
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


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_options, _hold
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_keys import GatewayKeys
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def main() -> None:
    module = AnsibleModule(argument_spec=_gateway_options.KEYS_SPEC, supports_check_mode=True)
    find_sbin()
    keys = GatewayKeys(module.run_command)
    try:
        held = _gateway_options.hold_keys(keys, module.params, module.check_mode)
    except GpuserveError as error:
        module.fail_json(msg=str(error))
    result = {
        "changed": bool(held.changes),
        "files": _hold.files(held.changes),
        **_gateway_options.told_of_keys(keys, held),
    }
    if module._diff:
        result["diff"] = _hold.diff(held.changes)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
