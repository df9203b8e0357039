# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decision as a table to read: on which cards, for which model and wish, what is chosen, and what is said of it.

The first table is the starting table of the design, for every kind of PCIe pair. The other is what facts of the
machine make of it.
"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import (
    CARDS,
    GIB,
    cards,
    links,
    model,
    plan,
    qwen3_32b_w4a16,
    real,
    thirds,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.speed_cases import model_of, truth

LLAMA, MOE, SMALL = "llama-3.1-8b", "qwen3-30b-a3b", "llama-3.2-1b"


def numbers(concurrency, input_tokens=512, output_tokens=128, **more):
    return {
        "workload": {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "concurrency": concurrency,
            **more,
        }
    }


# ---------------------------------------------------------------- the starting table: two cards in one server, PCIe

PAIRS = [
    # cards, a model that one of them holds with its KV cache, one that only both hold
    ("5080", SMALL, model(LLAMA)),
    ("3090", SMALL, qwen3_32b_w4a16()),
    ("4090", LLAMA, model("gemma-2-9b")),
    ("5090", LLAMA, real("mistral-small-3.1-24b")),
    ("l40s", LLAMA, model(MOE)),
    ("a100", MOE, real("mixtral-8x7b")),
]
FABRICS = {
    "unknown": [],
    "same-switch": links(2, path="PIX"),
    "peer-to-peer": links(2, path="PHB"),
    "no-peer-to-peer": links(2, p2p=False),
    "two-sockets": links(2, p2p=False, path="SYS"),
}
# condition -> choice, in the words of the design
STARTING_TABLE = [
    ("model fits on one card", "fits", {}, "2 x TP1"),
    ("model does not fit on one card", "does not", {}, "1 x TP2"),
    ("latency-sensitive chat", "fits", {"workload": "latency"}, "2 x TP1"),
    ("high-batch throughput", "fits", {"workload": "throughput"}, "2 x TP1"),
    ("mixed concurrency", "fits", {"workload": "mixed"}, "2 x TP1"),
    ("a single endpoint is required", "fits", {"single_endpoint": True}, "1 x TP2"),
]


@pytest.mark.parametrize("fabric", FABRICS.values(), ids=FABRICS)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p[0])
@pytest.mark.parametrize("row", STARTING_TABLE, ids=lambda r: r[0].replace(" ", "-"))
def test_starting_table_on_pcie(row, pair, fabric):
    _condition, which, options, shape = row
    kind, small, large = pair
    one = model(small) if which == "fits" else large
    made = plan(cards(kind, kind), model=one, links=fabric, **options)
    assert shape_of(made) == shape, made["reason"]
    assert made["load_balancer"] is (shape == "2 x TP1")
    check(made, cards(kind, kind))


# ---------------------------------------------------------------- facts of the machine

NVLINK_2, NVLINK_4, NVLINK_8 = links(2, nvlink=18), links(4, nvlink=18), links(8, nvlink=18)
# as much as vLLM can be given: on 24 GiB the first start's compiler alone takes 1.5 GiB for this vocabulary
FULL = {"gpu_memory_utilization": 0.96, "max_num_seqs": 32}
BRIDGES = links(4, pairs=((0, 2), (1, 3)), nvlink=4)  # four cards as two bridged pairs


def sockets(count, p2p=True):
    """Half of the cards at one socket, half at the other, in turn; PHB within a socket and SYS between."""
    rows = links(count, p2p=p2p, path="SYS")
    for a in range(count):
        for b in range(count):
            if a % 2 == b % 2:
                rows[a][b]["path"] = "PHB"
    return rows


def on_nodes(gpus):
    for gpu in gpus:
        gpu["numa_node"] = gpu["index"] % 2
    return gpus


def busy(gpus, index, gib):
    gpus[index]["memory_free_bytes"] -= gib * GIB
    gpus[index]["processes"] = [{"pid": 4711, "name": "train", "memory_bytes": gib * GIB}]
    return gpus


def mig(slices, gib, card="h100"):
    gpu = cards(card, mig_mode="enabled")[0]
    gpu["mig_devices"] = [
        {"uuid": f"MIG-{n}", "name": f"{gib}gb", "memory_total_bytes": gib * GIB, "memory_free_bytes": gib * GIB}
        for n in range(slices)
    ]
    return gpu


def of(kind, count):
    return cards(*[kind] * count)


