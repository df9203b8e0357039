# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows, the truth derived from them, and the summary of errors."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.gpuserve.inference.benchmarks.planner import places, report, rows, stats
from ansible_collections.gpuserve.inference.benchmarks.planner.asks import ask_of, asks
from ansible_collections.gpuserve.inference.benchmarks.planner.compare import summarise
from ansible_collections.gpuserve.inference.benchmarks.planner.ours import ask_ours
from ansible_collections.gpuserve.inference.benchmarks.planner.questions import (
    UTILIZATION,
    checked_assumption,
    questions,
    smallest_card,
)
from ansible_collections.gpuserve.inference.benchmarks.planner.rows import GIB, Row

# 100 GiB at 0.9: 60 GiB of KV cache hold six requests, 30 GiB are everything else
ROW = Row(
    id="r", source="s", vllm="0.26.0", model="llama-3.1-8b", tp=1, card="NVIDIA H200", nvml_total=101 * GIB,
    nvml_reserved=GIB, utilization=0.9, max_model_len=8192, max_num_seqs=1024, max_num_batched_tokens=8192,
    weights=25 * GIB, kv_bytes=60 * GIB, kv_tokens=6 * 8192, outside=2 * GIB,
)  # fmt: skip

LINE = {
    "id": "qwen3-8b-a", "model": "qwen3-8b", "changes": {}, "tp": 2, "half": "held_out", "alone": True,
    "args": {"gpu_memory_utilization": 0.5, "max_num_seqs": 512}, "requested_bytes": 70 * GIB,
    "free_after_start": 66 * GIB, "weights_logged_bytes": 8 * GIB, "kv_bytes": 50 * GIB,
    "kv_cache_size_tokens": 700000, "max_model_len": 4096, "max_num_seqs": 512, "max_num_batched_tokens": 8192,
}  # fmt: skip
ABOUT = {
    "gpu": {"name": "NVIDIA H200", "nvml_total_bytes": 141 * GIB, "cuda_total_bytes": 139 * GIB},
    "vllm_version": "0.26.0",
    "beside_non_torch_bytes": GIB,
}


# ---------------------------------------------------------------- rows


def test_the_logged_rows():
    found = {r.id: r for r in rows.fixture_rows()}
    assert len(found) == 6
    llama = found["llama-3.1-8b-tp1-logged"]
    assert llama.cuda_total == 150109880320
    assert llama.request_bytes / GIB == pytest.approx(16.0, abs=0.01)  # 131,072 tokens of 128 KiB


def test_a_measured_line():
    row = rows.measured_row(LINE, ABOUT, "f.json")
    assert (row.tp, row.utilization, row.max_num_seqs, row.kv_tokens) == (2, 0.5, 512, 700000)
    assert (row.cuda_total, row.nvml_total, row.split) == (139 * GIB, 141 * GIB, "held_out")
    assert row.outside == 3 * GIB  # 139 - 66 in use after the start, 70 of them in the budget


def test_a_line_taken_beside_others_lacks_what_the_file_says():
    alone, beside = (rows.measured_row({**LINE, "alone": yes}, ABOUT, "f.json") for yes in (True, False))
    assert beside.kv_bytes == alone.kv_bytes - GIB
    assert beside.kv_tokens == 686000  # 49 of 50 GiB
    assert beside.request_bytes == pytest.approx(alone.request_bytes)
    assert beside.outside is None


def test_the_real_file_agrees_with_itself():
    """One start was taken alone and beside others: without the stated bytes both are the same."""
    data = json.loads((rows.MEASURED / "h200_vllm_0.26.0.json").read_text(encoding="utf-8"))
    found = {r["id"]: rows.measured_row(r, data, "f") for r in data["rows"]}
    alone, beside = found["llama-3.1-8b-tp1"], found["llama-3.1-8b-tp1-beside"]
    assert (alone.kv_bytes, alone.kv_tokens) == (beside.kv_bytes, beside.kv_tokens)


def test_changed_configs_are_written_out(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUSERVE_BENCH_ENVS", str(tmp_path))
    row = dataclasses.replace(ROW, changes={"num_hidden_layers": 4})
    assert row.name == "llama-3.1-8b.4l"
    changed, whole = places.config_of(row.directory), places.config_of(ROW.directory)
    assert changed == {**whole, "num_hidden_layers": 4}
    assert row.directory.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"error": "ValueError"}, "did not start"),
        ({"kv_cache_size_tokens": None}, "no KV cache size"),
        ({"args": {"block_size": 32}}, "block_size"),
        ({"model": "no-such-model"}, "no tests/fixtures/models/no-such-model"),
    ],
)
def test_lines_that_are_left_out_are_named(tmp_path, change, why):
    (tmp_path / "a.json").write_text(json.dumps({**ABOUT, "rows": [{**LINE, **change}, LINE]}))
    found, left = rows.load(tmp_path)
    assert [r.source for r in found] == ["truth_h200_vllm026.json"] * 6 + ["a.json"]
    assert len(left) == 1 and why in left[0]


