# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The NVIDIA driver's lines of a kernel log: Xids of cards, SXids of NVSwitches, and what makes them history.

Reads ``journalctl -o json``, ``dmesg`` with and without stamps, syslog files and records of /dev/kmsg, line by line.
A line counts only where the message begins with the driver's own prefix: logs also quote other logs.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._xid import (
    FELL_OFF_THE_BUS,
    IGNORED,
    RECOVERY_CHANGED,
    recovery_wanted,
)

# What whoever resets a card writes to /dev/kmsg afterwards: the driver itself says nothing of a reset.
RESET_MARK = "gpuserve: GPU reset (PCI:{address})"

_ADDRESS = r"(?:PCI:)?(?P<domain>[0-9a-f]{4,8}):(?P<bus>[0-9a-f]{2}):(?P<device>[0-9a-f]{2})(?:\.[0-7])?"
# "(PCI:0000:01:00)", before branch 300 "(0000:01:00)", a MIG slice "(PCI:0000:01:00 GPU-I:05 GPU-CI:00)"
_XID = re.compile(rf"NVRM: Xid \({_ADDRESS}(?: [^)]*)?\): (?P<xid>\d+)\b(?P<text>.*)", re.IGNORECASE)
_OFF_BUS = re.compile(rf"NVRM: GPU (?:at )?{_ADDRESS}:? (?:GPU )?has fallen off the bus", re.IGNORECASE)
_UUID = re.compile(rf"NVRM: GPU at {_ADDRESS}: (?P<uuid>GPU-[0-9a-f-]{{36}})", re.IGNORECASE)
_SXID = re.compile(
    rf"nvidia-nvswitch\d+: SXid \({_ADDRESS}\): (?P<xid>\d+), (?P<severity>Fatal|Non-fatal)\b(?P<text>.*)",
    re.IGNORECASE,
)
_RESET = re.compile(rf"gpuserve: GPU reset \({_ADDRESS}\)", re.IGNORECASE)
_LOADED = re.compile(r"NVRM: loading NVIDIA UNIX ")  # open and closed kernel modules, once each time they are loaded
_PID = re.compile(r"\bpid='?(\d+)")
_OURS = re.compile(r"NVRM|nvidia-nvswitch|gpuserve|\"MESSAGE\" ?: ?\[")  # a line without any is not looked at further

_KMSG = re.compile(r"^\d+,\d+,(\d+),[^;]*;")
_LEVEL = re.compile(r"^<\d+>")
_SYSLOG = re.compile(r"^(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT\S+) \S+ kernel: ")
_STAMP = re.compile(r"^\[\s*(?:(\d+\.\d+)|[^\]]*)\] ")


@dataclass(frozen=True)
class Event:
    """One error. ``address`` is domain, bus and device; ``time`` is seconds since 1970, None where the log has none."""

    address: str
    xid: int
    text: str = ""
    time: Optional[float] = None
    pid: int = 0
    fatal: bool = False  # of an SXid


@dataclass
class KernelLog:
    """What still counts: errors before a card's reset, or before the driver was loaded, are left out."""

    events: list[Event] = field(default_factory=list)
    switch_events: list[Event] = field(default_factory=list)
    uuids: dict[str, str] = field(default_factory=dict)  # by address, where the driver named the card
    lines: int = 0


def pci_key(address: str) -> str:
    """ "00000000:01:00.0" or "0000:01:00" -> "0000:01:00", the part by which logs name a card; else empty."""
    found = re.fullmatch(_ADDRESS, address.strip(), re.IGNORECASE)
    return _key(found) if found else ""


def _key(found: re.Match[str]) -> str:
    return f"{int(found['domain'], 16):04x}:{found['bus'].lower()}:{found['device'].lower()}"


def read_log(lines: Iterable[str], since: float = 0, booted: float = 0) -> KernelLog:
    """``since`` leaves out what is older; ``booted`` turns stamps that count from the boot into times of day."""
    log = KernelLog()
    for line in lines:
        log.lines += 1
        if not _OURS.search(line):
            continue
        message, when = _message(line, booted)
        if when is not None and when < since:
            continue
        _take(log, message, when)
    return log


