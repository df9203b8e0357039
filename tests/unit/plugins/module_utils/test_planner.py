# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decision: which topology for which cards, model and wish."""

from __future__ import annotations

import cProfile

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Instance
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import (
    GIB,
    argument,
    cards,
    links,
    model,
    plan,
)

H200_LINKS = links(2, nvlink=18)
NVLINK_PAIRS = links(4, pairs=((0, 2), (1, 3)), nvlink=4)

TWO = cards("5090", "5090")
ONE_REPLICA = {"topology": "data_parallel", "replicas": 1}
ALTERNATING = cards("5080", "3060", "5080", "3060")
H200S = cards("h200", "h200")
LLAMA, MOE = "llama-3.1-8b", "qwen3-30b-a3b"
DP, TP, HYBRID, LATENCY = "data_parallel", "tensor_parallel", "hybrid", "latency"
SHORT_LATENCY = {"workload": "latency", "max_model_len": 1024}
SMALL_LOAD = {"workload": {"input_tokens": 900, "output_tokens": 100, "concurrency": 100}}
LARGE_LOAD = {"workload": {"input_tokens": 1900, "output_tokens": 100, "concurrency": 120}}
# cards, links, model, options -> topology, replicas, tensor parallel size, instance names
DECISIONS = [
    # the starting table, two PCIe cards
    ("fits-one-card", TWO, [], LLAMA, {}, DP, 2, 1, ["gpu0", "gpu1"]),
    ("does-not-fit", cards("5080", "5080"), [], LLAMA, {}, TP, 1, 2, ["gpu0-1"]),
    ("latency-pcie", TWO, links(2), LLAMA, {"workload": LATENCY}, DP, 2, 1, None),
    ("throughput", TWO, [], LLAMA, {"workload": "throughput"}, DP, 2, 1, None),
    ("single-endpoint", TWO, [], LLAMA, {"single_endpoint": True}, TP, 1, 2, ["gpu0-1"]),
    # NVLink
    ("latency-nvlink", H200S, H200_LINKS, LLAMA, {"workload": LATENCY}, TP, 1, 2, None),
    ("mixed-nvlink", H200S, H200_LINKS, LLAMA, {}, DP, 2, 1, None),
    ("small-model-nvlink", H200S, H200_LINKS, "llama-3.2-1b", {"workload": LATENCY}, DP, 2, 1, None),
    ("latency-nvlink-asked", H200S, H200_LINKS, LLAMA, {"workload": LATENCY, "topology": DP}, DP, 2, 1, None),
    # one card, and odd numbers of cards
    ("one-card", cards("5090"), [], LLAMA, {}, DP, 1, 1, ["gpu0"]),
    ("one-card-single", cards("5090"), [], LLAMA, {"single_endpoint": True}, DP, 1, 1, ["gpu0"]),
    ("three-fit", cards(*["5090"] * 3), [], LLAMA, {}, DP, 3, 1, ["gpu0", "gpu1", "gpu2"]),
    ("three-split", cards(*["5080"] * 3), [], LLAMA, {}, TP, 1, 2, ["gpu0-1"]),
    ("five-split", cards(*["5080"] * 5), [], LLAMA, {}, HYBRID, 2, 2, ["gpu0-1", "gpu2-3"]),
    ("six-split", cards(*["5080"] * 6), [], LLAMA, {}, HYBRID, 3, 2, ["gpu0-1", "gpu2-3", "gpu4-5"]),
    ("seven-split", cards(*["5080"] * 7), [], LLAMA, {}, HYBRID, 3, 2, None),
    ("single-three", cards(*["5090"] * 3), [], LLAMA, {"single_endpoint": True}, TP, 1, 2, ["gpu0-1"]),
    # hybrids
    ("four-hybrid", cards(*["5080"] * 4), [], LLAMA, {}, HYBRID, 2, 2, ["gpu0-1", "gpu2-3"]),
    ("four-nvlink-pairs", cards(*["5080"] * 4), NVLINK_PAIRS, LLAMA, {}, HYBRID, 2, 2, ["gpu0_2", "gpu1_3"]),
    ("eight-hybrid", cards(*["4090"] * 8), [], MOE, {}, HYBRID, 2, 4, ["gpu0-3", "gpu4-7"]),
    ("eight-fit", cards(*["h100"] * 8), links(8, nvlink=18), MOE, {}, DP, 8, 1, None),
    # context length
    ("explicit-length", TWO, [], LLAMA, {"max_model_len": 131072}, TP, 1, 2, None),
    ("short-length", TWO, [], LLAMA, {"max_model_len": 4096}, DP, 2, 1, None),
    # weights fit, but not enough KV cache: 24 GiB cards hold the weights of Gemma-2-9B and little more
    ("kv-starved", cards("4090", "4090"), [], "gemma-2-9b", {"workload": "throughput"}, TP, 1, 2, None),
    ("kv-enough-for-one", cards("4090", "4090"), [], "gemma-2-9b", SHORT_LATENCY, DP, 2, 1, None),
    ("numbers-small", TWO, [], LLAMA, SMALL_LOAD, DP, 2, 1, None),
    ("numbers-large", TWO, [], LLAMA, LARGE_LOAD, TP, 1, 2, None),
    # overrides
    ("asked-tp", TWO, [], LLAMA, {"topology": TP}, TP, 1, 2, None),
    ("asked-hybrid", cards(*["5090"] * 4), [], LLAMA, {"topology": HYBRID}, HYBRID, 2, 2, None),
    ("asked-replicas", cards(*["5090"] * 4), [], LLAMA, {"replicas": 2}, HYBRID, 2, 2, None),
    ("asked-size", cards(*["5090"] * 4), [], LLAMA, {"tensor_parallel_size": 2}, HYBRID, 2, 2, None),
    ("asked-one-of-two", TWO, [], LLAMA, ONE_REPLICA, DP, 1, 1, ["gpu0"]),
    # mixed cards
    ("mixed-both-fit", cards("5090", "4090"), [], LLAMA, {}, DP, 2, 1, ["gpu0", "gpu1"]),
    ("mixed-one-fits", cards("3060", "5090"), [], LLAMA, {}, DP, 1, 1, ["gpu1"]),
    ("mixed-pairs", ALTERNATING, [], "qwen2.5-7b", {"workload": LATENCY}, HYBRID, 2, 2, ["gpu0_2", "gpu1_3"]),
    # choosing cards
    ("by-index", cards(*["5090"] * 4), [], LLAMA, {"gpu_ids": [1, "3"]}, DP, 2, 1, ["gpu1", "gpu3"]),
    ("by-uuid", cards(*["5090"] * 4), [], LLAMA, {"gpu_ids": ["GPU-0002"]}, DP, 1, 1, ["gpu2"]),
    ("all-in-list", TWO, [], LLAMA, {"gpu_ids": ["all"]}, DP, 2, 1, None),
]  # fmt: skip


