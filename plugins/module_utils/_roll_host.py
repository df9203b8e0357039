# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The real host behind a replacement: systemd, nginx's rotation and the engines."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_drain, _engine_wait
from ansible_collections.gpuserve.inference.plugins.module_utils._cache_run import cache_of
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import EngineClient
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import read_text
from ansible_collections.gpuserve.inference.plugins.module_utils._read_ahead import read_ahead
from ansible_collections.gpuserve.inference.plugins.module_utils._release_apply import Look
from ansible_collections.gpuserve.inference.plugins.module_utils._roll import Hands
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

LOCK = "/run/gpuserve/roll.lock"
WAIT = 1800  # seconds: as long as a replica may take to finish its work, and its successor to start
PAUSE = 3.0  # longest between two looks at a replica that starts: each second of it is capacity that lacks


def serves(row: Mapping[str, Any]) -> bool:
    """Whether the API server and the core of an instance live, out of rotation or not."""
    try:
        return EngineClient(_engine_wait.targets_from([row])[0].address, timeout=3).health() == 200
    except EngineError:
        return False


def keep_cache(name: str, path: str) -> str:
    """For replicas that start after this one; never an error."""
    cache = cache_of(name, read_text(path) or "")
    return cache.seal() if cache else ""


def look_at(run: Run) -> Look:
    return Look(run, serves, Rotation(run).look().out)


def hands_on(run: Run, say: Callable[[str], None], doing: Callable[[str], None] = lambda line: None) -> Hands:
    def ready(rows: Any, timeout: float) -> list[_engine_wait.Outcome]:
        return _engine_wait.wait_ready(
            _engine_wait.targets_from(rows),
            _engine_wait.Host(run),
            time.monotonic,
            time.sleep,
            _engine_wait.Patience(timeout=timeout, max_sleep=PAUSE),
            progress=say,
            phases=doing,
        )

    def busy(row: Mapping[str, Any]) -> _engine_drain.Drained:
        targets = _engine_wait.targets_from([row])
        return _engine_drain.drain(targets, run, time.monotonic, time.sleep, once=True)[0]

    return Hands(
        look_at(run), Rotation(run), ready, busy, time.monotonic, time.sleep, say, read_ahead, keep_cache, doing
    )
