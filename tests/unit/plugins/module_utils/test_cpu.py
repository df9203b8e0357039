# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CPU serving, and GPU plans rehearsed on the CPU engine."""

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._cpu import core_list, split_cores
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import (
    GIB,
    argument,
    cards,
    model,
    plan,
)

HOST = {"cpus": 2, "memory_bytes": 24 * GIB}
GPU_WORDS = ("--gpu-memory-utilization", "--enforce-eager", "--disable-custom-all-reduce", "--kv-cache-dtype")


@pytest.mark.parametrize(
    ("cores", "instances", "ranks", "binds"),
    [
        ((0, 1), 2, 1, ["0", "1"]),
        ((0, 1), 1, 2, ["0|1"]),
        ((0, 1, 2, 3), 1, 1, ["0-3"]),
        ((0, 1, 2, 3), 2, 2, ["0|1", "2|3"]),
        ((0, 1, 2, 3, 4), 2, 1, ["0-2", "3-4"]),
        ((0, 2, 4, 6), 2, 1, ["0,2", "4,6"]),
        ((0,), 2, 1, ["0", "0"]),  # fewer cores than ranks: shared in turn
        ((0, 1), 1, 4, ["0|1|0|1"]),
        ((5, 7), 3, 1, ["5", "7", "5"]),
    ],
)
def test_split_cores(cores, instances, ranks, binds):
    assert split_cores(cores, instances, ranks) == binds


@pytest.mark.parametrize(
    ("cores", "text"), [([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 9], "0,2-3,9"), ([2, 1, 0], "0-2")]
)
def test_core_list(cores, text):
    assert core_list(cores) == text