@pytest.mark.parametrize("case", DECISIONS, ids=lambda c: c[0])
def test_decision(case):
    _name, gpus, fabric, name, options, topology, replicas, tp, names = case
    made = plan(gpus, name, links=fabric, **options)
    assert (made["topology"], made["replicas"], made["tensor_parallel_size"]) == (topology, replicas, tp), made[
        "reason"
    ]
    if names is not None:
        assert [i["name"] for i in made["instances"]] == names
    check_invariants(made, gpus)


def check_invariants(made, gpus):
    assert len(made["instances"]) == made["replicas"]
    assert made["load_balancer"] is (made["replicas"] > 1)
    used = [u for i in made["instances"] for u in i["gpu_uuids"]]
    assert len(used) == len(set(used)) == made["replicas"] * made["tensor_parallel_size"]
    assert [i["port"] for i in made["instances"]] == [8001 + n for n in range(made["replicas"])]
    p = made["prediction"]
    assert p["kv_cache_tokens"] >= made["max_model_len"] > 0
    assert (
        p["weight_bytes_per_gpu"] + p["activation_bytes_per_gpu"] + p["kv_cache_bytes_per_gpu"]
        <= p["budget_bytes"]
        <= p["cuda_total_bytes"]
    )
    chosen = [c for c in made["candidates"] if c["why"].startswith("chosen")]
    assert len(chosen) == 1
    assert (chosen[0]["replicas"], chosen[0]["tensor_parallel_size"]) == (
        made["replicas"],
        made["tensor_parallel_size"],
    )
    assert all(c["why"] for c in made["candidates"])
    shapes = [(c["replicas"], c["tensor_parallel_size"]) for c in made["candidates"]]
    assert len(set(shapes)) == len(shapes)
    assert "\n" not in made["reason"]


