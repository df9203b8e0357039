# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Locks between the programs of one host. The kernel takes one back when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Callable, Iterator

PAUSE = 0.1


@contextlib.contextmanager
def held(path: str, sleep: Callable[[float], None], timeout: float = 30.0) -> Iterator[bool]:
    """Wait for the lock at ``path``; yields False where somebody else held it for ``timeout`` seconds."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path, "a", encoding="ascii") as handle:
        for left in range(int(timeout / PAUSE), -1, -1):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    yield False
                    return
                sleep(PAUSE)
        yield True