# id, cards, links, model, wishes -> replicas x tensor parallel size, instances, what is said (in the reason, a warning
# or a candidate's why)
ROWS: list[tuple[str, Any, Any, Any, dict[str, Any], str, Any, str]] = [
    # One card
    ("one-card", of("5090", 1), [], LLAMA, {}, "1 x TP1", ["gpu0"], "one card holds the model"),
    ("one-card-single", of("5090", 1), [], LLAMA, {"single_endpoint": True}, "1 x TP1", ["gpu0"], ""),
    # NVLink pairs: tensor parallel for latency, where it is clearly faster
    ("nvlink-latency", of("h200", 2), NVLINK_2, LLAMA, {"workload": "latency"}, "1 x TP2", None, "splitting pays"),
    ("nvlink-mixed", of("h200", 2), NVLINK_2, LLAMA, {}, "2 x TP1", None, ""),
    ("nvlink-throughput", of("h200", 2), NVLINK_2, LLAMA, {"workload": "throughput"}, "2 x TP1", None, ""),
    ("nvlink-small-model", of("h200", 2), NVLINK_2, SMALL, {"workload": "latency"}, "2 x TP1", None, "already hold"),
    ("nvlink-a100-latency", of("a100-sxm", 2), NVLINK_2, LLAMA, {"workload": "latency"}, "1 x TP2", None, ""),
    # the same pair, the load in numbers: what was measured on 2 x H200 (512 + 128 tokens) at 1, 16 and 128 requests
    ("nvlink-1", of("h200", 2), NVLINK_2, LLAMA, numbers(1), "1 x TP2", None, "tokens a second are predicted for one"),
    ("nvlink-16", of("h200", 2), NVLINK_2, LLAMA, numbers(16), "1 x TP2", None, "predicted for 16 requests"),
    ("pcie-1", of("h200", 2), [], LLAMA, numbers(1), "1 x TP2", None, "over PCIe: 222 tokens a second are predicted"),
    ("pcie-2", of("h200", 2), links(2), LLAMA, numbers(2), "2 x TP1", None, ""),
    ("pcie-long", of("h200", 2), links(2, p2p=False), LLAMA, numbers(1, 8000, 64), "2 x TP1", None, ""),
    ("pcie-16", of("h200", 2), links(2), LLAMA, numbers(16), "2 x TP1", None, ""),
    # a card that holds the weights but not enough KV cache for the workload is no fit
    ("kv-starved-3090", of("3090", 2), [], qwen3_32b_w4a16(), FULL, "1 x TP2", None, "mixed work (8 x 2,048 tokens)"),
    ("kv-starved-latency", of("3090", 2), [], qwen3_32b_w4a16(), {"workload": "latency", **FULL},
     "1 x TP2", None, "short"),
    ("kv-few-short", of("3090", 2), [], qwen3_32b_w4a16(), {**numbers(4, 500, 100), **FULL}, "2 x TP1", None, ""),
    ("kv-starved-gemma", of("4090", 2), [], "gemma-2-9b", {"workload": "throughput"}, "1 x TP2", None, "short"),
    ("kv-numbers", of("5090", 2), [], LLAMA, numbers(120, 1900, 100), "1 x TP2", None, "(60 x 1,958 tokens)"),
    ("kv-long", of("5090", 2), [], LLAMA, {"max_model_len": 131072}, "1 x TP2", None, "one request of 131,072 tokens"),
    # four and eight cards: every r x t
    ("four-fit", of("5090", 4), [], LLAMA, {}, "4 x TP1", None, ""),
    ("four-pairs", of("5080", 4), [], LLAMA, {}, "2 x TP2", ["gpu0-1", "gpu2-3"], "one card is not enough"),
    ("four-whole", of("4090", 4), [], MOE, {}, "1 x TP4", None, "one card is not enough"),
    ("eight-fit", of("h100", 8), NVLINK_8, LLAMA, {}, "8 x TP1", None, ""),
    ("eight-pairs", of("5080", 8), [], LLAMA, {}, "4 x TP2", None, ""),
    ("eight-fours", of("4090", 8), [], MOE, {}, "2 x TP4", ["gpu0-3", "gpu4-7"], ""),
    ("eight-70b", of("h100", 8), NVLINK_8, real("llama-3.3-70b"), {"max_model_len": 32768}, "2 x TP4", None, ""),
    ("eight-deepseek", of("h200", 8), NVLINK_8, real("deepseek-v3"), {}, "1 x TP8", None, ""),
    ("eight-single", of("h100", 8), NVLINK_8, MOE, {"single_endpoint": True}, "1 x TP8", None, ""),
    ("four-nvlink-latency", of("h100", 4), NVLINK_4, LLAMA, {"workload": "latency"}, "1 x TP4", None, "splitting pays"),
    ("four-pcie-latency", of("5080", 4), links(4), LLAMA, {"workload": "latency"}, "2 x TP2", None, ""),
    ("eight-asked-hybrid", of("h100", 8), NVLINK_8, LLAMA, {"topology": "hybrid"}, "4 x TP2", None, "asked for"),
    # odd numbers of cards: idle cards are named
    ("three-fit", of("5090", 3), [], LLAMA, {}, "3 x TP1", ["gpu0", "gpu1", "gpu2"], ""),
    ("three-split", of("5080", 3), [], LLAMA, {}, "1 x TP2", ["gpu0-1"], "1 card stays idle"),
    ("three-thirds", of("5080", 3), [], thirds(), {}, "1 x TP3", ["gpu0-2"], ""),
    ("five-split", of("5080", 5), [], LLAMA, {}, "2 x TP2", ["gpu0-1", "gpu2-3"], "1 card stays idle"),
    ("five-fit", of("5090", 5), [], LLAMA, {}, "5 x TP1", None, ""),
    ("six-split", of("5080", 6), [], LLAMA, {}, "3 x TP2", ["gpu0-1", "gpu2-3", "gpu4-5"], ""),
    ("six-thirds", of("5080", 6), [], thirds(), {}, "3 x TP2", None, ""),
    ("six-thirds-single", of("5080", 6), [], thirds(), {"single_endpoint": True}, "1 x TP6", None, ""),
    ("six-fours", of("4090", 6), [], MOE, {}, "1 x TP4", ["gpu0-3"], "2 cards stay idle"),
    ("seven-split", of("5080", 7), [], LLAMA, {}, "3 x TP2", None, "1 card stays idle"),
    ("seven-fit", of("5090", 7), [], LLAMA, {}, "7 x TP1", None, ""),
    ("seven-single", of("5090", 7), [], LLAMA, {"single_endpoint": True}, "1 x TP4", None, "3 cards stay idle"),
    # islands of links: a replica's cards are those that are joined best
    ("bridged-pairs", of("5080", 4), BRIDGES, LLAMA, {}, "2 x TP2", ["gpu0_2", "gpu1_3"], "over NVLink"),
    ("bridged-latency", of("h100", 4), BRIDGES, LLAMA, {"workload": "latency"}, "2 x TP2",
     ["gpu0_2", "gpu1_3"], "over NVLink"),
    ("sockets-pcie", of("5080", 8), sockets(8), LLAMA, {}, "4 x TP2", ["gpu0_2", "gpu1_3", "gpu4_6", "gpu5_7"], "PHB"),
    ("sockets-fours", of("4090", 8), sockets(8), MOE, {}, "2 x TP4", ["gpu0_2_4_6", "gpu1_3_5_7"], ""),
    ("sockets-nvswitch", on_nodes(of("h100", 8)), NVLINK_8, real("llama-3.3-70b"), {"max_model_len": 32768}, "2 x TP4",
     ["gpu0_2_4_6", "gpu1_3_5_7"], "NVLink"),
    ("sockets-unknown-links", on_nodes(of("5080", 4)), [], LLAMA, {}, "2 x TP2", ["gpu0_2", "gpu1_3"], ""),
    # mixed cards
    ("unequal-each-fits", cards("5090", "4090"), [], LLAMA, {}, "2 x TP1", ["gpu0", "gpu1"], "limits max_model_len"),
    ("unequal-one-fits", cards("3060", "5090"), [], LLAMA, {}, "1 x TP1", ["gpu1"], "card 0 (NVIDIA GeForce RTX 3060)"),
    ("unequal-split", cards("5090", "4090"), [], LLAMA, {}, "2 x TP1", None, "the memory of the weakest"),
    ("equal-groups", cards("5080", "3060", "5080", "3060"), [], "qwen2.5-7b", {"workload": "latency"}, "2 x TP2",
     ["gpu0_2", "gpu1_3"], ""),
    ("odd-one-out", cards("5080", "5080", "3060"), [], LLAMA, {}, "1 x TP2", ["gpu0-1"], "card 2"),
    ("three-big-two-small", cards("5090", "5090", "5090", "3060", "3060"), [], LLAMA, {}, "3 x TP1", None, "card 3"),
    # cards in use by someone else count what is free
    ("busy-full", busy(of("5090", 2), 1, 20), [], LLAMA, {}, "1 x TP1", ["gpu0"], "card 1"),
    ("busy-partly", busy(of("5090", 2), 1, 6), [], LLAMA, {}, "2 x TP1", None, "gpu_memory_utilization lowered"),
    ("busy-of-four", busy(of("5080", 4), 1, 12), [], LLAMA, {}, "1 x TP2", ["gpu0_2"], "card 1"),
    # MIG: a slice serves a replica of its own
    ("mig", [mig(3, 40)], [], LLAMA, {}, "3 x TP1", ["mig0-0", "mig0-1", "mig0-2"], "cannot be joined"),
    ("mig-quarters", [mig(4, 20)], [], LLAMA, {}, "4 x TP1", None, ""),
    # the operator's word stands
    ("asked-tp", of("5090", 2), [], LLAMA, {"topology": "tensor_parallel"}, "1 x TP2", None, "asked for"),
    ("asked-dp", of("h200", 2), NVLINK_2, LLAMA, {"topology": "data_parallel", "workload": "latency"}, "2 x TP1",
     None, "asked for"),
    ("asked-replicas", of("5090", 4), [], LLAMA, {"replicas": 2}, "2 x TP2", None, ""),
    ("asked-size", of("5090", 4), [], LLAMA, {"tensor_parallel_size": 4}, "1 x TP4", None, "asked for"),
]  # fmt: skip


