# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""One replica restarted, with another release or the same, without losing a request.

Out of rotation, idle, stopped, its files switched, started, asked for a real answer, back in rotation. What was done
already is read from the host each time (the mark in the rotation, the links, the digest of the process), so a run
that was killed at any step is taken up by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _systemd
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_drain import Drained
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import Outcome
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError, GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._release_apply import BY, Look
from ansible_collections.gpuserve.inference.plugins.module_utils._release_store import Release, ReleaseStore
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._units import unit_name

STAGES = ("read_ahead", "take_out", "drain", "stop", "switch", "start", "ready", "keep_cache", "put_back")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Hands:
    """All that is done to the host; tests give their own. Rows are those of vllm_ready's ``instances``."""

    look: Look
    rotation: Rotation
    ready: Callable[[Sequence[Row], float], list[Outcome]]  # waits so many seconds at most
    busy: Callable[[Row], Drained]  # one look
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    say: Callable[[str], None] = lambda line: None
    read_ahead: Optional[Callable[[str], str]] = None  # of a model's directory; tells what it did
    keep_cache: Optional[Callable[[str, str], str]] = None  # of an instance, by its environment file; tells what it did
    doing: Callable[[str], None] = lambda line: None  # told as a stage begins


@dataclass(frozen=True)
class Patience:
    """Seconds, and how many looks in a row must find nothing to do."""

    drain: float = 600.0
    start: float = 900.0
    back: float = 900.0  # at least, for the release to go back to: it came up before
    others: float = 60.0
    stalled: float = 120.0  # an engine that has work and makes no progress for so long will not finish it
    settle: int = 3
    interval: float = 1.0


@dataclass
class Rolled:
    """What was done to one replica; ``stages`` in order, each with its seconds."""

    name: str
    release: str
    former: str = ""
    changed: bool = False
    rolled_back: bool = False
    stages: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def line(self) -> str:
        if not self.stages:
            return f"{self.name} runs release {self.release} already"
        steps = ", ".join(
            f"{row['stage']} {row['seconds']} s" + (f" ({row['note']})" if row["note"] else "") for row in self.stages
        )
        return f"{self.name}: {steps}"


class RollError(EngineError):
    """The replica could not be replaced; the message has the cause and says what serves now."""

    def __init__(self, message: str, rolled: Rolled) -> None:
        super().__init__(message)
        self.rolled = rolled


class _Failed(EngineError):
    """The replica did not come up."""


