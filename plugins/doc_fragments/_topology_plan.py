# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    """Options that the module and the filter C(topology_plan) share."""

    DOCUMENTATION = r"""
options:
  links:
    description:
      - How the cards reach each other, as M(gpuserve.inference.gpu_info) returns it. One row for each card with one
        dictionary for each card, with C(nvlink_count), C(p2p) and C(path).
      - Without it the planner knows of no NVLink and groups cards by NUMA node.
    type: list
    elements: list
    default: []
  model:
    description:
      - The model, as M(gpuserve.inference.model_info) returns it under
        RV(gpuserve.inference.model_info#module:model).
    type: dict
    required: true
  workload:
    description:
      - What the endpoint is for. One of V(latency), V(throughput) and V(mixed).
      - Or numbers, as a dictionary of C(input_tokens), C(output_tokens) and C(concurrency), and optionally C(name) (one
        of the words above, V(mixed) if left out), C(ttft_ms) and C(tpot_ms). The KV cache must then hold C(concurrency)
        requests, shared by all replicas, each with its C(input_tokens) and the part of its C(output_tokens) that is
        there at a time (all of it for one request, little more than half where there are many).
      - C(ttft_ms) and C(tpot_ms) are targets for the time to the first token and the time of each further one. What is
        predicted to meet them is preferred, and the plan says whether they are met. Predictions are estimates.
      - "Where only a word is given, every replica must hold: one request of 8192 tokens for V(latency), 8 of 2048 for
        V(mixed), 16 of 2048 for V(throughput), shortened to what the model allows. A card that holds the weights but
        not that is no fit for a replica. If no topology fits by that measure, the best one that starts is planned,
        with a warning."
    type: raw
    default: mixed
  loads:
    description:
      - Further loads, dictionaries of C(input_tokens), C(output_tokens) and C(concurrency). The predicted speed at each
        stands in C(speeds) of the prediction of every candidate. They decide nothing.
    type: list
    elements: dict
    default: []
  single_endpoint:
    description: Plan one instance, split over as many cards as the model can be divided over, with no balancer.
    type: bool
    default: false
  topology:
    description:
      - V(auto) decides. V(data_parallel), V(tensor_parallel) and V(hybrid) are taken as they are, or refused with the
        reason where they cannot run.
      - V(measured) takes what was fastest when this host was measured, as O(measured) says; where that says nothing of
        this host as it is now, it decides like V(auto), with a warning.
    type: str
    default: auto
  measured:
    description: What the playbook C(benchmark) left on the host, C(/etc/gpuserve/measured.json).
    type: dict
    default: {}
  bench_load:
    description:
      - What the playbook C(benchmark) would ask now, as options of M(gpuserve.inference.vllm_bench), C(preset) to
        C(range_ratio). With C(named=true) lengths and loads count too, otherwise only the dataset does.
      - With O(topology=measured), what was measured with another load is not used.
    type: dict
    default: {}
  tensor_parallel_size:
    description: Cards of each replica. V(0) lets the planner decide.
    type: int
    default: 0
  replicas:
    description: Number of instances. V(0) lets the planner decide.
    type: int
    default: 0
  gpu_ids:
    description:
      - The cards to use. V(all), or a list of indexes and UUIDs, of cards or of MIG slices.
    type: raw
    default: all
  own_pids:
    description:
      - Processes on the cards that applying the plan will replace. Their memory counts as free. Without it a second run
        would take the first run's engines for someone else's.
      - A process of a card with a key C(unit) that names a C(vllm@) service counts as free too.
    type: list
    elements: int
    default: []
  max_model_len:
    description:
      - The longest request in tokens, prompt and answer together. V(auto) takes the model's own limit, or the most that
        surely fits, rounded down a little (to 256 tokens where it is long), where that is less.
      - With V(auto) a shorter context alone never makes a model tensor parallel. Give the number to insist on it.
    type: str
    default: auto
  gpu_memory_utilization:
    description:
      - The largest share of a card's memory that vLLM may take. Less is planned where less is free, with a warning.
      - V(0.0) takes the release's default, 0.92 since vLLM 0.30 and 0.9 before.
    type: float
    default: 0.0
  max_num_seqs:
    description: Requests an instance works on at once. V(0) takes what the release defaults to on such a card.
    type: int
    default: 0
  max_num_batched_tokens:
    description:
      - Tokens an instance works on in one step. V(0) takes what the release defaults to on such a card.
    type: int
    default: 0
  kv_cache_dtype:
    description:
      - Data type of the KV cache. One of V(auto), V(bfloat16), V(float16), V(fp8), V(fp8_e4m3) and V(fp8_e5m2).
    type: str
    default: auto
  kv_cache_sizing:
    description:
      - How vLLM learns the size of its KV cache. V(utilization) has it measure at start what O(gpu_memory_utilization)
        leaves. V(pinned) passes the bytes that surely fit, so that the number of tokens is known exactly beforehand and
        the measuring is skipped. Of no effect on the CPU engine, whose cache is always given.
    type: str
    default: utilization
  enforce_eager:
    description: Run without CUDA graphs, which saves memory and costs speed. Not passed on to the CPU engine.
    type: bool
    default: false
  max_cudagraph_capture_size:
    description:
      - Tokens of the largest engine step that gets a CUDA graph. V(0) takes the release's own, 512, or 1024 for gpt-oss
        and, from 0.28 on, for cards of compute capability 10. Larger ones make steps faster that take in a prompt
        beside running answers, and cost memory of the card and some seconds of each start.
      - V(auto) takes 1024 where that was measured to pay, which is a dense model on a card of compute capability 9
        (H100, H200), unless the KV cache would lose more than a twentieth or O(extra_args) shape the graphs.
      - Not passed on to the CPU engine.
    type: str
    default: '0'
  vllm_version:
    description:
      - The vLLM release to plan for, from 0.26. A release newer than the planner knows is planned with a warning.
    type: str
    default: 0.32.0
  base_port:
    description: Port of the first instance. The others follow.
    type: int
    default: 8001
  reserved_ports:
    description: Ports that no instance may take, such as the gateway's.
    type: list
    elements: int
    default: []
  public_endpoint:
    description:
      - Address for a plan of one instance that nothing stands in front of, as a dictionary of C(host) and C(port).
        Without it every instance listens on 127.0.0.1.
    type: dict
  served_model_name:
    description: Name clients ask for. The model's own name if empty.
    type: str
    default: ''
  shutdown_timeout:
    description: Seconds an instance may take to finish its requests when it is stopped. V(0) aborts them.
    type: int
    default: 120
  trust_remote_code:
    description:
      - Whether the engine runs code that lies in the model's directory. It can then do all that the service may; read
        it first.
    type: bool
    default: false
  extra_args:
    description:
      - Further arguments of C(vllm serve), one word an item. Those the plan itself sets are refused with the option to
        use instead.
    type: list
    elements: str
    default: []
  device:
    description: V(cuda), V(cpu), or V(auto), which is V(cuda).
    type: str
    default: auto
  rehearsal:
    description:
      - Plan for the cards as always, then have the CPU engine run the result with the same instances, names and ports.
        The prediction stays that of the cards.
    type: bool
    default: false
  host:
    description:
      - Needed where the CPU engine runs. A dictionary of C(cpus) (a number or a list of core ids), C(memory_bytes)
        and C(avx512_bf16) (whether the processors compute in bfloat16, by default V(true)).
    type: dict
"""
