# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How far an installation is, from what uv writes where nobody watches: a line as a large package begins and ends."""

from __future__ import annotations

import os
import re
from typing import Callable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._host import disk
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Pace

MIB = 1024**2
_UNITS = {"KiB": 1024, "MiB": MIB, "GiB": 1024**3}
_BEGUN = re.compile(r"^Downloading (\S+) \(([\d.]+)(KiB|MiB|GiB)\)$")
_ENDED = re.compile(r"^ *Downloaded (\S+)$")
_PHASES = (
    (re.compile(r"^Bytecode compiled "), "done, about to switch to it"),
    (re.compile(r"^Installed (\d+) package"), "{0} packages are in place, compiling them to bytecode"),
    (re.compile(r"^Prepared (\d+) package"), "{0} packages are here, putting them in place"),
)


def free_bytes(path: str) -> int:
    return int(disk(path)["free_bytes"])


class InstallLook:
    """Looks at the part of the log that this installation wrote, and at the space that it took so far."""

    def __init__(self, path: str, log: str, packages: int, free: Callable[[str], int] = free_bytes) -> None:
        self._path, self._log, self._packages, self._free = path, log, packages, free
        self._pace: Optional[Pace] = None
        self._start = os.path.getsize(log) if log and os.path.exists(log) else 0
        self._free_before = free(path)

    def __call__(self) -> str:
        text = ""
        if self._log and os.path.exists(self._log):
            with open(self._log, encoding="utf-8", errors="replace") as handle:
                handle.seek(self._start)
                text = handle.read()
        written = self._free_before - self._free(self._path)
        line = self.phase(text)
        return line + (f"; {written / 1e9:.1f} GB on disk so far" if written >= 1e8 else "")

    def phase(self, text: str) -> str:
        lines = text.splitlines()
        for regex, words in _PHASES:
            for line in reversed(lines):
                found = regex.match(line)
                if found:
                    return words.format(*found.groups())
        begun = {m.group(1): int(float(m.group(2)) * _UNITS[m.group(3)]) for m in map(_BEGUN.match, lines) if m}
        if not begun:
            return f"installing {self._packages} packages"
        ended = {m.group(1) for m in map(_ENDED.match, lines) if m}
        total = sum(begun.values())
        if self._pace is None or self._pace.total != total:  # more was begun: the pace so far was of something else
            self._pace = Pace(total)
        done = sum(size for name, size in begun.items() if name in ended)
        left = sorted((name for name in begun if name not in ended), key=lambda name: -begun[name])
        waiting = f"; waiting for {', '.join(left[:3])}" + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        return f"downloading the large ones of {self._packages} packages: {self._pace.text(done)}" + (
            waiting if left else ""
        )
