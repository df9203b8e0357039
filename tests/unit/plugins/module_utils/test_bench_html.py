# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plots of a benchmark: where points land, and what a page shows of odd records."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.filter.bench_html import FilterModule
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_html import render_page
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_plot import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Dot,
    Scale,
    Series,
    nice,
    plot,
    scale_of,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

LOAD = {"dataset": "random", "input_tokens": 512, "output_tokens": 128}


@pytest.mark.parametrize(
    ("scale", "value", "pixel"),
    [
        (Scale(0, 100, 0, 200), 50, 100),
        (Scale(0, 100, 250, 50), 0, 250),
        (Scale(0, 100, 250, 50), 100, 50),
        (Scale(1, 256, 0, 80, 2), 16, 40),
        (Scale(1, 256, 0, 80, 2), 2, 10),
        (Scale(10, 1000, 100, 0, 10), 100, 50),
    ],
)
def test_a_value_lands_at_its_pixel(scale: Scale, value: float, pixel: float) -> None:
    assert scale.at(value) == pixel


@pytest.mark.parametrize(
    ("values", "base", "ticks"),
    [
        ([1, 16, 128], 2, [1, 2, 4, 8, 16, 32, 64, 128]),
        ([7], 2, [8]),
        ([12366], 0, [0, 2000, 4000, 6000, 8000, 10000, 12000, 14000]),
        ([0], 0, [0, 0.05, 0.1, 0.15, 0.2, 0.25]),
        ([20.9, 1587], 10, [20, 50, 100, 200, 500, 1000, 2000]),
        ([100], 10, [50, 100, 200]),
    ],
)
def test_an_axis_holds_its_values_and_has_round_ticks(values: list[float], base: int, ticks: list[float]) -> None:
    scale = scale_of(values, 0, 400, base)
    assert scale.ticks() == ticks
    assert all(0 <= scale.at(value) <= 400 for value in values)


@pytest.mark.parametrize(("span", "step"), [(4, 1), (7.9, 1), (8, 2), (100, 20), (12366, 2000), (0.3, 0.05)])
def test_steps_are_round(span: float, step: float) -> None:
    assert nice(span) == pytest.approx(step)


def test_what_is_no_number_is_left_out() -> None:
    dots = (Dot(math.nan, 1), Dot(4, math.inf), Dot(0, 5), Dot(8, 100, math.nan, 120))
    drawn = plot([Series("a", 0, dots), Series("empty", 1, ())], "x", "y")
    assert drawn is not None and drawn.count('class="mark') == 1
    assert not re.search(r"nan|inf", drawn)
    assert plot([Series("a", 0, dots[:3])], "x", "y") is None and plot([], "x", "y") is None


def test_the_spread_is_drawn_from_least_to_most() -> None:
    drawn = plot([Series("a", 0, (Dot(1, 50, 40, 100), Dot(2, 60, 60, 60)))], "x", "y")
    scale = Scale(0, 100, HEIGHT - BOTTOM, TOP)
    found = re.findall(r'd="M[\d.]+ ([\d.]+)V([\d.]+)[^"]*" class="spread', drawn or "")
    assert [(float(top), float(bottom)) for top, bottom in found] == [(scale.at(100), scale.at(40))]


def test_all_stays_inside() -> None:
    dots = tuple(Dot(float(2**n), 3.0**n, 3.0**n * 0.9, 3.0**n * 1.1) for n in range(12))
    for y_base in (0, 10):
        drawn = plot([Series("a", 0, dots)], "x", "y", y_base=y_base) or ""
        for x, y in re.findall(r"([\d.]+),([\d.]+)", re.findall(r'points="([^"]+)"', drawn)[0]):
            assert LEFT <= float(x) <= WIDTH - RIGHT and TOP <= float(y) <= HEIGHT - BOTTOM


# ---------------------------------------------------------------- pages


def point(at: int, tokens: float, failed: int = 0, rate: float = 0.0) -> dict[str, Any]:
    figures = {
        "output_tokens_per_s": tokens, "ttft_ms_p50": 20.0, "ttft_ms_p99": 40.0, "tpot_ms_p50": 5.0, "tpot_ms_p99": 6.0,
        "e2e_ms_p50": 700.0,
    }  # fmt: skip
    return {
        "label": f"{at} at once", "concurrency": at, "rate": rate, "requests": 8, "failed": failed, "error": None,
        "figures": figures, "least": {k: v * 0.9 for k, v in figures.items()},
        "most": {k: v * 1.1 for k, v in figures.items()},
    }  # fmt: skip


