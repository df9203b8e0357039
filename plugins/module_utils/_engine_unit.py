# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What systemd and the journal say of an instance's unit, and who holds its port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _host, _systemd
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError

_PROPERTIES = (
    "LoadState", "ActiveState", "SubState", "NRestarts", "MainPID", "Result", "ExecMainCode", "ExecMainStatus",
    "InvocationID",
)  # fmt: skip
_SIGNALLED = (2, 3)  # CLD_KILLED and CLD_DUMPED of sigaction(2): ExecMainStatus is then a signal's number


@dataclass(frozen=True)
class UnitState:
    unit: str
    load: str = "loaded"
    active: str = "active"
    sub: str = "running"
    restarts: int = 0
    main_pid: int = 0
    result: str = "success"
    killed: bool = False
    status: int = 0
    invocation: str = ""

    @property
    def ended(self) -> str:
        """Why nothing more will come of this unit by itself; empty while it runs or systemd still tries."""
        if self.load == "not-found":
            return f"{self.unit} does not exist"
        if self.load == "masked":
            return f"{self.unit} is masked"
        if self.active == "failed":
            return f"{self.unit} has failed ({self.result})"
        if self.active == "inactive":
            return f"{self.unit} is not running"
        if self.active == "active" and not self.main_pid:
            return f"{self.unit} is active but its main process is gone"
        return ""


def _int(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else 0


def unit_state(run: _host.Run, unit: str) -> Optional[UnitState]:
    """State of a unit; None where systemd cannot be asked."""
    try:
        said = _systemd.show(run, unit, *_PROPERTIES)
    except (EngineError, OSError):
        return None
    return UnitState(
        unit,
        said.get("LoadState", ""),
        said.get("ActiveState", ""),
        said.get("SubState", ""),
        _int(said.get("NRestarts", "")),
        _int(said.get("MainPID", "")),
        said.get("Result", ""),
        _int(said.get("ExecMainCode", "")) in _SIGNALLED,
        _int(said.get("ExecMainStatus", "")),
        said.get("InvocationID", ""),
    )


def journal(
    run: _host.Run, unit: str, invocation: str = "", grep: str = "", lines: int = 400, strict: bool = False
) -> str:
    """Last lines of one invocation of a unit; empty where it cannot be read.

    Where the invocation says nothing those of the unit, except with ``grep`` or ``strict``.
    """
    base = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={lines}", f"--unit={unit}"]
    if grep:
        base.append(f"--grep={grep}")
    tries = ([[*base, f"_SYSTEMD_INVOCATION_ID={invocation}"]] if invocation else []) + (
        [] if grep or strict else [base]
    )
    for words in tries:
        try:
            code, out, _err = run(words)
        except OSError:
            return ""
        if code == 0 and out.strip():
            return out
    return ""


def port_holder(
    host: str, port: int, listeners: Callable[[], list[dict[str, Any]]] = _host.listeners
) -> Optional[dict[str, Any]]:
    """Who listens there: pid, process and unit; None where nobody does, or it cannot be seen."""
    rows = [row for row in listeners() if row["port"] == port and row["pid"]]
    exact = [row for row in rows if row["address"] == host]
    named = not host.replace(".", "").isdigit()  # a name, or IPv6: any address of that port may be meant
    wide = [row for row in rows if named or row["address"] in ("0.0.0.0", "::", "ipv6")]
    return next(iter(exact + wide), None)


def holder_text(row: dict[str, Any]) -> str:
    return f"process {row['pid']} ({row['process'] or 'unknown'}" + (f", {row['unit']})" if row["unit"] else ")")
