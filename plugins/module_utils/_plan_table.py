# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A plan as text that a person reads in a terminal: at most 100 columns, nothing but plain characters."""

from __future__ import annotations

import textwrap
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

WIDTH = 100
GIB = 1024**3
MEMORY_ROWS = (
    ("weights", "weight_bytes_per_gpu"),
    ("activations", "activation_bytes_per_gpu"),
    ("sampler buffers", "persistent_bytes_per_gpu"),
    ("CUDA graphs", "cuda_graph_bytes_per_gpu"),
    ("other", "non_torch_bytes_per_gpu"),
    ("KV cache", "kv_cache_bytes_per_gpu"),
)


def render_plan(plan: Mapping[str, Any]) -> str:
    """The plan dictionary, as topology_plan returns it, as a readable table."""
    if not isinstance(plan, Mapping) or "instances" not in plan or "topology" not in plan:
        raise InputError("plan_table: a plan as topology_plan returns it under `plan` is needed")
    lines = _head(plan)
    lines += [""] + _instances(plan)
    lines += [""] + _memory(plan)
    lines += [""] + _candidates(plan)
    warnings = plan.get("warnings") or []
    if warnings:
        lines += ["", "Warnings"]
        for warning in warnings:
            lines += _wrap(str(warning), "  ! ", "    ")
    return "\n".join(line.rstrip() for line in lines)


def _wrap(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=True, break_on_hyphens=False
    )


def _gib(size: Any) -> str:
    return "-" if size is None else f"{float(size) / GIB:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Columns as wide as needed; the last one wraps to stay within WIDTH."""
    widths = [max(len(str(r[n])) for r in [header, *rows]) for n in range(len(header))]
    lead = 2 + sum(w + 2 for w in widths[:-1])
    last = max(WIDTH - lead, 20)
    out = []
    for number, row in enumerate([header, *rows]):
        cells = [str(c).rjust(widths[n]) if n in right else str(c).ljust(widths[n]) for n, c in enumerate(row[:-1])]
        final = str(row[-1])
        wrapped = textwrap.wrap(final, last, break_on_hyphens=False) or [""]
        if len(header) - 1 in right and len(wrapped) == 1:
            wrapped = [final.rjust(widths[-1])]
        out.append("  " + "  ".join([*cells, wrapped[0]]))
        out += [" " * lead + more for more in wrapped[1:]]
        if number == 0:
            out.append("  " + "  ".join("-" * min(w, last) for w in widths))
    return out


def _head(plan: Mapping[str, Any]) -> list[str]:
    replicas, tp = plan.get("replicas"), plan.get("tensor_parallel_size")
    model = plan.get("model") or {}
    name = model.get("served_model_name") or model.get("name") or "model"
    lines = _wrap(f"{name}: {plan['topology']}, {replicas} x TP{tp}", "", "  ")
    facts = [
        f"workload {plan.get('workload')}",
        f"vLLM {plan.get('vllm_version')}",
        f"max_model_len {plan.get('max_model_len'):,}",
    ]
    facts.append("balancer in front" if plan.get("load_balancer") else "no balancer needed")
    device = str(plan.get("device"))
    facts.append(f"device {device}" + (" (rehearsal)" if plan.get("rehearsal") else ""))
    lines += _wrap(", ".join(facts), "  ", "  ")
    lines += _wrap(str(plan.get("reason") or ""), "  ", "  ")
    return lines


def _instances(plan: Mapping[str, Any]) -> list[str]:
    rows = []
    for instance in plan["instances"]:
        cards = ", ".join(str(i) for i in instance.get("gpus") or []) or "CPU"
        cores = (instance.get("env") or {}).get("VLLM_CPU_OMP_THREADS_BIND")
        where = f"{instance.get('host') or '127.0.0.1'}:{instance.get('port')}" + (f" (cores {cores})" if cores else "")
        rows.append((str(instance.get("name")), cards, where))
    return ["Instances"] + table(("name", "cards", "address"), rows)


def _memory(plan: Mapping[str, Any]) -> list[str]:
    p = plan.get("prediction") or {}
    total: Optional[Any] = p.get("cuda_total_bytes")
    on_cpu = total is None
    lines = [f"Memory of each {'rank' if on_cpu else 'card'}, predicted (GiB)"]
    rows = [(label, _gib(p.get(key))) for label, key in MEMORY_ROWS if p.get(key) is not None]
    if not on_cpu:
        rows.append(
            ("usable", f"{_gib(p.get('budget_bytes'))} of {_gib(total)} ({p.get('gpu_memory_utilization'):.0%})")
        )
    width = max(len(label) for label, _value in rows) if rows else 0
    lines += [f"  {label.ljust(width)}  {value:>6}" for label, value in rows]
    tokens, concurrency = p.get("kv_cache_tokens"), p.get("max_concurrency")
    if tokens is not None:
        margin = f" (+- {p['margin_percent']:g} %)" if p.get("margin_percent") is not None else ""
        lines += _wrap(
            f"KV cache of an instance: {tokens:,} tokens{margin}, {concurrency:.2f} requests of "
            f"{plan.get('max_model_len'):,} tokens at once",
            "  ",
            "  ",
        )
    if p.get("tpot_ms"):
        lines.append(f"  One stream: about {p['tpot_ms']:g} ms a token")
    return lines


def _candidates(plan: Mapping[str, Any]) -> list[str]:
    """The fullest arrangement of each tensor parallel size; those that only leave cards idle are counted."""
    shown: list[tuple[str, ...]] = []
    hidden = 0
    best: dict[int, int] = {}
    candidates = plan.get("candidates") or []
    for c in candidates:
        tp = int(c["tensor_parallel_size"])
        best[tp] = max(best.get(tp, 0), int(c["replicas"]))
    for c in candidates:
        tp, replicas = int(c["tensor_parallel_size"]), int(c["replicas"])
        mine = replicas == plan.get("replicas") and tp == plan.get("tensor_parallel_size")
        if not mine and replicas < best[tp]:
            hidden += 1
            continue
        p = c.get("prediction") or {}
        tokens = f"{p['kv_cache_tokens']:,}" if c.get("fits") and p.get("kv_cache_tokens") else "-"
        shown.append(
            (
                ">" if mine else "",
                str(c["topology"]),
                f"{replicas} x TP{tp}",
                "yes" if c.get("fits") else "no",
                tokens,
                str(c.get("why") or ""),
            )
        )
    lines = ["Candidates"] + table(("", "topology", "shape", "fits", "KV tokens", "why"), shown, right=(4,))
    if hidden:
        lines.append(f"  ({hidden} more with fewer replicas are in `candidates`)")
    return lines
