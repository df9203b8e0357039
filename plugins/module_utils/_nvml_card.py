# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""One card read through NVML. What a card or its driver does not offer stays at its default; what fails is kept."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._card_actions import (
    DRAIN_AND_RESET,
    NONE,
    REBOOT,
    worst_action,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_links import (
    LinkEnds,
    pci_address,
    read_link_ends,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu, MigDevice

LOST = "the GPU is lost (it fell off the bus): look for Xid 79 in the kernel log, then reboot or reseat the card"

# nvml.h, nvmlReturn_t: answers that mean "this card, driver or user has no such thing" and are no fault:
# INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND, NO_DATA, VGPU_ECC_NOT_SUPPORTED,
# ARGUMENT_VERSION_MISMATCH, DEPRECATED, NOT_READY, GPU_NOT_FOUND
NOT_OFFERED = frozenset((2, 3, 4, 6, 13, 21, 22, 25, 26, 27, 28))
GPU_IS_LOST = 15
RESET_REQUIRED = 16

MEMORY_V2 = 0x02000028  # nvml.h, nvmlMemory_v2: without it there is no "reserved"
FI_GPU_RECOVERY_ACTION = 230  # nvml.h, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION


class Ask:
    """Call NVML by name. Returns ``default`` instead of raising and keeps the failures that point at a fault."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.lost = False
        self.reset_required = False
        self.failed: dict[str, str] = {}

    def __call__(self, name: str, *args: Any, default: Any = None) -> Any:
        function = getattr(self.nvml, name, None)
        if function is None:  # an older pynvml
            return default
        try:
            return function(*args)
        except self.nvml.NVMLError as exc:
            code = getattr(exc, "value", 0)
            if code == GPU_IS_LOST:
                self.lost = True
            elif code == RESET_REQUIRED:
                self.reset_required = True
            elif code not in NOT_OFFERED:
                self.failed[name] = str(exc)
        except (TypeError, UnicodeDecodeError):  # an older pynvml without that argument; a name that is no UTF-8
            pass
        return default


@dataclass
class Reading:
    """A card while it is being judged: what NVML said of it, and what is wrong with it."""

    gpu: Gpu
    handle: Any = None
    link_ends: LinkEnds = field(default_factory=LinkEnds)
    event_reasons: int = 0
    recovery_action: int = 0
    fabric_state: int = 0
    fails: list[str] = field(default_factory=list)
    warns: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)

    def fail(self, reason: str, action: str) -> None:
        self.fails.append(reason)
        self.actions.append(action)

    def warn(self, reason: str, action: str = NONE) -> None:
        self.warns.append(reason)
        self.actions.append(action)

    def finished(self) -> Gpu:
        verdict = "fail" if self.fails else "warn" if self.warns else "ok"
        health = {"verdict": verdict, "reasons": self.fails + self.warns, "action": worst_action(self.actions)}
        return replace(self.gpu, health=health)


def lost_card(index: int, reason: str) -> Reading:
    """A card NVML counts but cannot open: it keeps its index, so that the other cards keep theirs."""
    gpu = Gpu(index=index, uuid="", name="unknown", memory_total_bytes=0, memory_reserved_bytes=0, memory_free_bytes=0)
    reading = Reading(gpu=gpu)
    reading.fail(reason, REBOOT)
    return reading


def read_card(nvml: Any, index: int, handle: Any, sysfs: str) -> Reading:
    ask = Ask(nvml)
    total, reserved, free = _memory(ask, handle)
    major_minor = ask("nvmlDeviceGetCudaComputeCapability", handle)
    address = pci_address(ask("nvmlDeviceGetPciInfo", handle))
    link_ends = read_link_ends(ask, handle)
    mig_mode, mig_devices = _mig(ask, handle)
    gpu = Gpu(
        index=index,
        uuid=str(ask("nvmlDeviceGetUUID", handle, default="")),
        name=str(ask("nvmlDeviceGetName", handle, default="unknown")),
        memory_total_bytes=total,
        memory_reserved_bytes=reserved,
        memory_free_bytes=free,
        compute_capability="{}.{}".format(*major_minor) if major_minor else "",
        pci_bus_id=address,
        pcie_gen=_pcie(ask, handle, "Generation"),
        pcie_width=_pcie(ask, handle, "Width"),
        numa_node=_numa_node(sysfs, address),
        mig_mode=mig_mode,
        mig_devices=mig_devices,
        ecc=_ecc(ask, handle),
        processes=_processes(ask, handle),
        nvlink=link_ends.to_dict(),
    )
    reading = Reading(gpu=gpu, handle=handle, link_ends=link_ends)
    reading.event_reasons = _event_reasons(ask, handle)
    reading.recovery_action = _recovery_action(ask, handle)
    reading.fabric_state = _fabric_state(ask, handle)
    if ask.lost:
        reading.fail(LOST, REBOOT)
    if ask.reset_required:
        text = f"the GPU needs a reset: stop what uses it, then nvidia-smi --gpu-reset -i {index}"
        reading.fail(text, DRAIN_AND_RESET)
    if not total and not reading.fails:
        reading.fail("NVML does not say how much memory the GPU has", REBOOT)
    for name, text in sorted(ask.failed.items()):
        reading.warn(f"{name} failed: {text}")
    return reading


def _memory(ask: Ask, handle: Any) -> tuple[int, int, int]:
    info = ask("nvmlDeviceGetMemoryInfo", handle, MEMORY_V2)
    if info is not None:
        return int(info.total), int(info.reserved), int(info.free)
    info = ask("nvmlDeviceGetMemoryInfo", handle)  # drivers before branch 510
    return (int(info.total), 0, int(info.free)) if info is not None else (0, 0, 0)


def _pcie(ask: Ask, handle: Any, what: str) -> dict[str, int]:
    current = ask(f"nvmlDeviceGetCurrPcieLink{what}", handle)
    highest = ask(f"nvmlDeviceGetMaxPcieLink{what}", handle)
    return {"current": int(current), "max": int(highest)} if current is not None and highest is not None else {}


def _numa_node(sysfs: str, address: str) -> Any:
    try:
        with open(os.path.join(sysfs, "bus/pci/devices", address, "numa_node"), encoding="ascii") as handle:
            node = int(handle.read())
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None  # -1: the firmware does not say


def _mig(ask: Ask, handle: Any) -> tuple[str, tuple[MigDevice, ...]]:
    mode = ask("nvmlDeviceGetMigMode", handle)
    if mode is None:
        return "unsupported", ()
    if not mode[0]:
        return "disabled", ()
    devices = []
    for index in range(int(ask("nvmlDeviceGetMaxMigDeviceCount", handle, default=0))):
        slice_handle = ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        if slice_handle is None:
            continue
        total, reserved, free = _memory(ask, slice_handle)
        devices.append(
            MigDevice(
                uuid=str(ask("nvmlDeviceGetUUID", slice_handle, default="")),
                name=str(ask("nvmlDeviceGetName", slice_handle, default="")),
                memory_total_bytes=total,
                memory_free_bytes=min(free, total - reserved),
            )
        )
    return "enabled", tuple(devices)


def _ecc(ask: Ask, handle: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"mode": "unsupported"}
    mode = ask("nvmlDeviceGetEccMode", handle)
    if mode is not None:
        out["mode"], out["pending_mode"] = ("enabled" if on else "disabled" for on in mode)
    for counter, name in ((0, "volatile"), (1, "aggregate")):
        counts = [ask("nvmlDeviceGetTotalEccErrors", handle, kind, counter) for kind in (0, 1)]
        if None not in counts:
            out[name] = {"corrected": int(counts[0]), "uncorrected": int(counts[1])}
    rows = ask("nvmlDeviceGetRemappedRows", handle)
    if rows is not None:
        out["remapped_rows"] = {
            "corrected": int(rows[0]),
            "uncorrected": int(rows[1]),
            "pending": bool(rows[2]),
            "failure": bool(rows[3]),
        }
    return out


def _processes(ask: Ask, handle: Any) -> tuple[dict[str, Any], ...]:
    found = ask("nvmlDeviceGetComputeRunningProcesses_v3", handle)
    if found is None:
        found = ask("nvmlDeviceGetComputeRunningProcesses_v2", handle, default=())
    return tuple(
        {
            "pid": int(process.pid),
            "name": str(ask("nvmlSystemGetProcessName", process.pid, default="")),
            "memory_bytes": None if process.usedGpuMemory is None else int(process.usedGpuMemory),
        }
        for process in found
    )


def _event_reasons(ask: Ask, handle: Any) -> int:
    reasons = ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if reasons is None:
        reasons = ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle, default=0)  # its name before branch 535
    return int(reasons)


def _recovery_action(ask: Ask, handle: Any) -> int:
    values = ask("nvmlDeviceGetFieldValues", handle, [FI_GPU_RECOVERY_ACTION])
    return int(values[0].value.uiVal) if values is not None and values[0].nvmlReturn == 0 else 0


def _fabric_state(ask: Ask, handle: Any) -> int:
    """NVML_GPU_FABRIC_STATE_*: 0 not on a fabric, 1 not started, 2 in progress, 3 completed."""
    new = getattr(ask.nvml, "c_nvmlGpuFabricInfo_v2_t", None)
    if new is None:
        return 0
    info = new()
    answered = ask("nvmlDeviceGetGpuFabricInfoV", handle, ctypes.byref(info), default=False)
    return int(info.state) if answered is not False else 0