def shape_of(made):
    return f"{made['replicas']} x TP{made['tensor_parallel_size']}"


def check(made, gpus):
    """What holds for every plan."""
    used = [u for i in made["instances"] for u in i["gpu_uuids"]]
    assert len(used) == len(set(used)) == made["replicas"] * made["tensor_parallel_size"]
    names = {g["index"]: g["name"] for g in gpus}
    totals = {g["index"]: g["memory_total_bytes"] - g["memory_reserved_bytes"] for g in gpus}
    for instance in made["instances"]:
        assert len({names[i] for i in instance["gpus"]}) == 1
    p = made["prediction"]
    parts = ("weight", "activation", "persistent", "kv_cache")
    assert sum(p[f"{part}_bytes_per_gpu"] for part in parts) <= p["budget_bytes"] <= max(totals.values())
    assert p["kv_cache_tokens"] >= made["max_model_len"] > 0
    assert [c["why"].startswith("chosen") for c in made["candidates"]].count(True) == 1
    assert len(made["advice"]) <= 4


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0])
def test_row(row):
    _name, gpus, fabric, what, options, shape, instances, says = row
    given = model(what) if isinstance(what, str) else what
    made = plan(gpus, model=given, links=fabric, **options)
    assert shape_of(made) == shape, made["reason"]
    if instances is not None:
        assert [i["name"] for i in made["instances"]] == instances
    said = [made["reason"], *made["warnings"], *(c["why"] for c in made["candidates"])]
    assert any(says in text for text in said), said
    check(made, gpus)


