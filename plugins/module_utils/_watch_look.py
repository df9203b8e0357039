# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""One look at all replicas of this host: which there are, what systemd says, whether they answer, what they do."""

from __future__ import annotations

import glob
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _watch
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import (
    EngineClient,
    NoAnswer,
    Refused,
    address_of,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import systemctl
from ansible_collections.gpuserve.inference.plugins.module_utils._units import unit_name

KEY_FILE = "engine.key"
_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,InvocationID"
_SHORTEST = 1.0  # seconds that an answer may take at least
_SETTLE = 0.2  # seconds after an answer: vLLM counts it a little later, which must not pass for a step of its own
_ANSWERS = ("generate", "embed")  # what can be asked for; of other tasks only /health is known


@dataclass(frozen=True)
class Replica:
    """Where a replica is asked, and for what."""

    name: str
    address: str
    task: str = "generate"
    model: str = ""

    @property
    def unit(self) -> str:
        return unit_name(self.name)


# ---------------------------------------------------------------- which there are


def targets(etc: str = "/etc/gpuserve") -> list[dict[str, Any]]:
    """What vllm_ready would ask of every instance, by the release that it is linked to: in a rollout they differ."""
    found = []
    for name, folder in linked(etc):
        rows = read_json(f"{folder}/release.json").get("targets") or _targets_of_plan(f"{etc}/plan.json")
        found += [row for row in rows if isinstance(row, dict) and row.get("name") == name][:1]
    return found


def linked(etc: str = "/etc/gpuserve") -> list[tuple[str, str]]:
    """Names of the instances, each with the directory that its argument file really lies in."""
    paths = sorted(glob.glob(f"{etc}/instances/*.args"))
    return [(os.path.basename(path)[: -len(".args")], os.path.dirname(os.path.realpath(path))) for path in paths]


def cards(etc: str = "/etc/gpuserve") -> list[dict[str, Any]]:
    """The planned instances that run on cards: ``name``, ``gpu_uuids`` and ``gpus`` of each."""
    found = []
    for name, folder in linked(etc):
        plan = read_json(f"{folder}/plan.json") or read_json(f"{etc}/plan.json")
        rows = [row for row in plan.get("instances") or () if isinstance(row, dict) and row.get("name") == name]
        found += [row for row in rows[:1] if row.get("gpu_uuids") or row.get("gpus")]
    return found


def replica_of(row: Mapping[str, Any]) -> Replica:
    socket = row.get("unix_socket")
    address = f"unix:{socket}" if socket else address_of(str(row.get("host") or "127.0.0.1"), int(row.get("port") or 0))
    return Replica(
        str(row["name"]), address, str(row.get("task") or "generate"), str(row.get("served_model_name") or "")
    )


def replicas(etc: str = "/etc/gpuserve") -> list[Replica]:
    return [replica_of(row) for row in targets(etc)]


def _targets_of_plan(path: str) -> Sequence[Any]:
    """Of a host whose instances were started before there were releases."""
    plan = read_json(path)
    if not plan.get("instances"):
        return ()
    from ansible_collections.gpuserve.inference.plugins.module_utils._instances import ready_targets

    return ready_targets(plan)


def read_json(path: str) -> dict[str, Any]:
    """A dictionary that the collection wrote; an empty one where there is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def engine_key(etc: str = "/etc/gpuserve") -> Optional[str]:
    """The key that this host's engines ask for; None where they ask for none."""
    try:
        with open(f"{etc}/{KEY_FILE}", encoding="ascii") as handle:
            return handle.readline().strip() or None
    except (OSError, ValueError):
        return None


# ---------------------------------------------------------------- what systemd and the kernel say


def unit_states(run: Run, units: Sequence[str]) -> dict[str, dict[str, str]]:
    """Properties of several units by their names, from one call."""
    if not units:
        return {}
    out = systemctl(run, "show", *units, f"--property={_PROPERTIES}")
    found = {}
    for block in out.split("\n\n"):
        row = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if row.get("Id"):
            found[row["Id"]] = row
    return found


def processes(unit: str, proc: str = "/proc") -> list[int]:
    """PIDs of a unit. Its instance name is escaped in the control group as it is in the unit's own name."""
    ours = re.compile(rf"/{re.escape(unit)}$", re.M)
    found = []
    for path in glob.glob(f"{proc}/[0-9]*/cgroup"):
        try:
            with open(path, encoding="utf-8", errors="replace") as handle:
                if ours.search(handle.read()):
                    found.append(int(path.split("/")[-2]))
        except OSError:
            continue
    return sorted(found)


def at_work(pids: Sequence[int], proc: str = "/proc") -> tuple[dict[int, float], tuple[str, ...]]:
    """CPU seconds of each process with its ended children (compilers are that), and which processes are stopped."""
    ticks = os.sysconf("SC_CLK_TCK")
    cpu: dict[int, float] = {}
    stopped = []
    for pid in pids:
        try:
            with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as handle:
                head, _end, tail = handle.read().rpartition(")")  # proc(5): a name may have anything in it
            words = tail.split()
            cpu[pid] = sum(int(word) for word in words[11:15]) / ticks
        except (OSError, ValueError, IndexError):
            continue
        if words[0] in ("T", "t"):
            stopped.append(f"{head.partition('(')[2]} ({pid})")
    return cpu, tuple(stopped)


# ---------------------------------------------------------------- whether they answer


def counters(client: EngineClient) -> tuple[float, ...]:
    """The values that only the engine core moves; empty where there are none."""
    try:
        metrics = client.metrics()
    except EngineError:
        return ()
    values = [metrics.total(name) for name in _watch.COUNTERS]
    return tuple(value or 0.0 for value in values) if any(value is not None for value in values) else ()


def ask(replica: Replica, client: EngineClient, answer: float) -> tuple[str, str]:
    """One real answer; what kind it was, and in words."""
    try:
        if replica.task not in _ANSWERS:
            healthy = client.health() == 200
            return (_watch.ANSWERED, "") if healthy else (_watch.DEAD, "its engine core is dead")
        model = replica.model or (client.models() or [""])[0]
        if replica.task == "embed":
            client.embedding(model, "Hello", answer)
        else:
            client.completion(model, "Hello", 1, 0.0, answer)
        return _watch.ANSWERED, ""
    except NoAnswer as exc:
        return (_watch.SILENT if exc.silent else _watch.DEAD), str(exc)
    except Refused as exc:
        if exc.status < 500 and exc.status not in (408, 429):
            return _watch.UNKNOWN, str(exc)
        return _after_error(client, str(exc))
    except EngineError as exc:  # answered with something else than tokens
        return _after_error(client, str(exc))


def _after_error(client: EngineClient, why: str) -> tuple[str, str]:
    """A queue that is full answers 503 too: only /health tells that from an engine core that is gone."""
    try:
        return (_watch.SILENT, why) if client.health() == 200 else (_watch.DEAD, f"its engine core is dead: {why}")
    except EngineError as exc:
        return (_watch.SILENT if isinstance(exc, NoAnswer) and exc.silent else _watch.DEAD), why


class Looker:
    """Looks at all replicas at the same time; tests give their own clock and processes."""

    def __init__(
        self,
        run: Run,
        clock: Callable[[], float],
        etc: str = "/etc/gpuserve",
        proc: str = "/proc",
        answer: float = 3.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._clock = clock
        self._etc = etc
        self._proc = proc
        self._answer = answer
        self._sleep = sleep

    def look(self, left: Optional[float] = None) -> list[_watch.Seen]:
        """``left``: seconds until something is to be done about one; no answer is waited for longer."""
        answer = self._answer if left is None else min(self._answer, max(left, _SHORTEST))
        found = replicas(self._etc)
        if not found:
            return []
        states = unit_states(self._run, [replica.unit for replica in found])
        key = engine_key(self._etc)
        with ThreadPoolExecutor(len(found)) as pool:
            return list(pool.map(lambda one: self._look(one, states.get(one.unit, {}), key, answer), found))

    def _look(self, replica: Replica, state: Mapping[str, str], key: Optional[str], answer: float) -> _watch.Seen:
        active, invocation = state.get("ActiveState", ""), state.get("InvocationID", "")
        if active != "active":
            detail = state.get("Result" if active == "failed" else "SubState", "")
            why = f"{replica.unit} is {active or 'not known'}" + (f" ({detail})" if detail else "")
            return _watch.Seen(replica.name, self._clock(), _watch.DEAD, why, invocation, active)
        client = EngineClient(replica.address, key, min(answer, _SHORTEST))
        begun, before = self._clock(), counters(client)
        client.timeout = answer
        kind, why = ask(replica, client, answer)
        at = self._clock()
        if kind == _watch.ANSWERED:
            self._sleep(_SETTLE)
            return _watch.Seen(replica.name, at, kind, why, invocation, active, counters(client))
        if kind != _watch.SILENT:
            return _watch.Seen(replica.name, at, kind, why, invocation, active)
        client.timeout = min(answer, 2.0)
        values = counters(client)
        cpu, stopped = at_work(processes(replica.unit, self._proc), self._proc)
        seen = _watch.Seen(replica.name, self._clock(), kind, why, invocation, active, values)
        return replace(seen, begun=begun, before=before, stopped=stopped, cpu=cpu)
