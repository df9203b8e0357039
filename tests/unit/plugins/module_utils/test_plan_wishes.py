# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A workload in numbers with its targets, a pinned KV cache, arguments that would overrule the plan, and advice."""

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import (
    GIB,
    argument,
    cards,
    links,
    model,
    plan,
    qwen3_32b_w4a16,
    real,
)

LLAMA = "llama-3.1-8b"
NVLINK = links(2, nvlink=18)


def load(concurrency, **more):
    return {"input_tokens": 512, "output_tokens": 128, "concurrency": concurrency, **more}


def shape(made):
    return made["replicas"], made["tensor_parallel_size"]


def candidate(made, replicas, tp):
    return next(c for c in made["candidates"] if (c["replicas"], c["tensor_parallel_size"]) == (replicas, tp))


# ---------------------------------------------------------------- speed and targets


@pytest.mark.parametrize(("workload", "concurrency"), [("latency", 1), ("mixed", 16), ("throughput", 128)])
def test_every_candidate_is_predicted_at_the_load(workload, concurrency):
    made = plan(cards("h200", "h200"), links=NVLINK, workload=workload)
    for each in made["candidates"]:
        p = each["prediction"]
        assert (p["speed_concurrency"], p["speed_input_tokens"], p["speed_output_tokens"]) == (concurrency, 512, 128)
        assert p["tpot_ms"] > 0
        assert p["ttft_ms"] > 0
        assert p["output_tokens_per_s"] == pytest.approx(128 * p["requests_per_s"], rel=0.01)
        assert "targets" not in p
    one, two = candidate(made, 1, 1)["prediction"], candidate(made, 2, 1)["prediction"]
    if concurrency == 1:
        assert one["output_tokens_per_s"] == two["output_tokens_per_s"]  # the second replica has nothing to do
    else:
        assert one["output_tokens_per_s"] < two["output_tokens_per_s"]


def test_unequal_replicas_are_as_fast_as_the_sum_and_as_slow_as_the_slowest():
    both = plan(cards("5090", "4090"), workload=load(64))["prediction"]
    fast = plan(cards("5090"), workload=load(32))["prediction"]
    slow = plan(cards("4090"), workload=load(32))["prediction"]
    assert both["output_tokens_per_s"] == pytest.approx(
        fast["output_tokens_per_s"] + slow["output_tokens_per_s"], rel=0.01
    )
    assert both["tpot_ms"] == slow["tpot_ms"] > fast["tpot_ms"]


def test_unknown_card_has_no_speed():
    gpus = cards("h200", "h200", name="NVIDIA FUTURE 1")
    made = plan(gpus, links=NVLINK, workload=load(1, tpot_ms=5, ttft_ms=100))
    p = made["prediction"]
    assert p["tpot_ms"] is p["ttft_ms"] is p["output_tokens_per_s"] is None
    assert p["targets"]["tpot_ms"] == {"target": 5.0, "predicted": None, "met": None}
    assert shape(made) == (2, 1)
    assert any("TPOT cannot be predicted for this card" in w for w in made["warnings"])


def test_targets_that_are_met():
    made = plan(cards("h200", "h200"), links=NVLINK, workload=load(1, tpot_ms=50, ttft_ms=5000))
    targets = made["prediction"]["targets"]
    assert set(targets) == {"tpot_ms", "ttft_ms"}
    assert all(t["met"] is True and t["predicted"] < t["target"] for t in targets.values())
    assert "the targets are met" in made["reason"]
    assert made["warnings"] == []


def test_a_candidate_that_meets_the_targets_is_preferred():
    """Over PCIe too: here the operator says what is wanted, so the prediction outranks the table."""
    gpus, fabric = cards("5090", "5090"), links(2)
    free = plan(gpus, links=fabric, workload=load(2))
    assert shape(free) == (2, 1)
    single, split = (candidate(free, *s)["prediction"]["tpot_ms"] for s in ((2, 1), (1, 2)))
    assert split < single
    made = plan(gpus, links=fabric, workload=load(2, tpot_ms=(single + split) / 2))
    assert shape(made) == (1, 2)
    assert made["prediction"]["targets"]["tpot_ms"]["met"] is True
    assert "it meets the targets" in made["reason"]
    assert "misses a target" in candidate(made, 2, 1)["why"]


