# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Why an engine died, in one line with advice, from its journal; and the KV cache figures it logged."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._engine_causes import CAUSES
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_metrics import KvCache

UP = "Application startup complete"  # uvicorn's: from here on it answers
_LONGEST = 240  # characters of a log line that are shown


@dataclass(frozen=True)
class RootCause:
    """``permanent``: starting it again as it is cannot help, so there is nothing to wait for."""

    kind: str
    line: str
    advice: str = ""
    permanent: bool = False

    def __str__(self) -> str:
        return f"{self.line} ({self.advice})" if self.advice else self.line


# What an engine says after its cause was told (vllm/v1/engine/utils.py, vllm/v1/executor/multiproc_executor.py).
_CONSEQUENCE = re.compile(
    r"See root cause above|initialization failed due to an exception in a background process|EngineDeadError|"
    r"EngineCore encountered an issue|SystemExit|KeyboardInterrupt|CancelledError|BrokenPipeError|died unexpectedly"
)
_PREFIX = re.compile(r"^(?:\([A-Za-z][\w-]*(?: pid=\d+)?\) ?)+")
_LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]*\] ?)?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Timeout|Failure)\b(?::|$)")

# systemd's own remarks about the unit: true, but never the cause
_SYSTEMD = re.compile(r"^(\S+\.service: |(Started|Starting|Stopped|Stopping|Failed to start) )")

# systemd.exec(5), "Process exit codes": what systemd itself could not do for the unit
_EXIT = {
    200: "systemd could not enter the unit's working directory",
    203: "systemd could not execute the engine: is it installed, and executable for the service user?",
    217: "the unit's user does not exist",
    226: "systemd could not set up the unit's sandbox (a path it names does not exist?)",
    243: "systemd could not load the unit's credentials",
}


def _lines(text: str) -> list[str]:
    """Log lines without vLLM's prefixes; informing and warning lines are left out, they are no cause of death."""
    kept = []
    for raw in text.splitlines():
        line = _PREFIX.sub("", raw.rstrip())
        level = _LEVEL.match(line)
        if level and level.group(1) in ("DEBUG", "INFO", "WARNING"):
            continue
        kept.append(line[level.end() :] if level else line)
    return kept


def _short(line: str) -> str:
    line = re.sub(r"^\s*Value error, ", "", line)
    line = re.sub(r" \[type=\w+, input_value=.*$", "", line)
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _last_exception(lines: list[str]) -> str:
    best = ""
    for at, line in enumerate(lines):
        if not _EXCEPTION.match(line) or _CONSEQUENCE.search(line):
            continue
        best = line
        if "validation error" in line:  # pydantic tells the reason one or two lines further on
            best = next((more for more in lines[at + 1 : at + 4] if "Value error, " in more), line)
    return best


def root_cause(text: str, result: str = "", status: int = 0, killed: bool = False) -> RootCause:
    """``text``: the journal of one invocation. ``result``, ``status``, ``killed``: Result, ExecMainStatus of the unit
    and whether the status is a signal's number (ExecMainCode)."""
    if result == "oom-kill":
        return RootCause(
            "host_out_of_memory",
            "killed by the kernel because the host (or the unit's MemoryMax) ran out of memory",
            "free memory, raise the unit's limit or run fewer instances",
        )
    lines = _lines(text)
    if not killed and status in _EXIT:
        detail = next((line for line in lines if re.search(r"\.service: (Failed|Unable|Changing)", line)), "")
        return RootCause("systemd", _short(f"{_EXIT[status]} (exit status {status}) {detail}"), "", True)
    for cause in CAUSES:
        for line in lines:
            found = cause.regex.search(line)
            if found:
                return RootCause(cause.kind, _short(line), cause.advice.format(**found.groupdict()), cause.permanent)
    if (killed and status == signal.SIGKILL) or status == 128 + signal.SIGKILL:
        return RootCause("killed", "killed with SIGKILL", "look for the out-of-memory killer with 'journalctl -k'")
    if killed and status == signal.SIGILL:
        return RootCause("illegal_instruction", "ended by SIGILL: the processor lacks an instruction of this build",
                         "vLLM's CPU engine wants AVX512 (AVX2 at the least)", True)  # fmt: skip
    last = _last_exception(lines) or next(
        (line for line in reversed(lines) if line.strip() and not _SYSTEMD.match(line)), ""
    )
    if last:
        return RootCause("unknown", _short(last))
    if killed:
        return RootCause("signal", f"ended by signal {status}; the journal says nothing")
    ended = f"ended with result {result or 'unknown'} and exit status {status}"
    return RootCause("unknown", f"{ended}; the journal says nothing")


def last_line(text: str) -> str:
    """The last thing an engine said, of whatever level: where a slow start has got to."""
    lines = [_LEVEL.sub("", _PREFIX.sub("", line.strip())) for line in text.splitlines()]
    return next((_short(line) for line in reversed(lines) if line.strip() and not _SYSTEMD.match(line)), "")


_KV_SIZE = re.compile(r"KV cache size: ([\d,]+) tokens")
_KV_CONCURRENCY = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")


def kv_cache(text: str) -> KvCache:
    """From the log: one line in 0.32, two in 0.26 (vllm/v1/core/kv_cache_utils.py). The last start counts."""
    tokens = _KV_SIZE.findall(text)
    concurrency = _KV_CONCURRENCY.findall(text)
    return KvCache(
        kv_cache_tokens=int(tokens[-1].replace(",", "")) if tokens else None,
        max_concurrency=float(concurrency[-1]) if concurrency else None,
    )


def merged(first: KvCache, second: KvCache) -> KvCache:
    """``first``, with what it lacks taken from ``second``."""

    def pick(name: str) -> Optional[float]:
        value: Optional[float] = getattr(first, name)
        return getattr(second, name) if value is None else value

    blocks, size, tokens = pick("num_gpu_blocks"), pick("block_size"), pick("kv_cache_tokens")
    return KvCache(
        None if blocks is None else int(blocks),
        None if size is None else int(size),
        None if tokens is None else int(tokens),
        pick("max_concurrency"),
    )