def test_cpu_plan():
    made = plan([], "llama-3.2-1b", device="cpu", host=HOST)
    assert (made["topology"], made["replicas"], made["device"], made["rehearsal"]) == ("data_parallel", 1, "cpu", False)
    only = made["instances"][0]
    assert (only["name"], only["gpus"], only["port"]) == ("cpu0", [], 8001)
    assert only["env"]["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"
    space = int(only["env"]["VLLM_CPU_KVCACHE_SPACE"])
    assert made["prediction"]["kv_cache_bytes_per_gpu"] == space * GIB
    assert made["prediction"]["kv_cache_tokens"] >= made["max_model_len"] == 131072
    assert "CUDA_VISIBLE_DEVICES" not in only["env"]
    assert not set(GPU_WORDS) & set(only["args"])


def test_cpu_replicas_and_ranks():
    two = plan(
        [],
        "llama-3.2-1b",
        device="cpu",
        host={"cpus": [0, 1, 2, 3], "memory_bytes": 32 * GIB},
        replicas=2,
        topology="data_parallel",
    )
    assert [i["env"]["VLLM_CPU_OMP_THREADS_BIND"] for i in two["instances"]] == ["0-1", "2-3"]
    assert [i["port"] for i in two["instances"]] == [8001, 8002]
    assert two["load_balancer"] is True
    split = plan([], "llama-3.2-1b", device="cpu", host=HOST, topology="tensor_parallel")
    assert (split["topology"], split["instances"][0]["env"]["VLLM_CPU_OMP_THREADS_BIND"]) == ("tensor_parallel", "0|1")
    assert argument(split["instances"][0], "--tensor-parallel-size") == "2"


def test_cpu_length_is_lowered_to_the_memory():
    made = plan([], "llama-3.2-1b", device="cpu", host={"cpus": 2, "memory_bytes": 8 * GIB})
    assert 2048 <= made["max_model_len"] < 131072
    assert "the most that fits" in made["reason"]


@pytest.mark.parametrize(
    ("options", "kind", "needle"),
    [
        ({"host": None}, InputError, "host.cpus is missing"),
        ({"host": {"cpus": 2}}, InputError, "host.memory_bytes is missing"),
        (
            {"host": {"cpus": 2, "memory_bytes": GIB, "avx512_bf16": 3}},
            InputError,
            "host.avx512_bf16 must be true or false, got 3",
        ),
        ({"host": {"cpus": [0, 0], "memory_bytes": GIB}}, InputError, "names a core twice"),
        ({"host": {"cpus": 2, "memory_bytes": 3 * GIB}}, PlanError, "does not fit on this host's CPU memory"),
        ({"host": HOST, "replicas": 3}, InputError, "needs at least 3 cores, the host has 2"),
        ({"host": HOST, "topology": "hybrid"}, InputError, "hybrid on device cpu needs"),
        (
            {"host": HOST, "model": model("llama-3.2-1b", heads=25), "tensor_parallel_size": 2},
            PlanError,
            "25 attention heads",
        ),
        ({"host": HOST, "single_endpoint": True, "replicas": 2}, InputError, "single_endpoint"),
        ({"host": HOST, "base_port": 8000, "reserved_ports": [8000]}, InputError, "port 8000, which is reserved"),
    ],
)
def test_cpu_refused(options, kind, needle):
    with pytest.raises(kind, match=needle) as caught:
        plan([], "llama-3.2-1b", device="cpu", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kinds", "options", "binds"),
    [
        (("5090", "5090"), {}, ["0", "1"]),
        (("5080", "5080"), {}, ["0|1"]),
        (("5080",) * 4, {}, ["0|1", "0|1"]),
        (("5090", "5090"), {"topology": "tensor_parallel"}, ["0|1"]),
    ],
)
def test_rehearsal_keeps_the_plan(kinds, options, binds):
    real = plan(cards(*kinds), **options)
    made = plan(cards(*kinds), rehearsal=True, host=HOST, **options)
    same = ("topology", "replicas", "tensor_parallel_size", "load_balancer", "max_model_len", "candidates", "reason")
    assert {k: made[k] for k in same} == {k: real[k] for k in same}
    predicted = dict(made["prediction"])
    engine = predicted.pop("rehearsal")
    assert predicted == real["prediction"]
    assert (made["rehearsal"], made["device"]) == (True, "cpu")
    assert any(w.startswith("rehearsal: the plan is for the cards") for w in made["warnings"])
    for ours, theirs, bind in zip(made["instances"], real["instances"], binds):
        assert [ours[k] for k in ("name", "gpus", "gpu_uuids", "host", "port")] == [
            theirs[k] for k in ("name", "gpus", "gpu_uuids", "host", "port")
        ]
        assert ours["env"]["VLLM_CPU_OMP_THREADS_BIND"] == bind
        assert not [name for name in ours["env"] if name.startswith("CUDA")]
        assert not set(GPU_WORDS) & set(ours["args"])
        for flag in ("--tensor-parallel-size", "--max-model-len", "--port", "--served-model-name"):
            assert argument(ours, flag) == argument(theirs, flag)
        assert int(argument(ours, "--max-num-seqs")) == 16
    # vLLM refuses to start where one request of max_model_len has no room
    assert engine["kv_cache_tokens"] >= made["max_model_len"]


def test_rehearsal_of_a_small_model_takes_one_gib():
    small = model(
        "llama-3.2-1b",
        layers=2,
        hidden_size=64,
        heads=4,
        kv_heads=2,
        head_dim=16,
        kv_layout=[],
        max_position_embeddings=2048,
        weight_bytes=10**6,
    )
    made = plan(cards("5090", "5090"), model=small, rehearsal=True, host=HOST, enforce_eager=True)
    assert [i["env"]["VLLM_CPU_KVCACHE_SPACE"] for i in made["instances"]] == ["1", "1"]
    assert "--enforce-eager" not in made["instances"][0]["args"]
    # uncompiled: a rehearsal needs no C++ compiler, which takes both
    assert "-O0" in made["instances"][0]["args"]
    assert made["instances"][0]["env"]["TORCHDYNAMO_DISABLE"] == "1"


def test_rehearsal_needs_cores():
    with pytest.raises(InputError, match=r"host\.cpus is missing"):
        plan(cards("5090"), rehearsal=True)