def test_targets_that_nothing_meets():
    made = plan(cards("5090", "5090"), links=links(2), workload=load(64, tpot_ms=15))
    assert shape(made) == (2, 1)
    target = made["prediction"]["targets"]["tpot_ms"]
    assert target["met"] is False
    missed = target["predicted"] - 15
    warning = next(w for w in made["warnings"] if "misses the target of 15 ms" in w)
    assert f"by {missed:.3g} ms ({missed / 15:.0%})" in warning
    assert "predicted TPOT" in warning
    fewer = next(a for a in made["advice"] if a.startswith("with at most"))
    most = int(fewer.split()[3])
    assert 1 <= most < 64
    again = plan(cards("5090", "5090"), links=links(2), workload=load(most, tpot_ms=15))
    assert again["prediction"]["targets"]["tpot_ms"]["met"] is True
    more = plan(cards("5090", "5090"), links=links(2), workload=load(most + 1, tpot_ms=15))
    assert candidate(more, 2, 1)["prediction"]["targets"]["tpot_ms"]["met"] is False


def test_topology_asked_for_stands_against_a_target_and_the_other_is_named():
    fabric = links(2, nvlink=18)
    free = plan(cards("h200", "h200"), links=fabric, workload=load(1))
    split = candidate(free, 1, 2)["prediction"]["tpot_ms"]
    wish = load(1, tpot_ms=split * 1.1)
    made = plan(cards("h200", "h200"), links=fabric, workload=wish, topology="data_parallel")
    assert shape(made) == (2, 1)
    assert made["prediction"]["targets"]["tpot_ms"]["met"] is False
    assert made["advice"][0].startswith("tensor_parallel 1 x TP2 is predicted to meet the target")


@pytest.mark.parametrize(
    ("workload", "needle"),
    [
        (load(1, tpot_ms=0), "workload.tpot_ms 0 is out of range"),
        (load(1, ttft_ms=-3), "workload.ttft_ms -3 is out of range"),
        (load(1, tpot_ms="fast"), "workload.tpot_ms must be a number"),
        (load(0), "workload.concurrency 0 is out of range"),
        (load(1, tpot=3), "unknown key 'tpot' .did you mean 'tpot_ms'"),
        ({**load(1), "input_tokens": 131072}, "is beyond the model's 131072"),
    ],
)
def test_bad_numbers(workload, needle):
    with pytest.raises(InputError, match=needle):
        plan(cards("5090"), workload=workload)


def test_queues_are_part_of_the_prediction():
    """A KV cache for few requests: the rest wait, which is time to their first token."""
    roomy = plan(cards("5090"), workload=load(100))["prediction"]
    tight = plan(cards("5090"), workload=load(100), gpu_memory_utilization=0.6)["prediction"]
    assert tight["ttft_ms"] > 2 * roomy["ttft_ms"]
    assert tight["output_tokens_per_s"] < roomy["output_tokens_per_s"]


# ---------------------------------------------------------------- a pinned KV cache


@pytest.mark.parametrize("what", [LLAMA, "gemma-2-9b", "qwen3-30b-a3b"])
@pytest.mark.parametrize("version", ["0.26.0", "0.32.0"])
def test_pinned_says_exactly_what_is_passed(what, version):
    gpus = cards("h100", "h100")
    free = plan(gpus, what, vllm_version=version)
    made = plan(gpus, what, vllm_version=version, kv_cache_sizing="pinned")
    p = made["prediction"]
    passed = int(argument(made["instances"][0], "--kv-cache-memory-bytes"))
    assert passed == p["kv_cache_memory_bytes"] == p["kv_cache_bytes_per_gpu"]
    assert passed % p["num_gpu_blocks"] == 0  # whole blocks
    assert p["margin_percent"] == 0.0
    assert 0 < passed <= free["prediction"]["kv_cache_memory_bytes"]
    assert made["max_model_len"] >= free["max_model_len"]
    assert p["kv_cache_tokens"] >= made["max_model_len"]
    assert argument(made["instances"][0], "--gpu-memory-utilization") == f"{p['gpu_memory_utilization']:g}"
    assert "--kv-cache-memory-bytes" not in free["instances"][0]["args"]


