# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares this collection's planner with other estimators, on rows that vLLM itself was measured for.

    .venv/bin/python benchmarks/planner/compare.py [--install] [--only NAME,...] [--out DIR]

Writes results.json and results.md and prints the latter. ``--install`` first makes the environments of the other tools
(the only part that needs a network); without it a tool that is not there is reported as such.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
if __package__ in (None, ""):  # run as a script: the path by which Ansible knows the collection, which `make venv` made
    sys.path.insert(0, str(ROOT / ".venv" / "collections"))

from ansible_collections.gpuserve.inference.benchmarks.planner import report, tools  # noqa: E402
from ansible_collections.gpuserve.inference.benchmarks.planner.asks import FIELDS, asks  # noqa: E402
from ansible_collections.gpuserve.inference.benchmarks.planner.ours import ask_ours, kind_of  # noqa: E402
from ansible_collections.gpuserve.inference.benchmarks.planner.published import PUBLISHED  # noqa: E402
from ansible_collections.gpuserve.inference.benchmarks.planner.questions import Question, checked_assumption, questions  # noqa: E402
from ansible_collections.gpuserve.inference.benchmarks.planner.rows import GIB, Row, load  # noqa: E402
from ansible_collections.gpuserve.inference.benchmarks.planner.stats import spread, verdicts  # noqa: E402

OURS = "gpuserve"
KINDS = ("rented", "edge")
WHAT = ("weights", "tokens", "request")


