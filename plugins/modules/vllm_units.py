#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_units
short_description: Make the running vLLM services equal to the planned instances
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Stops and disables every C(vllm@) unit that is not in O(instances), then starts or restarts what is not running
    as wanted. All stops come first, because a card must be free before another process can take it.
  - Whether a process runs as wanted is read from the environment it was started with. A run that was interrupted
    between writing the files and restarting is made good by the next one.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.files
options:
  instances:
    description: The planned instances. An empty list retires all of them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the instance, what follows the C(@) of its unit.
        type: str
        required: true
      digest:
        description: What C(GPUSERVE_DIGEST) in the environment of the running process must be.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Two replicas and nothing else
  gpuserve.inference.vllm_units:
    instances:
      - name: gpu0
        digest: 5f2b
      - name: gpu1
        digest: 77a0
"""

RETURN = r"""
units:
  description: Units that were not as wanted, and what was done, or would be.
  returned: always
  type: list
  elements: dict
  contains:
    unit:
      description: Name of the unit.
      type: str
      returned: always
    action:
      description: V(start), V(restart) or V(stop).
      type: str
      returned: always
    before:
      description: State that the unit was in.
      type: str
      returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._units import converge_units, told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "instances": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "digest": {"type": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    wanted = {entry["name"]: entry["digest"] for entry in module.params["instances"]}
    try:
        changes = converge_units(module.run_command, wanted, check=module.check_mode)
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**told(changes, module._diff))


if __name__ == "__main__":
    main()