def test_pinned_bytes_are_each_card_s_own():
    gpus = cards("5090", "5090")
    gpus[1]["memory_free_bytes"] -= 6 * GIB
    made = plan(gpus, kv_cache_sizing="pinned")
    first, second = (int(argument(i, "--kv-cache-memory-bytes")) for i in made["instances"])
    assert first > second == made["prediction"]["kv_cache_memory_bytes"]
    shares = [float(argument(i, "--gpu-memory-utilization")) for i in made["instances"]]
    assert shares[0] > shares[1]  # the start gate asks for that much free memory, pinned or not


def test_pinned_holds_back_only_what_the_free_memory_beyond_the_share_does_not_cover():
    gpus = cards("5090")
    free, pinned = plan(gpus), plan(gpus, kv_cache_sizing="pinned")
    assert pinned["max_model_len"] > free["max_model_len"]  # 8 % of the card are free for an error of the estimate
    assert pinned["prediction"]["kv_cache_tokens"] <= free["prediction"]["kv_cache_tokens"]
    full = plan(gpus, kv_cache_sizing="pinned", gpu_memory_utilization=0.98)
    lowered = plan(gpus, gpu_memory_utilization=0.98)
    assert full["max_model_len"] == lowered["max_model_len"]  # nothing is free beyond it


def test_pinned_margin_of_an_unknown_architecture_stays():
    made = plan(cards("5090"), model=model(LLAMA, known_architecture=False), kv_cache_sizing="pinned")
    assert made["prediction"]["margin_percent"] >= 15.0


def test_pinned_leaves_a_rehearsal_alone():
    made = plan(cards("5090"), kv_cache_sizing="pinned", rehearsal=True, host={"cpus": [0, 1], "memory_bytes": 8 * GIB})
    assert "--kv-cache-memory-bytes" not in made["instances"][0]["args"]


def test_larger_graphs_are_asked_for_and_reckoned_with():
    made, own = (plan(cards("5090"), max_cudagraph_capture_size=n) for n in (1024, 0))
    words = made["instances"][0]["args"]
    assert words[words.index("--max-cudagraph-capture-size") + 1] == "1024"
    assert "--max-cudagraph-capture-size" not in own["instances"][0]["args"]
    taken, before = (one["prediction"]["cuda_graph_bytes_per_gpu"] for one in (made, own))
    assert taken > before


@pytest.mark.parametrize(
    ("card", "more", "passed"),
    [
        ("h100", {}, True),
        ("h200", {}, True),
        ("h200", {"topology": "tensor_parallel"}, True),
        ("5090", {}, False),  # not measured there
        ("h200", {"enforce_eager": True}, False),
        ("h200", {"max_num_batched_tokens": 1024}, False),  # no step is larger
        ("h200", {"extra_args": ["--cudagraph-capture-sizes", "1", "2"]}, False),
        ("h200", {"extra_args": ["-O0"]}, False),
        # too much of a small cache
        ("h200", {"gpu_memory_utilization": 0.14, "max_model_len": 8192, "replicas": 2}, False),
        ("h200", {"model": model("qwen3-30b-a3b")}, False),
    ],
)
def test_auto_takes_larger_graphs_only_where_they_were_measured_to_pay(card, more, passed):
    two = cards(card, card, compute_capability="12.0" if card == "5090" else "9.0")
    made = plan(two, max_cudagraph_capture_size="auto", **more)
    words = made["instances"][0]["args"]
    assert ("--max-cudagraph-capture-size" in words) is passed
    if passed:
        assert words[words.index("--max-cudagraph-capture-size") + 1] == "1024"
        own = plan(two, **more)
        assert made["prediction"]["cuda_graph_bytes_per_gpu"] > own["prediction"]["cuda_graph_bytes_per_gpu"]
        assert made["max_model_len"] == own["max_model_len"]


