# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What a benchmark measured as one HTML page that needs nothing else: plots, conditions, who won, every number."""

from __future__ import annotations

import math
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._bench_plot import Dot, Series, mark, plot
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_report import predicted, verdict
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_style import STYLE
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_time import compared
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._html import Html, el
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_html import page, section
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_view import figure

GENERATOR = "gpuserve.inference bench_html"
TOKENS = "output_tokens_per_s"
COLUMNS = (
    ("output tok/s", TOKENS, 0),
    ("TTFT p50 ms", "ttft_ms_p50", 1),
    ("TTFT p99 ms", "ttft_ms_p99", 1),
    ("TPOT p50 ms", "tpot_ms_p50", 2),
    ("TPOT p99 ms", "tpot_ms_p99", 2),
    ("request p50 ms", "e2e_ms_p50", 0),
)
ALL = "output tokens/s of all"
DEVICES = {"cuda": "the cards", "cpu": "the processor"}
LATENCIES = (("ttft_ms", "Time to first token (TTFT)", 10), ("tpot_ms", "Time per token (TPOT)", 0))


def render_page(record: Any, host: str = "", driver: str = "") -> str:
    """``record`` as ``_bench_report.result`` makes it."""
    needed = ("candidates", "conditions", "winner", "planned", "scores", "predictions")
    missing = [key for key in needed if not isinstance(record, Mapping) or key not in record]
    if missing:
        raise InputError(f"bench_html: a record as bench_result returns it is needed; it has no {', '.join(missing)}")
    rows = {str(name): row for name, row in record["candidates"].items()}
    styles = {name: number for number, name in enumerate(rows)}
    model = str(record["conditions"].get("model") or "benchmark")
    best = str(record["winner"])
    over = " · ".join(word for word in ("Benchmark", host, _cards(record["conditions"])) if word)
    body = [
        el("div", over, class_="over"),
        el("h1", model),
        el("p", f"{best} is served fastest" if best else "No candidate carried the load", class_="decision"),
        el("p", verdict(record)),
        _failed(rows),
        _keys(rows, styles),
        _plots(rows, styles, record),
        _against(rows, record),
        _numbers(rows, best),
        _conditions(record, rows, driver),
        _meaning(),
    ]
    title = f"{model}: benchmark{f' of {host}' if host else ''}"
    return page(title, *body, generator=GENERATOR, style=STYLE)


