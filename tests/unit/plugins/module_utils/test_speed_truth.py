# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roofline against what was measured and published (tests/truth/speed)."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _speed, _speed_links
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils import speed_cases as cases

ENOUGH = 0.98  # of the best measured figure
H200X2 = cases.truth("h200x2_llama8b_vllm0.26.json")["rows"]
NO_P2P = cases.truth("h200x2_no_p2p_vllm0.26.json")["rows"]
COMPARISONS = cases.truth("published_comparisons.json")["comparisons"]
MEASURED = cases.measured_rows()
STEPS = cases.truth("steps_h200_vllm0.26.json")["steps"]
SINGLE = cases.truth("published_single.json")["rows"]


def value(case: dict[str, Any], candidate: dict[str, Any], metric: str) -> float:
    got = getattr(cases.predicted(cases.model_of(case["model"]), case, candidate), cases.METRICS[metric][0])
    assert got is not None
    return float(got)


def reached(case: dict[str, Any], candidates: list[dict[str, Any]], metric: str, measured: str) -> float:
    """The measured figure of the candidate predicted best, as a share of the best measured one."""
    more = cases.METRICS[metric][1]
    values = [value(case, c, metric) for c in candidates]
    chosen = candidates[values.index(max(values) if more else min(values))]
    figures = [c[measured] for c in candidates]
    return chosen[measured] / max(figures) if more else min(figures) / chosen[measured]


# ---------------------------------------------------------------- two H200, measured


@pytest.mark.parametrize("concurrency", [1, 16, 128])
@pytest.mark.parametrize("data_parallel", ["dp+nginx", "vllm-dp2"])
@pytest.mark.parametrize("metric", ["output_tokens_per_s", "e2e_ms_p50"])
def test_choice_on_two_h200(concurrency: int, data_parallel: str, metric: str) -> None:
    rows = [r for r in H200X2 if r["concurrency"] == concurrency and r["mode"] in (data_parallel, "tp2")]
    assert len(rows) == 2
    assert reached(rows[0], rows, metric, metric) >= ENOUGH


@pytest.mark.parametrize("concurrency", [1, 16])
def test_choice_on_two_h200_by_tpot(concurrency: int) -> None:
    """At 128 streams TPOT alone is not judged: what it saves there is given back in TTFT (566 against 198 ms)."""
    rows = [r for r in H200X2 if r["concurrency"] == concurrency]
    assert reached(rows[0], rows, "tpot_ms_p50", "tpot_ms_p50") >= ENOUGH


@pytest.mark.parametrize("row", H200X2, ids=lambda r: f"{r['mode']} {r['concurrency']}")
def test_figures_on_two_h200(row: dict[str, Any]) -> None:
    """Throughput and time to the last token within 5 %, behind nginx with its uneven turns (16 streams) within 15 %."""
    within = 0.15 if row["mode"] == "dp+nginx" else 0.06
    for metric in ("output_tokens_per_s", "e2e_ms_p50"):
        assert value(row, row, metric) == pytest.approx(row[metric], rel=within), metric
    if row["concurrency"] < 128:
        assert value(row, row, "tpot_ms_p50") == pytest.approx(row["tpot_ms_p50"], rel=0.08)


@pytest.mark.parametrize("row", NO_P2P, ids=lambda r: f"{r['mode']} {r['concurrency']}")
def test_figures_without_peer_to_peer_traffic(row: dict[str, Any]) -> None:
    """Servers differ in what PCIe carries: the prediction is of a middling one, and this one carries more."""
    low, high = (0.55, 1.0) if row["link"] == "pcie" else (0.95, 1.06)
    assert low <= value(row, row, "output_tokens_per_s") / row["output_tokens_per_s"] <= high


