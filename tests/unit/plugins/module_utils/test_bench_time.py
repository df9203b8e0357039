# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a benchmark takes: by prediction, by what it took last time, and while it runs."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.gpuserve.inference.plugins.filter.bench_candidates import bench_candidates
from ansible_collections.gpuserve.inference.plugins.filter.bench_estimate import bench_estimate
from ansible_collections.gpuserve.inference.plugins.filter.bench_result import bench_result
from ansible_collections.gpuserve.inference.plugins.module_utils import _bench_time as clock
from ansible_collections.gpuserve.inference.plugins.module_utils._bench import load_from
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, links, model

CARDS = cards("h200", "h200")
WISHES = {"max_model_len": "auto", "workload": "mixed", "asked": {"preset": "mixed"}}
LOAD = load_from("mixed").to_dict()


def plan(**options: Any) -> dict[str, Any]:
    loads = [
        {"input_tokens": 512, "output_tokens": 128, "concurrency": point["concurrency"]} for point in LOAD["points"]
    ]
    given = {"gpus": CARDS, "links": links(2, nvlink=18), "model": model("llama-3.1-8b"), "loads": loads, **options}
    return plan_from_options(given)


def told(
    made: dict[str, Any], record: Optional[dict[str, Any]] = None, load: Optional[dict[str, Any]] = None
) -> dict[str, Any]:
    found = bench_candidates(made)["candidates"]
    return bench_estimate(made, found, load or LOAD, 3, CARDS, WISHES, record)


@pytest.mark.parametrize(
    ("point", "speed", "tokens", "seconds"),
    [
        # 128 requests, 16 a second
        ({"rate": 0, "requests": 128}, {"requests_per_s": 16.0, "ttft_ms": 100.0, "tpot_ms": 10.0}, 101, 8.0),
        # a run takes one request at least: 100 ms and 100 tokens of 10 ms
        ({"rate": 0, "requests": 1}, {"requests_per_s": 16.0, "ttft_ms": 100.0, "tpot_ms": 10.0}, 101, 1.1),
        # at a rate requests come for that long, and the last one is answered
        ({"rate": 4.0, "requests": 120}, {"requests_per_s": 16.0, "ttft_ms": 100.0, "tpot_ms": 10.0}, 101, 31.1),
        ({"rate": 4.0, "requests": 120}, {}, 101, 30.0),
        ({"rate": 0, "requests": 128}, {}, 101, None),
        ({"rate": 0, "requests": 128}, {"requests_per_s": None}, 101, None),
    ],
)
def test_seconds_of_a_run(point: dict[str, Any], speed: Any, tokens: float, seconds: Optional[float]) -> None:
    found = clock.run_seconds(point, speed, tokens)
    assert found is None if seconds is None else found == pytest.approx(seconds)


def test_the_planner_predicts_each_load() -> None:
    made = plan()
    rows = {f"{row['replicas']}xTP{row['tensor_parallel_size']}": row["prediction"] for row in made["candidates"]}
    assert [s["speed_concurrency"] for s in rows["2xTP1"]["speeds"]] == [1, 16, 128]
    # measured with vLLM 0.26.0: 9,576 output tokens a second of both at 128 at once, 202 at one
    assert 6000 < rows["2xTP1"]["speeds"][2]["output_tokens_per_s"] < 14000
    assert 140 < rows["2xTP1"]["speeds"][0]["output_tokens_per_s"] < 280
    assert "speeds" not in plan(loads=[])["prediction"]


def test_an_estimate_is_the_sum_of_its_parts() -> None:
    found = told(plan())
    parts = found["candidates"]
    assert sorted(parts) == ["1xTP2", "2xTP1"]
    whole = sum(one["start_s"] + one["client_s"] + 3 * sum(one["runs"].values()) for one in parts.values())
    assert found["seconds"] == pytest.approx(whole + found["back_s"], abs=1)
    weights = 8.03e9 * 2 / 2**30  # read at a GiB a second
    assert parts["2xTP1"]["start_s"] == pytest.approx(clock.AROUND_S + clock.START_S + weights, abs=1)
    assert found["text"].startswith("2 candidates, 3 points, 3 repeats: about ")
    assert " to start engines (estimated), " in found["text"] and " to measure (predicted) and " in found["text"]
    # after the last candidate only the way back is left
    last = list(parts)[-1]
    assert parts[last]["after_s"] == found["back_s"]