def test_the_wish_of_graphs_says_what_is_allowed():
    with pytest.raises(InputError, match="max_cudagraph_capture_size must be a whole number, got 'wide', or auto"):
        plan(cards("5090"), max_cudagraph_capture_size="wide")


def test_graphs_and_none_at_once_are_refused():
    with pytest.raises(InputError, match="max_cudagraph_capture_size is 1024, but enforce_eager"):
        plan(cards("5090"), max_cudagraph_capture_size=1024, enforce_eager=True)


def test_the_cpu_engine_has_no_graphs():
    host = {"cpus": [0, 1, 2, 3], "memory_bytes": 64 << 30}
    made = plan([], device="cpu", host=host, max_cudagraph_capture_size=1024)
    assert "--max-cudagraph-capture-size" not in made["instances"][0]["args"]
    assert any("has no CUDA graphs" in line for line in made["warnings"])


# ---------------------------------------------------------------- arguments that would overrule the plan


@pytest.mark.parametrize(
    ("args", "needle"),
    [
        (["--max-num-seqs", "64"], r"use max_num_seqs \(role variable vllm_max_num_seqs\)"),
        (["--max-num-s=64"], r"--max-num-s \(for --max-num-seqs\) is set by the plan"),
        (["--max_num_batched_tokens=64"], "use max_num_batched_tokens"),
        (["--gpu-memory-util", "0.5"], "use gpu_memory_utilization"),
        (["--no-enforce-eager"], "use enforce_eager"),
        (["--max-cudagraph-capture-size", "1024"], "use max_cudagraph_capture_size"),
        (["--device-memory-utilization=0.5"], "use gpu_memory_utilization"),
        (["-n", "2"], "-n is set by the plan"),
        (["-dpr", "1"], "-dpr is set by the plan"),
        (["--trust-remote-code"], "role variable vllm_trust_remote_code"),
        (["--trust_remote_code=true"], "role variable vllm_trust_remote_code"),
        (["--trust"], "role variable vllm_trust_remote_code"),
    ],
)
def test_overruling_arguments_name_the_option(args, needle):
    with pytest.raises(InputError, match=needle):
        plan(cards("5090"), extra_args=args)


@pytest.mark.parametrize("host", [{}, {"device": "cpu", "host": {"cpus": [0, 1, 2, 3], "memory_bytes": 64 << 30}}])
def test_code_of_the_model_runs_only_when_asked_for_by_name(host):
    for asked in (False, True):
        made = plan(cards("5090") if not host else [], trust_remote_code=asked, **host)
        assert [("--trust-remote-code" in one["args"]) for one in made["instances"]] == [asked] * len(made["instances"])


@pytest.mark.parametrize("flag", ["--kv-cache-memory-bytes", "--num-gpu-blocks-override=9"])
def test_pinned_refuses_another_size(flag):
    with pytest.raises(InputError, match="contradicts kv_cache_sizing pinned"):
        plan(cards("5090"), extra_args=[flag, "1"], kv_cache_sizing="pinned")
    made = plan(cards("5090"), extra_args=[flag, "1"])
    assert any("is not in the memory prediction" in w for w in made["warnings"])


@pytest.mark.parametrize("word", ["-O0", "-cc.max_cudagraph_capture_size=64", "-q", "--enable_lora"])
def test_arguments_that_make_the_prediction_a_guess(word):
    assert any("is not in the memory prediction" in w for w in plan(cards("5090"), extra_args=[word])["warnings"])


@pytest.mark.parametrize("word", ["--enable-prefix-caching", "--model-impl", "--seed=1", "-v"])
def test_other_arguments_pass_silently(word):
    assert plan(cards("h200"), extra_args=[word])["warnings"] == []