def test_time_to_the_first_token_is_near() -> None:
    """It hangs on how many prompts come together, which differs from run to run by a factor of two."""
    off = [abs(math.log(value(row, row, "ttft_ms_p50") / row["ttft_ms_p50"])) for row in (*H200X2, *NO_P2P)]
    assert math.exp(statistics.mean(off)) < 1.35
    assert math.exp(max(off)) < 2.1


# ---------------------------------------------------------------- other cards and models, measured


@pytest.mark.parametrize("row", STEPS, ids=lambda r: f"{r['model']} batch {r['batch']}")
def test_steps_and_prefill(row: dict[str, Any]) -> None:
    """Kinds of models that no constant but those of their kind was taken from: FP8, and experts with MLA."""
    step, prefill = cases.step_and_prefill(row)
    if "step_ms" not in row.get("unjudged", ()):
        assert step == pytest.approx(row["step_ms"][-1], rel=0.08)
    if row["batch"] > 1:  # one prompt is over before Python has set it up and taken its answer
        assert prefill == pytest.approx(row["prefill_ms"][-1], rel=0.17)
    assert "note" in row or "unjudged" not in row


@pytest.mark.parametrize(
    "row",
    MEASURED,
    ids=lambda r: f"{r['model']} {r['card'][7:]} {r.get('replicas', 1)}xtp{r['tp']} c{r['concurrency']}",
)
def test_measured_figures(row: dict[str, Any]) -> None:
    within = {"output_tokens_per_s": 0.35, "tpot_ms_p50": 0.35}
    for metric in sorted(set(within) & set(row)):
        assert value(row, row, metric) == pytest.approx(row[metric], rel=within[metric]), metric


@pytest.mark.skipif(not MEASURED, reason="no rows of that kind yet")
def test_measured_throughput_in_the_median() -> None:
    errors = [abs(value(r, r, "output_tokens_per_s") / r["output_tokens_per_s"] - 1) for r in MEASURED]
    assert statistics.median(errors) <= 0.15, errors


# ---------------------------------------------------------------- published


def met(case: dict[str, Any]) -> bool:
    metric, candidates = case["metric"], case["candidates"]
    if "order" not in case:
        return reached(case, candidates, metric, "measured") >= ENOUGH
    values = {c["name"]: value(case, c, metric) for c in candidates}
    best = max if cases.METRICS[metric][1] else min
    return best(values, key=lambda name: values[name]) == case["order"][0]


@pytest.mark.parametrize("case", COMPARISONS, ids=lambda c: c["id"])
def test_published_order(case: dict[str, Any]) -> None:
    # what is known to be ranked otherwise must still be so: the list is to stay true
    assert met(case) == case.get("ranked", True), case.get("why_not", "")
    assert case.get("ranked", True) or case["why_not"]


def test_most_published_orders_are_met() -> None:
    missed = [c["id"] for c in COMPARISONS if not c.get("ranked", True)]
    assert len(missed) <= 5 and len(COMPARISONS) >= 28, missed


@pytest.mark.parametrize(
    "row", SINGLE, ids=lambda r: f"{r['model']} {r['card'][7:]} tp{r['tp']} c{r['concurrency']} in{r['input_tokens']}"
)
def test_published_figures(row: dict[str, Any]) -> None:
    """Left out (``unjudged``, with a note): what a weak host or an unmodelled mode decides."""
    within = {"tpot_ms_p50": 0.06, "output_tokens_per_s": 0.06, "ttft_ms_p50": 0.1}
    for metric in sorted(set(within) & set(row) - set(row.get("unjudged", ()))):
        assert value(row, row, metric) == pytest.approx(row[metric], rel=within[metric]), metric
    assert "note" in row or "unjudged" not in row


# ---------------------------------------------------------------- constants


def implied(name: str, owner: Any, case: dict[str, Any], target: float, metric: str, monkeypatch: Any) -> float:
    """The value of a constant at which the prediction meets one measured figure (bisection)."""
    low, high = 0.05, 1.5
    rising = None
    for _step in range(40):
        middle = (low + high) / 2
        monkeypatch.setattr(owner, name, middle)
        got = value(case, case, metric)
        if rising is None:
            monkeypatch.setattr(owner, name, middle * 1.01)
            rising = value(case, case, metric) > got
        low, high = (middle, high) if (got < target) == rising else (low, middle)
    return (low + high) / 2


