#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_info
short_description: What the replicas of a host are doing now
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Looks once at every replica that was applied to a host, in one remote call. Unit, cards and their health, KV cache,
    requests under way, and who took it out of rotation.
  - It waits for nothing and asks for no answer. M(gpuserve.inference.vllm_ready) does that.
  - What cannot be looked at is left empty and named in RV(endpoint.unknown). It never fails for that.
notes:
  - Run it as root, since NVML and the journal hide things from an ordinary user.
seealso:
  - module: gpuserve.inference.vllm_ready
  - plugin: gpuserve.inference.endpoint_table
    plugin_type: filter
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
options:
  pynvml_path:
    description:
      - Directories in which to look for C(pynvml.py), as for M(gpuserve.inference.gpu_info).
    type: list
    elements: path
    default:
      - /opt/gpuserve/tools/lib/python3*/site-packages
"""

EXAMPLES = r"""
- name: Look at the replicas
  gpuserve.inference.endpoint_info:
  register: seen

- name: Show them
  gpuserve.inference.show_text:
    text: "{{ seen.endpoint | gpuserve.inference.endpoint_table }}"
"""

RETURN = r"""
endpoint:
  description: What was seen.
  returned: always
  type: dict
  contains:
    topology:
      description: Topology of the plan that was applied. Empty where none was.
      type: str
      returned: always
    model:
      description: Name under which the model is served.
      type: str
      returned: always
    balanced:
      description: Whether a gateway on this host decides which replica gets a request.
      type: bool
      returned: always
    unknown:
      description: What could not be looked at, each with the reason.
      type: list
      elements: str
      returned: always
    replicas:
      description: The replicas, by name.
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: Name of the replica.
          type: str
          returned: always
        unit:
          description: Its systemd unit.
          type: str
          returned: always
        state:
          description: What systemd says of it, V(running), V(auto-restart), V(failed) or V(inactive) for example.
          type: str
          returned: always
        result:
          description: How its last run ended, in systemd's words.
          type: str
          returned: always
        restarts:
          description: How often systemd started it again since it was started by hand.
          type: int
          returned: always
        seconds:
          description: Seconds since its process was started.
          type: float
          returned: always
        cards:
          description: Its cards, each with V(index), V(name), V(verdict) and V(reasons).
          type: list
          elements: dict
          returned: always
        kv_cache_tokens:
          description: Tokens that its KV cache holds, as it says itself.
          type: int
          returned: always
        planned_kv_cache_tokens:
          description: Tokens that the plan expected.
          type: int
          returned: always
        running:
          description: Requests that it works on.
          type: int
          returned: always
        waiting:
          description: Requests that wait in its queue.
          type: int
          returned: always
        marks:
          description: Who took it out of rotation, V(by), V(reason) and V(since). Empty where it is in.
          type: list
          elements: dict
          returned: always
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _endpoint
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import PYNVML_PATH
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def main() -> None:
    module = AnsibleModule(
        argument_spec=PYNVML_PATH,
        supports_check_mode=True,
    )
    find_sbin()

    def run(words: list) -> tuple:
        return module.run_command(words, handle_exceptions=False)

    try:
        seen = _endpoint.look(
            run, Rotation(run), cards=lambda run, etc: _endpoint.look_at_cards(run, etc, module.params["pynvml_path"])
        )
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, endpoint=seen.to_dict())


if __name__ == "__main__":
    main()
