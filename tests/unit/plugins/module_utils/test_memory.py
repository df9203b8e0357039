# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory model against what vLLM logged, and its formulas one by one."""

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._memory import (
    highest_utilization,
    margin_percent,
    rank_memory,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._rank_weights import (
    fp8_weight_bytes,
    split_problem,
    weight_bytes_per_rank,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import RELEASES, batch_tier, release_for
from ansible_collections.gpuserve.inference.plugins.module_utils._runtime_memory import graph_sizes
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import GIB, load, model

TRUTH = load("truth_h200_vllm026.json")
R26, R32 = RELEASES[26], RELEASES[32]


def make(name="llama-3.1-8b", **changes):
    return Model.from_dict(model(name, **changes))


@pytest.mark.parametrize("row", TRUTH["rows"], ids=lambda r: f"{r['model']}-tp{r['tp']}")
def test_measured_rows_of_vllm_026(row):
    total = TRUTH["nvml_total_bytes"]
    tier = batch_tier(R26, total, "NVIDIA H200")
    rank = rank_memory(
        make(row["model"]), R26, row["tp"], cuda_total=total - TRUTH["nvml_reserved_bytes"], utilization=row["util"],
        max_num_seqs=tier.max_num_seqs, max_num_batched_tokens=tier.max_num_batched_tokens,
    )  # fmt: skip
    prediction = rank.prediction(int(row["max_len"]))
    assert rank.weights / GIB == pytest.approx(row["weights_gib"], rel=0.01)
    assert prediction["kv_cache_tokens"] == pytest.approx(row["kv_tokens"], rel=0.01)
    assert prediction["max_concurrency"] == pytest.approx(row["max_concurrency"], rel=0.01)
    # from the logged bytes on, the count is exact but for their rounding to 0.01 GiB and the null block
    tokens = rank.kv.tokens(int(row["available_kv_gib"] * GIB), int(row["max_len"]))
    assert tokens == pytest.approx(row["kv_tokens"], rel=1e-4)


def test_parts_add_up_to_the_budget():
    rank = rank_memory(
        make(), R32, 1, cuda_total=32 * GIB, utilization=0.9, max_num_seqs=256, max_num_batched_tokens=2048
    )
    p = rank.prediction(8192)
    parts = ("weight", "activation", "persistent", "cuda_graph", "non_torch", "kv_cache")
    assert sum(p[f"{part}_bytes_per_gpu"] for part in parts) == p["budget_bytes"]
    assert p["kv_cache_memory_bytes"] <= p["kv_cache_bytes_per_gpu"] < p["kv_cache_memory_bytes"] + 2 * 1024**2


@pytest.mark.parametrize(
    ("changes", "tp", "needle"),
    [
        ({}, 1, None),
        ({}, 2, None),
        ({}, 3, "32 attention heads cannot be divided by 3"),
        ({"heads": 24, "kv_layout": [{"kind": "full", "layers": 2, "kv_heads": 4, "head_dim": 64}]}, 6, "4 KV heads"),
        ({"heads": 40, "kv_layout": [], "kv_heads": 5, "vocab_size": 64}, 5, "vocabulary of 64"),
        ({"intermediate_size": 14335}, 2, "intermediate size 14335"),
        (
            {
                "quantization": "fp8",
                "quantization_config": {"weight_block_size": [128, 128]},
                "intermediate_size": 2560,
            },
            8,
            "FP8 block size of 128",
        ),
        (
            {"quantization": "awq", "quantization_config": {"group_size": 128}, "intermediate_size": 18944},
            8,
            "awq group size of 128",
        ),
        ({"quantization": "awq", "quantization_config": {"group_size": -1}, "intermediate_size": 18944}, 8, None),
    ],
)
def test_what_can_be_split(changes, tp, needle):
    problem = split_problem(make(**changes), tp)
    assert (problem is None) if needle is None else (problem is not None and needle in problem)


def test_kv_heads_are_copied_where_ranks_outnumber_them():
    few = make(
        kv_heads=2, kv_layout=[{"kind": "full", "layers": 32, "kv_heads": 2, "head_dim": 128, "v_head_dim": 128}]
    )
    one_head = 32 * 4096 * 2 * 128 * 2  # K and V of one head in every layer
    even = weight_bytes_per_rank(few, 2)
    assert weight_bytes_per_rank(few, 4) - one_head / 2 == pytest.approx(even / 2, rel=0.01)
    assert weight_bytes_per_rank(few, 4) > even / 2 + one_head * 0.45


def test_fp8_leaves_embedding_and_head_alone():
    size = fp8_weight_bytes(make())
    body = 8030261248 - 2 * 128256 * 4096
    assert size == body + 2 * 2 * 128256 * 4096


def test_head_stored_twice_counts_once():
    tied = make("llama-3.2-1b")
    head = 128256 * 2048 * 2
    twice = make("llama-3.2-1b", weight_bytes=tied.weight_bytes + head, weight_groups={"lm_head": head})
    assert weight_bytes_per_rank(twice, 1) == weight_bytes_per_rank(tied, 1)


@pytest.mark.parametrize(
    ("changes", "measured", "read"),
    [({}, 1.0, 3.0), ({"known_architecture": False}, 15.0, 15.0), ({"experts": 8}, 2.0, 5.0)],
)
def test_margin(changes, measured, read):
    assert margin_percent(make(**changes), R26) == measured
    assert margin_percent(make(**changes), R32) == read


def test_eager_needs_no_graphs_and_pooling_no_sampler():
    base = {"cuda_total": 32 * GIB, "utilization": 0.9, "max_num_seqs": 256, "max_num_batched_tokens": 2048}
    assert rank_memory(make(), R32, 1, enforce_eager=True, **base).graphs == 0
    assert rank_memory(make(tasks=["embed"]), R32, 1, **base).runtime.persistent == 0


@pytest.mark.parametrize(
    ("given", "count", "largest"),
    [
        ((1024, 8192), 51, 512),
        ((64, 8192), 19, 128),
        ((1024, 500), 51, 500),  # a whole batch has a graph too
        ((1024, 8192, 1024), 83, 1024),
        ((64, 8192, 1024), 83, 1024),  # what is asked for is not bound by the sequences
        ((1024, 8192, 1000), 81, 992),
        ((1024, 600, 1024), 57, 600),
        ((1024, 8192, 0, True), 83, 1024),
        ((1024, 8192, 256, True), 35, 256),
        ((1, 2048, 1), 1, 1),
    ],
)
def test_sizes_that_get_a_graph(given, count, largest):
    sizes = graph_sizes(*given)
    assert (len(sizes), sizes[-1]) == (count, largest)


def test_graphs_are_wider_on_cards_of_compute_capability_10():
    base = {"cuda_total": 180 * GIB, "utilization": 0.9, "max_num_seqs": 1024, "max_num_batched_tokens": 8192}
    narrow, wide = (rank_memory(make(), R32, 1, compute_capability=card, **base).graphs for card in ("9.0", "10.0"))
    assert narrow == rank_memory(make(), R26, 1, compute_capability="10.0", **base).graphs < wide


def test_utilization_leaves_room_for_context():
    assert highest_utilization(80 * GIB, 80 * GIB, 1, False, 0) == 0.99
    assert highest_utilization(16 * GIB, 8 * GIB, 1, False, 0) == 0.46
    assert highest_utilization(16 * GIB, 0, 1, False, 0) == 0.0


@pytest.mark.parametrize(
    ("version", "minor", "warned"),
    [
        ("0.26.0", 26, False),
        ("0.32.0", 32, False),
        ("v0.33.1", 33, False),
        ("0.30.0rc1", 30, False),
        ("0.34.0", 33, True),
        ("1.0.0", 33, True),
    ],
)
def test_releases(version, minor, warned):
    release, note = release_for(version)
    assert release.minor == minor
    assert bool(note) is warned


@pytest.mark.parametrize(
    ("version", "needle"), [("0.25.1", "too old"), ("latest", "not a version"), ("", "not a version")]
)
def test_bad_releases(version, needle):
    with pytest.raises(InputError, match=needle):
        release_for(version)


@pytest.mark.parametrize(
    ("minor", "gib", "name", "batched", "seqs"),
    [
        (32, 24, "RTX 4090", 2048, 256),
        (32, 80, "NVIDIA A100-SXM4-80GB", 2048, 256),
        (32, 80, "NVIDIA H100", 8192, 1024),
        (32, 180, "NVIDIA B200", 16384, 1024),
        (26, 180, "NVIDIA B200", 8192, 1024),
    ],
)
def test_batch_defaults(minor, gib, name, batched, seqs):
    tier = batch_tier(RELEASES[minor], gib * GIB, name)
    assert (tier.max_num_batched_tokens, tier.max_num_seqs) == (batched, seqs)
