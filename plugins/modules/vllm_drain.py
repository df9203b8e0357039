#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_drain
short_description: Wait until vLLM instances have no requests left
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Waits until no request runs and none waits on each of the given instances, several looks in a row.
  - It sends nothing away itself. Take the instance out of the balancer before, and stop it after.
seealso:
  - module: gpuserve.inference.vllm_ready
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
attributes:
  check_mode:
    details:
      - In check mode it looks once, without waiting, and never fails.
options:
  instances:
    description: The instances to wait for.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the instance, used in messages and results.
        type: str
        required: true
      host:
        description: Address that the instance listens on.
        type: str
        default: 127.0.0.1
      port:
        description: Port that the instance listens on. Give this or O(instances[].unix_socket).
        type: int
      unix_socket:
        description: Path of the Unix socket that the instance listens on.
        type: path
      unit:
        description: The systemd unit that runs the instance, which tells an instance that is gone from one that hangs.
        type: str
  timeout:
    description: Seconds to wait at most, for all instances together.
    type: int
    default: 300
  settle:
    description: How many looks in a row must find nothing running and nothing waiting.
    type: int
    default: 3
  interval:
    description: Seconds between two looks.
    type: float
    default: 1
  gone_ok:
    description:
      - Whether an instance that nobody answers for counts as drained.
      - Not given, it does where its O(instances[].unit) is inactive, failed or unknown to systemd.
      - An instance that takes the connection but does not answer never counts as gone.
    type: bool
"""

EXAMPLES = r"""
- name: Wait until the first replica has finished its work
  gpuserve.inference.vllm_drain:
    instances:
      - name: gpu0
        port: 8001
        unit: vllm@gpu0.service
    timeout: 600
"""

RETURN = r"""
drained:
  description: Whether all instances are drained.
  returned: always
  type: bool
  sample: true
instances:
  description: One entry for each instance, in the order given; also when the module fails.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the instance.
      type: str
      returned: always
    drained:
      description: Whether it has nothing left to do.
      type: bool
      returned: always
    gone:
      description: Whether it counts as drained because nobody answers.
      type: bool
      returned: always
    running:
      description: Requests that ran at the last look. Null where it never answered.
      type: int
      returned: always
    waiting:
      description: Requests that waited at the last look. Null where it never answered.
      type: int
      returned: always
    seconds:
      description: How long it was waited for.
      type: float
      returned: always
    error:
      description: Why it could not be asked at the last look. Empty where it could.
      type: str
      returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_drain, _engine_wait
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "instances": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "host": {"type": "str", "default": "127.0.0.1"},
                    "port": {"type": "int"},
                    "unix_socket": {"type": "path"},
                    "unit": {"type": "str"},
                },
                "required_one_of": [("port", "unix_socket")],
                "mutually_exclusive": [("port", "unix_socket")],
            },
            "timeout": {"type": "int", "default": 300},
            "settle": {"type": "int", "default": 3},
            "interval": {"type": "float", "default": 1},
            "gone_ok": {"type": "bool"},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        outs = _engine_drain.drain(
            _engine_wait.targets_from(wanted["instances"]),
            lambda words: module.run_command(words, handle_exceptions=False),
            time.monotonic,
            time.sleep,
            timeout=wanted["timeout"],
            settle=wanted["settle"],
            interval=wanted["interval"],
            gone_ok=wanted["gone_ok"],
            once=module.check_mode,
        )
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    result = {"drained": all(o.drained for o in outs), "instances": [o.to_dict() for o in outs], "changed": False}
    if not result["drained"] and not module.check_mode:
        module.fail_json(msg="; ".join(o.line(wanted["timeout"]) for o in outs if not o.drained), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
