# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""systemd, through systemctl: the few questions and orders that the roles need."""

from __future__ import annotations

from typing import Callable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run


def systemctl(run: Run, *words: str) -> str:
    """Run systemctl, return its output; EngineError with its own words where it fails."""
    code, out, err = run(["systemctl", *words])
    if code != 0:
        said = [line for line in (err + "\n" + out).splitlines() if line.strip()]
        raise EngineError(f"systemctl {' '.join(words)} failed: {said[0] if said else f'exit status {code}'}")
    return out


def daemon_reload(run: Run) -> None:
    systemctl(run, "daemon-reload")


def show(run: Run, unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit; a unit that is not there answers with its defaults."""
    out = systemctl(run, "show", unit, "--property=" + ",".join(properties))
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def start_or_reload(
    run: Run,
    unit: str,
    changed: bool,
    check: bool = False,
    order: str = "reload",
    obey: Optional[Callable[[], None]] = None,
) -> str:
    """Bring a unit up and enabled; ``order`` it where it ran already and ``changed``. Returns what was done.

    ``obey`` does what is ordered in place of systemctl.
    """
    state = show(run, unit, "ActiveState", "UnitFileState")
    action = ""
    if state.get("ActiveState") not in ("active", "reloading"):
        action = "start"
    elif changed:
        action = order
    if not check:
        if state.get("UnitFileState") not in ("enabled", "static", "alias"):
            systemctl(run, "enable", "--quiet", unit)
        if action == order and obey is not None:
            obey()
        elif action:
            systemctl(run, action, unit)
    return action


def retire(run: Run, unit: str, check: bool = False) -> bool:
    """Stop and disable a unit. Whether there was something to do."""
    state = show(run, unit, "ActiveState", "UnitFileState")
    if state.get("ActiveState", "inactive") == "inactive" and not state.get("UnitFileState", "").startswith("enabled"):
        return False
    if not check:
        systemctl(run, "disable", "--now", "--quiet", unit)
    return True
