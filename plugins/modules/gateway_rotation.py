#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_rotation
short_description: Say which upstreams of the gateway get requests
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Holds the list of upstreams that nginx sends requests to, takes upstreams out of rotation, and puts them back.
  - An upstream is out while anybody's mark is on it. The owners are V(operator), V(roll) (a rolling update),
    V(watch) (the probe of replicas) and V(health) (the look at the cards); each takes back its own marks.
  - When the module has taken an upstream out, no nginx process accepts a request for it any more. Requests that were
    begun go on. The new configuration is checked with C(nginx -t) first, and taken back where nginx refuses it.
  - On a host without the gateway only the marks are kept.
notes:
  - What the watch or the health look marked is forgotten when the host boots; the marks of the others stay.
seealso:
  - module: gpuserve.inference.vllm_drain
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.files
  - gpuserve.inference._gateway.upstreams
options:
  out:
    description: Names to take out of rotation.
    type: list
    elements: str
    default: []
  back:
    description: Names to put back.
    type: list
    elements: str
    default: []
  by:
    description: Whose marks these are. With V(all), O(back) takes off everybody's.
    type: str
    choices:
      - operator
      - roll
      - watch
      - health
      - all
    default: operator
  reason:
    description: Why O(out) is taken out, for people who look later.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Two replicas
  gpuserve.inference.gateway_rotation:
    upstreams:
      - name: gpu0
        port: 8001
      - name: gpu1
        port: 8002

- name: No more requests for the first
  gpuserve.inference.gateway_rotation:
    out:
      - gpu0
    reason: its fan is being changed

- name: Put it back
  gpuserve.inference.gateway_rotation:
    back:
      - gpu0
"""

RETURN = r"""
upstreams:
  description: All upstreams, each with C(name), C(host) and C(port).
  returned: always
  type: list
  elements: dict
marks:
  description: Who took which upstream out of rotation, why, and since when (seconds since 1970).
  returned: always
  type: list
  elements: dict
  sample: [{"name": "gpu0", "by": "operator", "reason": "its fan is being changed", "since": 1795457000.0}]
in_rotation:
  description: Names of the upstreams that get requests.
  returned: always
  type: list
  elements: str
  sample: [gpu1]
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_options, _rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def change(rotation: _rotation.Rotation, params: dict, check: bool) -> tuple[bool, _rotation.RotationState]:
    both = sorted(set(params["out"]) & set(params["back"]))
    if both:
        raise InputError(f"{both[0]} is to be taken out and put back; name it once")
    if params["out"] and params["by"] == "all":
        raise InputError("by is all, which is for back; name who takes it out")
    upstreams = None
    state = rotation.look()
    if params["upstreams"] is not None:
        upstreams = _rotation.upstreams_from(params["upstreams"])
        state = state.holding(upstreams)
    known = {upstream.name for upstream in state.upstreams}
    unknown = sorted((set(params["out"]) | set(params["back"])) - known - set(state.owners()))
    if unknown and known:
        raise InputError(f"there is no upstream {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    by = None if params["by"] == "all" else params["by"]
    return rotation.change(upstreams, params["out"], params["back"], by, params["reason"], check)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_gateway_options.UPSTREAMS_SPEC,
            "out": {"type": "list", "elements": "str", "default": []},
            "back": {"type": "list", "elements": "str", "default": []},
            "by": {"type": "str", "choices": [*_rotation.BY, "all"], "default": "operator"},
            "reason": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    find_sbin()
    rotation = _rotation.Rotation(module.run_command)
    before = rotation.look()
    try:
        changed, state = change(rotation, module.params, module.check_mode)
    except GpuserveError as error:
        module.fail_json(msg=str(error))
    result = {"changed": changed, **_gateway_options.told_of_rotation(state)}
    if module._diff:
        result["diff"] = _gateway_options.rotation_diff(before, state)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