def test_textbook_example_says_why():
    made = plan(cards("5080", "5080"))
    assert "FP8 weights (8.5 GiB) would fit one card and make it data parallel" in made["reason"]
    single = next(c for c in made["candidates"] if c["replicas"] == 2)
    assert single["fits"] is False
    assert "weights 15.0 GiB" in single["why"]
    assert "exceed the 14.3 GiB usable of a card by" in single["why"]


def test_auto_length_is_lowered_and_said():
    made = plan(cards("5090", "5090"))
    assert [i["port"] for i in made["instances"]] == [8001, 8002]
    assert 80_000 < made["max_model_len"] < 131_072
    assert made["max_model_len"] % 256 == 0
    assert "not the model's 131,072" in made["reason"]
    assert "set max_model_len to ask for it" in made["reason"]
    assert plan(cards("h200"))["max_model_len"] == 131072


def test_every_arrangement_is_listed():
    made = plan(cards(*["5090"] * 4))
    shapes = {(c["replicas"], c["tensor_parallel_size"]) for c in made["candidates"]}
    assert shapes == {(r, t) for t in range(1, 5) for r in range(1, 5) if r * t <= 4}


def test_instance_in_full():
    made = plan(cards("5090", "5090"), served_model_name="chat", extra_args=["--enable-prefix-caching"])
    first = made["instances"][0]
    assert first["gpus"] == [0]
    assert first["host"] == "127.0.0.1"
    assert first["env"] == {"CUDA_VISIBLE_DEVICES": "GPU-0000", "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "120"}
    expected = {
        "--host": "127.0.0.1", "--port": "8001", "--served-model-name": "chat", "--tensor-parallel-size": "1",
        "--max-model-len": str(made["max_model_len"]), "--max-num-seqs": "256", "--max-num-batched-tokens": "2048",
        "--gpu-memory-utilization": "0.92", "--shutdown-timeout": "120",
    }  # fmt: skip
    assert {flag: argument(first, flag) for flag in expected} == expected
    assert first["args"][-1] == "--enable-prefix-caching"
    assert Instance.from_dict(first).to_dict() == first


def test_cards_without_uuid_are_numbered_like_nvml():
    env = plan(cards("5080", "5080", uuid=""))["instances"][0]["env"]
    assert env["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(("version", "expected"), [("0.26.0", "0.92"), ("0.32.0", "0.92")])
def test_utilization_follows_the_release(version, expected):
    made = plan(cards("5090"), vllm_version=version)
    assert argument(made["instances"][0], "--gpu-memory-utilization") == expected


def test_newer_release_is_planned_with_a_warning():
    assert any("0.40.0 is newer" in w for w in plan(cards("5090"), vllm_version="0.40.0")["warnings"])


def test_missing_peer_to_peer():
    made = plan(cards("5080", "5080"), links=links(2, p2p=False))
    assert "--disable-custom-all-reduce" in made["instances"][0]["args"]
    assert "NCCL_P2P_DISABLE" not in made["instances"][0]["env"]
    assert any("no peer-to-peer" in w for w in made["warnings"])
    known = plan(cards("5080", "5080"), links=links(2))
    assert "--disable-custom-all-reduce" not in known["instances"][0]["args"]
    assert known["warnings"] == []


def test_nearest_cards_share_a_replica():
    fabric = links(4, path="SYS")
    for a, b in ((0, 3), (1, 2)):
        fabric[a][b]["path"] = fabric[b][a]["path"] = "PIX"
    assert [i["gpus"] for i in plan(cards(*["5080"] * 4), links=fabric)["instances"]] == [[0, 3], [1, 2]]


def test_numa_node_decides_without_links():
    gpus = cards(*["5080"] * 4)
    for gpu, node in zip(gpus, (0, 1, 0, 1)):
        gpu["numa_node"] = node
    assert [i["name"] for i in plan(gpus)["instances"]] == ["gpu0_2", "gpu1_3"]


# ---------------------------------------------------------------- cards that are not all there


def busy(gpus, index, used, **process):
    gpus[index]["memory_free_bytes"] -= used
    gpus[index]["processes"] = [{"pid": 4711, "name": "train", "memory_bytes": used, **process}]
    return gpus


def test_busy_card_is_left_out():
    made = plan(busy(cards("5090", "5090"), 1, 20 * GIB))
    assert (made["replicas"], made["instances"][0]["gpus"]) == (1, [0])
    assert any("card 1" in w and "left out" in w for w in made["warnings"])


def test_partly_busy_card_counts_what_is_free():
    made = plan(busy(cards("5090", "5090"), 1, 6 * GIB))
    assert made["replicas"] == 2
    second = float(argument(made["instances"][1], "--gpu-memory-utilization"))
    assert 0.7 < second < 0.8
    assert argument(made["instances"][0], "--gpu-memory-utilization") == "0.92"
    assert any("card 1" in w and "lowered" in w for w in made["warnings"])
    assert made["prediction"]["gpu_memory_utilization"] == second  # the weakest instance


@pytest.mark.parametrize("how", ["pid", "unit"])
def test_engines_that_the_plan_replaces_are_not_someone_else(how):
    clean = plan(cards("5090", "5090"))
    if how == "pid":
        again = plan(busy(cards("5090", "5090"), 1, 29 * GIB), own_pids=[4711])
    else:
        again = plan(busy(cards("5090", "5090"), 1, 29 * GIB, unit="vllm@gpu1.service"))
    assert again == clean


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"health": {"verdict": "fail", "reasons": ["uncorrectable ECC errors"]}}, "uncorrectable ECC errors"),
        ({"compute_capability": "7.0"}, "below the 7.5"),
        ({"mig_mode": "enabled"}, "no slices"),
    ],
)
def test_unfit_card_is_left_out(change, needle):
    gpus = cards("5090", "5090")
    gpus[0].update(change)
    made = plan(gpus)
    assert [i["gpus"] for i in made["instances"]] == [[1]]
    assert any("card 0" in w and needle in w for w in made["warnings"])
    for gpu in gpus:
        gpu.update(change)
    with pytest.raises(PlanError, match="no usable card is left"):
        plan(gpus)


