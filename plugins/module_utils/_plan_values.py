# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""One value of an option, checked: what every option of the planner is read with."""

from __future__ import annotations

import difflib
import math
from typing import Any, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError


def suggest(value: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(value), allowed, 1, 0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def choice(value: Any, what: str, allowed: Sequence[str]) -> str:
    if value not in allowed or not isinstance(value, str):
        raise InputError(f"{what} {value!r} is unknown{suggest(str(value), allowed)}: use one of {', '.join(allowed)}")
    return value


def flag(value: Any, what: str) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0"):
        return False
    raise InputError(f"{what} must be true or false, got {value!r}")


def listed(value: Any, what: str) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise InputError(f"{what} must be a list, got {type(value).__name__}")


def whole(value: Any, what: str, low: int, high: int) -> int:
    number: Optional[int] = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and value.strip().lstrip("-").isdigit():
        number = int(value)
    if number is None:
        raise InputError(f"{what} must be a whole number, got {value!r}")
    if not low <= number <= high:
        raise InputError(f"{what} {number} is out of range: give {low} to {high}")
    return number


def number(value: Any, what: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{what} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise InputError(f"{what} must be a finite number, got {value!r}")
    return number


def port(value: Any, what: str) -> int:
    return whole(value, what, 1024, 65535)
