#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_ready
short_description: Wait until vLLM instances really serve
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Waits for all given instances at the same time. An instance is ready when its C(/health) answers 200, the wanted
    model is among C(/v1/models), and it has answered one real request of one token (or one embedding).
  - Returns the engine's own figures of its KV cache beside those of the plan.
  - Stops waiting for an instance as soon as it is certain that it will not come, because its unit failed, is not
    running or keeps crashing, because another process answers on its port, or because HTTP is spoken there where
    O(instances[].scheme) is V(https), or the other way round. The root cause is taken from its journal.
  - While it waits, a line about the progress goes to the system log every 30 seconds.
notes:
  - Meant to run on the host of the instances, as a user who may read the journal and see the owners of ports.
seealso:
  - module: gpuserve.inference.vllm_drain
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
        description: The systemd unit that runs the instance. Without it, crashes are only seen as time running out.
        type: str
      served_model_name:
        description: Name under which the model must be served. Without it, any model will do.
        type: str
      task:
        description: What kind of request proves that the instance works.
        type: str
        choices:
          - generate
          - embed
        default: generate
      scheme:
        description: How it is spoken to. The engines of this collection speak plain HTTP, its gateway may speak HTTPS.
        type: str
        choices:
          - http
          - https
        default: http
      validate_certs:
        description: Whether the certificate must be valid for O(instances[].host), with O(instances[].scheme=https).
        type: bool
        default: true
      gateway:
        description:
          - Whether this is not an engine but the gateway in front of the engines.
          - Its health route and its metrics are then left alone, and only the model and the answer are asked for.
        type: bool
        default: false
      api_key_file:
        description:
          - File on the host with the key that this instance asks for. Goes before O(api_key) and O(api_key_file).
          - Its first line that is no comment is read; where that has several words, the second one is the key, as in
            the clients file of the gateway. A file that is not there means that no key is asked for.
        type: path
      expected:
        description: What the plan predicted for the instance.
        type: dict
        suboptions:
          kv_cache_tokens:
            description: Tokens that the KV cache should hold.
            type: int
          num_gpu_blocks:
            description: Blocks that the KV cache should have.
            type: int
  timeout:
    description: Seconds to wait at most, for all instances together.
    type: int
    default: 900
  sleep:
    description: Seconds between the first two looks. The pause grows by half from look to look.
    type: float
    default: 1
  max_sleep:
    description: Longest pause between two looks, in seconds.
    type: float
    default: 10
  answer_timeout:
    description: Seconds that one answer to the test request may take. The first one may compile kernels.
    type: int
    default: 60
  restart_limit:
    description:
      - Stop waiting for an instance after so many crashes while waiting.
      - Where another start cannot cure the root cause, an unknown argument for example, the first crash is enough.
    type: int
    default: 2
  api_key:
    description: Key that the engines ask for, where they ask for one.
    type: str
  api_key_file:
    description: File on the host with that key in its first line that is no comment.
    type: path
  prompt:
    description: The text of the test request.
    type: str
    default: Hello
  progress:
    description:
      - File that says in one line how far it is, while it runs. The action plugin of the same name sets and reads it.
    type: path
"""

EXAMPLES = r"""
- name: Wait for both replicas
  gpuserve.inference.vllm_ready:
    instances:
      - name: gpu0
        port: 8001
        unit: vllm@gpu0.service
        served_model_name: llama-3.1-8b
        expected:
          kv_cache_tokens: 896912
      - name: gpu1
        port: 8002
        unit: vllm@gpu1.service
        served_model_name: llama-3.1-8b
        expected:
          kv_cache_tokens: 896912
    timeout: 1200
  register: engines

- name: Ask through the public door
  gpuserve.inference.vllm_ready:
    instances:
      - name: door
        port: 443
        scheme: https
        validate_certs: false
        gateway: true
        served_model_name: llama-3.1-8b
    api_key_file: /etc/gpuserve/probe.key
    timeout: 30

- name: Show how far the plan was off
  ansible.builtin.debug:
    msg: "{{ engines.instances | map(attribute='kv.difference_percent') }}"
