# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Where this host keeps the keys that its engines and its gateway ask for, and how one is read from there."""

from __future__ import annotations

import os
from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

ENGINE_KEY = "/etc/gpuserve/engine.key"  # the engines' own: made on the host, never leaves it
CLIENTS = "/etc/gpuserve/gateway/clients"  # who may use the gateway: name, key and more in each line


def first_key(path: str) -> str:
    """The key in the first line that is no comment: its only word, or the one after the client's name."""
    try:
        with open(path, encoding="utf-8") as handle:
            lines = [line.split() for line in handle if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"api_key_file {path} cannot be read: {exc}") from exc
    if not lines:
        raise InputError(f"api_key_file {path} has no key in its first line")
    words = lines[0]
    return words[1] if len(words) > 1 else words[0]


def optional_key(path: str) -> Optional[str]:
    """The same, None where there is no such file or nobody in it: then nobody is asked for a key."""
    if not path or not os.path.exists(path):
        return None
    try:
        return first_key(path)
    except InputError:
        if os.access(path, os.R_OK):
            return None
        raise