@pytest.mark.parametrize(
    ("args", "key", "value"),
    [
        (["--block-size", "32"], "block_size", 32),
        (["--block_size=64"], "block_size", 64),
        (["--block-size=64", "--block-size", "32"], "block_size", 32),
    ],
)
def test_block_size_enters_the_prediction(args, key, value):
    made = plan(cards("h100"), extra_args=args)
    assert made["prediction"][key] == value
    assert made["warnings"] == []
    assert made["instances"][0]["args"][-len(args) :] == args


@pytest.mark.parametrize("args", [["--block-size"], ["--block-size", "many"], ["--block-size=0"]])
def test_bad_block_size(args):
    with pytest.raises(InputError, match=r"--block-size .* is not usable"):
        plan(cards("h100"), extra_args=args)


def test_without_the_hybrid_manager_sliding_layers_count_in_full():
    hybrid = plan(cards("h100"), "gemma-2-9b")["prediction"]
    flat = plan(cards("h100"), "gemma-2-9b", extra_args=["--disable-hybrid-kv-cache-manager"])["prediction"]
    assert flat["num_gpu_blocks"] < hybrid["num_gpu_blocks"]
    assert flat["kv_cache_tokens"] != hybrid["kv_cache_tokens"]


def test_one_batch_in_flight_leaves_windows_smaller():
    """Gemma 3 keeps 1,024 tokens of most layers, and those of the batches in flight."""
    gemma = real("gemma-3-27b")
    two = plan(cards("h100"), model=gemma, max_model_len=65536)["prediction"]
    one = plan(cards("h100"), model=gemma, max_model_len=65536, extra_args=["--no-async-scheduling"])["prediction"]
    assert one["max_concurrency"] > two["max_concurrency"]
    assert one["num_gpu_blocks"] == two["num_gpu_blocks"]


def test_max_num_seqs_enters_the_memory():
    many, few = (plan(cards("h100"), max_num_seqs=n)["prediction"] for n in (1024, 64))
    assert few["kv_cache_bytes_per_gpu"] > many["kv_cache_bytes_per_gpu"]
    assert few["max_num_seqs"] == 64


@pytest.mark.parametrize("flag", ["--max-num-seqs", "--max-num-batched-tokens", "--max-model-len"])
@pytest.mark.parametrize("sizing", ["utilization", "pinned"])
def test_limits_are_always_passed(flag, sizing):
    made = plan(cards("5090", "5090"), kv_cache_sizing=sizing)
    for instance in made["instances"]:
        assert int(argument(instance, flag)) > 0


# ---------------------------------------------------------------- automatic length


def plan_or_none(*given, **options):
    try:
        return plan(*given, **options)
    except PlanError:
        return None


@pytest.mark.parametrize("kind", ["4090", "5090", "a100", "h100"])
@pytest.mark.parametrize("what", [LLAMA, "gemma-2-9b", "qwen2.5-7b", "qwen3-30b-a3b"])
@pytest.mark.parametrize("share", [0.85, 0.92])
def test_auto_is_the_most_that_surely_fits(kind, what, share):
    """Asking for 1 % more than auto gives is refused; rounding gives away no more than that."""
    limit = model(what)["max_position_embeddings"]
    made = plan_or_none(cards(kind), what, gpu_memory_utilization=share)
    if made is None or made["max_model_len"] == limit:
        return
    longer = int(made["max_model_len"] * 1.01) + 1
    with pytest.raises(PlanError, match="short"):
        plan(cards(kind), what, gpu_memory_utilization=share, max_model_len=min(longer, limit))


def test_a_very_short_length_is_planned_where_nothing_else_runs():
    shares = [n / 1000 for n in range(700, 450, -1)]  # down to one that leaves next to nothing
    made = [m for m in (plan_or_none(cards("5090"), gpu_memory_utilization=s) for s in shares) if m]
    lengths = [m["max_model_len"] for m in made]
    assert lengths == sorted(lengths, reverse=True)
    assert 256 <= lengths[-1] < 2048
    assert made[-1]["prediction"]["kv_cache_tokens"] >= lengths[-1]
    assert any("no topology has room for the workload" in w for w in made[-1]["warnings"])


# ---------------------------------------------------------------- advice


