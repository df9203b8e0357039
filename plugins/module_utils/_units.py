# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The host's ``vllm@NAME.service`` units made equal to the planned instances."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import daemon_reload, show, systemctl

DIGEST_VARIABLE = "GPUSERVE_DIGEST"  # in every instance's environment: tells what a running process was started with


@dataclass(frozen=True)
class UnitChange:
    """One unit and what is done to it: ``start``, ``restart`` or ``stop`` (stopped and disabled)."""

    unit: str
    action: str
    before: str


_AFTER = {"start": "running", "restart": "running anew", "stop": "gone"}


def told(changes: Sequence[UnitChange], diff: bool) -> dict[str, Any]:
    """What a module returns of them: ``changed``, ``units``, and ``diff`` where it is asked for."""
    result: dict[str, Any] = {
        "changed": bool(changes),
        "units": [{"unit": one.unit, "action": one.action, "before": one.before} for one in changes],
    }
    if diff:
        result["diff"] = {
            "before": "".join(f"{one.unit}: {one.before}\n" for one in changes),
            "after": "".join(f"{one.unit}: {_AFTER[one.action]}\n" for one in changes),
        }
    return result


def unit_name(instance: str) -> str:
    return f"vllm@{instance}.service"


def running_digest(pid: int, proc: str = "/proc") -> str:
    """The digest in a process's environment, empty where it has none or is gone."""
    try:
        with open(f"{proc}/{pid}/environ", "rb") as handle:
            for item in handle.read().split(b"\0"):
                name, _equals, value = item.partition(b"=")
                if name.decode(errors="replace") == DIGEST_VARIABLE:
                    return value.decode(errors="replace")
    except OSError:
        pass
    return ""


def present_units(run: Run, unit_dir: str = "/etc/systemd/system") -> set[str]:
    """Every vllm@ unit that is loaded, failed or enabled."""
    out = systemctl(run, "list-units", "--all", "--plain", "--no-legend", "vllm@*.service")
    found = set(re.findall(r"vllm@\S+\.service", out))
    return found | {os.path.basename(path) for path in glob.glob(f"{unit_dir}/*.wants/vllm@*.service")}


def _action(run: Run, unit: str, digest: str, proc: str) -> tuple[str, str]:
    state = show(run, unit, "ActiveState", "MainPID")
    active = state.get("ActiveState", "inactive")
    pid = int(state.get("MainPID") or 0)
    if active in ("active", "activating") and pid and running_digest(pid, proc) == digest:
        return "", active
    return ("start" if active in ("inactive", "failed") else "restart"), active


def converge_units(
    run: Run,
    wanted: dict[str, str],
    check: bool = False,
    proc: str = "/proc",
    unit_dir: str = "/etc/systemd/system",
    between: Callable[[], None] = lambda: None,
) -> list[UnitChange]:
    """Stop what is not ``wanted`` (instance name -> digest), then start what is not running as wanted.

    All stops come before the first start: a card must be free before another process can take it. ``between`` is
    called while everything that changes is stopped. Whether a process runs as wanted is read from its own environment,
    so a run that was interrupted is made good by the next one.
    """
    targets = {unit_name(name): digest for name, digest in wanted.items()}
    changes = [UnitChange(unit, "stop", "present") for unit in sorted(present_units(run, unit_dir) - set(targets))]
    for unit, digest in targets.items():
        action, before = _action(run, unit, digest, proc)
        if action:
            changes.append(UnitChange(unit, action, before))
    if check:
        return changes
    retired = [change.unit for change in changes if change.action == "stop"]
    begun = [change.unit for change in changes if change.action != "stop"]
    restarted = [change.unit for change in changes if change.action == "restart"]
    if retired:
        systemctl(run, "disable", "--quiet", *retired)
    if retired or restarted:
        systemctl(run, "stop", *retired, *restarted)
        run(["systemctl", "reset-failed", *retired])  # a unit that left no trace is not an error
    between()
    if begun:
        daemon_reload(run)
        run(["systemctl", "reset-failed", *begun])  # an operator's run is a fresh start for the start limit
        systemctl(run, "enable", "--quiet", *begun)
        systemctl(run, "start", *begun)
    return changes