def test_unequal_replicas_have_their_own_settings():
    made = plan(busy(cards("5090", "4090"), 1, 3))
    shares = [i["args"][i["args"].index("--gpu-memory-utilization") + 1] for i in made["instances"]]
    assert shares[0] == "0.92" != shares[1]
    lengths = {i["args"][i["args"].index("--max-model-len") + 1] for i in made["instances"]}
    assert lengths == {str(made["max_model_len"])}


@pytest.mark.parametrize(
    ("count", "fabric", "flag"),
    [
        (2, links(2), False),  # vLLM's own all-reduce works over PCIe between two cards
        (2, links(2, p2p=False), True),
        (4, links(4, p2p=False), True),
        (4, links(4), False),  # vLLM itself leaves it off for more than two cards on PCIe
        (2, links(2, nvlink=4, p2p=False), False),
        (2, [], False),  # nothing is known: vLLM finds out
    ],
)
def test_custom_all_reduce(count, fabric, flag):
    made = plan(of("5080", count), links=fabric, topology="tensor_parallel")
    assert ("--disable-custom-all-reduce" in made["instances"][0]["args"]) is flag


# ---------------------------------------------------------------- what was measured, here and elsewhere

GOOD_ENOUGH = 0.98  # of the best that was measured
TOTALS = {"NVIDIA A100-SXM4-40GB": 42949672960, "NVIDIA GeForce RTX 3090 Ti": 25769803776}


