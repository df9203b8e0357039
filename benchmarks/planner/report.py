# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison as tables: plain Markdown, readable in a terminal as it is."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.benchmarks.planner.rows import GIB, Row
from ansible_collections.gpuserve.inference.benchmarks.planner.stats import error_percent, spread

SILENT = "—"


def measured(row: Row, what: str) -> float:
    return {"weights": row.weights, "tokens": row.kv_tokens, "request": row.request_bytes}[what]


def errors(given: Mapping[str, Any], rows: Sequence[Row], what: str) -> list[Optional[float]]:
    return [error_percent(given[r.id].get(what), measured(r, what)) for r in rows]


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]

    def row(cells: Sequence[str]) -> str:
        first, rest = cells[0].ljust(widths[0]), [c.rjust(w) for c, w in zip(cells[1:], widths[1:])]
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *["-" * (w + 1) + ":" for w in widths[1:]]]) + "|"
    return "\n".join([row(head), rule, *map(row, lines)])


def percent(value: Optional[float], signed: bool = False) -> str:
    if value is None:
        return SILENT
    shown = f"{value:+.2f}" if signed else f"{value:.2f}"
    return (f"{value:+,.0f}" if signed else f"{value:,.0f}") if abs(value) >= 100 else shown


def summary_table(summary: Mapping[str, Any], what: str) -> str:
    lines = []
    for name, entry in summary.items():
        s = entry[what]
        lines.append(
            [name, f"{s['answered']}/{s['asked']}", percent(s["median"]), percent(s["p90"]), percent(s["max"])]
        )
    return table(["estimator", "rows", "median %", "p90 %", "max %"], lines)


def kind_table(
    answers: Mapping[str, Mapping[str, Any]], rows: Sequence[Row], kinds: Mapping[str, str], what: str
) -> str:
    """Median and largest error of each kind of model; rows without an answer are said as a count."""
    words = list(dict.fromkeys(sorted(kinds[r.name] for r in rows)))
    lines = []
    for name, given in answers.items():
        cells = [name]
        for word in words:
            s = spread(errors(given, [r for r in rows if kinds[r.name] == word], what))
            if not s["answered"]:
                cells.append(SILENT)
                continue
            missing = s["asked"] - s["answered"]
            cells.append(
                f"{percent(s['median'])} / {percent(s['max'])}" + (f" ({missing} no answer)" if missing else "")
            )
        lines.append(cells)
    counts = [f"{word} ({sum(kinds[r.name] == word for r in rows)} rows)" for word in words]
    return table(["median / max %", *counts], lines)


def fit_table(summary: Mapping[str, Any], kinds: Sequence[str]) -> str:
    lines = []
    for name, entry in summary.items():
        cells = [name]
        for kind in kinds:
            v = entry["fit"][kind]
            if not v["answered"]:
                cells += [f"0/{v['asked']}", SILENT, SILENT]
            else:
                cells += [f"{v['answered']}/{v['asked']}", str(v["false_fits"]), str(v["false_no"])]
        lines.append(cells)
    head = ["estimator"]
    for kind in kinds:
        head += [kind, "false fits", "false no"]
    return table(head, lines)


def row_table(row: Row, answers: Mapping[str, Mapping[str, Any]]) -> str:
    truth = [
        "**vLLM " + row.vllm + "**", f"{row.weights / GIB:.2f}", "", f"{row.kv_tokens:,}", "",
        f"{row.request_bytes / GIB:.3f}", "", "yes",
    ]  # fmt: skip
    lines = [truth]
    for name, a in answers.items():
        weights, tokens, request, fits = a.get("weights"), a.get("tokens"), a.get("request"), a.get("fits")
        lines.append(
            [
                name,
                SILENT if weights is None else f"{weights / GIB:.2f}",
                percent(error_percent(weights, row.weights), signed=True),
                SILENT if tokens is None else f"{int(tokens):,}",
                percent(error_percent(tokens, row.kv_tokens), signed=True),
                SILENT if request is None else f"{request / GIB:.3f}",
                percent(error_percent(request, row.request_bytes), signed=True),
                SILENT if fits is None else "yes" if fits else "no",
            ]
        )
    head = ["", "weights GiB", "error %", "KV tokens", "error %", "KV GiB a request", "error %", "fits"]
    return table(head, lines)


def refusals(answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [f"- {name}: {a['error']}" for name, a in answers.items() if a.get("error")]
