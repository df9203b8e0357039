# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What a host's NVIDIA cards are, how they are joined and whether they are well, read through pynvml (nvidia-ml-py).

A host without a card is a valid answer (an empty Probe). A card that cannot be read is a ProbeError: serving on the
CPU because a driver is broken must never happen unnoticed.
"""

from __future__ import annotations

import ctypes
import glob
import importlib
import importlib.util
import os
import re
import sys
from dataclasses import replace
from typing import Any, Callable, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ProbeError
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_card import (
    LOST,
    Ask,
    Reading,
    lost_card,
    read_card,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_health import judge, nvlink_warnings
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_links import link_matrix
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Probe

LIBRARY = "libnvidia-ml.so.1"
INSTALL_DRIVER = (
    "install the NVIDIA driver, branch 580 or newer (with the open kernel modules for RTX 50 and later), and reboot"
)

# nvml.h, nvmlReturn_t and nvmlInitFlags
NO_PERMISSION = 4
NOT_FOUND = 6
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
LIB_RM_VERSION_MISMATCH = 18
GPU_NOT_FOUND = 28
INIT_FLAG_NO_GPUS = 1


class PynvmlMissing(ProbeError):
    """NVML is there but the Python binding is not; the action plugin can bring it along."""


class NoneListed(ProbeError):
    """The driver works but lists no card, although the PCI bus has some: they may all have been lost."""


# ---------------------------------------------------------------- what the PCI bus and the kernel say


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def _pci_driver(sysfs: str, address: str) -> str:
    link = os.path.join(sysfs, "bus/pci/devices", address, "driver")
    return os.path.basename(os.path.realpath(link)) if os.path.islink(link) else ""


def pci_nvidia_cards(sysfs: str = "/sys") -> list[str]:
    """The PCI addresses ("0000:41:00.0") of the NVIDIA display and 3D controllers this host itself can use."""
    found = []
    for path in sorted(glob.glob(os.path.join(sysfs, "bus/pci/devices/*"))):
        if _read(os.path.join(path, "vendor")).lower() != "0x10de":
            continue
        if not _read(os.path.join(path, "class")).lower().startswith(("0x0300", "0x0302")):
            continue
        # A card given away to a virtual machine, and an SR-IOV function of a card, are not this host's cards.
        if _pci_driver(sysfs, os.path.basename(path)) == "vfio-pci" or os.path.islink(os.path.join(path, "physfn")):
            continue
        found.append(os.path.basename(path).lower())
    return found


def kernel_driver_version(proc: str = "/proc") -> str:
    """The version of the loaded NVIDIA kernel module, empty where none is loaded."""
    match = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", _read(os.path.join(proc, "driver/nvidia/version")))
    return match.group(1) if match else ""


def _library_version(nvml: Any) -> str:
    """The version of the loaded library. Its file name carries it; NVML itself may not answer before it is up."""
    for line in _read("/proc/self/maps").splitlines():
        match = re.search(r"libnvidia-ml\.so\.(\d{3,}\.\d+(?:\.\d+)?)$", line)
        if match:
            return match.group(1)
    version = Ask(nvml)("nvmlSystemGetNVMLVersion", default="")
    return str(version).split(".", 1)[-1] if version else ""


def library_loadable() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


# ---------------------------------------------------------------- pynvml


# an option of every module that asks NVML
PYNVML_PATH: dict[str, Any] = {
    "pynvml_path": {
        "type": "list",
        "elements": "path",
        "default": ["/opt/gpuserve/tools/lib/python3*/site-packages"],
    },
}


def load_pynvml(paths: Sequence[str] = ()) -> Any:
    """pynvml from the first of ``paths`` (glob patterns allowed) that holds it, else the interpreter's own, else None.

    It is loaded from its file, since putting another environment's site-packages on sys.path would affect more.
    """
    for pattern in paths:
        for directory in sorted(glob.glob(os.path.expanduser(pattern)), reverse=True):
            path = os.path.join(directory, "pynvml.py")
            if not os.path.isfile(path):
                continue
            spec = importlib.util.spec_from_file_location("pynvml", path)
            if spec is None or spec.loader is None:
                continue
            module = importlib.util.module_from_spec(spec)
            sys.modules["pynvml"] = module  # pynvml looks itself up there while it is being loaded
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules["pynvml"]
                raise
            return module
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


# ---------------------------------------------------------------- errors that say what to do


def _where(cards: Sequence[str]) -> str:
    return f"NVIDIA card{'s' if len(cards) > 1 else ''} on the PCI bus ({', '.join(cards)})"


def _init_error(nvml: Any, code: int, text: str, cards: Sequence[str], sysfs: str, proc: str) -> Optional[ProbeError]:
    """The error for NVML not coming up, or None where there simply is nothing to read."""
    if code == LIB_RM_VERSION_MISMATCH:
        kernel, library = kernel_driver_version(proc) or "unknown", _library_version(nvml) or "unknown"
        return ProbeError(
            f"NVIDIA driver and library versions differ (kernel {kernel}, library {library}): "
            "reboot, or stop everything that uses the cards and reload the nvidia modules"
        )
    if not cards and code in (LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED, NOT_FOUND, GPU_NOT_FOUND):
        return None
    if code == LIBRARY_NOT_FOUND:
        return ProbeError(f"{_where(cards)} but {LIBRARY} is not there: {INSTALL_DRIVER}")
    if code == DRIVER_NOT_LOADED:
        holder = next((driver for driver in (_pci_driver(sysfs, card) for card in cards) if driver), "")
        if holder == "nouveau":
            return ProbeError(f"{_where(cards)} held by the nouveau driver: blacklist nouveau; {INSTALL_DRIVER}")
        return ProbeError(
            f"{_where(cards)} but the nvidia kernel module is not loaded: run 'modprobe nvidia' and look at "
            f"'dmesg | grep -i -e nvrm -e nvidia' if that fails (module not built for this kernel, or Secure Boot)"
        )
    if code in (NOT_FOUND, GPU_NOT_FOUND):
        return _none_listed(cards)
    if code == NO_PERMISSION:
        return ProbeError(f"NVML refused access to /dev/nvidia* ({text}): run the task with become: true")
    return ProbeError(f"NVML does not come up ({text}, code {code}): look at 'dmesg | grep NVRM', then reboot the host")


def _none_listed(cards: Sequence[str]) -> NoneListed:
    return NoneListed(
        f"{_where(cards)} but the NVIDIA driver lists none: look at 'dmesg | grep NVRM' (RTX 50 and later need the "
        "open kernel modules; old cards need an older branch; Xid 79 means the card fell off the bus)"
    )


# ---------------------------------------------------------------- the probe


def probe(
    pynvml_module: Any = None,
    sysfs: str = "/sys",
    proc: str = "/proc",
    also: Optional[Callable[[Any, Probe], None]] = None,
) -> Probe:
    """Read all cards and links through ``pynvml_module``; without one the interpreter's own is imported.

    ``also`` is called with the module and what was found while NVML is still up, since starting it is the slow part.
    """
    cards = pci_nvidia_cards(sysfs)
    nvml = pynvml_module
    if nvml is None:
        if not library_loadable():
            error = _init_error(None, LIBRARY_NOT_FOUND, "", cards, sysfs, proc)
            if error is not None:
                raise error
            return Probe()
        nvml = load_pynvml()
        if nvml is None:
            raise PynvmlMissing(
                f"{LIBRARY} is there but the Python module pynvml is not: pip install nvidia-ml-py for the host's "
                "Python, or on the controller"
            )
    try:
        # Without the flag NVML calls a driver without cards an error.
        if hasattr(nvml, "nvmlInitWithFlags"):
            nvml.nvmlInitWithFlags(INIT_FLAG_NO_GPUS)
        else:
            nvml.nvmlInit()
    except nvml.NVMLError as exc:
        error = _init_error(nvml, int(getattr(exc, "value", 0)), str(exc), cards, sysfs, proc)
        if error is not None:
            raise error from exc
        return Probe()
    try:
        found = _read_all(nvml, cards, sysfs)
        if also is not None:
            also(nvml, found)
        return found
    finally:
        Ask(nvml)("nvmlShutdown")


def _read_all(nvml: Any, cards: Sequence[str], sysfs: str) -> Probe:
    ask = Ask(nvml)
    try:
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as exc:
        raise ProbeError(f"NVML cannot count the cards ({exc}): look at 'dmesg | grep NVRM', then reboot") from exc
    if not count and cards:
        raise _none_listed(cards)
    readings = [_read_one(nvml, index, sysfs) for index in range(count)]
    warnings = _match_bus(readings, cards)
    judge(readings)
    warnings += nvlink_warnings(readings)
    cuda = ask("nvmlSystemGetCudaDriverVersion_v2")
    if cuda is None:
        cuda = ask("nvmlSystemGetCudaDriverVersion", default=0)
    return Probe(
        gpus=tuple(reading.finished() for reading in readings),
        links=link_matrix(ask, readings),
        driver_version=str(ask("nvmlSystemGetDriverVersion", default="")),
        cuda_driver_version=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        warnings=tuple(warnings),
    )


def _read_one(nvml: Any, index: int, sysfs: str) -> Reading:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as exc:
        return lost_card(index, LOST if getattr(exc, "value", 0) == 15 else f"NVML cannot open the card: {exc}")
    return read_card(nvml, index, handle, sysfs)


def _match_bus(readings: list[Reading], cards: Sequence[str]) -> list[str]:
    """Give lost cards their address where it is certain, and say which cards of the bus NVML does not list."""
    listed = {reading.gpu.pci_bus_id for reading in readings}
    unlisted = [card for card in cards if card not in listed]
    nameless = [reading for reading in readings if not reading.gpu.pci_bus_id]
    if nameless and len(nameless) == len(unlisted):  # NVML numbers cards in the order of the bus
        for reading, address in zip(nameless, unlisted):
            reading.gpu = replace(reading.gpu, pci_bus_id=address)
        unlisted = []
    if len(cards) <= len(readings):
        return []
    return [
        f"NVIDIA card {address} is on the PCI bus but NVML does not list it: it fell off the bus (Xid 79 in the kernel "
        "log), is too old or too new for this driver, or is not passed to this machine"
        for address in unlisted
    ]