def advice(made):
    assert all(text.endswith(".") and "\n" not in text for text in made["advice"])
    return made["advice"]


def test_no_advice_where_nothing_is_limited():
    assert advice(plan(cards("h200", "h200"))) == []
    assert advice(plan(cards("h200"), workload="latency")) == []


def test_fp8_weights():
    text = advice(plan(cards("5080", "5080")))[0]
    assert text.startswith("FP8 weights (8.5 GiB) would fit one card and make it data parallel, with about")


def test_four_bit_weights_where_eight_are_too_many():
    made = plan(cards(*["4090"] * 4), model=real("mistral-small-3.1-24b"), max_model_len=8192)
    assert shape(made) == (1, 4)
    eight, four = advice(made)[:2]
    assert eight.startswith("FP8 weights")
    assert "would need 2 cards a replica" in eight
    assert four.startswith("4-bit weights (AWQ or GPTQ)")
    assert "would fit one card and make it data parallel" in four


def test_fp8_cache_says_what_it_would_hold():
    made = plan(cards("4090", "4090"))
    text = next(t for t in advice(made) if t.startswith("an FP8 KV cache"))
    with_it = plan(cards("4090", "4090"), kv_cache_dtype="fp8")
    assert f"{with_it['prediction']['kv_cache_tokens']:,} tokens an instance" in text
    assert f"max_model_len {with_it['max_model_len']:,} instead of {made['max_model_len']:,}" in text
    old = plan(cards("3090", "3090", compute_capability="8.6"), model=qwen3_32b_w4a16())
    assert not any("FP8 KV cache" in t for t in advice(old))  # no hardware for it


def test_shorter_length_that_one_card_holds():
    made = plan(cards("5090", "5090"), max_model_len=131072)
    text = next(t for t in advice(made) if t.startswith("max_model_len"))
    length = int(text.split()[1].replace(",", ""))
    assert shape(made) == (1, 2)
    assert shape(plan(cards("5090", "5090"), max_model_len=length)) == (2, 1)


def test_more_requests_of_a_shorter_length():
    made = plan(cards("4090", "4090"))
    text = next(t for t in advice(made) if t.startswith("max_model_len"))
    length = int(text.split()[1].replace(",", ""))
    again = plan(cards("4090", "4090"), max_model_len=length)
    assert f"let {again['prediction']['max_concurrency']:.1f} requests of full length" in text


def test_tensor_parallel_for_longer_requests():
    made = plan(cards("5090", "5090"))
    text = next(t for t in advice(made) if "would hold requests of" in t)
    assert text.startswith("tensor_parallel 1 x TP2 would hold requests of 131,072 tokens")
    assert shape(plan(cards("5090", "5090"), max_model_len=made["max_model_len"] + 2048)) == (1, 2)


def test_fewer_sequences():
    made = plan(cards("h100"), model=real("gemma-3-27b"))
    text = next(t for t in advice(made) if t.startswith("max_num_seqs 64 instead of 1024"))
    with_it = plan(cards("h100"), model=real("gemma-3-27b"), max_num_seqs=64)
    assert f"{with_it['prediction']['kv_cache_tokens']:,} tokens an instance" in text


def test_nvlink_that_a_word_leaves_unused():
    made = plan(cards("h200", "h200"), links=NVLINK)
    assert any("over NVLink is predicted to make" in t for t in advice(made)) is (
        candidate(made, 1, 2)["prediction"]["output_tokens_per_s"] >= 1.05 * made["prediction"]["output_tokens_per_s"]
    )
    assert not any("NVLink" in t for t in advice(plan(cards("h200", "h200"), links=links(2))))


def test_a_split_over_pcie_is_to_be_measured_first():
    made = plan(cards("l40s", "l40s"), links=links(2), model=real("qwen3-30b-a3b"), workload="latency")
    assert shape(made) == (1, 2)  # no choice: one card does not hold it
    assert not any("measure it" in t for t in advice(made))
    made = plan(cards("5090", "5090"), links=links(2), workload=load(2), max_model_len=16384)
    text = next(t for t in advice(made) if "measure it with topology tensor_parallel first" in t)
    rates = [candidate(made, *s)["prediction"]["output_tokens_per_s"] for s in ((1, 2), (2, 1))]
    assert rates[0] > 1.2 * rates[1]
    assert f"{rates[0]:,.0f} tokens a second instead of {rates[1]:,.0f}" in text


