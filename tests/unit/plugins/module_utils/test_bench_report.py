# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark tries, what it comes to, and what the planner makes of it afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.filter.bench_candidates import bench_candidates
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_report import result
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, links, model, real

CARDS = cards("h200", "h200")
WISHES = {"max_model_len": "auto", "workload": "mixed"}


def plan(**options: Any) -> dict[str, Any]:
    given = {"gpus": CARDS, "links": links(2, nvlink=18), "model": model("llama-3.1-8b"), **options}
    return plan_from_options(given)


def labels(found: dict[str, Any]) -> list[str]:
    return [row["label"] for row in found["candidates"]]


def point(label: str, tokens: float, failed: int = 0, **more: float) -> dict[str, Any]:
    figures = {"output_tokens_per_s": tokens, "ttft_ms_p50": 20.0, "tpot_ms_p50": 5.0, **more}
    return {
        "label": label, "concurrency": 1, "rate": 0.0, "requests": 8, "failed": failed, "error": None,
        "figures": figures, "least": figures, "most": figures,
    }  # fmt: skip


def measured(dp: float, tp: float) -> dict[str, Any]:
    load = {"dataset": "random", "input_tokens": 512, "output_tokens": 128}
    return {
        "2xTP1": {"points": [point("1 at once", dp)], "load": load},
        "1xTP2": {"points": [point("1 at once", tp)], "load": load},
    }


def test_all_that_use_every_card_are_tried_and_the_planned_one_first() -> None:
    made = plan()
    own = f"{made['replicas']}xTP{made['tensor_parallel_size']}"
    found = labels(bench_candidates(made))
    assert found[0] == own and sorted(found) == ["1xTP2", "2xTP1"]


def test_a_prediction_stands_beside_the_load_that_it_is_for() -> None:
    loads = [{"input_tokens": 512, "output_tokens": 128, "concurrency": at} for at in (1, 64)]
    made = plan(loads=loads)
    told = measured(200.0, 280.0)
    for row in told.values():
        row["points"].append({**point("64 at once", 7000.0), "concurrency": 64})
        row["points"].append({**point("3/s", 100.0), "concurrency": 0, "rate": 3.0})
    found = result(told, made, CARDS, WISHES)
    rows = {row["replicas"]: row["prediction"]["speeds"] for row in made["candidates"] if row["fits"]}
    for line, replicas, which in (("1 at once", 2, 0), ("64 at once", 2, 1)):
        mine = next(text for text in found["text"].splitlines() if line in text)
        assert mine.split()[-1] == f"{rows[replicas][which]['output_tokens_per_s']:,.0f}"
    assert next(text for text in found["text"].splitlines() if "3/s" in text).split()[-1] == "5.00"
    without = result(told, plan(), CARDS, WISHES)["text"]
    assert next(text for text in without.splitlines() if "1 at once" in text).split()[-1] == "5.00", "16 were meant"


def test_what_is_wished_for_is_tried_alone() -> None:
    assert labels(bench_candidates(plan(), ["1xTP2"])) == ["1xTP2"]


@pytest.mark.parametrize(
    ("wished", "problem"),
    [
        (["4xTP1"], "candidate 4xTP1 is none of this host; give some of 2xTP1, 1xTP1, 1xTP2"),
        (["two"], "candidate 'two' cannot be used: give replicas and tensor parallel size as in 2xTP1"),
    ],
)
def test_what_cannot_be_tried_is_one_line(wished: list[str], problem: str) -> None:
    assert bench_candidates(plan(), wished) == {"candidates": [], "problem": problem}


def test_a_candidate_that_does_not_fit_says_why() -> None:
    made = plan(vllm_version="0.32.0", model=real("llama-3.3-70b"), gpus=cards("h100", "h100"))
    refused = [row for row in made["candidates"] if not row["fits"]]
    assert refused, "one H100 must not hold 70B in 16 bits"
    label = f"{refused[0]['replicas']}xTP{refused[0]['tensor_parallel_size']}"
    assert bench_candidates(made, [label])["problem"].startswith(f"candidate {label} cannot run here: ")