def _message(line: str, booted: float) -> tuple[str, Optional[float]]:
    if line.startswith("{"):
        return _journal_entry(line)
    when: Optional[float] = None
    kmsg = _KMSG.match(line)
    if kmsg:
        return line[kmsg.end() :], booted + int(kmsg.group(1)) / 1e6 if booted else None
    line = _SYSLOG.sub("", _LEVEL.sub("", line.strip()))
    stamp = _STAMP.match(line)
    if stamp:
        line = line[stamp.end() :]
        if stamp.group(1) and booted:
            when = booted + float(stamp.group(1))
    return line, when


def _journal_entry(line: str) -> tuple[str, Optional[float]]:
    try:
        entry = json.loads(line)
    except ValueError:
        return "", None
    message: Any = entry.get("MESSAGE")
    if isinstance(message, list):  # so the journal writes what is no UTF-8; a process may have such a name
        message = bytes(b for b in message if isinstance(b, int) and 0 <= b < 256).decode("utf-8", "replace")
    if not isinstance(message, str):
        return "", None
    # Of what came through /dev/kmsg, the journal makes the first word the identifier.
    identifier = entry.get("SYSLOG_IDENTIFIER")
    if isinstance(identifier, str) and identifier not in ("", "kernel"):
        message = f"{identifier}: {message}"
    stamp = str(entry.get("__REALTIME_TIMESTAMP", ""))
    return message, int(stamp) / 1e6 if stamp.isascii() and stamp.isdigit() else None


def _take(log: KernelLog, message: str, when: Optional[float]) -> None:
    found = _XID.match(message)
    if found:
        _take_xid(log, Event(_key(found), int(found["xid"]), found["text"].lstrip(", "), when, _pid(found["text"])))
        return
    found = _SXID.match(message)
    if found:
        fatal = found["severity"].lower() == "fatal"
        event = Event(_key(found), int(found["xid"]), found["text"].lstrip(", "), when, fatal=fatal)
        log.switch_events.append(event)
        return
    found = _UUID.match(message)
    if found:
        log.uuids[_key(found)] = "GPU-" + found["uuid"][4:].lower()
        return
    found = _OFF_BUS.match(message)
    if found:  # comes with Xid 79, or alone where nothing used the card
        if not any(event.address == _key(found) and event.xid == FELL_OFF_THE_BUS for event in log.events):
            log.events.append(Event(_key(found), FELL_OFF_THE_BUS, message, when))
        return
    found = _RESET.match(message)
    if found:
        log.events = [event for event in log.events if event.address != _key(found)]
    elif _LOADED.match(message):
        log.events.clear()
        log.switch_events.clear()


def _take_xid(log: KernelLog, event: Event) -> None:
    if event.xid in IGNORED:
        return
    if event.xid == RECOVERY_CHANGED:  # only the last one holds
        log.events = [e for e in log.events if (e.address, e.xid) != (event.address, event.xid)]
        if not recovery_wanted(event.text):
            return
    log.events.append(event)


def _pid(text: str) -> int:
    found = _PID.search(text)
    return int(found.group(1)) if found else 0


# ---------------------------------------------------------------- times


def parse_since(text: str) -> float:
    """ "boot", seconds since 1970, or a date and time (of this host where it names no zone)."""
    text = text.strip()
    if text == "boot":
        return 0.0
    if re.fullmatch(r"@?\d{1,12}(\.\d+)?", text):
        return float(text.lstrip("@"))
    try:
        return datetime.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InputError(
            f"since is {text[:60]!r}: give boot, seconds since 1970, or a time such as 2026-11-23T16:00:00+00:00"
        ) from None


def show_time(when: Optional[float]) -> str:
    if when is None:
        return ""
    try:
        moment = datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):  # a stamp that no clock ever showed
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def boot_time(proc: str = "/proc") -> float:
    """When this host was started, in seconds since 1970; 0 where it does not say."""
    try:
        with open(os.path.join(proc, "uptime"), encoding="ascii") as handle:
            return time.time() - float(handle.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0


def process_starts(pids: Sequence[int], booted: float, proc: str = "/proc") -> Mapping[int, float]:
    """When those processes were started; one that is not there is left out."""
    ticks = os.sysconf("SC_CLK_TCK")
    out = {}
    for pid in pids:
        try:
            with open(os.path.join(proc, str(pid), "stat"), encoding="utf-8", errors="replace") as handle:
                out[pid] = booted + int(handle.read().rsplit(")", 1)[1].split()[19]) / ticks  # proc(5), starttime
        except (OSError, ValueError, IndexError):
            continue
    return out
