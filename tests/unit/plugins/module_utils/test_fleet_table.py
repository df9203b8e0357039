# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._fleet_table import fleet_row, fleet_table


def cards(name, count):
    return {"gpus": [{"index": n, "name": name} for n in range(count)]}


def plan(topology, replicas, tp, model, length=8192, tokens=100_000, rehearsal=None):
    prediction = {"kv_cache_tokens": tokens}
    if rehearsal is not None:
        prediction["rehearsal"] = {"kv_cache_tokens": rehearsal}
    return {
        "topology": topology,
        "tensor_parallel_size": tp,
        "max_model_len": length,
        "rehearsal": rehearsal is not None,
        "model": {"served_model_name": model},
        "prediction": prediction,
        "instances": [{"name": f"gpu{r}", "gpus": [r * tp + n for n in range(tp)]} for r in range(replicas)],
    }


def verified(*engines):
    rows = [{"name": name, "ready": not error, "error": error, "kv": kv} for name, error, kv in engines]
    return {"instances": [*rows, {"name": "gateway", "ready": True, "kv": {}}]}


GOOD = {"kv_cache_tokens": 123_456}
TWO = {
    "gpu_host_look": {"plan": None},
    "gpu_host_probe": cards("NVIDIA GeForce RTX 5090", 2),
    "vllm_plan": plan("data_parallel", 2, 1, "small"),
    "vllm_verified": verified(("gpu0", "", GOOD), ("gpu1", "", GOOD)),
    "vllm_rotation": {"marks": []},
}


def test_the_whole_table():
    large = {
        "gpu_host_look": {},
        "gpu_host_probe": cards("NVIDIA L40S", 8),
        "vllm_plan": plan("tensor_parallel", 1, 8, "large", 131072, 2_000_000),
        "vllm_verified": verified(("gpu0-7", "", {})),
        "vllm_measured": {"tokens_per_second": 5120.4},
    }
    sick = {
        **TWO,
        "vllm_rotation": {"marks": [{"name": "gpu1", "by": "operator", "reason": "new fan"}]},
    }
    hosts = {"a": TWO, "b": large, "c": sick, "d": {"gpu_host_look": {"uid": 0}}, "e": {}}
    assert fleet_table(hosts, list(hosts), ["a", "b", "c"]).splitlines() == [
        "host  topology         replicas  cards         model   length  KV tokens  tok/s  state",
        "----  ---------------  --------  ------------  -----  -------  ---------  -----  ----------------------",
        "a     data parallel    2 x TP1   2 x RTX 5090  small    8,192    246,912         serves",
        "b     tensor parallel  1 x TP8   8 x L40S      large  131,072  2,000,000  5,120  serves",
        "c     data parallel    2 x TP1   2 x RTX 5090  small    8,192    246,912         serves, out: gpu1",
        "d                                                                                FAILED",
        "e                                                                                NOT REACHED or refused",
        "! c: gpu1 is out of rotation (operator): new fan",
        "5 hosts, 5 replicas, 12 cards, 2,493,824 KV tokens, 5,120 tok/s measured; did not get through: d, e",
    ]  # fmt: skip


def test_a_column_with_nothing_in_it_is_left_out():
    assert "tok/s" not in fleet_table({"a": TWO}, ["a"], ["a"])


def test_an_engine_that_does_not_serve_is_told_with_its_cause():
    facts = {**TWO, "vllm_verified": verified(("gpu0", "", GOOD), ("gpu1", "no free memory", {}))}
    row = fleet_row("a", facts, True)
    assert (row.state, row.failed, row.notes) == ("1 of 2 SERVE", True, ["gpu1: no free memory"])
    assert row.kv_tokens == 200_000  # not every engine told, so as planned


@pytest.mark.parametrize(
    ("facts", "check", "state"),
    [
        (TWO, True, "would serve"),
        ({}, True, "not looked at"),
        ({}, False, "untouched"),
        ({"gpu_host_look": {"plan": TWO["vllm_plan"]}}, False, "untouched"),
    ],
)
def test_states_of_hosts_without_an_error(facts, check, state):
    row = fleet_row("a", facts, True, check)
    assert (row.state, row.failed) == (state, False)


def test_the_plan_that_is_on_the_host_is_shown_where_none_was_made():
    row = fleet_row("a", {"gpu_host_look": {"plan": TWO["vllm_plan"]}}, True)
    assert (row.replicas, row.model) == (2, "small")


def test_a_rehearsal_shows_what_the_processor_holds():
    facts = {"vllm_plan": plan("data_parallel", 2, 1, "small", rehearsal=5_000)}
    assert fleet_row("a", facts, True).kv_tokens == 10_000


def test_a_host_without_cards():
    facts = {"vllm_plan": plan("data_parallel", 1, 0, "small")}
    row = fleet_row("a", facts, True)
    assert (row.cards, row.card_names) == (0, "processor")


def test_mixed_cards_are_counted_apart():
    probe = {"gpus": [{"index": 0, "name": "NVIDIA L4"}, {"index": 1, "name": "NVIDIA A10"}]}
    assert fleet_row("a", {**TWO, "gpu_host_probe": probe}, True).card_names == "1 x L4, 1 x A10"
