#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_config
short_description: Hold the keys, the upstreams and the configuration of the gateway in one call
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Does what M(gpuserve.inference.gateway_keys), M(gpuserve.inference.gateway_rotation) and
    M(gpuserve.inference.host_files) do one after the other, in this order.
  - A host that is as wanted is so asked once instead of three times.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.files
  - gpuserve.inference._gateway.keys
  - gpuserve.inference._gateway.upstreams
  - gpuserve.inference._hold.files
  - gpuserve.inference._hold.use
"""

EXAMPLES = r"""
- name: Two replicas, one client, and the file of nginx
  gpuserve.inference.gateway_config:
    clients: "{{ vault_gateway_api_keys }}"
    upstream: engines
    upstreams:
      - name: gpu0
        port: 8001
      - name: gpu1
        port: 8002
    files:
      - path: /etc/nginx/conf.d/gpuserve.conf
        content: "{{ lookup('ansible.builtin.template', 'gpuserve.conf.j2') }}"
    validate:
      - nginx
      - -t
    unit: nginx.service
"""

RETURN = r"""
file:
  description: Where root reads the keys.
  returned: always
  type: str
  sample: /etc/gpuserve/gateway/clients
clients:
  description: The keys that are let in, as RV(gpuserve.inference.gateway_keys#module:clients).
  returned: always
  type: list
  elements: dict
upstreams:
  description: All upstreams, each with C(name), C(host) and C(port).
  returned: always
  type: list
  elements: dict
marks:
  description: Who took which upstream out of rotation, as RV(gpuserve.inference.gateway_rotation#module:marks).
  returned: always
  type: list
  elements: dict
in_rotation:
  description: Names of the upstreams that get requests.
  returned: always
  type: list
  elements: str
files:
  description: What was done, or would be, to each path that was not as wanted, the keys' files included.
  returned: always
  type: list
  elements: dict
unit_action:
  description: What was done to O(unit), V(start), V(reload), or empty.
  returned: always
  type: str
retired:
  description: Those of O(retired) that were stopped and disabled.
  returned: always
  type: list
  elements: str
timers:
  description: What was done to each of O(timers) that was not as wanted, V(start) or V(restart).
  returned: always
  type: dict
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_options, _hold
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_keys import GatewayKeys
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation, upstreams_from
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def main() -> None:
    module = AnsibleModule(
        argument_spec={**_gateway_options.KEYS_SPEC, **_gateway_options.UPSTREAMS_SPEC, **_hold.ARGUMENT_SPEC},
        supports_check_mode=True,
    )
    find_sbin()
    params, check = module.params, module.check_mode
    keys, rotation = GatewayKeys(module.run_command), Rotation(module.run_command)
    try:
        held_keys = _gateway_options.hold_keys(keys, params, check)
        before = rotation.look()
        upstreams = None if params["upstreams"] is None else upstreams_from(params["upstreams"])
        moved, state = rotation.change(upstreams, [], [], None, "", check)
        held = _hold.hold(module.run_command, params, check, params["validate"], params["unit"])
    except GpuserveError as error:
        module.fail_json(msg=str(error))
    result = {
        **held.to_dict(),
        "changed": bool(held_keys.changes) or moved or held.changed,
        "files": _hold.files([*held_keys.changes, *held.changes]),
        **_gateway_options.told_of_keys(keys, held_keys),
        **_gateway_options.told_of_rotation(state),
    }
    if module._diff:
        result["diff"] = [
            *_hold.diff(held_keys.changes),
            _gateway_options.rotation_diff(before, state),
            *_hold.diff(held.changes),
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