def test_replicas_that_would_queue_but_are_predicted_faster():
    """The rule takes the split, which holds all requests; the operator may prefer the faster queue."""
    wish = {"input_tokens": 1900, "output_tokens": 100, "concurrency": 120}
    made = plan(cards("5090", "5090"), workload=wish)
    assert shape(made) == (1, 2)
    text = next(t for t in advice(made) if "would wait for KV cache" in t)
    assert text.startswith("data_parallel 2 x TP1 is predicted to make")
    asked = plan(cards("5090", "5090"), workload=wish, topology="data_parallel")
    assert f"{asked['prediction']['output_tokens_per_s']:,.0f} tokens a second" in text
    assert any("requests will queue" in w for w in asked["warnings"])


def test_more_requests_than_max_num_seqs_queue_too():
    made = plan(cards("5090"), workload=load(100, ttft_ms=1), max_num_seqs=16)
    assert any("max_num_seqs 16 lets only so many of 100 requests run at once" in w for w in made["warnings"])


def test_a_narrow_slot_is_predicted_slower():
    wide = {"pcie_gen": {"current": 1, "max": 5}, "pcie_width": {"current": 16, "max": 16}}
    narrow = {"pcie_gen": {"current": 1, "max": 5}, "pcie_width": {"current": 4, "max": 16}}
    rates = [
        plan(cards("5080", "5080", **slot), links=links(2))["prediction"]["output_tokens_per_s"]
        for slot in (wide, narrow)
    ]
    assert rates[0] > rates[1]


@pytest.mark.parametrize(
    ("gpus", "what", "needle"),
    [
        (cards("5080"), model("qwen3-30b-a3b"), "cards like card 0 (NVIDIA GeForce RTX 5080) would do as 1 x TP"),
        (cards("5080"), model(LLAMA), "FP8 weights (8.5 GiB) would fit one card and make it possible"),
        (cards("4090"), real("mistral-small-3.1-24b"), "4-bit weights (AWQ or GPTQ)"),
    ],
    ids=["more-cards", "fp8", "four-bit"],
)
def test_a_refusal_says_what_would_do(gpus, what, needle):
    with pytest.raises(PlanError) as caught:
        plan(gpus, model=what)
    assert needle in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_cards_that_are_advised_would_do():
    with pytest.raises(PlanError) as caught:
        plan(cards("5080"), model=model("qwen3-30b-a3b"))
    words = str(caught.value).rsplit("; ", 1)[1].split()
    made = plan(cards(*["5080"] * int(words[0])), model=model("qwen3-30b-a3b"))
    assert f"{made['replicas']} x TP{made['tensor_parallel_size']}" in str(caught.value)


def test_more_cards_for_a_load_that_is_too_large():
    wish = {"input_tokens": 1000, "output_tokens": 1000, "concurrency": 500}
    made = plan(cards("5090"), workload=wish)
    text = next(t for t in advice(made) if "cards like card 0" in t)
    count = int(text.split()[0])
    again = plan(cards(*["5090"] * count), workload=wish)
    assert not any("no topology has room" in w for w in again["warnings"])


def test_a_batch_holds_a_block_of_states():
    """vLLM 0.26 wants a block to go into a batch where it keeps states for prefix caching."""
    hybrid = {"model": real("lfm2-1.2b"), "vllm_version": "0.26.0", "extra_args": ["--enable-prefix-caching"]}
    made = plan(cards("5090"), max_num_batched_tokens=2048, **hybrid)
    block = made["prediction"]["block_size"]
    with pytest.raises(PlanError, match=f"max_num_batched_tokens 8 is less than a block of {block} tokens"):
        plan(cards("5090"), max_num_batched_tokens=8, max_num_seqs=8, **hybrid)