def mig_card(slices=3, total=40 * GIB):
    gpu = cards("h100", mig_mode="enabled")[0]
    gpu["mig_devices"] = [
        {"uuid": f"MIG-{n}", "name": "3g.40gb", "memory_total_bytes": total, "memory_free_bytes": total - 10**8}
        for n in range(slices)
    ]
    return gpu


def test_mig_slices_serve_replicas():
    made = plan([mig_card()])
    assert [i["name"] for i in made["instances"]] == ["mig0-0", "mig0-1", "mig0-2"]
    assert [i["env"]["CUDA_VISIBLE_DEVICES"] for i in made["instances"]] == ["MIG-0", "MIG-1", "MIG-2"]
    assert all("MIG" in c["why"] for c in made["candidates"] if c["tensor_parallel_size"] > 1)
    one = plan([mig_card()], gpu_ids=["MIG-1"])
    assert [i["name"] for i in one["instances"]] == ["mig0-1"]


def test_mig_slices_cannot_be_split_over():
    with pytest.raises(PlanError, match="MIG slices cannot be joined"):
        plan([mig_card(2)], topology="tensor_parallel")


def test_mixed_cards_weakest_rules():
    made = plan(cards("5090", "4090"))
    assert made["max_model_len"] == plan(cards("4090"))["max_model_len"]
    assert any("card 1" in w and "limits max_model_len" in w for w in made["warnings"])
    refused = next(c for c in made["candidates"] if c["tensor_parallel_size"] == 2)
    assert refused["fits"] is False
    assert "mixed cards" in refused["why"]


def test_idle_cards_are_named():
    made = plan(cards(*["5080"] * 3))
    assert "1 card stays idle" in made["reason"]
    assert "32 attention heads cannot be divided by 3" in made["reason"]
    assert any("card 2" in w and "left out" in w for w in made["warnings"])


def test_single_endpoint_of_a_model_that_cannot_be_split():
    made = plan(cards("5090", "5090"), model=model("llama-3.1-8b", heads=25, kv_layout=[]), single_endpoint=True)
    assert (made["replicas"], made["tensor_parallel_size"]) == (1, 1)
    assert any("25 attention heads" in w for w in made["warnings"])


def test_no_room_for_the_workload_is_a_warning():
    made = plan(cards("5090"), workload={"input_tokens": 1000, "output_tokens": 1000, "concurrency": 500})
    assert made["replicas"] == 1
    assert any("no topology has room for the workload" in w for w in made["warnings"])


