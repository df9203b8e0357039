# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A plan as text that a person reads in a terminal: within 100 columns as show_text indents it, plain characters."""

from __future__ import annotations

import textwrap
from typing import Any, Callable, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_view import (
    MEMORY_PARTS,
    Row,
    View,
    count,
    figure,
    gib,
    grouped,
    mapping,
    number,
    plain,
    read_plan,
    reasons,
    sequence,
    shape_of,
    speed_note,
)

WIDTH = 98  # show_text puts two more before each line


def render_plan(plan: Any) -> str:
    """The plan as topology_plan returns it (or its failed result) as a readable text."""
    try:
        blocks = _blocks(read_plan(plan))
    except InputError as error:
        raise InputError(f"plan_table: {error}") from None
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block)


def _blocks(view: View) -> list[list[str]]:
    reason = [plain(view.plan.get("reason") or "")]
    return [
        _head(view),
        _candidates(view),
        _why(view),
        _sentences("Reason", reason if reason[0] else []),
        _sentences("Advice", view.words("advice"), "  - "),
        _instances(view),
        _memory(view),
        _sentences("Warnings", view.words("warnings"), "  ! "),
    ]


def _wrap(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=True, break_on_hyphens=False
    )


def _sentences(title: str, sentences: Sequence[str], mark: str = "  ") -> list[str]:
    lines = [line for sentence in sentences for line in _wrap(sentence, mark, "    " if mark.strip() else mark)]
    return [title, *lines] if lines else []


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Columns as wide as needed; the last one wraps to stay within WIDTH."""
    widths = [max(len(str(r[n])) for r in [header, *rows]) for n in range(len(header))]
    lead = 2 + sum(w + 2 for w in widths[:-1])
    last = max(WIDTH - lead, 20)
    out = []
    for position, row in enumerate([header, *rows]):
        cells = [str(c).rjust(widths[n]) if n in right else str(c).ljust(widths[n]) for n, c in enumerate(row[:-1])]
        final = str(row[-1])
        wrapped = textwrap.wrap(final, last, break_on_hyphens=False) or [""]
        if len(header) - 1 in right and len(wrapped) == 1:
            wrapped = [final.rjust(widths[-1])]
        out.append("  " + "  ".join([*cells, wrapped[0]]))
        out += [" " * lead + more for more in wrapped[1:]]
        if position == 0:
            out.append("  " + "  ".join(("-" if header[n] else " ") * min(w, last) for n, w in enumerate(widths)))
    return out


def _head(view: View) -> list[str]:
    if view.error:
        return ["Nothing fits", *_wrap(view.error, "  ", "  ")]
    plan = view.plan
    shape = f"{count(number(plan, 'replicas'))} x TP{count(number(plan, 'tensor_parallel_size'))}"
    lines = _wrap(f"{view.model}: {plain(plan['topology'])}, {shape}", "", "  ")
    facts = [
        f"workload {plain(plan.get('workload'))}",
        f"vLLM {plain(plan.get('vllm_version'))}",
        f"max_model_len {count(number(plan, 'max_model_len'))}",
        "balancer in front" if plan.get("load_balancer") else "no balancer needed",
        f"device {plain(plan.get('device'))}" + (" (rehearsal)" if plan.get("rehearsal") else ""),
    ]
    return lines + _wrap(", ".join(facts), "  ", "  ")


def _candidates(view: View) -> list[str]:
    """Every one with what it would do; a range of shapes with the figures of its first."""
    if not view.rows:
        return []
    groups = grouped(view.rows)
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("", lambda r: ">" if r.chosen else ""),
        ("topology", lambda r: _cut(r.topology, 20)),
        ("shape", lambda r: ""),
        ("fits", lambda r: "yes" if r.fits else "no"),
        ("KV tokens", lambda r: _if_fits(r, count(r.number("kv_cache_tokens")))),
        ("of all", lambda r: _if_fits(r, count(r.together("kv_cache_tokens")))),
        ("longest", lambda r: _if_fits(r, count(r.number("max_model_len")))),
        ("at once", lambda r: _if_fits(r, figure(r.number("max_concurrency"), 2))),
        ("TPOT", lambda r: _if_fits(r, figure(r.number("tpot_ms"), 1))),
        ("TTFT", lambda r: _if_fits(r, figure(r.number("ttft_ms"), 0))),
        ("tok/s", lambda r: _if_fits(r, count(r.number("output_tokens_per_s")))),
        ("targets", lambda r: _if_fits(r, {None: "-", True: "met", False: "missed"}[r.targets])),
    ]
    cells = [[title, *(text(group[0]) for group in groups)] for title, text in columns]
    cells[2][1:] = [shape_of(group) for group in groups]
    kept = [c for n, c in enumerate(cells) if n < 4 or any(word != "-" for word in c[1:])]
    if sum(max(map(len, c)) + 2 for c in kept) > WIDTH:
        kept = [c for c in kept if c[0] != "topology"]  # the shape says it too
    header, *rows = zip(*kept)
    right = [n for n, title in enumerate(header) if title not in ("", "topology", "shape", "fits", "targets")]
    lines = ["Candidates", *table(header, rows, right)]
    if "KV tokens" in header:
        length = "that length" if "longest" in header else "the full length"
        note = f"KV tokens: of an instance, and of all together. At once: requests of {length} that an instance holds."
        lines += _wrap(" ".join([note, *speed_note(view.rows)]), "  ", "  ")
    return lines


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _if_fits(row: Row, text: str) -> str:
    return text if row.fits else "-"


def _why(view: View) -> list[str]:
    said = reasons(view.rows)
    if not said:
        return []
    width = max(len(shape) for shape, _why in said)
    lines = ["Why"]
    for shape, why in said:
        lines += _wrap(why, f"  {shape.ljust(width)}  ", " " * (width + 4))
    return lines


def _instances(view: View) -> list[str]:
    rows = []
    for instance in view.instances:
        cards = ", ".join(plain(i) for i in sequence(instance.get("gpus"), "plan.instances.gpus")) or "CPU"
        cores = mapping(instance.get("env"), "plan.instances.env").get("VLLM_CPU_OMP_THREADS_BIND")
        where = f"{plain(instance.get('host') or '127.0.0.1')}:{plain(instance.get('port'))}"
        rows.append(
            (
                _cut(plain(instance.get("name")), 30),
                _cut(cards, 40),
                where + (f" (cores {plain(cores)})" if cores else ""),
            )
        )
    return ["Instances", *table(("name", "cards", "address"), rows)] if rows else []


def _memory(view: View) -> list[str]:
    p = view.prediction
    sizes = [(label, number(p, key)) for _kind, key, label in MEMORY_PARTS]
    rows = [(label, gib(size)) for label, size in sizes if size is not None]
    if not rows:
        return []
    if view.on_cards:
        share = number(p, "gpu_memory_utilization")
        usable = f"{gib(number(p, 'budget_bytes'))} of {gib(number(p, 'cuda_total_bytes'))}"
        rows.append(("usable", usable + (f" ({share:.0%})" if share is not None else "")))
    width = max(len(label) for label, _value in rows)
    lines = [f"Memory of each {'card' if view.on_cards else 'rank'}, predicted (GiB)"]
    lines += [f"  {label.ljust(width)}  {value:>6}" for label, value in rows]
    tokens, margin = number(p, "kv_cache_tokens"), number(p, "margin_percent")
    if tokens is not None:
        text = f"KV cache of an instance: {count(tokens)} tokens"
        lines += _wrap(text + (f" (+- {margin:g} %)" if margin is not None else ""), "  ", "  ")
    return lines
