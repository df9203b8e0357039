# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How far a long step is: one line in a small file on the host, which whoever waits for the step reads.

Telling must never harm what it tells of, so a file that cannot be written is no error.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from types import TracebackType
from typing import Callable, Optional

Look = Callable[[], str]
Follow = Callable[[Look], None]

EVERY = 2.0  # seconds between two writes
ENOUGH = 10e6  # bytes that have to be moved before a pace is worth telling: small files come first
WINDOW = 30.0  # seconds that the pace is measured over: a download changes its pace


def clock_text(seconds: float) -> str:
    """``0:09``, ``12:34``, ``1:02:03``."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class Pace:
    """``2.1 of 4.9 GB (43 %), 310 MB/s, about 0:09 left``, from how much was done when."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self._clock = total, clock
        self._seen: deque[tuple[float, int]] = deque()

    def text(self, done: int) -> str:
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        moved = done - before
        rate = moved / (now - then) if now > then else 0.0
        done = min(done, self.total)
        parts = [f"{_size(done, self.total)} ({100 * done // self.total if self.total else 100} %)"]
        if rate > 0 and moved >= min(ENOUGH, self.total / 200):
            parts.append(f"{rate / 1e6:,.0f} MB/s" if rate >= 1e6 else f"{rate / 1e3:,.0f} kB/s")
            if done < self.total:
                parts.append(f"about {clock_text((self.total - done) / rate)} left")
        return ", ".join(parts)


def _size(done: int, total: int) -> str:
    scale, unit = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    return f"{done / scale:.1f} of {total / scale:.1f} {unit}"


class Beat:
    """Writes what ``look`` finds, with the time since the start, until the step is over.

    ``path`` empty: nothing is written. A line is published by renaming, so nobody reads half of it.
    """

    def __init__(self, path: str, look: Look = lambda: "", clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._look, self._clock = path, look, clock
        self._began = clock()
        self._over = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def follow(self, look: Look) -> None:
        """From now on another thing is looked at."""
        self._look = look

    def say(self, line: str) -> None:
        self._look = lambda: line

    def line(self) -> str:
        text = self._look()
        return f"{clock_text(self._clock() - self._began)}  {text}" if text else ""

    def __enter__(self) -> Beat:
        if self._path and self._write():
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._thread is None:
            return
        self._over.set()
        self._thread.join(timeout=EVERY)
        for name in (self._path, f"{self._path}.new"):
            try:
                os.unlink(name)
            except OSError:
                pass

    def _beat(self) -> None:
        while not self._over.wait(EVERY):
            self._write()

    def _write(self) -> bool:
        try:
            line = self.line()
            with open(f"{self._path}.new", "w", encoding="utf-8") as handle:
                handle.write(line + "\n")
                os.fchmod(handle.fileno(), 0o644)  # who logged in may be another user than who runs the step
            os.replace(f"{self._path}.new", self._path)
        except (OSError, ValueError):
            return False
        return True
