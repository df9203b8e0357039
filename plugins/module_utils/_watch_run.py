# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The watch of this host's replicas: what gpuserve-watch.timer starts every few seconds. No Ansible here."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _watch
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_keys import GatewayKeys
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run, local_run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import systemctl
from ansible_collections.gpuserve.inference.plugins.module_utils._units import unit_name
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_look import Looker
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_settings import Settings, read_settings

NOTICE, WARNING, ERROR = 5, 4, 3  # syslog(3): the journal takes them from the start of a line

LONGEST = 60.0  # seconds that one run goes on looking while a replica is under suspicion
_PAUSE = 0.5
_LEVELS = {_watch.OUT: WARNING, _watch.BACK: NOTICE, _watch.KILL: WARNING, _watch.SAY: WARNING}
_WORDS = {
    _watch.OUT: "out of rotation: ",
    _watch.BACK: "back in rotation: ",
    _watch.KILL: "killed, to be started again: ",
}


def say(level: int, text: str) -> None:
    sys.stdout.write(f"<{level}>{text}\n")
    sys.stdout.flush()


# ---------------------------------------------------------------- what is kept between two runs


def load(path: str) -> dict[str, _watch.Memory]:
    """Memories by name; none where the file cannot be used: then each replica has to answer once again."""
    try:
        with open(path, encoding="utf-8") as handle:
            return {str(name): _memory(row) for name, row in json.load(handle).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _memory(row: Mapping[str, Any]) -> _watch.Memory:
    cpu = {int(pid): float(used) for pid, used in row["cpu"].items()}
    return _watch.Memory(**{**row, "counters": tuple(row["counters"]), "cpu": cpu})


def save(path: str, memories: Mapping[str, _watch.Memory]) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    write_text(path, json.dumps({name: asdict(memory) for name, memory in memories.items()}))


# ---------------------------------------------------------------- one run


class Watch:
    """``look`` gives what is seen now, ``rotation`` and ``run`` are what acts."""

    def __init__(
        self,
        look: Callable[[Optional[float]], Sequence[_watch.Seen]],
        rotation: Rotation,
        run: Run,
        state: str,
        limits: _watch.Limits,
        tell: Callable[[int, str], None] = say,
    ) -> None:
        self._look = look
        self._rotation = rotation
        self._run = run
        self._state = state
        self._limits = limits
        self._tell = tell

    def once(self, left: Optional[float] = None) -> Optional[float]:
        """Look, decide, act. ``left`` and the result: seconds until a silent replica's time is up, None without one."""
        if not os.path.exists(self._state):  # the first run since the boot: nginx may have older marks yet
            self._act(self._rotation.sync)
        looks = self._look(left)
        memories, acts = _watch.decide(looks, load(self._state), self._rotation.look().owners(), self._limits)
        save(self._state, memories)
        for act in acts:
            self._do(act)
        marks = self._rotation.look().owners()
        gone = [name for name, by in marks.items() if _watch.WATCH in by and name not in memories]
        if gone:
            self._act(lambda: self._rotation.put_back(gone, _watch.WATCH))
        doubts = [_watch.doubt(seen, memories[seen.name], seen.name in marks, self._limits) for seen in looks]
        return min((seconds for seconds in doubts if seconds is not None), default=None)

    def _do(self, act: _watch.Act) -> None:
        done = True
        if act.kind == _watch.BACK:
            done = self._act(lambda: self._rotation.put_back([act.name], _watch.WATCH))
        elif act.kind in (_watch.OUT, _watch.KILL):
            if any(by != _watch.WATCH for by in self._rotation.look().owners().get(act.name, ())):
                return  # whoever took it out meanwhile is at work on it
            if act.kind == _watch.OUT:
                done = self._act(lambda: self._rotation.take_out([act.name], _watch.WATCH, act.reason))
            else:
                # all of its processes at once, as a stopped one hears nothing else; Restart= starts it again
                done = self._act(lambda: systemctl(self._run, "kill", "--signal=SIGKILL", unit_name(act.name)))
        if done:
            self._tell(_LEVELS[act.kind], f"{act.name}: {_WORDS.get(act.kind, '')}{act.reason}")

    def _act(self, what: Callable[[], object]) -> bool:
        try:
            what()
        except (GpuserveError, OSError) as exc:
            self._tell(ERROR, str(exc))
            return False
        return True


def watch(settings: Settings, etc: str = "/etc/gpuserve", run_dir: str = "/run/gpuserve") -> None:
    """One run of the timer. It lasts while a replica is silent, so that seconds count and not the timer's beat."""
    limits = _watch.Limits(settings.out_after, settings.restart_after, settings.busy_after, settings.start_after)
    looker = Looker(local_run, time.monotonic, etc, answer=settings.answer_timeout)
    rotation = Rotation(local_run, etc, run_dir=run_dir)
    keeper = Watch(looker.look, rotation, local_run, f"{run_dir}/watch/state.json", limits)
    began, left = time.monotonic(), keeper.once()
    while left is not None and time.monotonic() - began < LONGEST:
        time.sleep(_PAUSE)
        left = keeper.once(left)


def watch_replicas() -> None:
    watch(read_settings("/etc/gpuserve/watch.json"))


def end_old_keys() -> None:
    for name in GatewayKeys(local_run).expire():
        say(NOTICE, f"the old key of {name} has ended")


def main() -> int:
    problems = 0
    # each by itself: what keeps keys from ending must not keep replicas from being watched
    for what in (watch_replicas, end_old_keys):
        try:
            what()
        except (GpuserveError, OSError) as exc:
            say(ERROR, str(exc))
            problems = 1
    return problems


if __name__ == "__main__":
    raise SystemExit(main())