def test_unknown_architecture_is_said():
    made = plan(cards("5090"), model=model("llama-3.1-8b", known_architecture=False, architecture="NewForCausalLM"))
    assert any("NewForCausalLM is not known" in w for w in made["warnings"])
    assert made["prediction"]["margin_percent"] >= 15.0


def test_public_endpoint():
    door = {"host": "0.0.0.0", "port": 443}
    alone = plan(cards("5080", "5080"), public_endpoint=door)["instances"][0]
    assert (alone["host"], alone["port"], argument(alone, "--host"), argument(alone, "--port")) == (
        "0.0.0.0",
        443,
        "0.0.0.0",
        "443",
    )
    several = plan(cards("5090", "5090"), public_endpoint=door)
    assert [i["port"] for i in several["instances"]] == [8001, 8002]
    assert any("public_endpoint is not used" in w for w in several["warnings"])


def test_the_work_of_a_plan_stays_small():
    """Counted in calls, which do not depend on the machine; benchmarks/planner/timing.py has the milliseconds."""
    gpus, fabric, llama = cards(*["5080"] * 8), links(8, path="NODE"), model("llama-3.1-8b")
    plan(gpus, model=llama, links=fabric)
    counted = cProfile.Profile()
    counted.runcall(plan, gpus, model=llama, links=fabric)
    calls = sum(entry.callcount for entry in counted.getstats())
    assert calls < 200_000, f"{calls} calls"  # 141,000 with Python 3.11


def test_sixteen_cards():
    made = plan(cards(*["5080"] * 16))
    assert (made["topology"], made["replicas"], made["tensor_parallel_size"]) == ("hybrid", 8, 2)
    assert [i["gpus"] for i in made["instances"]] == [[n, n + 1] for n in range(0, 16, 2)]


# ---------------------------------------------------------------- refusals