def record_of(made: dict[str, Any], times: Optional[dict[str, Any]] = None) -> dict[str, Any]:
    figures = {"output_tokens_per_s": 200.0, "seconds": 5.0}
    points = [
        {**point, "failed": 0, "error": None, "figures": figures, "least": figures, "most": figures}
        for point in LOAD["points"]
    ]
    runs = {point["label"]: {"seconds": 5.0, "asked": clock.asked(point, LOAD)} for point in points}
    row = {"points": points, "load": LOAD, "times": {"start_s": 40.0, "client_s": 11.0, "total_s": 56.0, "runs": runs}}
    given = times or {"took_s": 300.0, "estimated_s": 400.0, "back_s": 33.0}
    found = bench_result({"2xTP1": row}, made, CARDS, WISHES, given)
    assert "times" not in found["record"]["candidates"]["2xTP1"]
    return {**found["record"], "text": found["text"]}


def test_what_it_took_before_goes_before_predictions() -> None:
    made = plan()
    found = told(made, record_of(made))
    mine = found["candidates"]["2xTP1"]
    assert (mine["start_s"], mine["client_s"], found["back_s"]) == (40.0, 11.0, 33.0)
    assert set(mine["runs"].values()) == {5.0 + clock.RUN_S}
    assert found["candidates"]["1xTP2"]["start_s"] > 40.0  # was not measured
    assert "(as measured here or estimated)" in found["text"] and "(as measured here or predicted)" in found["text"]


def test_what_it_took_on_other_cards_says_nothing() -> None:
    made = plan()
    record = record_of(made)
    record["conditions"]["cards"] = ["NVIDIA L4"]
    assert told(made, record) == told(made)


def test_runs_of_another_load_say_nothing_but_starts_do() -> None:
    made = plan()
    record = record_of(made)
    record["conditions"]["requests"] = "custom /a.jsonl"
    found = told(made, record)["candidates"]["2xTP1"]
    assert found["start_s"] == 40.0 and found["runs"] == told(made)["candidates"]["2xTP1"]["runs"]


def test_a_processor_is_not_predicted() -> None:
    made = plan(rehearsal=True, host={"cpus": [0, 1], "memory_bytes": 64 * 2**30})
    found = told(made)
    assert found["seconds"] is None and "how long the loads take is not known here" in found["text"]
    assert found["candidates"]["2xTP1"]["after_s"] is None
    known = record_of(made)
    assert told(made, known)["candidates"]["2xTP1"]["runs"]["1 at once"] == 5.0 + clock.RUN_S


def test_the_end_is_compared_with_the_estimate() -> None:
    made = plan()
    assert record_of(made)["text"].endswith("it took 5 min, 7 min were estimated (0.75 x)\n")
    unknown = {"took_s": 80.0, "estimated_s": None, "back_s": 3.0}
    assert record_of(made, unknown)["text"].endswith("it took 80 s; the next estimate goes by that\n")
    assert record_of(made)["times"]["took_s"] == 300.0


def test_lines_while_it_runs() -> None:
    now, said = [0.0], []
    load = load_from(concurrencies=[1, 4])
    expected = {"runs": {"1 at once": 10.0, "4 at once": 20.0}, "gone_s": 100.0, "after_s": 60.0}
    teller = clock.Teller(load, 2, "2xTP1, 1 of 2", expected, lambda: now[0], said.append)
    figures = {"output_tokens_per_s": 99.0, "failed": 0, "ttft_ms": {"p50": 20.0}, "seconds": 29.0, "requests": 8}
    for name, seconds in (("warm-up", 5), ("0/0", 30), ("1/0", 20), ("0/1", 30), ("1/1", 20)):
        now[0] += seconds
        teller.run({**figures, "name": name})
    words = "99 output tokens/s, TTFT p50 20 ms"
    assert (
        said
        == teller.lines
        == [
            f"2xTP1, 1 of 2, warm-up: {words}; 2 min gone, about 2 min left",  # 2 x (10 + 20) + 60
            f"2xTP1, 1 of 2, run 1 of 4: 1 at once, {words}; 2 min gone, about 2 min left",  # 20 + 30, not 10 + ...
            f"2xTP1, 1 of 2, run 2 of 4: 4 at once, {words}; 3 min gone, about 2 min left",
            f"2xTP1, 1 of 2, run 3 of 4: 1 at once, {words}; 3 min gone, about 80 s left",
            f"2xTP1, 1 of 2, run 4 of 4: 4 at once, {words}; 3 min gone, about 60 s left",
        ]
    )


def test_what_is_not_known_is_not_told_until_it_is() -> None:
    progress = clock.Progress("", ["a", "b"], 2, {}, 0.0, 7.0)
    assert progress.line("a", 3.0, 3.0, "x") == "run 1 of 4: x; 3 s gone"
    assert progress.line("b", 4.0, 7.0, "x") == "run 2 of 4: x; 7 s gone, about 14 s left"


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (89, "89 s"), (95, "2 min"), (1500, "25 min"), (5400, "1 h 30 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert clock.duration(seconds) == words
