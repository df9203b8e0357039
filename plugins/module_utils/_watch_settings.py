# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the role writes for the watch and the health check (``/etc/gpuserve/watch.json``), checked where it is read."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError


@dataclass(frozen=True)
class Settings:
    """Seconds, all of them."""

    interval: float = 4.0
    answer_timeout: float = 3.0
    out_after: float = 6.0
    restart_after: float = 30.0
    busy_after: float = 180.0
    start_after: float = 900.0
    health_interval: float = 60.0
    health_timeout: float = 30.0
    drain_timeout: float = 120.0


_RANGES = {
    "interval": (1, 300),
    "answer_timeout": (0.5, 60),
    "out_after": (2, 3600),
    "restart_after": (5, 86400),
    "busy_after": (5, 86400),
    "start_after": (0, 604800),
    "health_interval": (10, 86400),
    "health_timeout": (5, 600),
    "drain_timeout": (0, 86400),
}


def settings_from(values: Mapping[str, Any], prefix: str = "") -> Settings:
    """Checked settings; InputError names the first value that cannot be used. ``prefix``: how it is called there."""
    known = {field.name for field in fields(Settings)}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{prefix}{name} is no setting of the watch; it has {', '.join(sorted(known))}")
        low, high = _RANGES[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise InputError(f"{prefix}{name} is {value!r}; give seconds from {low} to {high}")
    found = replace(Settings(), **{name: float(value) for name, value in values.items()})
    if found.restart_after <= found.out_after:
        raise InputError(
            f"{prefix}restart_after is {found.restart_after:g}; give more than {prefix}out_after"
            f" ({found.out_after:g}), so that a replica is out of rotation before it is killed"
        )
    if found.busy_after < found.restart_after:
        raise InputError(
            f"{prefix}busy_after is {found.busy_after:g}; give at least {prefix}restart_after"
            f" ({found.restart_after:g}): one that is at work deserves no less patience than one that stands still"
        )
    return found


def read_settings(path: str) -> Settings:
    """The file's settings, the defaults where there is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            values = json.load(handle)
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as exc:
        raise InputError(f"{path} cannot be read ({exc}); run the role again, which writes it") from exc
    if not isinstance(values, dict):
        raise InputError(f"{path} is no JSON object; run the role again, which writes it")
    return settings_from(values, f"{path}: ")
