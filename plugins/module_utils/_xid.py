# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the driver's Xid numbers mean for serving: which verdict on the card, and what to do.

Numbers and resolutions follow NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors). What is not listed here is
worth a look, but no reason to take a card away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.gpuserve.inference.plugins.module_utils._card_actions import (
    DRAIN_AND_RESET,
    NONE,
    REBOOT,
    RESTART_APPLICATION,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_health import RECOVERY, recovery_step

FELL_OFF_THE_BUS = 79
RECOVERY_CHANGED = 154

OK, WARN, FAIL = "ok", "warn", "fail"
_RESET_TEXT = "drain the card and reset it; if it comes back, have the card checked"
_REBOOT_TEXT = "reboot the host; if it comes back, reseat the card, then replace it"


@dataclass(frozen=True)
class Meaning:
    """``application``: the fault of one process; it matters for as long as that process is on the card."""

    verdict: str
    action: str
    what: str
    advice: str
    application: bool = False


def _reset(what: str, advice: str = _RESET_TEXT) -> Meaning:
    return Meaning(FAIL, DRAIN_AND_RESET, what, advice)


def _application(what: str) -> Meaning:
    return Meaning(OK, RESTART_APPLICATION, what, "restart the instance, the card itself is well", application=True)


def _note(what: str, advice: str, action: str = NONE) -> Meaning:
    return Meaning(WARN, action, what, advice)


XIDS: dict[int, Meaning] = {
    46: _reset("the GPU stopped processing"),
    48: _reset("uncorrectable double-bit ECC error"),
    62: _reset("the GPU's power controller halted"),
    63: _note("a memory row is to be remapped", "reset the card at the next drain", DRAIN_AND_RESET),
    64: _reset("a memory row could not be remapped", "drain the card and reset it; if it comes back, replace the card"),
    74: _reset("NVLink error", "drain the card and reset it; if it comes back, check the NVLink bridge or board"),
    79: Meaning(FAIL, REBOOT, "the GPU has fallen off the bus", _REBOOT_TEXT),
    92: _note("many corrected ECC errors", "watch the card, have it checked if they go on"),
    93: _note("the card's InfoROM is near its wear limit", "have the card checked"),
    94: Meaning(
        WARN, RESTART_APPLICATION, "contained memory error", "restart the instance it hit, no other is affected", True
    ),
    95: _reset("uncontained memory error"),
    109: _reset("context switch timeout"),
    110: _reset("security fault"),
    119: _reset("the GPU's system processor does not answer"),
    120: _reset("the GPU's system processor failed"),
    136: _reset("NVLink training failed", "drain the card and reset it; if it comes back, check the NVLink board"),
    140: _reset("unrecovered ECC error"),
    143: _reset("the GPU could not be initialized"),
    155: _reset("NVLink error of the software"),
    156: _reset("a part of the GPU is to be retired", "drain the card and reset it, which retires the part"),
    158: _reset("fatal timeout of the GPU"),
}
_APPLICATION = {
    "graphics engine exception": (13, 69),
    "memory page fault": (31,),
    "the GPU stopped processing for an application": (8, 43),
    "cleanup after an earlier error": (45,),
    "bad commands of an application": (11, 25, 32, 37, 80),
    "copy engine exception": (39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136)),
    "video or image engine exception": (60, 68, 82, 83, 84, 86, 88, 89, *range(96, 106), 139),
}
XIDS.update({xid: _application(what) for what, xids in _APPLICATION.items() for xid in xids})
IGNORED = frozenset((14, 106, 107))  # never a fault: a test of the log itself, and two of the management bus

_NVLINK5 = range(144, 151)  # Blackwell's NVLink: one number a unit, and the line says whether it was fatal
_RECOVERY = re.compile(r"recovery action changed from 0x[0-9a-f]+.*? to 0x([0-9a-f]+)", re.IGNORECASE)


def recovery_wanted(text: str) -> int:
    """The number of the action that a line of Xid 154 asks for; 0 is none. A line that is cut short asks for one."""
    found = _RECOVERY.search(text)
    return int(found.group(1), 16) if found else -1


def meaning(xid: int, text: str = "") -> Meaning:
    if xid == RECOVERY_CHANGED:
        wanted = recovery_wanted(text)
        if not wanted:
            return Meaning(OK, NONE, "the driver asks for no recovery any more", "")
        what = RECOVERY.get(wanted, "look at 'nvidia-smi -q'")
        return Meaning(FAIL, recovery_step(wanted), "the driver asks for recovery", what)
    if xid in _NVLINK5:
        if re.search(r"\bnon-?fatal\b", text, re.IGNORECASE):
            return _note("NVLink error that was not fatal", "watch the card, reset it if they go on")
        return _reset("fatal NVLink error", "drain the card and reset it; if it comes back, check the NVLink board")
    return XIDS.get(xid) or _note("not a known fault", "look it up in NVIDIA's Xid catalogue")
