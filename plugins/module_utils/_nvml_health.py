# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The verdict on each card from what NVML alone says: ``fail`` must not serve, ``warn`` needs a look.

Signals and severities follow NVIDIA's health validation catalogue. PCIe generation is no signal: it drops at idle.
"""

from __future__ import annotations

from typing import Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._card_actions import (
    DRAIN_AND_RESET,
    REBOOT,
    REPLACE,
    RESTART_APPLICATION,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_card import Reading

# nvml.h, nvmlDeviceGpuRecoveryAction_t
RECOVERY = {
    1: "reset the GPU",
    2: "reboot the host",
    3: "drain the GPU's peer-to-peer traffic",
    4: "drain the GPU, then reset it",
    5: "recover the IMEX domain",
    6: "reset the bus",
    7: "reboot the system",
}
RESETS = frozenset((1, 3, 4))  # the actions that a reset of the drained card answers; the others need the host's reboot
# nvml.h, nvmlClocksEventReasons
SLOWDOWNS = {0x8: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake slowdown"}
FABRIC_WAITING = {1: "not started", 2: "in progress"}
# Parts that are built for NVLink and whose links are missed when they are all down: V100, A100, H100/H200, B200, B300
NVLINK_PARTS = frozenset(("7.0", "8.0", "9.0", "10.0", "10.3"))


def recovery_step(action: int) -> str:
    """What to do about an nvmlDeviceGpuRecoveryAction_t other than "none"; Xid 154 carries the same number."""
    return DRAIN_AND_RESET if action in RESETS else REBOOT


def judge(readings: Sequence[Reading]) -> None:
    """Add what is wrong with each card to its ``fails`` and ``warns``."""
    for reading in readings:
        if reading.handle is not None:
            _memory_errors(reading)
            _nvlinks(reading, readings)
            _state(reading)


def _memory_errors(reading: Reading) -> None:
    ecc = reading.gpu.ecc
    uncorrected = ecc.get("volatile", {}).get("uncorrected", 0)
    if uncorrected:
        text = f"{uncorrected} uncorrectable ECC errors since the driver was loaded: reset the GPU"
        reading.fail(text, DRAIN_AND_RESET)
    rows = ecc.get("remapped_rows", {})
    if rows.get("failure"):
        reading.fail("row remapping failed: the GPU's memory is worn out, replace the card", REPLACE)
    if rows.get("pending"):
        reading.warn("row remapping is pending: reset the GPU at the next drain", DRAIN_AND_RESET)


def _nvlinks(reading: Reading, readings: Sequence[Reading]) -> None:
    ends = reading.link_ends
    if not ends.inactive:
        return
    text = f"{ends.inactive} of {ends.active + ends.inactive} NVLinks are inactive"
    best = max(peer.link_ends.active for peer in readings if peer.gpu.name == reading.gpu.name)
    if ends.to_switch or ends.active < best:
        reading.fail(f"{text}: look for Xid 74 in the kernel log and reset the GPU", DRAIN_AND_RESET)
    elif ends.active:  # a bridge need not use every link a card has
        reading.warn(f"{text}: check the NVLink bridge")


def _state(reading: Reading) -> None:
    if reading.recovery_action:
        action = RECOVERY.get(reading.recovery_action, f"action {reading.recovery_action}")
        reading.fail(f"the driver asks for recovery: {action}", recovery_step(reading.recovery_action))
    if reading.fabric_state in FABRIC_WAITING:
        reading.fail(
            f"the NVLink fabric is {FABRIC_WAITING[reading.fabric_state]}, so CUDA cannot start: "
            "start nvidia-fabricmanager of the driver's own version",
            RESTART_APPLICATION,
        )
    slowdowns = [text for bit, text in SLOWDOWNS.items() if reading.event_reasons & bit]
    if slowdowns:
        reading.warn(f"{', '.join(slowdowns)}: check power supply and cooling")
    width = reading.gpu.pcie_width
    if width and reading.gpu.processes and width["current"] < width["max"]:
        reading.warn(f"PCIe x{width['current']} of x{width['max']} under load: reseat the card or its riser")


def nvlink_warnings(readings: Sequence[Reading]) -> list[str]:
    """All links down on all cards of a kind looks like cards without a bridge, so it is a warning of the host."""
    down = [
        reading.gpu.index
        for reading in readings
        if reading.link_ends.inactive
        and not reading.fails
        and reading.gpu.compute_capability in NVLINK_PARTS
        and not any(peer.link_ends.active for peer in readings)
    ]
    if len(down) < 2:
        return []
    return [f"no NVLink is active on cards {', '.join(map(str, down))}: no bridge is fitted, or the fabric is down"]