def bench(row, count):
    """The cards of a row, without a memory that NVML would reserve where the row does not say."""
    known = {name: (total, reserved) for name, total, reserved in CARDS.values()}
    total, reserved = known.get(row["card"]) or (TOTALS[row["card"]], 0)
    return [{**gpu, "name": row["card"], "memory_total_bytes": total, "memory_reserved_bytes": reserved,
             "memory_free_bytes": total - reserved} for gpu in of("h100", count)]  # fmt: skip


@pytest.mark.parametrize("concurrency", [1, 16, 128])
def test_the_load_in_numbers_without_peer_to_peer_traffic(concurrency):
    """The same cards as if they were joined by PCIe alone: the choice is the one that was measured faster."""
    rows = [
        row
        for row in truth("h200x2_no_p2p_vllm0.26.json")["rows"]
        if row["concurrency"] == concurrency and row["mode"] != "tp2"
    ]
    rates = {(row["replicas"], row["tp"]): row["output_tokens_per_s"] for row in rows}
    assert len(rates) == 2
    made = plan(of("h200", 2), links=links(2, p2p=False), vllm_version="0.26.0", **numbers(concurrency))
    assert rates[made["replicas"], made["tensor_parallel_size"]] == max(rates.values())
    assert made["tensor_parallel_size"] == (2 if concurrency == 1 else 1)


@pytest.mark.parametrize("concurrency", [1, 16, 128])
def test_the_load_in_numbers_chooses_what_was_measured_best(concurrency):
    """2 x H200: the choice reaches at least 0.98 x of the better of the two ways in which it can serve."""
    rows = [
        row
        for row in truth("h200x2_llama8b_vllm0.26.json")["rows"]
        if row["concurrency"] == concurrency and row["mode"] in ("dp+nginx", "tp2")
    ]
    rates = {(row["replicas"], row["tp"]): row["output_tokens_per_s"] for row in rows}
    assert len(rates) == 2
    made = plan(of("h200", 2), links=NVLINK_2, vllm_version="0.26.0", **numbers(concurrency))
    chosen = rates[made["replicas"], made["tensor_parallel_size"]]
    assert chosen >= GOOD_ENOUGH * max(rates.values())


WHOLE = [  # comparisons in which every candidate uses all cards, and the source gives figures or an order
    case
    for case in truth("published_comparisons.json")["comparisons"]
    if case.get("ranked", True)
    and len({c["tp"] * c["replicas"] for c in case["candidates"]}) == 1
    and len({c["link"] for c in case["candidates"]}) == 1
    and case["output_tokens"] > 1  # the planner decides on serving, not on prefill alone
]


@pytest.mark.parametrize("case", WHOLE, ids=lambda c: c["id"])
def test_published_comparisons(case):
    count = case["candidates"][0]["tp"] * case["candidates"][0]["replicas"]
    link = case["candidates"][0]["link"]
    fabric = links(count, nvlink=18) if link == "nvlink" else links(count, p2p=False)
    load = numbers(case["concurrency"], case["input_tokens"], case["output_tokens"])
    wish = {"gpu_memory_utilization": case["utilization"]} if "utilization" in case else {}
    if "max_num_seqs" in case:
        wish["max_num_seqs"] = case["max_num_seqs"]
    made = plan(bench(case, count), model=model_of(case["model"]).to_dict(), links=fabric, **load, **wish)
    shape = (made["replicas"], made["tensor_parallel_size"])
    named = {(c["replicas"], c["tp"]): c for c in case["candidates"]}
    names = case.get("order") or [
        c["name"] for c in sorted(case["candidates"], key=lambda c: -c["measured"]) if "measured" in c
    ]
    if shape not in named:  # an arrangement that was not measured must be predicted about as good as those that were
        rates = {
            (c["replicas"], c["tensor_parallel_size"]): c["prediction"].get("output_tokens_per_s") or 0
            for c in made["candidates"]
        }
        assert rates[shape] >= 0.95 * max(rates[s] for s in named), made["reason"]
        return
    assert named[shape]["name"] == names[0], made["reason"]