STREAM_ROWS = [
    (r, "tpot_ms_p50")
    for r in [*SINGLE, *H200X2]
    if r["concurrency"] == 1 and "tpot_ms_p50" in r and r["model"] in ("llama-3.1-8b", "qwen2.5-72b", "qwen2.5-0.5b")
]
COMPUTE_ROWS = [(r, "ttft_ms_p50") for r in SINGLE if r["model"] == "qwen2.5-72b"] + [
    (r, "output_tokens_per_s") for r in H200X2 if r["concurrency"] == 128
]


@pytest.mark.parametrize(
    ("name", "rows", "within"), [("STREAM_SHARE", STREAM_ROWS, 0.06), ("COMPUTE_SHARE", COMPUTE_ROWS, 0.12)]
)
def test_shares_leaving_one_row_out(name: str, rows: list[Any], within: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is predicted with the constant that the other rows imply, their median."""
    used = getattr(_speed, name)
    shares = [implied(name, _speed, row, row[metric], metric, monkeypatch) for row, metric in rows]
    assert len(rows) >= 5
    assert statistics.median(shares) == pytest.approx(used, rel=0.05)
    for index, (row, metric) in enumerate(rows):
        monkeypatch.setattr(_speed, name, statistics.median(shares[:index] + shares[index + 1 :]))
        assert value(row, row, metric) == pytest.approx(row[metric], rel=within), row


# of what a PCIe link carries, staged through host memory: as the sources beside COSTS give it
HOST_SHARES = (4.7 / 31.5, 13 / 63, 1.9 / 31.5, 1 / 31.5, 2 / 7.9, 20 / 31.5)


@pytest.mark.parametrize("left_out", range(len(HOST_SHARES)))
def test_orders_hold_without_any_one_source_of_the_host_share(left_out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = _speed_links.COSTS["pcie"]
    assert cost.share == pytest.approx(statistics.median(HOST_SHARES), rel=0.05)
    share = statistics.median(HOST_SHARES[:left_out] + HOST_SHARES[left_out + 1 :])
    monkeypatch.setitem(_speed_links.COSTS, "pcie", replace(cost, share=share))
    lost = [c["id"] for c in COMPARISONS if c.get("ranked", True) and not met(c)]
    assert not lost


@pytest.mark.parametrize("factor", [0.8, 1.25])
@pytest.mark.parametrize(
    "name",
    [
        "STREAM_SHARE",
        "COMPUTE_SHARE",
        "NARROW_SHARE",
        "QUANTIZED_LAYER_MS",
        "STEP_MS",
        "LAYER_MS",
        "MOE_LAYER_MS",
        "SEQUENCE_MS",
        "ANSWER_MS",
        *_speed_links.LINKS,
    ],
)
def test_orders_do_not_hang_on_one_constant(name: str, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth less or a quarter more of any constant loses at most one of the published orders."""
    if name in _speed_links.LINKS:
        cost = _speed_links.COSTS[name]
        changed = replace(
            cost, pair_ms=cost.pair_ms / factor, many_ms=cost.many_ms / factor, share=min(cost.share * factor, 0.9)
        )
        monkeypatch.setitem(_speed_links.COSTS, name, changed)
    else:
        monkeypatch.setattr(_speed, name, getattr(_speed, name) * factor)
    lost = [c["id"] for c in COMPARISONS if c.get("ranked", True) and not met(c)]
    assert len(lost) <= 1, lost
    for concurrency in (1, 16, 128):
        rows = [r for r in H200X2 if r["concurrency"] == concurrency]
        assert reached(rows[0], rows, "e2e_ms_p50", "e2e_ms_p50") >= 0.93
