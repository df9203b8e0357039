# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Looks after this host's cards: what gpuserve-health.timer starts every minute. No Ansible here."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_drain, _health_watch
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import EngineClient
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import targets_from
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._health_look import (
    LOOK,
    Eye,
    Verdict,
    command_of,
    look_main,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._health_watch import HEALTH, Card, Step
from ansible_collections.gpuserve.inference.plugins.module_utils._lock import held
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run, local_run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import systemctl
from ansible_collections.gpuserve.inference.plugins.module_utils._units import unit_name
from ansible_collections.gpuserve.inference.plugins.module_utils._watch import ANSWERED
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_look import (
    ask,
    cards,
    engine_key,
    replica_of,
    targets,
    unit_states,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_run import ERROR, NOTICE, WARNING, say
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_settings import Settings, read_settings

_CONFIRM = 3.0  # seconds between two looks that have to agree
_PATIENCE = 45.0  # seconds that one run waits for a replica that it started
_PAUSE = 2.0


class Health:
    """``look`` gives the verdict on the cards; the rest is what acts. Tests give their own of each."""

    def __init__(
        self,
        look: Callable[[Sequence[Any]], Verdict],
        rotation: Rotation,
        run: Run,
        settings: Settings,
        etc: str = "/etc/gpuserve",
        run_dir: str = "/run/gpuserve",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[int, str], None] = say,
    ) -> None:
        self._look = look
        self._rotation = rotation
        self._run = run
        self._settings = settings
        self._etc = etc
        self._run_dir = run_dir
        self._clock = clock
        self._sleep = sleep
        self._tell = tell

    def once(self) -> None:
        """One look at the cards, confirmed by a second one before anything is done about it."""
        instances = cards(self._etc)
        if not instances:
            return
        verdict = self._look(instances)
        if verdict.hit or verdict.restart:
            self._sleep(_CONFIRM)
            verdict = verdict.confirmed(self._look(instances))
        self._tell_problem(verdict.problem)
        if verdict.problem:
            return
        began = self._clock()
        while self._steps(verdict) and self._clock() - began < _PATIENCE:
            self._sleep(_PAUSE)

    def _tell_problem(self, problem: str) -> None:
        """Once, and not every minute."""
        path = f"{self._run_dir}/health/problem"
        try:
            with open(path, encoding="utf-8") as handle:
                before = handle.read()
        except OSError:
            before = ""
        if problem == before:
            return
        if problem:
            self._tell(WARNING, f"nothing is known of the cards, and nothing done about them: {problem}")
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        write_text(path, problem)

    # ---- what there is, and what to do about it

    def _steps(self, verdict: Verdict) -> bool:
        """Take the steps of this moment; whether a replica is loading that is to be put back."""
        seen = self._seen(verdict)
        for step in _health_watch.steps(seen, self._rotation.look().owners()):
            try:
                self._take(step)
            except (GpuserveError, OSError) as exc:
                self._tell(ERROR, f"{step.name}: {exc}")
        verdict.restart.clear()  # once is enough: whether it helped says the next look
        marks = self._rotation.look().owners()
        return any(HEALTH in marks.get(card.name, ()) and not card.reason for card in seen)

    def _seen(self, verdict: Verdict) -> list[Card]:
        found = {row["name"]: row for row in targets(self._etc)}
        names = [row["name"] for row in cards(self._etc) if row["name"] in found]
        states = unit_states(self._run, [unit_name(name) for name in names])
        return [self._card(found[name], states, verdict) for name in names]

    def _card(self, row: Mapping[str, Any], states: Mapping[str, Mapping[str, str]], verdict: Verdict) -> Card:
        replica = replica_of(row)
        active = states.get(replica.unit, {}).get("ActiveState", "")
        answers = False
        if active == "active":
            timeout = self._settings.answer_timeout
            client = EngineClient(replica.address, engine_key(self._etc), timeout)
            answers = ask(replica, client, timeout)[0] == ANSWERED
        name = replica.name
        return Card(name, verdict.hit.get(name, ""), verdict.restart.get(name, ""), active, answers)

    def _take(self, step: Step) -> None:
        unit = unit_name(step.name)
        if step.kind == _health_watch.OUT:
            self._rotation.take_out([step.name], HEALTH, step.reason)
            self._tell(WARNING, f"{step.name}: out of rotation: {step.reason}")
        elif step.kind == _health_watch.BACK:
            self._rotation.put_back([step.name], HEALTH)
            self._tell(NOTICE, f"{step.name}: back in rotation: {step.reason}")
        elif step.kind == _health_watch.START:
            systemctl(self._run, "start", unit)
            self._tell(NOTICE, f"{step.name}: started: {step.reason}")
        elif step.kind == _health_watch.STOP:
            self._stop(step.name, unit)
            self._tell(WARNING, f"{step.name}: stopped until its cards are well")
        elif step.kind == _health_watch.RESTART:
            with held(f"{self._run_dir}/roll.lock", self._sleep, 0.0) as mine:
                if mine:  # else a rollout is at work here: the next look comes in a minute
                    self._stop(step.name, unit)
                    systemctl(self._run, "start", unit)
                    self._tell(NOTICE, f"{step.name}: restarted: {step.reason}")

    def _stop(self, name: str, unit: str) -> None:
        """Give what it is working on some time, then stop it. A card that is lost may let it neither end nor answer."""
        rows = [row for row in targets(self._etc) if row["name"] == name]
        for out in _engine_drain.drain(
            targets_from(rows), self._run, self._clock, self._sleep, self._settings.drain_timeout
        ):
            if not out.drained:
                self._tell(WARNING, f"{name}: stopped with work left: {out.line(self._settings.drain_timeout)}")
        systemctl(self._run, "stop", unit)
        self._run(["systemctl", "reset-failed", unit])  # it did not fail by itself, and its next start is a fresh one


def main() -> int:
    if sys.argv[1:2] == [LOOK]:
        return look_main(sys.stdin.read())
    try:
        settings = read_settings("/etc/gpuserve/watch.json")
        eye = Eye(command_of(os.path.realpath(sys.argv[0])), "/run/gpuserve", settings.health_timeout)
        Health(eye.look, Rotation(local_run), local_run, settings).once()
    except (GpuserveError, OSError) as exc:
        say(ERROR, str(exc))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
