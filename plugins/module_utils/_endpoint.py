# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What every replica of this host is doing now: unit, cards, KV cache, requests, rotation. Nothing is waited for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _watch_look
from ansible_collections.gpuserve.inference.plugins.module_utils._cards import short_name
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_drain import RUNNING, WAITING
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import EngineClient
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError, GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._gpu_health import CardHealth, served_by
from ansible_collections.gpuserve.inference.plugins.module_utils._health_look import judged
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import load_pynvml, probe
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import show

_PROPERTIES = ("ActiveState", "SubState", "Result", "NRestarts", "ExecMainStartTimestampMonotonic")


@dataclass
class Replica:
    """``seconds``: since its process was started, None while it has none. What could not be had stays None or empty."""

    name: str
    unit: str
    state: str = ""
    result: str = ""
    restarts: int = 0
    seconds: Optional[float] = None
    cards: list[dict[str, Any]] = field(default_factory=list)
    kv_cache_tokens: Optional[int] = None
    planned_kv_cache_tokens: Optional[int] = None
    running: Optional[int] = None
    waiting: Optional[int] = None
    marks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Endpoint:
    """``balanced``: a gateway's rotation decides who gets requests. ``unknown``: what could not be looked at."""

    topology: str = ""
    model: str = ""
    replicas: list[Replica] = field(default_factory=list)
    balanced: bool = False
    unknown: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def look_at_cards(run: Run, etc: str, pynvml_path: Sequence[str]) -> list[CardHealth]:
    found = probe(load_pynvml(pynvml_path))
    return judged(found.gpus, served_by(_watch_look.cards(etc)), run).cards


def look(
    run: Run,
    rotation: Rotation,
    etc: str = "/etc/gpuserve",
    cards: Callable[[Run, str], Sequence[CardHealth]] = lambda run, etc: look_at_cards(run, etc, ()),
    now: Callable[[], float] = time.monotonic,  # the clock of systemd's timestamps
) -> Endpoint:
    plan = _watch_look.read_json(f"{etc}/plan.json")
    out = Endpoint(str(plan.get("topology") or ""), str((plan.get("model") or {}).get("served_model_name") or ""))
    targets = _watch_look.targets(etc)
    out.replicas = [Replica(str(row["name"]), _watch_look.replica_of(row).unit) for row in targets]
    for replica, row in zip(out.replicas, targets):
        replica.planned_kv_cache_tokens = (row.get("expected") or {}).get("kv_cache_tokens")
        _unit(replica, run, now())
    if out.replicas:
        with ThreadPoolExecutor(len(out.replicas)) as pool:
            list(pool.map(_figures, out.replicas, targets))
    try:
        state = rotation.look()
        out.balanced = bool(state.upstreams)
        for replica in out.replicas:
            replica.marks = [asdict(mark) for mark in state.out(replica.name)]
    except (GpuserveError, OSError) as exc:
        out.unknown.append(f"the rotation: {exc}")
    planned = {str(row["name"]): row for row in _watch_look.cards(etc)}
    if planned:
        try:
            health = cards(run, etc)
        except (GpuserveError, OSError) as exc:
            health = ()
            out.unknown.append(f"the health of the cards: {exc}")
        for replica in out.replicas:
            replica.cards = _cards(planned.get(replica.name) or {}, health)
    return out


def _unit(replica: Replica, run: Run, now: float) -> None:
    try:
        said = show(run, replica.unit, *_PROPERTIES)
    except (EngineError, OSError) as exc:
        replica.state, replica.result = "unknown", str(exc)
        return
    active, sub = said.get("ActiveState", ""), said.get("SubState", "")
    replica.state = sub if active in ("active", "activating", "deactivating") and sub else active
    replica.result = said.get("Result", "")
    replica.restarts = int(said.get("NRestarts") or 0)
    started = int(said.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    if active == "active" and started and now > started:
        replica.seconds = now - started


def _figures(replica: Replica, row: Mapping[str, Any]) -> None:
    try:
        metrics = EngineClient(_watch_look.replica_of(row).address, None, 5.0).metrics()
    except EngineError:
        return  # whether it serves is asked elsewhere, with a reason
    running, waiting = metrics.total(RUNNING), metrics.total(WAITING)
    replica.running = None if running is None else int(running)
    replica.waiting = None if waiting is None else int(waiting)
    replica.kv_cache_tokens = metrics.kv_cache().kv_cache_tokens


def _cards(row: Mapping[str, Any], health: Sequence[CardHealth]) -> list[dict[str, Any]]:
    """The cards of one instance by UUID, else by number, each with what is known of its health."""
    uuids, indexes = list(row.get("gpu_uuids") or ()), list(row.get("gpus") or ())
    found = []
    for number in range(max(len(uuids), len(indexes))):
        uuid = str(uuids[number]) if number < len(uuids) and uuids[number] else ""
        index = indexes[number] if number < len(indexes) else None
        card = next((c for c in health if (uuid in c.names() if uuid else c.index == index)), None)
        found.append(
            {
                "index": card.index if card and card.index is not None else index,
                "name": short_name(card.name) if card else "",
                "verdict": card.verdict if card else "unknown",
                "reasons": card.fails + card.warns if card else [],
            }
        )
    return found