"""

RETURN = r"""
ready:
  description: Whether all instances are ready.
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
    ready:
      description: Whether it serves.
      type: bool
      returned: always
    seconds:
      description: How long it was waited for.
      type: float
      returned: always
    stage:
      description: The step that did not hold, one of V(unit), V(health), V(model), V(completion), else V(ready).
      type: str
      returned: always
    models:
      description: Names of the models that it serves.
      type: list
      elements: str
      returned: always
    kv:
      description: Figures of its KV cache. Empty where it is not ready. Values that it does not tell are null.
      type: dict
      returned: always
      contains:
        num_gpu_blocks:
          description: Blocks of the cache.
          type: int
          returned: when ready and not a gateway
        block_size:
          description: Tokens in one block.
          type: int
          returned: when ready
        kv_cache_tokens:
          description: Tokens that the cache holds.
          type: int
          returned: when ready
        max_concurrency:
          description: Requests of full length that fit at the same time.
          type: float
          returned: when ready
        planned_kv_cache_tokens:
          description: O(instances[].expected.kv_cache_tokens).
          type: int
          returned: when ready
        planned_num_gpu_blocks:
          description: O(instances[].expected.num_gpu_blocks).
          type: int
          returned: when ready
        difference_percent:
          description: By how much the tokens differ from the planned ones. Positive where the cache is larger.
          type: float
          returned: when ready
        blocks_difference_percent:
          description: By how much the blocks differ from the planned ones.
          type: float
          returned: when ready
    error:
      description: Why it is not ready. Empty where it is.
      type: str
      returned: always
    cause:
      description: Kind of the root cause, such as V(kv_cache_too_small) or V(port_in_use), where it is known.
      type: str
      returned: always
    advice:
      description: What to do about it, where that is known.
      type: str
      returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_keys, _engine_wait
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Beat


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
                    "served_model_name": {"type": "str"},
                    "task": {"type": "str", "choices": ["generate", "embed"], "default": "generate"},
                    "scheme": {"type": "str", "choices": ["http", "https"], "default": "http"},
                    "validate_certs": {"type": "bool", "default": True},
                    "gateway": {"type": "bool", "default": False},
                    "api_key_file": {"type": "path", "no_log": False},
                    "expected": {
                        "type": "dict",
                        "options": {
                            "kv_cache_tokens": {"type": "int", "no_log": False},
                            "num_gpu_blocks": {"type": "int"},
                        },
                    },
                },
                "required_one_of": [("port", "unix_socket")],
                "mutually_exclusive": [("port", "unix_socket")],
            },
            "timeout": {"type": "int", "default": 900},
            "sleep": {"type": "float", "default": 1},
            "max_sleep": {"type": "float", "default": 10},
            "answer_timeout": {"type": "int", "default": 60},
            "restart_limit": {"type": "int", "default": 2},
            "api_key": {"type": "str", "no_log": True},
            "api_key_file": {"type": "path", "no_log": False},
            "prompt": {"type": "str", "default": "Hello"},
            "progress": {"type": "path"},
        },
        mutually_exclusive=[("api_key", "api_key_file")],
        supports_check_mode=True,
    )
    wanted = module.params
    host = _engine_wait.Host(run=lambda words: module.run_command(words, handle_exceptions=False))
    try:
        with Beat(wanted["progress"] or "") as beat:
            outcomes = _engine_wait.wait_ready(
                _engine_wait.targets_from(wanted["instances"]),
                host,
                time.monotonic,
                time.sleep,
                _engine_wait.Patience(
                    timeout=wanted["timeout"],
                    sleep=wanted["sleep"],
                    max_sleep=wanted["max_sleep"],
                    answer=wanted["answer_timeout"],
                    restart_limit=wanted["restart_limit"],
                ),
                api_key=_engine_keys.first_key(wanted["api_key_file"]) if wanted["api_key_file"] else wanted["api_key"],
                prompt=wanted["prompt"],
                once=module.check_mode,
                progress=module.log,
                phases=beat.say if wanted["progress"] else None,
            )
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    result = {"ready": all(o.ready for o in outcomes), "instances": [o.to_dict() for o in outcomes], "changed": False}
    if not result["ready"] and not module.check_mode:
        module.fail_json(msg="; ".join(o.line() for o in outcomes if not o.ready), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
