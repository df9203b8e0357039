# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""All hosts of a run in one table: what each serves, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._cards import short_name
from ansible_collections.gpuserve.inference.plugins.module_utils._columns import columns

HEAD = ("host", "topology", "replicas", "cards", "model", "length", "KV tokens", "tok/s", "state")
_NUMBERS = (5, 6, 7)


@dataclass
class HostRow:
    """One host. ``notes`` are told below the table. ``failed`` counts it as one that did not get through."""

    name: str
    topology: str = ""
    replicas: int = 0
    tensor_parallel_size: int = 0
    cards: int = 0
    card_names: str = ""
    model: str = ""
    max_model_len: int = 0
    kv_tokens: int = 0
    tokens_per_second: float = 0.0
    state: str = ""
    failed: bool = False
    notes: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            self.topology.replace("_", " "),
            f"{self.replicas} x TP{self.tensor_parallel_size}" if self.replicas else "",
            self.card_names,
            self.model,
            f"{self.max_model_len:,}" if self.max_model_len else "",
            f"{self.kv_tokens:,}" if self.kv_tokens else "",
            f"{self.tokens_per_second:,.0f}" if self.tokens_per_second else "",
            self.state,
        )


def _cards(plan: Mapping[str, Any], probe: Mapping[str, Any]) -> tuple[int, str]:
    """How many cards the plan uses and what they are; the processor where it uses none."""
    used = [card for instance in plan["instances"] for card in instance.get("gpus") or ()]
    if not used:
        return 0, "processor"
    names = {gpu.get("index"): str(gpu.get("name", "")) for gpu in probe.get("gpus") or ()}
    counts: dict[str, int] = {}
    for card in used:
        name = short_name(names.get(card, "")) or "card"
        counts[name] = counts.get(name, 0) + 1
    return len(used), ", ".join(f"{count} x {name}" for name, count in counts.items())


def _kv_tokens(plan: Mapping[str, Any], engines: Sequence[Mapping[str, Any]]) -> int:
    """All replicas together, as the engines said; where they did not, as planned."""
    told = [(engine.get("kv") or {}).get("kv_cache_tokens") for engine in engines]
    if told and all(told):
        return sum(int(tokens or 0) for tokens in told)
    prediction = plan.get("prediction") or {}
    if plan.get("rehearsal"):
        prediction = prediction.get("rehearsal") or {}
    return int(prediction.get("kv_cache_tokens") or 0) * len(plan["instances"])


def fleet_row(name: str, facts: Mapping[str, Any], alive: bool, check: bool = False) -> HostRow:
    """``facts``: the host's variables at the end of a run; ``alive``: no task failed there and it was reached."""
    row = HostRow(name)
    look = facts.get("gpu_host_look") or {}
    plan = facts.get("vllm_plan") or look.get("plan") or {}
    verified = facts.get("vllm_verified") or {}
    asked = [engine for engine in verified.get("instances") or () if isinstance(engine, Mapping)]
    engines = [engine for engine in asked if engine.get("name") != "gateway"]
    if plan:
        row.topology, row.replicas = str(plan["topology"]), len(plan["instances"])
        row.tensor_parallel_size = int(plan["tensor_parallel_size"])
        row.cards, row.card_names = _cards(plan, facts.get("gpu_host_probe") or {})
        row.model = str((plan.get("model") or {}).get("served_model_name") or "")
        row.max_model_len = int(plan["max_model_len"])
        row.kv_tokens = _kv_tokens(plan, engines)
    row.tokens_per_second = float((facts.get("vllm_measured") or {}).get("tokens_per_second") or 0)
    ready = sum(bool(engine.get("ready")) for engine in engines)
    marks = (facts.get("vllm_rotation") or {}).get("marks") or ()
    out = sorted({str(mark["name"]) for mark in marks})
    row.notes += [f"{e['name']}: {e['error']}" for e in asked if e.get("error")]
    row.notes += [f"{m['name']} is out of rotation ({m['by']}): {m.get('reason') or 'no reason given'}" for m in marks]
    if not alive:
        row.failed = True
        row.state = "FAILED" if look else "NOT REACHED or refused"
    elif check:
        row.state = "would serve" if plan else "not looked at"
    elif not plan or not verified:
        row.state = "untouched"
    elif ready < row.replicas:
        row.failed, row.state = True, f"{ready} of {row.replicas} SERVE"
    else:
        row.state = "serves"
    if alive and out:
        row.state += f", out: {', '.join(out)}"
    return row


def render_fleet(rows: Sequence[HostRow]) -> str:
    """The table, then what the rows have to say, then one line of sums."""
    table = [row.cells() for row in rows]
    # a column that nobody has anything to say in is left out
    kept = [n for n in range(len(HEAD)) if any(cells[n] for cells in table)]
    lines = columns(
        [HEAD[n] for n in kept],
        [[cells[n] for n in kept] for cells in table],
        numbers=[place for place, n in enumerate(kept) if n in _NUMBERS],
    )
    lines += [f"! {row.name}: {note}" for row in rows for note in row.notes]
    failed = [row.name for row in rows if row.failed]
    sums = [f"{len(rows)} hosts", f"{sum(r.replicas for r in rows)} replicas", f"{sum(r.cards for r in rows)} cards"]
    tokens, speed = sum(r.kv_tokens for r in rows), sum(r.tokens_per_second for r in rows)
    sums += [f"{tokens:,} KV tokens"] if tokens else []
    sums += [f"{speed:,.0f} tok/s measured"] if speed else []
    lines.append(", ".join(sums) + (f"; did not get through: {', '.join(failed)}" if failed else ""))
    return "\n".join(lines) + "\n"


def fleet_table(
    host_variables: Mapping[str, Any], hosts: Sequence[str], alive: Sequence[str], check: bool = False
) -> str:
    wanted = ("gpu_host_look", "gpu_host_probe", "vllm_plan", "vllm_verified", "vllm_rotation", "vllm_measured")
    rows = []
    for name in hosts:
        variables = host_variables[name]
        facts = {key: variables[key] for key in wanted if key in variables}
        rows.append(fleet_row(name, facts, name in alive, check))
    return render_fleet(rows)
