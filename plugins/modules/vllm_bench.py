#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_bench
short_description: Measure how fast an endpoint answers
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Runs C(vllm bench serve) on the host against an OpenAI-compatible endpoint, several times for each load, and returns
    throughput, TTFT, TPOT, inter-token and end-to-end latency with their spread.
  - One such client reads some 10,000 tokens a second at most. Larger loads are shared out to several client processes
    that begin at the same moment, and what they measured is counted as one.
  - Prompts are never asked twice, so the prefix cache of an engine knows none of them.
notes:
  - It loads the endpoint as much as it is told to. Other users notice that, and the figures notice them.
  - Each run writes a line to the system log.
seealso:
  - module: gpuserve.inference.vllm_ready
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
attributes:
  check_mode:
    details:
      - In check mode the options are checked, and nothing is asked.
options:
  urls:
    description:
      - Addresses of the endpoint, such as V(http://127.0.0.1:8000). Of several, each is asked by as many clients.
    type: list
    elements: str
    required: true
  served_model_name:
    description: Name under which the model is served.
    type: str
    required: true
  tokenizer:
    description: Directory on the host with the model's tokenizer. The model's own directory has it.
    type: path
    required: true
  python:
    description: Python on the host that can import vLLM, of the release that is measured or another one.
    type: path
    default: /opt/gpuserve/engines/current/bin/python
  environment:
    description: Environment variables of the client, such as C(PYTHONPATH).
    type: dict
    default: {}
  preset:
    description:
      - The load, where the options below do not say otherwise.
      - V(chat) is 512 + 256 tokens with 1, 4, 16 and 64 requests at once, V(batch) is 1024 + 256 tokens with 64, 128
        and 256, V(mixed) is 512 + 128 tokens with 1, 16 and 128, and V(rag) is 4096 + 256 tokens with 1, 8 and 32.
    type: str
    choices:
      - chat
      - batch
      - mixed
      - rag
    default: mixed
  input_tokens:
    description: Tokens of a prompt. V(0) takes the preset's.
    type: int
    default: 0
  output_tokens:
    description: Tokens of an answer. V(0) takes the preset's.
    type: int
    default: 0
  concurrencies:
    description:
      - Loads with so many requests at once. Without it and O(rates) the preset's are measured.
    type: list
    elements: int
    default: []
  rates:
    description: Loads with so many requests a second, however many are under way.
    type: list
    elements: float
    default: []
  requests:
    description:
      - Requests of a run. V(0) takes 8 for each that is there at once, and 30 seconds' worth of a rate.
    type: int
    default: 0
  dataset:
    description:
      - V(random) makes prompts of random words. V(prefix_repetition) makes prompts of which many begin alike.
      - V(sharegpt) and V(custom) read O(dataset_path), in the formats that C(vllm bench serve) documents.
    type: str
    choices:
      - random
      - prefix_repetition
      - sharegpt
      - custom
    default: random
  dataset_path:
    description: File on the host with the prompts.
    type: path
  prefixes:
    description: With O(dataset=prefix_repetition), how many beginnings there are. Each is three quarters of a prompt.
    type: int
    default: 10
  repeats:
    description: How often each load is measured.
    type: int
    default: 3
  warmup_requests:
    description: Requests before the first run, which do not count.
    type: int
    default: 16
  clients:
    description: Client processes at most. V(0) takes half of the host's cores, 8 at most.
    type: int
    default: 0
  validate_certs:
    description: Whether the certificate of an address that speaks HTTPS must be valid.
    type: bool
    default: true
  timeout:
    description: Seconds that one run may take.
    type: int
    default: 1800
  api_key_file:
    description: File on the host with the key that the endpoint asks for. One that is not there means no key.
    type: path
"""

EXAMPLES = r"""
- name: Measure the endpoint with short chats
  gpuserve.inference.vllm_bench:
    urls: [http://127.0.0.1:8000]
    served_model_name: llama-3.1-8b
    tokenizer: /var/lib/gpuserve/models/llama-3.1-8b
    preset: chat
    api_key_file: /etc/gpuserve/gateway/clients
  register: bench

- name: Show the throughput of each load
  ansible.builtin.debug:
    msg: "{{ bench.points | items2dict(key_name='label', value_name='figures') }}"
"""

RETURN = r"""
points:
  description: One entry for each load, in the order asked for; also where requests failed.
  returned: always, except in check mode
  type: list
  elements: dict
  contains:
    label:
      description: The load in words.
      type: str
      sample: 16 at once
    concurrency:
      description: Requests at once, V(0) for a rate.
      type: int
    rate:
      description: Requests a second, V(0) for a number at once.
      type: float
    requests:
      description: Requests of one run.
      type: int
    failed:
      description: Requests without a whole answer, over all repeats.
      type: int
    error:
      description: What the first of them ran into.
      type: str
    figures:
      description:
        - Medians of the repeats. C(output_tokens_per_s), C(requests_per_s) and C(seconds) of a run, and C(ttft_ms),
          C(tpot_ms), C(itl_ms) and C(e2e_ms), each with C(_mean), C(_p50), C(_p90) and C(_p99).
      type: dict
      sample: {"output_tokens_per_s": 2427.9, "ttft_ms_p50": 73.4, "tpot_ms_p50": 5.34}
    least:
      description: The least of each figure over the repeats.
      type: dict
    most:
      description: The most of each figure over the repeats.
      type: dict
load:
  description: What was asked.
  returned: always
  type: dict
  sample: {"dataset": "random", "input_tokens": 512, "output_tokens": 128}
"""

import inspect
import os
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _bench, _bench_client, _engine_keys
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            "served_model_name": {"type": "str", "required": True},
            "tokenizer": {"type": "path", "required": True},
            "python": {"type": "path", "default": "/opt/gpuserve/engines/current/bin/python"},
            "environment": {"type": "dict", "default": {}},
            "preset": {"type": "str", "choices": list(_bench.PRESETS), "default": "mixed"},
            "input_tokens": {"type": "int", "default": 0, "no_log": False},
            "output_tokens": {"type": "int", "default": 0, "no_log": False},
            "concurrencies": {"type": "list", "elements": "int", "default": []},
            "rates": {"type": "list", "elements": "float", "default": []},
            "requests": {"type": "int", "default": 0},
            "dataset": {"type": "str", "choices": list(_bench.DATASETS), "default": "random"},
            "dataset_path": {"type": "path"},
            "prefixes": {"type": "int", "default": 10},
            "repeats": {"type": "int", "default": 3},
            "warmup_requests": {"type": "int", "default": 16},
            "clients": {"type": "int", "default": 0},
            "validate_certs": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 1800},
            "api_key_file": {"type": "path", "no_log": False},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        load = _bench.load_from(
            wanted["preset"], wanted["input_tokens"], wanted["output_tokens"], wanted["concurrencies"], wanted["rates"],
            wanted["requests"], wanted["dataset"], wanted["dataset_path"] or "", wanted["prefixes"],
        )  # fmt: skip
        endpoint = _bench.endpoint_from(
            wanted["urls"], wanted["served_model_name"], wanted["tokenizer"],
            _engine_keys.optional_key(wanted["api_key_file"] or ""), wanted["validate_certs"],
        )  # fmt: skip
        effort = _bench.Effort(wanted["repeats"], wanted["warmup_requests"], wanted["clients"], wanted["timeout"])
        plan = _bench.runs(load, endpoint, effort, os.cpu_count() or 1, int(time.time()) % 1000000)
        said = {"dataset": load.dataset, "input_tokens": load.input_tokens, "output_tokens": load.output_tokens}
        if module.check_mode:
            module.exit_json(changed=False, load=said)
        environment = {str(name): str(value) for name, value in wanted["environment"].items()}
        with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as program:
            program.write(inspect.getsource(_bench_client))
            program.flush()
            told = _bench.run_client(
                wanted["python"], program.name, plan, endpoint.key, environment,
                lambda figures: module.log(_bench.progress_line(figures, load)),
            )  # fmt: skip
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    points = [one.to_dict() for one in _bench.collect(load, told)]
    bad = [point for point in points if point["failed"]]
    if bad:
        module.fail_json(
            msg=f"{sum(point['failed'] for point in bad)} requests had no whole answer, with {bad[0]['label']} first: "
            f"{bad[0]['error']}",
            points=points,
            load=said,
        )
    module.exit_json(changed=False, points=points, load=said)


if __name__ == "__main__":
    main()