REFUSED = [
    ({"topology": "tensor_paralel"}, InputError, "did you mean 'tensor_parallel'"),
    ({"workload": "troughput"}, InputError, "did you mean 'throughput'"),
    ({"workload": {"input_tokens": 10}}, InputError, "output_tokens is missing"),
    (
        {"workload": {"input_tokens": 9000, "output_tokens": 1, "concurrency": 1}, "max_model_len": 8192},
        InputError,
        "does not go into max_model_len",
    ),
    ({"gpu_ids": [0, 5]}, InputError, r"no card 5; this host has: 0 \(GPU-0000\), 1 \(GPU-0001\)"),
    ({"gpu_ids": ["GPU-9"]}, InputError, "no card 'GPU-9'"),
    ({"gpu_ids": [0, 0]}, InputError, "card 0 is named twice"),
    ({"gpu_ids": [1, "GPU-0001"]}, InputError, "card 1 is named twice"),
    ({"gpu_ids": []}, InputError, "give 'all' or a list"),
    ({"base_port": 70000}, InputError, "base_port 70000 is out of range"),
    ({"base_port": 80}, InputError, "base_port 80 is out of range"),
    ({"base_port": 65535}, InputError, "would reach port 65536"),
    ({"base_port": 8000, "reserved_ports": [8001]}, InputError, "port 8001, which is reserved"),
    (
        {"topology": "tensor_parallel", "model": model("llama-3.1-8b", heads=25, kv_layout=[])},
        PlanError,
        "25 attention heads cannot be divided by 2",
    ),
    ({"tensor_parallel_size": 4}, InputError, "more than the 2 usable cards"),
    ({"replicas": 3}, InputError, "3 replicas .* need 3 cards, 2 are usable"),
    ({"max_model_len": 131073}, InputError, "beyond the model's 131072.*VLLM_ALLOW_LONG_MAX_MODEL_LEN is not used"),
    ({"max_model_len": 0}, InputError, "max_model_len 0 is not usable"),
    ({"max_model_len": "8k"}, InputError, "max_model_len '8k' is not usable"),
    ({"gpu_memory_utilization": 1.1}, InputError, "gpu_memory_utilization 1.1 is out of range"),
    ({"gpu_memory_utilization": -0.5}, InputError, "out of range"),
    ({"gpu_memory_utilization": float("nan")}, InputError, "finite"),
    (
        {"gpus": []},
        PlanError,
        "no NVIDIA card was found on this host .gpus is empty., and device .vllm_device. is cuda",
    ),
    ({"vllm_version": "0.25.0"}, InputError, "too old"),
    ({"single_endpoint": True, "replicas": 2}, InputError, "single_endpoint asks for one instance"),
    ({"single_endpoint": True, "topology": "data_parallel"}, InputError, "single_endpoint asks for one instance"),
    ({"topology": "data_parallel", "tensor_parallel_size": 2}, InputError, "one card a replica"),
    ({"topology": "hybrid"}, PlanError, "hybrid needs at least 4 cards, 2 are usable"),
    ({"topology": "tensor_parallel", "gpu_ids": [0]}, PlanError, "needs at least 2 cards, 1 is usable"),
    ({"topology": "data_parallel", "max_model_len": 131072}, PlanError, "data_parallel cannot run: .*short"),
    ({"topology": "tensor_parallel", "gpus": cards("5090", "4090")}, PlanError, "mixed cards"),
    ({"model": model("qwen3-30b-a3b"), "gpus": cards("5080")}, PlanError, "does not fit this server"),
    ({"extra_args": ["--port", "9000"]}, InputError, "--port is set by the plan: use base_port"),
    ({"extra_args": ["--max_model_len=4096"]}, InputError, r"use max_model_len \(role variable vllm_max_model_len\)"),
    ({"extra_args": ["-tp", "2"]}, InputError, "-tp is set by the plan"),
    ({"extra_args": ["--api-key=secret"]}, InputError, "gateway_api_keys"),
    ({"extra_args": ["--dtype half"]}, InputError, "more than one word"),
    ({"extra_args": "--dtype"}, InputError, "extra_args must be a list"),
    ({"max_num_seqs": 64, "max_num_batched_tokens": 32}, InputError, "below max_num_seqs"),
    ({"links": [[{}]]}, InputError, "one row and one column for each of the 2 cards"),
    ({"device": "gpu"}, InputError, "device 'gpu' is unknown"),
    ({"served_model_name": "two words"}, InputError, "without spaces"),
    ({"gpu_id": [0]}, InputError, "did you mean 'gpu_ids'"),
    ({"gpus": [*TWO, TWO[0]]}, InputError, "index 0 is there twice"),
    ({"gpus": cards("5090", health="good")}, InputError, r"gpus\[0\].health must be a dictionary"),
    ({"gpus": cards("5090", memory_total_bytes=-5)}, InputError, r"gpus\[0\].memory_total_bytes is -5"),
    ({"gpus": cards("5090", mig_devices=7)}, InputError, r"gpus\[0\].mig_devices must be a list, got 7"),
    ({"gpus": [{"name": "RTX"}]}, InputError, "key '(index|memory_total_bytes)' is missing"),
    ({"model": model("llama-3.1-8b", config=[1])}, InputError, "model.config must be a dictionary"),
    ({"model": model("llama-3.1-8b", kv_layout=[3])}, InputError, "model.kv_layout: a dictionary is needed"),
    ({"model": model("llama-3.1-8b", vocab_size=10**30)}, InputError, "model.vocab_size must be a whole number"),
    ({"model": model("llama-3.1-8b", weight_groups={"lm_head": -1})}, InputError, "lm_head must be a number of bytes"),
    ({"model": None}, InputError, "model: a dictionary is needed"),
    ({"model": model("llama-3.1-8b", heads=0)}, InputError, "model.heads is 0"),
    ({"model": model("llama-3.1-8b", layers=-1)}, InputError, "model.layers is -1"),
    (
        {"model": model("llama-3.1-8b", kv_layout=[{"kind": "round", "layers": 1}])},
        InputError,
        "kind 'round' is unknown",
    ),
]


@pytest.mark.parametrize(("options", "kind", "needle"), REFUSED, ids=lambda v: None)
def test_refused_in_one_line(options, kind, needle):
    with pytest.raises(kind, match=needle) as caught:
        plan(**{"gpus": TWO, **options})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_refusal_brings_the_candidates():
    with pytest.raises(PlanError) as caught:
        plan(cards("5080", "5080"), "qwen3-30b-a3b")
    assert [(c.replicas, c.tensor_parallel_size, c.fits) for c in caught.value.candidates] == [
        (2, 1, False),
        (1, 1, False),
        (1, 2, False),
    ]


def test_unplanned_flags_are_let_through_with_a_warning():
    made = plan(cards("5090"), extra_args=["--speculative-config", "{}"])
    assert made["instances"][0]["args"][-2:] == ["--speculative-config", "{}"]
    assert any("--speculative-config is not in the memory prediction" in w for w in made["warnings"])
