# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Files and the units that use them, held as one step: what host_files does, for modules that do more than that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _nginx, _systemd
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import (
    Change,
    WantedFile,
    apply_files,
    make_keys,
    remove_trees,
    validator,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

# the options that the documentation fragment _hold describes: those that any module can take
FILES_SPEC: dict[str, dict[str, Any]] = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str"},
            "mode": {"type": "str", "default": "0644"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "replaces": {"type": "path"},
            "program": {"type": "bool", "default": False},
        },
    },
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "purge": {"type": "list", "elements": "str", "default": []},
    "absent": {"type": "list", "elements": "path", "default": []},
    "tidy": {"type": "list", "elements": "path", "default": []},
    "keys": {"type": "list", "elements": "path", "default": [], "no_log": False},
    "daemon_reload": {"type": "bool", "default": False},
    "timers": {"type": "list", "elements": "str", "default": []},
    "retired": {"type": "list", "elements": "str", "default": []},
}
# and all of them
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **FILES_SPEC,
    "validate": {"type": "list", "elements": "str", "default": []},
    "unit": {"type": "str"},
}


@dataclass(frozen=True)
class Held:
    """What was not as wanted, and what was done about it."""

    changes: Sequence[Change] = ()
    unit_action: str = ""
    timers: Mapping[str, str] = field(default_factory=dict)
    retired: Sequence[str] = ()

    @property
    def changed(self) -> bool:
        return bool(self.changes or self.unit_action or self.timers or self.retired)

    def to_dict(self) -> dict[str, Any]:
        return {
            "files": files(self.changes),
            "unit_action": self.unit_action,
            "timers": dict(self.timers),
            "retired": list(self.retired),
        }


def files(changes: Sequence[Change]) -> list[dict[str, str]]:
    return [{"path": change.path, "action": change.action} for change in changes]


def diff(changes: Sequence[Change]) -> list[dict[str, str]]:
    return [
        {"before_header": change.path, "after_header": change.path, "before": change.before, "after": change.after}
        for change in changes
    ]


def hold(
    run: Run, params: Mapping[str, Any], check: bool, validate: Sequence[str] = (), unit: Optional[str] = None
) -> Held:
    """Make the host as ``params`` say (by the names in FILES_SPEC); with ``check`` only tell what would be done.

    ``validate`` must succeed once the files are written, and ``unit`` uses them.
    """
    retired = [unit for unit in params["retired"] if _systemd.retire(run, unit, check=check)]
    changes = make_keys(params["keys"], check=check)
    wanted = [_wanted(entry, params["secrets"]) for entry in params["files"]]
    judge = validator(run, list(validate))
    nginx = _nginx.Nginx(run) if unit == _nginx.UNIT else None
    if nginx:
        written, due = nginx.write(wanted, judge, params["purge"], check=check)
    else:
        written, due = apply_files(wanted, params["purge"], judge, check=check), False
    changes += written
    changes += remove_trees(params["absent"], params["tidy"], check=check)
    if changes and params["daemon_reload"] and not check:
        _systemd.daemon_reload(run)
    action = ""
    if unit:
        obey = (lambda: nginx.follow(wanted)) if nginx else None
        action = _systemd.start_or_reload(run, unit, due or bool(changes), check=check, obey=obey)
        if nginx and action and not check:
            nginx.has_read()  # one that was started has, too
    timers = {}
    for timer in params["timers"]:
        done = _systemd.start_or_reload(run, timer, bool(changes), check=check, order="restart")
        if done:
            timers[timer] = done
    return Held(changes, action, timers, retired)


def _wanted(entry: Mapping[str, Any], secrets: Mapping[str, str]) -> WantedFile:
    try:
        mode = int(entry.get("mode") or "0644", 8)
    except ValueError as exc:
        raise InputError(f"{entry['path']}: mode {entry['mode']!r} is not octal; write it like '0644'") from exc
    path, content, secret = entry["path"], entry.get("content"), entry["path"] in secrets
    if secret == (content is not None):
        raise InputError(f"{path}: give its text either as content or among the secrets")
    return WantedFile(
        path,
        secrets[path] if secret else content or "",
        mode,
        entry.get("owner") or "root",
        entry.get("group") or "root",
        secret,
        entry.get("replaces") or "",
        program=bool(entry.get("program")),
    )