def gather(job: Sequence[Mapping[str, Any]], only: set[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Answers by estimator and question, and what each estimator is (version, source, or why it did not run)."""
    models = {a["model"]: a["dir"] for a in job}
    listed = tools.checkpoints(models) if tools.installed("accelerate") else {}
    answers: dict[str, dict[str, Any]] = {OURS: {a["id"]: ask_ours(a) for a in job}}
    about = {OURS: "topology_plan, from config.json alone"}
    for name, formula in PUBLISHED.items():
        answers[name] = {a["id"]: formula(a, listed.get(a["model"], {})) for a in job}
        about[name] = "published formula"
    details = {m: {"dir": d, "kv_scales": tools.has_kv_scales(d), **listed.get(m, {})} for m, d in models.items()}
    for tool in tools.TOOLS:
        if only and tool.name not in only:
            continue
        if not tools.installed(tool.name):
            about.update(dict.fromkeys(tool.estimators, f"not installed: run again with --install ({tool.name})"))
            continue
        found = tools.run_driver(tool.name, tool.driver, {"models": details, "asks": job})
        for estimator in tool.estimators:
            if "error" in found:
                about[estimator] = f"failed: {found['error']}"
                continue
            answers[estimator] = found["answers"][estimator]
            about[estimator] = f"{tool.name} {found['version']}"
            if estimator == "AIConfigurator" and any(s != "native" for s in found["sources"].values()):
                simple = sorted(m for m, s in found["sources"].items() if s != "native")
                about[estimator] += f"; its memory model does not know {', '.join(simple)}: its fallback answered"
    return answers, {**about, **{n: f"not run: {why}" for n, why in tools.ABSENT.items()}}


def summarise(
    rows: Sequence[Row], asked: Sequence[Question], answers: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for name, given in answers.items():
        fit = {k: verdicts((given[q.id].get("fits"), q.fits) for q in asked if q.kind == k) for k in KINDS}
        fit["measured rows"] = verdicts((given[r.id].get("fits"), True) for r in rows)
        out[name] = {**{what: spread(report.errors(given, rows, what)) for what in WHAT}, "fit": fit}
    return out


def held_out(rows: Sequence[Row], answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where files say which rows the planner's constants may have seen: the others alone."""
    kept = [r for r in rows if r.split.startswith("held")]
    if not kept:
        return []
    out = ["", f"## Held-out rows only ({len(kept)})", ""]
    for what, title in (("weights", "Weights of a card"), ("tokens", "KV cache tokens")):
        some = {name: {what: spread(report.errors(given, kept, what))} for name, given in answers.items()}
        out += [f"{title}:", "", report.summary_table(some, what), ""]
    return out[:-1]


def assumption(rows: Sequence[Row]) -> list[str]:
    found = checked_assumption(rows)
    if not found:
        return []
    out = ["", "The truth of these questions rests on what is not KV cache staying the same when the budget changes:"]
    return out + [
        f"{name}: {count} starts at different utilisations differ by {apart / GIB:.3f} GiB."
        for name, count, apart in found
    ]


def markdown(
    rows: Sequence[Row],
    left: Sequence[str],
    asked: Sequence[Question],
    answers: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, str],
    summary: Mapping[str, Any],
) -> str:
    models, true = len({r.name for r in rows}), sum(q.fits for q in asked)
    out = [
        "# The planner beside other estimators",
        "",
        f"{len(rows)} starts of vLLM ({', '.join(sorted({r.vllm for r in rows}))}) with {models} models on "
        f"{', '.join(sorted({r.card for r in rows}))}; written by `compare.py`, see README.md for how each is asked.",
        f"{report.SILENT} means that the estimator does not predict it.",
        "",
        "## Weights of a card", "", report.summary_table(summary, "weights"),
        "", "## KV cache tokens", "", report.summary_table(summary, "tokens"),
        "", "## KV cache of one request of max_model_len, on a card", "", report.summary_table(summary, "request"),
        "", "## KV cache tokens by kind of model", "",
        report.kind_table(answers, rows, {r.name: kind_of(r.directory) for r in rows}, "tokens"),
        *held_out(rows, answers),
        "", "## Does it fit", "",
        f"{len(asked)} questions (answer yes: {true}, no: {len(asked) - true}), and the measured rows, which all fit.",
        "", report.fit_table(summary, [*KINDS, "measured rows"]), *assumption(rows),
        "", "## Who answered", "", *[f"- {name}: {text}" for name, text in about.items()],
        "", "## Row by row", "",
    ]  # fmt: skip
    for row in rows:
        given = {name: a[row.id] for name, a in answers.items()}
        flags = f"max_model_len {row.max_model_len:,}, max_num_seqs {row.max_num_seqs:,}, max_num_batched_tokens "
        flags += f"{row.max_num_batched_tokens:,}, utilisation {row.utilization:g} of {row.cuda_total / GIB:.2f} GiB"
        out += [f"### {row.id}", "", f"{flags} ({row.source})", "", report.row_table(row, given), ""]
        notes = report.refusals(given)
        out += [*notes, ""] if notes else []
    if left:
        out += ["## Left out", "", *[f"- {line}" for line in left], ""]
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="make the other tools' environments first")
    parser.add_argument("--only", default="", help="of the installed tools only these, separated by commas")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="where results go")
    args = parser.parse_args()
    if args.install:
        for tool in tools.TOOLS:
            problem = None if tools.installed(tool.name) else tools.install(tool.name)
            print(f"{tool.name}: {problem or 'ready'}", file=sys.stderr)
    rows, left = load()
    asked = questions(rows)
    answers, about = gather(asks(rows, asked), {n for n in args.only.split(",") if n})
    summary = summarise(rows, asked, answers)
    text = markdown(rows, left, asked, answers, about, summary)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.md").write_text(text, encoding="utf-8")
    data = {
        "about": about,
        "summary": summary,
        "rows": [
            {
                "id": r.id, "source": r.source, "vllm": r.vllm, "model": r.name, "tensor_parallel_size": r.tp,
                "half": r.split,
                "measured": {"weights": r.weights, "tokens": r.kv_tokens, "request": round(r.request_bytes)},
                "answers": {n: {k: a[r.id].get(k) for k in (*FIELDS, "error")} for n, a in answers.items()},
            }
            for r in rows
        ],
        "questions": [
            {
                "id": q.id, "kind": q.kind, "memory": q.memory, "fits": q.fits,
                "answers": {n: a[q.id].get("fits") for n, a in answers.items()},
            }
            for q in asked
        ],
        "left_out": left,
    }  # fmt: skip
    (args.out / "results.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
