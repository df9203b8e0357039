# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Looks after a replica's compiled cache before each start and after each end; its unit runs this as root.

A start that fails for no reason that the log tells is blamed on the cache, once: what it began with is thrown away and
the next start begins with the sealed copy, or with nothing. Nothing here may keep a replica from starting.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_cache, _engine_log, _engine_unit
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_cache import Places
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import read_text, write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run, local_run
from ansible_collections.gpuserve.inference.plugins.module_utils._units import unit_name

TROUBLE = (GpuserveError, OSError, RecursionError)  # a hostile replica may nest directories as deep as it likes
UNEXPLAINED = ("unknown", "signal")  # kinds of a root cause
PLACES = Places()


class Cache:
    """The cache of one replica."""

    def __init__(self, instance: str, key: str, kind: Optional[str], places: Places = PLACES) -> None:
        self.instance, self.key, self._places = instance, key, places
        self._seed = _engine_cache.seed_name(key, kind) if kind is not None else ""
        self._record = f"{places.state}/{instance}.json"

    def _state(self) -> dict[str, Any]:
        """What is known of the last start: its ``key``, what it ``begun`` with, and why it ``failed`` if so."""
        try:
            found = json.loads(read_text(self._record) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, **state: Any) -> None:
        os.makedirs(self._places.state, mode=0o700, exist_ok=True)
        write_text(self._record, json.dumps({"key": self.key, **state}) + "\n", 0o600)

    @property
    def has_seed(self) -> bool:
        return bool(self._seed) and os.path.isdir(self._places.seed(self._seed))

    # ---- before a start

    def prepare(self) -> str:
        """See to it that there is a directory to start with; returns what was done, empty where it was there."""
        own, state, said = self._places.own(self.instance, self.key), self._state(), []
        self._change(str(state.get("key", "")))
        if state.get("key") == self.key and state.get("failed") and state.get("begun") != "empty":
            said.append(f"the last start failed ({state['failed']}): starting without its cache")
            _engine_cache.remove(own)
            if state.get("begun") == "seed" and self._seed:
                _engine_cache.remove(self._places.seed(self._seed))
        begun = "own"
        if not os.path.isdir(own) or os.path.islink(own) or not os.listdir(own):
            begun = self._begin(said)
        self._keep(begun=begun)
        return "; ".join(said)

    def _change(self, last: str) -> None:
        """A replica has one cache at a time: it could write all that lies there, and the next engine would load it."""
        base = self._places.own(self.instance)
        for name in os.listdir(base):
            if name == last == self.key:
                continue
            path = f"{base}/{name}"
            if name == last and os.path.isdir(path) and not os.path.islink(path):
                _engine_cache.put_aside(self._places, self.instance, name)
            else:
                _engine_cache.remove(path)
        if last != self.key and os.path.isdir(self._places.aside(self.instance, self.key)):
            _engine_cache.take_back(self._places, self.instance, self.key)

    def _begin(self, said: list[str]) -> str:
        if self.has_seed:
            try:
                size = _engine_cache.plant(self._places, self._seed, self.instance, self.key)
                said.append(f"begun with {size / 2**20:.1f} MiB that another replica compiled")
                return "seed"
            except TROUBLE as exc:
                said.append(f"the copy of another replica's cache was removed: {exc}")
                _engine_cache.remove(self._places.seed(self._seed))
        _engine_cache.make_empty(self._places, self.instance, self.key)
        return "empty"

    # ---- after an end

    def ended(self, why: str) -> None:
        """It ended before it answered, for no reason that is known."""
        state = self._state()
        if state.get("key") == self.key:
            self._keep(begun=state.get("begun"), failed=why)

    # ---- while it serves nobody yet

    def seal(self) -> str:
        """Keep what it compiled for others: it must have begun with nothing, and no request may have reached it.

        Returns what was done; empty where there is nothing to do.
        """
        state = self._state()
        if self.has_seed or (state.get("key"), state.get("begun")) != (self.key, "empty"):
            return ""
        if not self._seed:
            return "left out, the kind of its cards cannot be told"
        try:
            size = _engine_cache.seal(self._places, self.instance, self.key, self._seed)
        except TROUBLE as exc:
            return f"left out, {exc}"
        return f"{size / 2**20:.1f} MiB"


def cache_of(instance: str, environment: str, places: Places = PLACES) -> Optional[Cache]:
    """``environment``: text of its file. None where it has no key: a release of before."""
    key = _engine_cache.key_in(environment)
    if not key:
        return None
    lines = dict(line.split("=", 1) for line in environment.splitlines() if "=" in line)
    visible = lines.get(_engine_cache.CARDS, "").strip('"')
    return Cache(instance, key, _engine_cache.card_kind(visible, places.cards), places)


def failure(run: Run, unit: str, environment: Mapping[str, str]) -> str:
    """Why a start is blamed on its cache; empty where it is not. systemd.exec(5) has the variables."""
    result, invocation = environment.get("SERVICE_RESULT", ""), environment.get("INVOCATION_ID", "")
    if result in ("", "success", "timeout", "oom-kill"):
        return ""
    run(["journalctl", "--sync"])
    if _engine_unit.journal(run, unit, invocation, _engine_log.UP):
        return ""
    killed = environment.get("EXIT_CODE") in ("killed", "dumped")
    status = environment.get("EXIT_STATUS", "")
    text = _engine_unit.journal(run, unit, invocation)
    cause = _engine_log.root_cause(text, result, int(status) if status.isdigit() else 0, killed and status != "KILL")
    if (killed and status == "KILL") or cause.kind not in UNEXPLAINED:
        return ""
    return f"ended by SIG{status}" if cause.kind == "signal" else cause.line


def main(words: Sequence[str], environment: Mapping[str, str], run: Run = local_run, places: Places = PLACES) -> int:
    """``prepare NAME`` or ``ended NAME``, with the unit's environment."""
    what, instance = words[0], words[1]
    known = (_engine_cache.VARIABLE, _engine_cache.CARDS)
    cache = cache_of(instance, "".join(f'{name}="{environment.get(name, "")}"\n' for name in known), places)
    if cache is None:
        return 0
    try:
        if what == "prepare":
            said = cache.prepare()
        else:
            why = failure(run, unit_name(instance), environment)
            said = ""
            if why:
                cache.ended(why)
    except TROUBLE as exc:
        said = f"its cache is left alone: {exc}"
    if said:
        sys.stdout.write(f"cache of {instance}: {said}\n")
    return 0