def value_of(figures: Any, key: str) -> Optional[float]:
    """A number that can be drawn and printed, or None."""
    found = figures.get(key) if isinstance(figures, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        return None
    return float(found)


# ---------------------------------------------------------------- plots


def _plots(rows: Mapping[str, Any], styles: Mapping[str, int], record: Mapping[str, Any]) -> Html:
    made: list[Optional[Html]] = []
    for key, x_title in (("concurrency", "requests at once"), ("rate", "requests a second")):
        tokens = [_series(name, row, styles[name], key, TOKENS) for name, row in rows.items()]
        wished = (
            _predictions(rows, record, styles, TOKENS) if key == "concurrency" and any(s.dots for s in tokens) else []
        )
        note = "Bars: least to most of the repeats." + (" Hollow: the planner's prediction." if wished else "")
        made.append(_panel("Throughput", note, plot([*tokens, *wished], x_title, ALL)))
        for group, title, base in LATENCIES:
            lines = [_series(name, row, styles[name], key, f"{group}_p50") for name, row in rows.items()]
            lines += [_series(name, row, styles[name], key, f"{group}_p99", "dashed") for name, row in rows.items()]
            hint = "Solid, filled: p50. Dashed, hollow: p99. Bars: least to most of the repeats."
            hint += " Logarithmic." if base else ""
            made.append(_panel(title, hint, plot(lines, x_title, f"{group[:4].upper()}, ms", y_base=base)))
    front = [_frontier(name, row, styles[name], name == record["winner"]) for name, row in rows.items()]
    hint = "Right and up is better. Numbers: the load, at the winner's points."
    drawn = plot(front, "tokens/s of one user (1000 / TPOT p50)", ALL, 0)
    made.append(_panel("What one user gets, and what all get", hint, drawn))
    return el("div", *made, class_="plots")


def _panel(title: str, note: str, drawn: Optional[Html]) -> Optional[Html]:
    return section(title, el("p", note, class_="soft"), drawn) if drawn is not None else None


def _points(row: Any) -> list[Mapping[str, Any]]:
    """Points whose every request was answered; figures of others say nothing."""
    return [point for point in row.get("points") or () if not point.get("failed")]


def _series(name: str, row: Any, style: int, x_key: str, key: str, kind: str = "line") -> Series:
    dots = []
    for point in _points(row):
        x, y = value_of(point, x_key), value_of(point["figures"], key)
        if x and y is not None:
            low, high = value_of(point.get("least"), key), value_of(point.get("most"), key)
            note = f"{point.get('label', '')}: {y:,.6g}"
            dots.append(Dot(x, y, low, high, note if low is None else f"{note} ({low:,.6g} to {high or y:,.6g})"))
    return Series(f"{name} {key[-3:]}" if kind == "dashed" else name, style,
                  tuple(sorted(dots, key=lambda dot: dot.x)), kind)  # fmt: skip


def _frontier(name: str, row: Any, style: int, labels: bool) -> Series:
    dots = []
    for point in _points(row):
        slow, all_ = value_of(point["figures"], "tpot_ms_p50"), value_of(point["figures"], TOKENS)
        if slow and slow > 0 and all_ is not None:
            load = f"{point['rate']:g}/s" if value_of(point, "rate") else f"{point.get('concurrency', 0)}"
            low, high = value_of(point.get("least"), TOKENS), value_of(point.get("most"), TOKENS)
            note = f"{point.get('label', '')}: {1000 / slow:,.1f} a user, {all_:,.0f} of all"
            dots.append(Dot(1000 / slow, all_, low, high, note, load if labels else ""))
    return Series(name, style, tuple(sorted(dots, key=lambda dot: dot.y)))


def _predictions(
    rows: Mapping[str, Any], record: Mapping[str, Any], styles: Mapping[str, int], key: str
) -> list[Series]:
    """Only where the planner spoke of the load that was measured."""
    found = []
    for name, row in rows.items():
        dots = []
        for point in _points(row):
            x, y = value_of(point, "concurrency"), value_of(predicted(record, name, point), key)
            if x and y is not None:
                dots.append(Dot(x, y, note=f"{point.get('label', '')}: {y:,.0f}"))
        if dots:
            found.append(Series(f"{name} predicted", styles[name], tuple(sorted(dots, key=lambda dot: dot.x)), "alone"))
    return found


def _keys(rows: Mapping[str, Any], styles: Mapping[str, int]) -> Html:
    box = {"width": 16, "height": 16, "viewBox": "0 0 16 16", "aria_hidden": "true"}
    items = [el("li", el("svg", mark(styles[name], 8, 8), **box), name) for name, row in rows.items() if _points(row)]
    return el("div", el("ul", *items, class_="legend") if items else None, class_="keys")


# ---------------------------------------------------------------- words and numbers


def _failed(rows: Mapping[str, Any]) -> Optional[Html]:
    told = [el("li", el("b", name), f": {row['error']}") for name, row in rows.items() if row.get("error")]
    return section("Not measured", el("ul", *told), class_="warn") if told else None


def _against(rows: Mapping[str, Any], record: Mapping[str, Any]) -> Optional[Html]:
    """Predicted and measured at the loads that the planner spoke of."""
    made = []
    for name, point in [(name, point) for name, row in rows.items() for point in _points(row)]:
        told = predicted(record, name, point)
        if not told:
            continue
        cells = [el("td", name, class_="name"), el("td", point.get("label", ""), data_label="load")]
        for title, key, mine, digits in (
            ("output tok/s", TOKENS, TOKENS, 0),
            ("TTFT ms", "ttft_ms", "ttft_ms_p50", 1),
            ("TPOT ms", "tpot_ms", "tpot_ms_p50", 2),
        ):
            guess, real = value_of(told, key), value_of(point["figures"], mine)
            share = f" ({guess / real:.2f} x)" if guess is not None and real else ""
            words = f"{figure(guess, digits)} / {figure(real, digits)}{share}"
            cells.append(el("td", words, class_="n", data_label=title))
        made.append(el("tr", *cells))
    if not made:
        if not any(name in rows for name in record["predictions"]):
            return None
        words = "The planner's predictions are for another load than the one measured here, so they are not compared."
        return section("Predicted and measured", el("p", words))
    head = [el("th", "candidate"), el("th", "load")]
    head += [el("th", title, class_="n") for title in ("output tok/s", "TTFT ms", "TPOT ms")]
    table = el("table", el("thead", el("tr", *head)), el("tbody", *made), class_="stack")
    note = "Predicted / measured (predicted as a share of measured). TTFT and TPOT measured are medians (p50)."
    return section("Predicted and measured", el("p", note, class_="soft"), table)


def _numbers(rows: Mapping[str, Any], best: str) -> Html:
    made = []
    for name, row in rows.items():
        for point in row.get("points") or ():
            cells = [el("td", name, class_="name"), el("td", point.get("label", ""))]
            failed = point.get("failed") or 0
            cells.append(el("td", failed or "0", class_="n no" if failed else "n"))
            for _title, key, digits in COLUMNS:
                value, low, high = (value_of(point.get(part), key) for part in ("figures", "least", "most"))
                spread = f"{figure(low, digits)} to {figure(high, digits)}" if low != high else ""
                cells.append(el("td", figure(value, digits), el("div", spread, class_="soft"), class_="n"))
            made.append(el("tr", *cells, class_="chosen" if name == best else None))
    head = [el("th", "candidate"), el("th", "load"), el("th", "failed", class_="n")]
    head += [el("th", title, class_="n") for title, _key, _digits in COLUMNS]
    if not made:
        return section("Every number", el("p", "Nothing was measured."))
    table = el("table", el("thead", el("tr", *head)), el("tbody", *made), class_="candidates")
    note = "The median of the repeats; below it the least and the most of them."
    return section("Every number", el("p", note, class_="soft"), el("div", table, class_="wide"))


def _conditions(record: Mapping[str, Any], rows: Mapping[str, Any], driver: str) -> Html:
    told, load, times = record["conditions"], record.get("load") or {}, record.get("times") or {}
    lengths = f"{load.get('input_tokens')} + {load.get('output_tokens')} tokens" if load.get("input_tokens") else ""
    facts = [
        ("Cards", _cards(told)),
        ("Driver", driver),
        ("Engines run on", DEVICES.get(str(told.get("device")), told.get("device"))),
        ("Model", " ".join(str(told.get(key) or "") for key in ("model", "revision")).strip()),
        ("vLLM", told.get("vllm_version")),
        ("max_model_len", told.get("max_model_len")),
        ("Workload setting", told.get("workload")),
        ("Load", ", ".join(str(word) for word in (load.get("requests") or load.get("dataset"), lengths) if word)),
        ("Scores", ", ".join(f"{name} {score:.3f}" for name, score in record["scores"].items())),
        ("Planned", record["planned"]),
        ("Measured", record.get("measured_at")),
        ("Duration", compared(float(times["took_s"]), times.get("estimated_s")) if times.get("took_s") else ""),
    ]
    made = [part for name, value in facts if value for part in (el("dt", name), el("dd", value))]
    return section("Measured with", el("dl", *made, class_="facts"))


def _meaning() -> Html:
    words = (
        "TTFT is the time from a request to its first token, TPOT the time of each further one. A candidate's score is "
        "the geometric mean, over all loads, of its figure as a share of the best one: output tokens/s at a number of "
        "requests at once, the time of a request (turned over) at a rate. The planned candidate stays where no other "
        "one is better by more than 2 %. Points at which requests failed are in the table and not in the plots."
    )
    return section("What these figures are", el("p", words))


def _cards(told: Mapping[str, Any]) -> str:
    names: Sequence[Any] = told.get("cards") or ()
    return ", ".join(f"{names.count(one)} x {one}" for one in dict.fromkeys(names))
