#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: topology_plan
short_description: Decide how the cards of a host serve a model with vLLM
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Weighs data parallel, tensor parallel and hybrid serving of one model on the cards of one host. Returns the
    instances to run, what their memory will hold, and why every other arrangement was not chosen.
  - Pure arithmetic over O(gpus) and O(model). Nothing on the host is read or changed. The filter
    P(gpuserve.inference.topology_plan#filter) gives the same answer on the controller.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
  - gpuserve.inference._topology_plan
options:
  gpus:
    description:
      - The cards, as M(gpuserve.inference.gpu_info) returns them. Only C(index), C(name) and C(memory_total_bytes) are
        needed of each. May be empty for O(device=cpu).
    type: list
    elements: dict
    default: []
seealso:
  - module: gpuserve.inference.gpu_info
  - module: gpuserve.inference.model_info
  - plugin: gpuserve.inference.plan_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at the cards
  gpuserve.inference.gpu_info:
  register: cards

- name: Look at the model
  gpuserve.inference.model_info:
    path: /var/lib/gpuserve/models/llama-3.1-8b
  register: checkpoint

- name: Plan
  gpuserve.inference.topology_plan:
    gpus: "{{ cards.gpus }}"
    links: "{{ cards.links }}"
    model: "{{ checkpoint.model }}"
    workload: latency
  register: planned

- name: Show it
  ansible.builtin.debug:
    msg: "{{ planned.plan | gpuserve.inference.plan_table }}"

- name: The same for a given load and context length
  gpuserve.inference.topology_plan:
    gpus: "{{ cards.gpus }}"
    links: "{{ cards.links }}"
    model: "{{ checkpoint.model }}"
    max_model_len: 32768
    workload:
      input_tokens: 3000
      output_tokens: 500
      concurrency: 32
      ttft_ms: 2000
      tpot_ms: 40
"""

RETURN = r"""
plan:
  description: What the host is to run.
  returned: success
  type: dict
  contains:
    topology:
      description: V(data_parallel), V(tensor_parallel) or V(hybrid). One instance on one card is V(data_parallel).
      type: str
      returned: success
    replicas:
      description: Number of instances.
      type: int
      returned: success
    tensor_parallel_size:
      description: Cards of each instance.
      type: int
      returned: success
    load_balancer:
      description: Whether there is more than one instance to balance over.
      type: bool
      returned: success
    max_model_len:
      description: The longest request in tokens.
      type: int
      returned: success
    instances:
      description: The instances to run.
      type: list
      elements: dict
      returned: success
      contains:
        name:
          description: Name of the instance, such as V(gpu0), V(gpu0-1), V(gpu0_2), V(mig0-1) or V(cpu0).
          type: str
          returned: success
        gpus:
          description: Indexes of its cards.
          type: list
          elements: int
          returned: success
        gpu_uuids:
          description: UUIDs of its cards or MIG slices.
          type: list
          elements: str
          returned: success
        host:
          description: Address to listen on.
          type: str
          returned: success
        port:
          description: Port to listen on.
          type: int
          returned: success
        env:
          description: Environment of the process.
          type: dict
          returned: success
        args:
          description: Arguments of C(vllm serve) after the model, one word an item.
          type: list
          elements: str
          returned: success
    prediction:
      description:
        - What one instance will hold. Where cards differ, the weakest one.
        - In a rehearsal there is also RV(ignore:rehearsal) with what the CPU engine will hold.
      type: dict
      returned: success
      contains:
        weight_bytes_per_gpu:
          description: Weights on each card.
          type: int
          returned: success
        kv_cache_bytes_per_gpu:
          description: Memory left for KV cache on each card.
          type: int
          returned: success
        kv_cache_memory_bytes:
          description:
            - The part of it that whole blocks fill. With O(kv_cache_sizing=pinned), what vLLM is told to take.
          type: int
          returned: success
        kv_cache_sizing:
          description: V(utilization) or V(pinned), as asked for.
          type: str
          returned: success
        num_gpu_blocks:
          description: Number of blocks.
          type: int
          returned: success
        kv_cache_tokens:
          description: What the engine will log as its KV cache size.
          type: int
          returned: success
        max_concurrency:
          description: Requests of the full length that fit at once.
          type: float
          returned: success
        activation_bytes_per_gpu:
          description: Peak of the forward pass or of sampling.
          type: int
          returned: success
        persistent_bytes_per_gpu:
          description: Buffers of the sampler that stay.
          type: int
          returned: success
        cuda_graph_bytes_per_gpu:
          description: CUDA graphs.
          type: int
          returned: success
        non_torch_bytes_per_gpu:
          description: What else the engine takes while it profiles.
          type: int
          returned: success
        outside_budget_bytes_per_gpu:
          description:
            - How much of these vLLM takes without counting it, out of what the utilization leaves free. Before 0.27
              these are the sampler's buffers, before 0.29 the CUDA graphs of most models.
          type: int
          returned: success
        max_model_len:
          description: Tokens of the longest request that this arrangement is planned for.
          type: int
          returned: success
        budget_bytes:
          description: Memory of a card that vLLM may use.
          type: int
          returned: success
        cuda_total_bytes:
          description: Memory of a card as CUDA sees it.
          type: int
          returned: success
        gpu_memory_utilization:
          description: Share of it that is planned.
          type: float
          returned: success
        tpot_ms:
          description:
            - Predicted milliseconds a token (TPOT) of the slowest replica, with RV(plan.prediction.speed_concurrency)
              requests at once on the host. This and the other speeds are empty for a card that the planner has no data
              of.
          type: float
          returned: success
        ttft_ms:
          description: Predicted milliseconds to the first token (TTFT) at that load, waiting included.
          type: float
          returned: success
        output_tokens_per_s:
          description: Predicted tokens a second at that load, of all replicas together.
          type: float
          returned: success
        requests_per_s:
          description: Predicted requests a second at that load, of all replicas together.
          type: float
          returned: success
        speed_concurrency:
          description:
            - Requests at once on the host that the speed is predicted for. 1 for V(latency), 16 for V(mixed), 128 for
              V(throughput), or the C(concurrency) of O(workload).
          type: int
          returned: success
        speed_input_tokens:
          description: Tokens of each prompt, 512 where O(workload) is a word.
          type: int
          returned: success
        speed_output_tokens:
          description: Tokens of each answer, 128 where O(workload) is a word.
          type: int
          returned: success
        targets:
          description:
            - For each of C(ttft_ms) and C(tpot_ms) that O(workload) has, a dictionary of C(target), C(predicted) and
              C(met).
          type: dict
          returned: when O(workload) has targets
        margin_percent:
          description: How far the tokens may be off. 0 with O(kv_cache_sizing=pinned) and a known architecture.
          type: float
          returned: success
    reason:
      description: Why this topology, with the numbers.
      type: str
      returned: success
    candidates:
      description: Every arrangement that was weighed.
      type: list
      elements: dict
      returned: success
      contains:
        topology:
          description: Its name.
          type: str
          returned: success
        replicas:
          description: Number of instances.
          type: int
          returned: success
        tensor_parallel_size:
          description: Cards of each instance.
          type: int
          returned: success
        fits:
          description: Whether it runs and holds the workload.
          type: bool
          returned: success
        why:
          description: Why it was rejected or not chosen.
          type: str
          returned: success
        prediction:
          description: As for the plan.
          type: dict
          returned: success
    advice:
      description:
        - What would change the answer, at most four sentences with the numbers, most useful first. Empty where nothing
          is limited.
      type: list
      elements: str
      returned: success
    warnings:
      description: What an operator should know, such as cards that are left out.
      type: list
      elements: str
      returned: success
    device:
      description: V(cuda) or V(cpu).
      type: str
      returned: success
    rehearsal:
      description: Whether the CPU engine stands in for the cards.
      type: bool
      returned: success
    workload:
      description: Name of the workload.
      type: str
      returned: success
    vllm_version:
      description: The release that was planned for.
      type: str
      returned: success
    model:
      description: C(name), C(path), C(revision) and C(served_model_name) of the model.
      type: dict
      returned: success
candidates:
  description: Every arrangement that was weighed and why it cannot run.
  returned: when no arrangement can run
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "gpus": {"type": "list", "elements": "dict", "default": []},
    "links": {"type": "list", "elements": "list", "default": []},
    "model": {"type": "dict", "required": True},
    "workload": {"type": "raw", "default": "mixed"},
    "loads": {"type": "list", "elements": "dict", "default": []},
    "single_endpoint": {"type": "bool", "default": False},
    "topology": {"type": "str", "default": "auto"},
    "measured": {"type": "dict", "default": {}},
    "bench_load": {"type": "dict", "default": {}},
    "tensor_parallel_size": {"type": "int", "default": 0},
    "replicas": {"type": "int", "default": 0},
    "gpu_ids": {"type": "raw", "default": "all"},
    "own_pids": {"type": "list", "elements": "int", "default": []},
    "max_model_len": {"type": "str", "default": "auto"},
    "gpu_memory_utilization": {"type": "float", "default": 0.0},
    "max_num_seqs": {"type": "int", "default": 0},
    "max_num_batched_tokens": {"type": "int", "default": 0, "no_log": False},
    "kv_cache_dtype": {"type": "str", "default": "auto"},
    "kv_cache_sizing": {"type": "str", "default": "utilization"},
    "enforce_eager": {"type": "bool", "default": False},
    "max_cudagraph_capture_size": {"type": "str", "default": "0"},
    "vllm_version": {"type": "str", "default": "0.32.0"},
    "base_port": {"type": "int", "default": 8001},
    "reserved_ports": {"type": "list", "elements": "int", "default": []},
    "public_endpoint": {"type": "dict"},
    "served_model_name": {"type": "str", "default": ""},
    "shutdown_timeout": {"type": "int", "default": 120},
    "trust_remote_code": {"type": "bool", "default": False},
    "extra_args": {"type": "list", "elements": "str", "default": []},
    "device": {"type": "str", "default": "auto"},
    "rehearsal": {"type": "bool", "default": False},
    "host": {"type": "dict"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        plan = plan_from_options(module.params)
    except PlanError as error:
        module.fail_json(msg=str(error), candidates=[c.to_dict() for c in error.candidates])
    except GpuserveError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, plan=plan)


if __name__ == "__main__":
    main()
