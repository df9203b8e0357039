# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What a benchmark of a host's candidates came to: who won, the record that stays on the host, and a table."""

from __future__ import annotations

import time
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._bench_choose import (
    VERSION,
    Arrangement,
    Conditions,
    asked_from,
    device_of,
    scores,
    winner,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_time import compared, speed_at
from ansible_collections.gpuserve.inference.plugins.module_utils._columns import columns
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

HEAD = ("candidate", "load", "tok/s", "spread", "TTFT p50", "p99", "TPOT p50", "p99", "predicted")

# of the planner's speed model, and the load that it speaks of
PREDICTED = (
    "output_tokens_per_s", "ttft_ms", "tpot_ms", "speed_concurrency", "speed_input_tokens", "speed_output_tokens",
)  # fmt: skip


def candidates(plan: Mapping[str, Any], wished: Sequence[str] = (), longest: int = 0) -> list[dict[str, Any]]:
    """The arrangements to try, as ``{label, replicas, tensor_parallel_size}``; the plan's own comes first.

    All that fit and use as many cards as any that fits, or those that were wished for. InputError says what cannot run,
    and where the longest request that is asked (tokens, 0: not known) is too long for one.
    """
    rows = {_label(row): row for row in plan["candidates"]}
    own = _label(plan)
    if not rows:  # the processor has one way
        rows = {own: {**plan, "fits": True}}
    if wished:
        for label in wished:
            Arrangement.read(label)
            if label not in rows:
                raise InputError(f"candidate {label} is none of this host; give some of {', '.join(rows)}")
            if not rows[label]["fits"]:
                raise InputError(f"candidate {label} cannot run here: {rows[label]['why']}")
        chosen = list(dict.fromkeys(wished))
    else:
        able = [label for label, row in rows.items() if row["fits"]] or [own]
        most = max(_cards(rows[label]) for label in able)
        chosen = [label for label in able if _cards(rows[label]) == most or label == own]
    for label in chosen:
        length = int((rows[label].get("prediction") or {}).get("max_model_len") or plan["max_model_len"])
        if longest > length:
            raise InputError(
                f"a request of {longest:,} tokens does not go into max_model_len {length:,} of {label}; give less as "
                "vllm_bench_input_tokens and vllm_bench_output_tokens, or raise vllm_max_model_len"
            )
    chosen.sort(key=lambda label: label != own)
    return [
        {
            "label": label,
            "replicas": rows[label]["replicas"],
            "tensor_parallel_size": rows[label]["tensor_parallel_size"],
        }
        for label in chosen
    ]


def _label(row: Mapping[str, Any]) -> str:
    return Arrangement(int(row["replicas"]), int(row["tensor_parallel_size"])).label


def _cards(row: Mapping[str, Any]) -> int:
    return int(row["replicas"]) * int(row["tensor_parallel_size"])


def conditions(plan: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]], wishes: Mapping[str, Any]) -> Conditions:
    """``gpus`` as gpu_info returns them; ``wishes`` are the settings ``max_model_len`` and ``workload``."""
    return Conditions(
        cards=tuple(str(gpu.get("name", "")) for gpu in gpus),
        model=str(plan["model"]["name"]),
        revision=str(plan["model"].get("revision") or ""),
        vllm_version=str(plan["vllm_version"]),
        max_model_len=str(wishes.get("max_model_len", "auto")),
        workload=str(wishes.get("workload", "mixed")),
        device=device_of(str(plan["device"]), bool(plan.get("rehearsal"))),
        **asked_from({**(wishes.get("asked") or {}), "named": True}),
    )


def result(
    measured: Mapping[str, Mapping[str, Any]],
    plan: Mapping[str, Any],
    gpus: Sequence[Mapping[str, Any]],
    wishes: Mapping[str, Any],
    now: float = 0.0,
    times: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """``{winner, scores, text, record}``. ``measured``: of each candidate ``points``, or ``error`` where it failed.

    ``times``: ``took_s`` of all, ``estimated_s`` (or None) and ``back_s``, until what served was back.
    """
    points = {name: row["points"] for name, row in measured.items() if row.get("points")}
    planned = _label(plan)
    best = winner(points, planned)
    record = {
        "version": VERSION,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now or time.time())),
        "conditions": conditions(plan, gpus, wishes).to_dict(),
        "load": next((dict(row["load"]) for row in measured.values() if row.get("load")), {}),
        "planned": planned,
        "winner": best,
        "scores": {name: round(score, 4) for name, score in scores(points).items()},
        "candidates": {name: {k: v for k, v in row.items() if k != "times"} for name, row in measured.items()},
        "times": {
            **{name: None if value is None else round(float(value), 1) for name, value in (times or {}).items()},
            "candidates": {name: dict(row["times"]) for name, row in measured.items() if row.get("times")},
        },
        "predictions": {_label(row): _told(row.get("prediction") or {}) for row in plan["candidates"]},
    }
    return {"winner": best, "scores": record["scores"], "record": record, "text": table(record)}


def _told(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """At the load that the plan is made for, and at those that are measured where the plan was told them."""
    speeds = [{key: speed.get(key) for key in PREDICTED} for speed in prediction.get("speeds") or ()]
    return {**{key: prediction.get(key) for key in PREDICTED}, **({"speeds": speeds} if speeds else {})}


def predicted(record: Mapping[str, Any], name: str, point: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the planner said of a candidate at the load of ``point``."""
    return speed_at(record["predictions"].get(name) or {}, point, record.get("load") or {})


def table(record: Mapping[str, Any]) -> str:
    """For people: each candidate at each load, and what follows from it."""
    rows: list[tuple[str, ...]] = []
    notes = []
    for name, row in record["candidates"].items():
        if row.get("error"):
            notes.append(f"! {name} was not measured: {row['error']}")
        for number, point in enumerate(row.get("points") or ()):
            figures, least, most = point["figures"], point["least"], point["most"]
            rows.append(
                (
                    f"{'>' if name == record['winner'] else ' '} {name}" if number == 0 else "",
                    point["label"],
                    _number(figures.get("output_tokens_per_s")),
                    f"{_number(least.get('output_tokens_per_s'))}..{_number(most.get('output_tokens_per_s'))}",
                    _number(figures.get("ttft_ms_p50"), 1),
                    _number(figures.get("ttft_ms_p99"), 1),
                    _number(figures.get("tpot_ms_p50"), 2),
                    _number(figures.get("tpot_ms_p99"), 2),
                    _number(predicted(record, name, point).get("output_tokens_per_s")),
                )
            )
    return (
        "\n".join([*columns(HEAD, rows, numbers=range(2, len(HEAD))), *notes, verdict(record), *_duration(record)])
        + "\n"
    )


def verdict(record: Mapping[str, Any]) -> str:
    best, planned = record["winner"], record["planned"]
    if not best:
        return "no candidate carried the load; see what stopped each"
    others = {name: score for name, score in record["scores"].items() if name != best}
    if not others:
        return f"{best} is the only candidate that was measured"
    near = max(others, key=lambda name: others[name])
    gain = record["scores"][best] / others[near] if others[near] else 0.0
    words = f"{gain:.2f} x of {near} over all loads" if gain else f"{near} did not carry every load"
    if best == planned:
        return f"{best} stays, as planned: {words}"
    return f"{best} is faster than {planned}, which was planned: {words}; set vllm_topology to measured to serve it so"


def _duration(record: Mapping[str, Any]) -> list[str]:
    times = record.get("times") or {}
    return [compared(float(times["took_s"]), times.get("estimated_s"))] if times.get("took_s") else []


def _number(value: Any, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