class Roll:
    """One replica on its way to ``wanted``."""

    def __init__(
        self, store: ReleaseStore, name: str, wanted: Release, hands: Hands, patience: Patience = Patience()
    ) -> None:
        row = wanted.target(name)
        if row is None:
            raise InputError(f"release {wanted.id} has no instance {name!r}; it has {', '.join(wanted.names)}")
        self._store, self._name, self._wanted, self._row = store, name, wanted, row
        self._hands, self._patience = hands, patience
        self._unit = unit_name(name)
        self.out = Rolled(name, wanted.id, store.of(name))

    # ---- what is so

    def _marked(self) -> bool:
        return any(mark.by == BY for mark in self._hands.rotation.look().out(self._name))

    def _is_new(self) -> bool:
        return self._hands.look.digest(self._name) == self._wanted.digest(self._name)

    def needed(self, force: bool) -> bool:
        return force or self._marked() or not self._is_new()

    def _former(self) -> str:
        """Where to go back to: the last good release, else the one that the replica was linked to."""
        for release in (self._store.good(), self.out.former):
            if release and release != self._wanted.id and self._store.load(release).target(self._name):
                return release
        return ""

    # ---- the way

    def go(self, force: bool = False, drain_force: bool = False) -> Rolled:
        """Replace it. ``force`` does so without a change, ``drain_force`` also where it does not get idle."""
        if not self.needed(force):
            return self.out
        self._alone()
        if force or not self._is_new():
            self._hands.doing(f"{self._name}: looking whether the others serve")
            self._others_serve()
            self._read_ahead()
            self._stage("take_out", self._take_out)
            try:
                self._stage("drain", lambda: self._drain(drain_force))
            except _Failed as exc:
                self._stage("put_back", self._put_back)  # it still serves as it did
                raise RollError(str(exc), self.out) from exc
            self._stage("stop", self._stop)
            self.out.changed = True
            begin = True
        else:
            # it was started by a run that did not live to see it answer
            begin = False
        try:
            self._come_up(self._wanted, begin)
        except GpuserveError as exc:
            self._go_back(exc)
        self._keep_cache()
        self._stage("put_back", self._put_back)
        self.out.changed = True
        return self.out

    def _come_up(self, release: Release, begin: bool = True, least: float = 0.0) -> None:
        if begin:
            self._stage("switch", lambda: self._switch(release))
            self._stage("start", self._start)
        self._stage("ready", lambda: self._answer(release, max(self._patience.start, least)))

    def _go_back(self, cause: GpuserveError) -> None:
        """Always ends in a RollError; the former release serves again where there is one that can."""
        problem = f"{self._name} did not come up with release {self._wanted.id}: {_without(str(cause), self._name)}"
        former = self._former()
        if not former:
            problem += f"; there is no other release to go back to, {self._name} stays out of rotation"
            raise RollError(problem, self.out) from cause
        self._hands.say(f"{problem}; going back to release {former}")
        try:
            self._stage("stop", self._stop)
            self._come_up(self._store.load(former), least=self._patience.back)
            self._stage("put_back", self._put_back)
        except GpuserveError as exc:
            again = _without(str(exc), self._name)
            raise RollError(
                f"{problem}; going back to release {former} failed too: {again}; {self._name} stays out of rotation",
                self.out,
            ) from cause
        self.out.rolled_back = True
        raise RollError(f"{problem}; release {former} serves there again", self.out) from cause

    def _stage(self, stage: str, what: Callable[[], Optional[str]]) -> None:
        began = self._hands.clock()
        row: dict[str, Any] = {"stage": stage, "seconds": 0.0, "note": ""}
        self.out.stages.append(row)
        self._hands.doing(f"{self._name}: {stage.replace('_', ' ')}")
        try:
            row["note"] = what() or ""
        except GpuserveError as exc:
            row["note"] = str(exc)
            raise
        finally:
            row["seconds"] = round(self._hands.clock() - began, 1)
            note = f": {row['note']}" if row["note"] else ""
            self._hands.say(f"{self._name}: {stage}, {row['seconds']} s{note}")

    # ---- the stages

    def _alone(self) -> None:
        if len(self._wanted.instances) == 1:
            self.out.warnings.append(
                f"{self._name} is the only replica of this host: requests that come while it restarts are refused,"
                " unless a gateway in front of several hosts sends them elsewhere"
            )

    def _others_serve(self) -> None:
        """Nobody is taken away while another one is down, unless it is down itself."""
        state = _systemd.show(self._hands.look.run, self._unit, "ActiveState")
        if state.get("ActiveState") != "active" or not self._hands.look.serves(self._row):
            return
        others = [name for name in self._store.names() if name != self._name]
        problems = self._problems(others)
        if problems:
            if self._marked():
                self._put_back()
            raise RollError(
                f"{self._name} is not restarted, because not every other replica of this host serves:"
                f" {'; '.join(problems)}",
                self.out,
            )

    def _problems(self, others: Sequence[str]) -> list[str]:
        """What keeps the others from serving. The watch puts back who answers again, which takes it a few seconds."""
        end = self._hands.clock() + self._patience.others
        while True:
            marks = [mark for name in others for mark in self._hands.rotation.look().out(name)[:1]]
            if not marks or {mark.by for mark in marks} != {"watch"} or self._hands.clock() >= end:
                break
            self._hands.sleep(self._patience.interval)
        if marks:
            return [f"{m.name} is out of rotation (by {m.by}{': ' + m.reason if m.reason else ''})" for m in marks]
        rows = [row for name in others for row in [self._row_of(name)] if row]
        outcomes = self._hands.ready(rows, self._patience.others) if rows else []
        return [outcome.line() for outcome in outcomes if not outcome.ready]

    def _row_of(self, name: str) -> Optional[Row]:
        release = self._store.of(name)
        return (self._store.load(release) if release else self._wanted).target(name)

    def _read_ahead(self) -> None:
        """The new process finds its weights in memory: read while this replica still serves."""
        read, path = self._hands.read_ahead, self._wanted.model_path
        if read and path:
            self._stage("read_ahead", lambda: read(path))

    def _take_out(self) -> str:
        self.out.changed |= self._hands.rotation.take_out([self._name], BY, f"restart with release {self._wanted.id}")
        return "" if self._hands.rotation.gateway else "no gateway here: nothing keeps requests away"

    def _drain(self, force: bool) -> str:
        state = _systemd.show(self._hands.look.run, self._unit, "ActiveState")
        if state.get("ActiveState") != "active":
            return "it was not running"
        if not self._hands.rotation.gateway:
            return "left out, requests would go on coming"
        began = moved = self._hands.clock()
        quiet, progress = 0, None
        while True:
            seen = self._hands.busy(self._row)
            now = self._hands.clock()
            if seen.gone:
                return "it was gone"
            idle = not seen.error and not seen.running and not seen.waiting
            quiet = quiet + 1 if idle else 0
            if quiet >= self._patience.settle:
                return ""
            if idle or seen.progress != progress:
                moved, progress = now, seen.progress
            if now - moved >= self._patience.stalled:
                return f"no progress for {self._patience.stalled:.0f} s: its requests are lost"
            if now - began >= self._patience.drain:
                if force:
                    return f"still {seen.running or 0} running and {seen.waiting or 0} waiting requests"
                raise _Failed(
                    f"{seen.line(self._patience.drain)}; it goes on as it was (vllm_drain_timeout waits longer,"
                    " vllm_drain_force: true ends what is left)"
                )
            self._hands.sleep(self._patience.interval)

    def _stop(self) -> str:
        _systemd.systemctl(self._hands.look.run, "stop", self._unit)
        return ""

    def _switch(self, release: Release) -> str:
        self._store.point(self._name, release.id)
        if self._store.install_unit(release.id):
            _systemd.daemon_reload(self._hands.look.run)
        return release.id

    def _start(self) -> str:
        run = self._hands.look.run
        run(["systemctl", "reset-failed", self._unit])  # a unit that left no trace is not an error
        _systemd.systemctl(run, "enable", "--quiet", self._unit)
        _systemd.systemctl(run, "start", self._unit)
        return ""

    def _answer(self, release: Release, timeout: float) -> str:
        row = release.target(self._name)
        outcome = self._hands.ready([row] if row else [], timeout)[0]
        if not outcome.ready:
            raise _Failed(outcome.line())
        return ""

    def _keep_cache(self) -> None:
        """The next replicas need not compile again: copied now, since no client's request has reached this one yet."""
        keep, path = self._hands.keep_cache, f"{self._store.folder(self._wanted.id)}/{self._name}.env"
        if keep and self._hands.rotation.gateway and len(self._wanted.instances) > 1:
            self._stage("keep_cache", lambda: keep(self._name, path))
            if not self.out.stages[-1]["note"]:
                self.out.stages.pop()

    def _put_back(self) -> str:
        self.out.changed |= self._hands.rotation.put_back([self._name], BY)
        left = self._hands.rotation.look().out(self._name)
        return f"still out by {', '.join(mark.by for mark in left)}" if left else ""


def _without(line: str, name: str) -> str:
    return line[len(name) + 2 :] if line.startswith(f"{name}: ") else line