def test_of_the_same_start_the_most_trusted_row_stays():
    exact, beside, log = (dataclasses.replace(ROW, kv_bytes=ROW.kv_bytes + n, trust=n) for n in (3, 1, 0))
    assert rows.unique([log, beside]) == [beside]
    assert rows.unique([log, exact, beside]) == [exact]
    assert len(rows.unique([ROW, dataclasses.replace(ROW, max_num_seqs=256)])) == 2
    assert len(rows.unique([ROW, dataclasses.replace(ROW, changes={"num_hidden_layers": 4})])) == 2


# ---------------------------------------------------------------- questions


def test_the_smallest_card_holds_everything_else_and_one_request():
    assert smallest_card(ROW) / GIB == pytest.approx((30 + 10) / 0.9)


def test_truth_follows_from_the_row():
    found = {q.id.rpartition(" on ")[2]: q for q in questions([ROW])}
    assert "rented 16 GiB" not in found  # 1.6 GiB beside the budget, the row took 2
    assert not found["rented 40 GiB"].fits
    assert found["rented 48 GiB"].fits
    assert {k: q.fits for k, q in found.items() if q.kind == "edge"} == {
        "edge 0.9": False, "edge 0.95": False, "edge 0.98": False, "edge 0.99": False,
        "edge 1.01": True, "edge 1.02": True, "edge 1.05": True, "edge 1.1": True,
    }  # fmt: skip
    for q in found.values():
        left = q.memory * UTILIZATION - 30 * GIB  # what vLLM would have for KV cache there
        assert q.fits == (left >= 10 * GIB)


def test_the_assumption_is_checked_where_rows_allow_it():
    half = dataclasses.replace(ROW, utilization=0.5, kv_bytes=20 * GIB + 7)
    other = dataclasses.replace(half, max_num_seqs=256)
    assert checked_assumption([ROW, other]) == []
    ((name, count, apart),) = checked_assumption([ROW, half, other])
    assert "llama-3.1-8b TP1" in name and count == 2
    assert apart == pytest.approx(7, abs=1e-3)


def test_nothing_is_asked_closer_to_the_edge_than_a_log_is_exact():
    tiny = dataclasses.replace(ROW, kv_bytes=89 * GIB, kv_tokens=89 * 8192 * 10, outside=0)
    edge = smallest_card(tiny)
    assert edge < 2 * GIB
    assert all(abs(q.memory - edge) * UTILIZATION >= 0.02 * GIB for q in questions([tiny]))
    assert not [q for q in questions([tiny]) if q.id.endswith("edge 0.99")]


def test_rows_are_asked_with_the_true_total():
    listed = asks([ROW], questions([ROW]))
    assert listed[0]["memory"] == 100 * GIB and listed[0]["utilization"] == 0.9
    assert len({a["id"] for a in listed}) == len(listed)


# ---------------------------------------------------------------- summary


def test_spread_is_of_absolute_errors_and_counts_the_silent():
    assert stats.spread([1.0, -4.0, None, 3.0]) == {"answered": 3, "asked": 4, "median": 3.0, "p90": 4.0, "max": 4.0}
    assert stats.spread([None])["median"] is None
    assert stats.median([4.0, 1.0, 3.0, 2.0]) == 2.5


@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.9, 9), (0.91, 10), (1.0, 10)])
def test_quantile_is_the_nearest_rank(share, value):
    assert stats.quantile(list(range(10, 0, -1)), share) == value


def test_error_is_signed_and_of_the_measured():
    assert stats.error_percent(90, 100) == -10
    assert stats.error_percent(None, 100) is None
    assert stats.error_percent(5, 0) is None


def test_verdicts():
    pairs = [(True, True), (True, False), (True, False), (False, True), (False, False), (None, True)]
    assert stats.verdicts(pairs) == {"asked": 6, "answered": 5, "right": 2, "false_fits": 2, "false_no": 1}


def test_summary_and_table():
    asked = questions([ROW])
    given = {ROW.id: {"weights": 26 * GIB, "tokens": None, "fits": True}, **{q.id: {"fits": True} for q in asked}}
    summary = summarise([ROW], asked, {"yes": given})
    assert summary["yes"]["weights"]["median"] == pytest.approx(4.0)
    assert summary["yes"]["tokens"]["answered"] == 0
    assert summary["yes"]["fit"]["edge"] == {
        "asked": 8, "answered": 8, "right": 4, "false_fits": 4, "false_no": 0,
    }  # fmt: skip
    text = report.summary_table(summary, "tokens")
    assert text.splitlines()[-1].split("|")[2:-1] == ["  0/1 ", "        — ", "     — ", "     — "]
    assert len({len(line) for line in text.splitlines()}) == 1


# ---------------------------------------------------------------- our own planner


def test_ours_answers_as_topology_plan_does():
    row = next(r for r in rows.fixture_rows() if r.model == "llama-3.1-8b" and r.tp == 2)
    found = ask_ours(ask_of(row, row.cuda_total, row.utilization, row.id))
    assert found["fits"] is True
    assert found["weights"] == pytest.approx(row.weights, rel=0.01)
    assert found["tokens"] == pytest.approx(row.kv_tokens, rel=0.01)
    assert found["request"] == pytest.approx(8 * GIB, rel=0.001)


def test_ours_refuses_in_words():
    row = rows.fixture_rows()[1]
    found = ask_ours(ask_of(row, 16 * GIB, 0.9, "small"))
    assert found["fits"] is False and found["weights"] is None and "GiB" in found["error"]
