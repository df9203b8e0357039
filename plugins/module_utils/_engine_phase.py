# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which part of its start an engine is in, from its journal (vLLM 0.26 to 0.32), and how long the last one took."""

from __future__ import annotations

import re
from typing import Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_log, _engine_unit
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

# the line that came last in the journal decides, so the order here matters only within one line
_PHASES = (
    (re.compile(rf"{_engine_log.UP}|Started server process"), "answering its first request"),
    (re.compile(r"Graph capturing finished"), "warming up"),
    (re.compile(r"Capturing CUDA graphs?\b"), "capturing CUDA graphs"),
    (re.compile(r"init engine \(profile|KV cache size: |Available KV cache memory"), "KV cache set up, warming up"),
    (
        re.compile(r"Dynamo bytecode transform|Compiling a graph|for vLLM's torch\.compile|for the compilation"),
        "compiling",
    ),
    (re.compile(r"Loading weights took|Model loading took"), "weights loaded, measuring memory"),
    (re.compile(r"checkpoint shards: +\d+% Completed \| (\d+)/(\d+)"), "loading weights, {0} of {1} files"),
    (re.compile(r"Starting to load model|Loading drafter model"), "loading weights"),
    (re.compile(r"Initializing a V1 LLM engine"), "starting the engine's processes"),
    (re.compile(r"API server version|non-default args|Resolved architecture"), "starting"),
)


def phase(text: str) -> str:
    """The phase that the last telling line of a journal belongs to; empty where none of its lines tells."""
    for line in reversed(text.splitlines()):
        for regex, words in _PHASES:
            found = regex.search(line)
            if found:
                return words.format(*found.groups())
    return "" if _engine_log.last_line(text) else "starting, it has said nothing yet"


_BEGIN = "Started "  # systemd's own word
_STAMP = re.compile(r"\d+\.\d+ ")


def last_start(run: Run, unit: str) -> Optional[float]:
    """Seconds that the last start of this unit took which came to its end, where the journal still has it."""
    words = ["journalctl", "--no-pager", "--quiet", "--output=short-unix", "--lines=20", f"--unit={unit}"]
    try:
        code, out, _err = run([*words, f"--grep=^{_BEGIN}|{_engine_log.UP}"])
    except OSError:
        return None
    return took(out) if code == 0 else None


def took(text: str) -> Optional[float]:
    """From lines that begin with a time: the last beginning that was followed by an end."""
    found, begin = None, None
    # journalctl turns the order round where it filters
    for at, line in sorted((float(line.split(" ")[0]), line) for line in text.splitlines() if _STAMP.match(line)):
        if f"systemd[1]: {_BEGIN}" in line:
            begin = at
        elif _engine_log.UP in line and begin is not None:
            found, begin = at - begin, None
    return found


def told(phases: Sequence[tuple[str, str]]) -> str:
    """``gpu0, gpu1: loading weights; gpu2: compiling``, from (name, phase)."""
    groups: dict[str, list[str]] = {}
    for name, words in phases:
        groups.setdefault(words, []).append(name)
    return "; ".join(f"{', '.join(names)}: {words}" for words, names in groups.items())


def look(run: Run, unit: str, invocation: str) -> str:
    """Empty where there is no unit whose journal could be read."""
    return phase(_engine_unit.journal(run, unit, invocation, lines=60, strict=True)) if unit and invocation else ""