def record(**candidates: Any) -> dict[str, Any]:
    winner = next((name for name, row in candidates.items() if row["points"]), "")
    return {
        "conditions": {"cards": ["NVIDIA H200"] * 2, "model": "m", "vllm_version": "0.26.0", "device": "cuda"},
        "load": LOAD, "winner": winner, "planned": winner, "measured_at": "2026-01-02T03:04:05Z",
        "scores": {name: 1.0 for name, row in candidates.items() if row["points"]}, "candidates": candidates,
        "predictions": {
            name: {"output_tokens_per_s": 900.0, "ttft_ms": 30.0, "tpot_ms": 4.0, "speed_concurrency": 16,
                   "speed_input_tokens": 512, "speed_output_tokens": 128}
            for name in candidates
        },
    }  # fmt: skip


def well_formed(text: str) -> None:
    open_: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "br"):
                open_.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_.pop() == tag

    Reader().feed(text)
    assert not open_
    for banned in ("<script", "http://", "https://", "NaN", ">nan", ">inf"):
        assert banned not in text


FULL = {"points": [point(1, 200.0), point(16, 1000.0), point(128, 5000.0)]}


@pytest.mark.parametrize(
    ("candidates", "plots", "told"),
    [
        ({"2xTP1": FULL, "1xTP2": FULL}, 4, "900 / 1,000 (0.90 x)"),
        ({"1xTP1": FULL}, 4, "is the only candidate that was measured"),
        ({"1xTP1": {"points": [point(1, 200.0)]}}, 4, "are for another load than the one measured"),
        ({f"{n}xTP1": FULL for n in range(1, 7)}, 4, "6xTP1"),
        ({"a": FULL, "b": {"points": [], "error": "NCCL hangs"}}, 4, "<b>b</b>: NCCL hangs"),
        ({"a": {"points": [], "error": "it failed"}}, 0, "Nothing was measured."),
        ({"a": {"points": [point(4, 100.0, failed=3)]}}, 0, '<td class="n no">3</td>'),
        ({"a": {"points": [{**point(0, 100.0, rate=2.5), "label": "2.5/s"}]}}, 4, "requests a second"),
        ({"a": {"points": [{**point(2, 1.0), "figures": {"ttft_ms_p50": math.nan}}]}}, 0, "2 at once"),
    ],
)
def test_records_make_whole_pages(candidates: dict[str, Any], plots: int, told: str) -> None:
    text = render_page(record(**candidates), "gpu1")
    well_formed(text)
    assert text.count('<svg class="plot"') == plots and told in text


def test_everything_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>\"'"
    told = record(**{evil: FULL, "b": {"points": [], "error": evil}})
    told["conditions"].update(model=evil, cards=[evil], vllm_version=evil)
    text = render_page(told, evil, evil)
    well_formed(text)
    assert "<img" not in text and "&lt;img" in text


def test_conditions_are_told() -> None:
    text = render_page(record(a=FULL), "gpu1", "580.159.04")
    for word in ("2 x NVIDIA H200", "580.159.04", "0.26.0", "512 + 128 tokens", "2026-01-02T03:04:05Z"):
        assert word in text


def test_predictions_for_other_lengths_are_not_drawn() -> None:
    told = record(a=FULL)
    assert 'alone"' in render_page(told)
    told["load"] = {**LOAD, "input_tokens": 1024}
    assert 'alone"' not in render_page(told)


def test_every_load_that_was_predicted_stands_beside_what_was_measured() -> None:
    told = record(a=FULL)
    told["predictions"]["a"]["speeds"] = [
        {**told["predictions"]["a"], "speed_concurrency": at, "output_tokens_per_s": tokens}
        for at, tokens in ((1, 100.0), (128, 4000.0))
    ]
    text = render_page(told)
    well_formed(text)
    for words in ("100 / 200 (0.50 x)", "900 / 1,000 (0.90 x)", "4,000 / 5,000 (0.80 x)"):
        assert words in text


@pytest.mark.parametrize("bad", [None, {}, [], {"winner": "a"}])
def test_what_is_no_record_is_one_line(bad: Any) -> None:
    with pytest.raises(InputError, match="bench_html: a record as bench_result returns it is needed"):
        render_page(bad)
    with pytest.raises(AnsibleFilterError, match="bench_html: a record"):
        FilterModule().filters()["bench_html"](bad)
