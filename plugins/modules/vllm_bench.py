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
  - Prompts that it makes are never asked twice, so the prefix cache of an engine knows none of them. Those of a file
    come again in every repeat, and where a run needs more than the file has.
  - It goes on in the background of the host, and each run is told as it ends. A connection that is lost for less than
    ten minutes is no matter; where nobody asks for so long, it ends by itself. A host has one at a time, and a new one
    ends the former.
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
      - In check mode the load is checked as with O(state=checked), and nothing is asked.
options:
  state:
    description:
      - V(measured) measures. V(checked) only sees whether the load can be asked, with the file of O(dataset_path).
      - V(stopped) ends a measurement that somebody left behind on this host.
    type: str
    choices:
      - measured
      - checked
      - stopped
    default: measured
  urls:
    description:
      - Addresses of the endpoint, such as V(http://127.0.0.1:8000). Of several, each is asked by as many clients.
      - Needed to measure.
    type: list
    elements: str
  served_model_name:
    description: Name under which the model is served. Needed to measure.
    type: str
  tokenizer:
    description: Directory on the host with the model's tokenizer. The model's own directory has it. Needed to measure.
    type: path
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
      - V(sharegpt) reads a JSON list of conversations from O(dataset_path), and asks the first turn of each for an
        answer as long as the second one. Its client leaves out those with more than 1024 tokens before, or 2048 in all.
      - V(custom) reads lines of JSON, each with a C(prompt) and C(output_tokens).
      - With a file O(output_tokens) sets the length of all answers, and O(input_tokens) is not used.
    type: str
    choices:
      - random
      - prefix_repetition
      - sharegpt
      - custom
    default: random
  dataset_path:
    description: File on the host with the prompts. For V(custom) its name ends in C(.jsonl).
    type: path
  prefixes:
    description:
      - With O(dataset=prefix_repetition), how many beginnings there are. Requests of a run are rounded up, so that each
        beginning has as many.
    type: int
    default: 10
  prefix_tokens:
    description: With O(dataset=prefix_repetition), tokens of a beginning. V(0) takes three quarters of a prompt.
    type: int
    default: 0
  range_ratio:
    description:
      - With O(dataset=random), by how much lengths of prompts and answers differ up and down, evenly spread. V(0.3)
        makes 512 tokens 358 to 666.
    type: float
    default: 0
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
  title:
    description: What is measured, for the lines that tell how far it is.
    type: str
    default: ""
  expected:
    description:
      - How long it may take, for the same lines. C(runs), seconds of a run by C(label) of the load, C(gone_s), what
        went by before, and C(after_s), what is to come once all is measured.
    type: dict
    default: {}
  background:
    description:
      - Whether to return as soon as it has begun. The part of this module that runs on the controller sets it, looks at
        the files in C(job) from then on, and returns the result.
    type: bool
    default: false
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
  returned: with O(state=measured), except in check mode
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
  description:
    - What was asked. C(requests) says it in words, C(longest) is the longest request in tokens (V(0) where only the
      file knows), C(points) are the loads with their C(label), C(concurrency), C(rate) and C(requests), C(loads) the
      same for O(gpuserve.inference.topology_plan#module:loads), and C(prompts) how many the file has.
    - Tokens of a file are means, estimated from its letters.
  returned: with O(state=measured) and O(state=checked)
  type: dict
  sample: {"dataset": "random", "input_tokens": 512, "output_tokens": 128}
times:
  description:
    - C(total_s), what all of it took, C(client_s), how much of that was no run, and C(runs), by C(label) the seconds of
      a run (median) and what was C(asked).
  returned: with O(state=measured), except in check mode
  type: dict
lines:
  description: What was said while it ran, one line a run.
  returned: with O(state=measured), except in check mode
  type: list
  elements: str
job:
  description: Directory of the background process, for the part of this module that runs on the controller.
  returned: when that part asks for it
  type: str
"""

import inspect
import os
import tempfile
import time
from typing import Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import (
    _bench,
    _bench_client,
    _bench_dataset,
    _bench_job,
    _bench_time,
    _engine_keys,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError


def asked_load(wanted: dict) -> tuple:
    """The load, and what is told of it."""
    load = _bench.load_from(
        wanted["preset"], wanted["input_tokens"], wanted["output_tokens"], wanted["concurrencies"], wanted["rates"],
        wanted["requests"], wanted["dataset"], wanted["dataset_path"] or "", wanted["prefixes"],
        wanted["prefix_tokens"], wanted["range_ratio"],
    )  # fmt: skip
    said = load.to_dict()
    if load.dataset in _bench.FROM_FILE:
        prompts = _bench_dataset.look(load.dataset, load.dataset_path, load.output_tokens)
        said.update(prompts=prompts.count, input_tokens=prompts.input_tokens, output_tokens=prompts.output_tokens)
    said["loads"] = [
        {
            "input_tokens": max(1, round(said["input_tokens"])),
            "output_tokens": max(1, round(said["output_tokens"])),
            "concurrency": point.concurrency,
        }
        for point in load.points
        if point.concurrency
    ]
    return load, said


def nobody(line: str) -> None:
    """Who does not look gets the result in the end, and the system log has each line."""


def measure(module: AnsibleModule, say: Callable[[str], None] = nobody) -> dict:
    """What the module returns."""
    wanted = module.params
    load, said = asked_load(wanted)
    effort = _bench.Effort(wanted["repeats"], wanted["warmup_requests"], wanted["clients"], wanted["timeout"])
    if module.check_mode or wanted["state"] == "checked":
        return {"changed": False, "load": said}
    endpoint = _bench.endpoint_from(
        wanted["urls"], wanted["served_model_name"], wanted["tokenizer"],
        _engine_keys.optional_key(wanted["api_key_file"] or ""), wanted["validate_certs"],
    )  # fmt: skip
    plan = _bench.runs(load, endpoint, effort, os.cpu_count() or 1, int(time.time()) % 1000000)
    environment = {str(name): str(value) for name, value in wanted["environment"].items()}

    def tell(line: str) -> None:
        module.log(f"benchmark: {line}")
        say(line)

    told = _bench_time.Teller(load, effort.repeats, wanted["title"], wanted["expected"], time.monotonic, tell)
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as program:
        program.write(CLIENT)
        program.flush()
        figures = _bench.run_client(wanted["python"], program.name, plan, endpoint.key, environment, told.run)
    points = [one.to_dict() for one in _bench.collect(load, figures)]
    result = {"changed": False, "points": points, "load": said, "lines": told.lines, "times": told.times(points, said)}
    bad = [point for point in points if point["failed"]]
    if bad:
        result["failed"] = True
        result["msg"] = (
            f"{sum(point['failed'] for point in bad)} requests had no whole answer, with {bad[0]['label']} first: "
            f"{bad[0]['error']}"
        )
    return result


def in_background(module: AnsibleModule, job: _bench_job.Job) -> dict:
    job.start(lambda running: whole(lambda: measure(module, running.say)))
    return {"changed": False, "job": job.where}


def whole(work: Callable[[], dict]) -> dict:
    try:
        return work()
    except GpuserveError as exc:
        return {"failed": True, "msg": str(exc)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["measured", "checked", "stopped"], "default": "measured"},
            "urls": {"type": "list", "elements": "str"},
            "served_model_name": {"type": "str"},
            "tokenizer": {"type": "path", "no_log": False},
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
            "prefix_tokens": {"type": "int", "default": 0, "no_log": False},
            "range_ratio": {"type": "float", "default": 0.0},
            "repeats": {"type": "int", "default": 3},
            "warmup_requests": {"type": "int", "default": 16},
            "clients": {"type": "int", "default": 0},
            "validate_certs": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 1800},
            "api_key_file": {"type": "path", "no_log": False},
            "title": {"type": "str", "default": ""},
            "expected": {"type": "dict", "default": {}},
            "background": {"type": "bool", "default": False},
        },
        required_if=[("state", "measured", ("urls", "served_model_name", "tokenizer"))],
        supports_check_mode=True,
    )
    job = _bench_job.Job(_bench_job.folder())
    wanted = module.params
    if wanted["state"] == "stopped":
        result = whole(lambda: {"changed": bool(job.running()) if module.check_mode else job.stop()})
    elif wanted["background"] and wanted["state"] == "measured" and not module.check_mode:
        result = whole(lambda: in_background(module, job))
    else:
        result = whole(lambda: measure(module))
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


CLIENT = inspect.getsource(_bench_client)  # read now: what the module came in is gone when it runs in the background

if __name__ == "__main__":
    main()
