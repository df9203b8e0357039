# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table people read."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_table import WIDTH, render_plan
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import GIB, cards, links, plan
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_mutations import (
    is_one_clear_line,
    mutations,
    rendered,
)

HOST = {"cpus": 2, "memory_bytes": 24 * GIB}


def refused(*args, **options):
    """What topology_plan returns where nothing fits."""
    with pytest.raises(PlanError) as error:
        plan(*args, **options)
    return {"failed": True, "msg": str(error.value), "candidates": [c.to_dict() for c in error.value.candidates]}


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize(
    "made",
    [
        plan(cards("5080", "5080")),
        plan(cards(*["h100"] * 4), links=links(4, nvlink=18), workload="latency"),
        plan(cards(*["5080"] * 8), links=links(8, p2p=False)),
        plan(cards(*["h200"] * 16)),
        plan(cards("5090", "4090")),
        plan(cards("5090", "5090"), rehearsal=True, host=HOST, served_model_name="n" * 150),
        plan([], "llama-3.2-1b", device="cpu", host=HOST),
    ],
    ids=["tp2", "nvlink", "eight", "sixteen", "mixed", "rehearsal", "cpu"],
)
def test_shape(made):
    text = render_plan(made)
    lines = text.split("\n")
    assert max(len(line) for line in lines) <= WIDTH
    assert WIDTH + 2 <= 100  # show_text puts two more before each line
    assert text.isascii()
    assert not [line for line in lines if line != line.rstrip()]
    for instance in made["instances"]:
        assert f"{instance['host']}:{instance['port']}" in text
        assert instance["name"] in text
    for sentence in [*made["warnings"], *made.get("advice", []), made["reason"]]:
        assert words(sentence) in words(text)
    assert render_plan({"plan": made, "changed": False}) == text


def test_every_candidate_has_a_row_or_is_in_the_range_of_one():
    made = plan(cards(*["h200"] * 8))
    lines = render_plan(made).split("\n")
    start = lines.index("Candidates") + 3
    seen = set()
    for line in lines[start : lines.index("", start)]:
        cells = line.replace(">", " ").split()
        if len(cells) < 5 or cells[2] != "x" or not cells[3].startswith("TP"):
            continue
        first, _dash, last = cells[1].partition("-")
        seen |= {(n, int(cells[3][2:])) for n in range(int(last or first), int(first) + 1)}
    assert seen == {(c["replicas"], c["tensor_parallel_size"]) for c in made["candidates"]}


def test_figures_of_the_chosen_one():
    made = plan(cards("5090", "5090"))
    lines = render_plan(made).split("\n")
    assert lines[0] == "llama-3.1-8b: data_parallel, 2 x TP1"
    header = next(line for line in lines if "KV tokens" in line).split()
    chosen = next(line for line in lines if line.startswith("  >")).split()
    tokens = made["prediction"]["kv_cache_tokens"]
    longest, at_once = f"{made['max_model_len']:,}", f"{made['prediction']['max_concurrency']:.2f}"
    assert [f"{tokens:,}", f"{2 * tokens:,}", longest, at_once] == chosen[6:10]
    assert header[2:9] == ["fits", "KV", "tokens", "of", "all", "longest", "at"]
    assert f"{made['prediction']['tpot_ms']:.1f}" in chosen


def test_the_shortfall_is_told_exactly():
    text = words(render_plan(plan(cards("5080", "5080"))))
    made = plan(cards("5080", "5080"))
    short = next(c["why"] for c in made["candidates"] if c["tensor_parallel_size"] == 1)
    assert "exceed" in short
    assert "GiB" in short
    assert words(short) in text


def test_shortfalls_that_differ_are_all_told():
    made = plan(cards(*["5080"] * 8))
    short = [c for c in made["candidates"] if c["tensor_parallel_size"] == 1]
    for number, candidate in enumerate(short):
        candidate.update(fits=False, why=f"one request needs 4.0 GiB: {number}.5 GiB short")
    text = words(render_plan(made))
    assert len(short) == 8
    for candidate in short:
        assert f"{candidate['replicas']} x TP1 {candidate['why']}" in text


def test_keys_that_may_be_absent():
    made = plan(cards("5090", "5090"))
    rich, poor = copy.deepcopy(made), copy.deepcopy(made)
    for candidate in rich["candidates"]:
        candidate["prediction"].update(
            tpot_ms=12.34, ttft_ms=321.4, output_tokens_per_s=1234.5, speed_concurrency=16, max_model_len=4096,
            targets={"tpot_ms": {"target": 10, "predicted": 12.34, "met": False}},
        )  # fmt: skip
    rich["advice"] = ["Buy a bigger card."]
    text = render_plan(rich)
    for part in ("12.3", "321", "1,234", "4,096", "missed", "with 16 requests", "Advice\n  - Buy a bigger card."):
        assert part in text
    keys = ("tpot_ms", "ttft_ms", "output_tokens_per_s", "speed_concurrency", "targets")
    for prediction in [poor["prediction"], *(c["prediction"] for c in poor["candidates"])]:
        for key in keys:
            prediction.pop(key, None)
    poor.pop("advice", None)
    text = render_plan(poor)
    for part in ("TPOT", "TTFT", "tok/s", "targets", "Advice"):
        assert part not in text


def test_nothing_fits():
    failed = refused(cards("3060", "3060"), max_model_len=100000)
    text = words(render_plan(failed))
    assert text.startswith("Nothing fits")
    assert words(failed["msg"]) in text
    for candidate in failed["candidates"]:
        assert words(candidate["why"]) in text


@pytest.mark.parametrize("value", [None, [], {}, {"plan": {}}, "text", 3, {"msg": "no candidates"}])
def test_not_a_plan(value):
    with pytest.raises(InputError, match="a plan as topology_plan returns it"):
        render_plan(value)


@pytest.mark.parametrize("made", [plan(cards("5090", "4090")), refused(cards("3060"))], ids=["plan", "refused"])
def test_one_wrong_value_is_one_line_or_a_good_table(made):
    shown = 0
    for what, changed in mutations(made):
        text, error = rendered(render_plan, changed)
        shown += not error
        assert not error or is_one_clear_line(error, "plan_table"), what
        assert max(len(line) for line in text.split("\n")) <= WIDTH, what
        assert not text or text.replace("\n", "").isprintable(), what
    assert shown > 100