def test_a_request_that_is_too_long_is_refused() -> None:
    made = plan(max_model_len="4096")
    assert bench_candidates(made, longest=4096)["problem"] == ""
    assert bench_candidates(made, longest=5000)["problem"] == (
        "a request of 5,000 tokens does not go into max_model_len 4,096 of 2xTP1; give less as vllm_bench_input_tokens "
        "and vllm_bench_output_tokens, or raise vllm_max_model_len"
    )


def test_who_names_no_load_takes_what_was_measured() -> None:
    record = result(measured(200.0, 280.0), plan(), CARDS, {**WISHES, "asked": {"preset": "rag"}})["record"]
    assert plan(topology="measured", measured=record, bench_load={"preset": "mixed"})["tensor_parallel_size"] == 2


def test_the_planner_serves_what_was_faster() -> None:
    found = result(measured(200.0, 280.0), plan(topology="data_parallel"), CARDS, WISHES, now=1.0)
    assert found["winner"] == "1xTP2"
    assert "1xTP2 is faster than 2xTP1, which was planned: 1.40 x of 2xTP1" in found["text"]
    made = plan(topology="measured", measured=found["record"])
    assert (made["replicas"], made["tensor_parallel_size"]) == (1, 2)
    assert made["reason"].startswith("Measured on this host on 1970-01-01: 1xTP2, 1.40 x of 2xTP1; ")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"vllm_version": "0.31.0"}, "vllm version '0.32.0' then, '0.31.0' now"),
        ({"workload": "latency"}, "workload 'mixed' then, 'latency' now"),
        ({"max_model_len": "8192"}, "max model len 'auto' then, '8192' now"),
        (
            {"bench_load": {"dataset": "custom", "dataset_path": "/srv/asked.jsonl"}},
            "dataset 'random' then, 'custom /srv/asked.jsonl' now",
        ),
        (
            {"bench_load": {"preset": "rag", "named": True}},
            "load '512 + 128 tokens, 1 at once, 16 at once, 128 at once' then, '4096 + 256 tokens, 1 at once, 8 at ",
        ),
        (
            {"gpus": cards("h200", "h200", "h200", "h200"), "links": links(4, nvlink=18)},
            "cards 2 x NVIDIA H200 then, 4 x NVIDIA H200 now",
        ),
        (
            {"rehearsal": True, "host": {"cpus": [0, 1], "memory_bytes": 64 * 2**30}},
            "device 'cuda' then, 'rehearsal' now",
        ),
    ],
)
def test_a_measurement_of_something_else_is_told_and_not_used(changed: dict[str, Any], told: str) -> None:
    record = result(measured(200.0, 280.0), plan(), CARDS, WISHES)["record"]
    made = plan(topology="measured", measured=record, **changed)
    same = plan(**changed)
    assert (made["replicas"], made["tensor_parallel_size"]) == (same["replicas"], same["tensor_parallel_size"])
    assert any(
        told in line and "run the playbook gpuserve.inference.benchmark again" in line for line in made["warnings"]
    )


def test_nothing_measured_yet() -> None:
    made = plan(topology="measured")
    assert any(line.startswith("nothing was measured on this host yet") for line in made["warnings"])


@pytest.mark.parametrize("wish", [{"replicas": 2}, {"tensor_parallel_size": 2}])
def test_measured_and_a_wish_contradict_each_other(wish: dict[str, int]) -> None:
    with pytest.raises(InputError, match="topology measured takes replicas and tensor_parallel_size from"):
        plan(topology="measured", **wish)


def test_a_candidate_that_failed_is_told_with_its_cause() -> None:
    rows = measured(200.0, 280.0)
    rows["1xTP2"] = {"points": [], "error": "NCCL hangs"}
    found = result(rows, plan(topology="data_parallel"), CARDS, WISHES)
    assert found["winner"] == "2xTP1" and "! 1xTP2 was not measured: NCCL hangs" in found["text"]
    assert "2xTP1 is the only candidate that was measured" in found["text"]


def test_nothing_carried_the_load() -> None:
    found = result({"2xTP1": {"points": [], "error": "it failed"}}, plan(), CARDS, WISHES)
    assert found["winner"] == "" and "no candidate carried the load" in found["text"]
