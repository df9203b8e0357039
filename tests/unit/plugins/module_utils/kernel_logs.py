# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel logs for tests: what a healthy host with NVIDIA cards writes in a day, and lines of faults."""

from __future__ import annotations

import json
from typing import Iterable, Optional

BOOTED = 1_795_500_000.0  # seconds since 1970
ADDRESSES = ("0000:01:00", "0000:25:00", "0000:81:00", "0000:c1:00")

_BOOT = """\
Linux version 6.8.0-88-generic (builder@host) (x86_64-linux-gnu-gcc-13) #89-Ubuntu SMP PREEMPT_DYNAMIC
Command line: BOOT_IMAGE=/vmlinuz root=/dev/mapper/vg-root ro iommu=pt pci=realloc
DMAR: Host address width 52
ACPI: PCI Root Bridge [PC00] (domain 0000 [bus 00-16])
EDAC MC0: Giving out device to module i10nm_edac controller Intel_10nm Socket#0 IMC#0
nvme nvme0: 64/0/0 default/read/poll queues
XFS (dm-3): Mounting V5 Filesystem 5f2c
XFS (dm-3): Ending clean mount
systemd[1]: Inserted module 'autofs4'
nvidia: loading out-of-tree module taints kernel.
nvidia: module verification failed: signature and/or required key missing - tainting kernel
nvidia-nvlink: Nvlink Core is being initialized, major device number 235
nvidia-nvswitch0: using MSI-X
NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22-I3-AM13-26-3)
nvidia-modeset: Loading NVIDIA UNIX Open Kernel Mode Setting Driver for x86_64  580.95.05  Release Build
nvidia-uvm: Loaded the UVM driver, major device number 511.
nvidia_uvm: module uses symbols nvUvmInterfaceDisableAccessCntr from proprietary module nvidia, inheriting taint.
audit: type=1400 audit(1795500031.700:2): apparmor="STATUS" operation="profile_load" name="nvidia_modprobe"
"""
_CARD = """\
pci {0}.0: [10de:2684] type 00 class 0x030000 PCIe Legacy Endpoint
pci {0}.0: BAR 1 [mem 0x38000000000-0x387ffffffff 64bit pref]
pci {0}.0: 63.008 Gb/s available PCIe bandwidth, limited by 8.0 GT/s PCIe x8 link (capable of 252.048 Gb/s)
nvidia {0}.0: enabling device (0000 -> 0003)
nvidia {0}.0: vgaarb: VGA decodes changed: olddecodes=io+mem,decodes=none:owns=none
[drm] [nvidia-drm] [GPU ID 0x00000100] Loading driver
[drm] Initialized nvidia-drm 0.0.0 for {0}.0 on minor 1
nvidia-gpu {0}.3: i2c timeout error e0000000
snd_hda_intel {0}.1: Disabling MSI
"""
_HOUR = """\
pcieport 0000:00:01.0: AER: Corrected error message received from {0}.0
nvidia {0}.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)
nvidia {0}.0:   device [10de:2684] error status/mask=00000001/0000a000
nvidia {0}.0:    [ 0] RxErr                  (First)
nvidia-uvm: Loaded the UVM driver, major device number 511.
NVRM: GPU0 knvlinkCoreGetRemoteDeviceInfo: link is not trained, skipped
NVRM: API mismatch: the client 'nvidia-smi' (pid 4711) has the version 575.57.08, but this kernel module 580.95.05.
NVRM: Persistence mode is deprecated and will be removed in a future release. Please use nvidia-persistenced instead.
nfs: RPC: xid 0x79484695 timed out, server filer not responding, still trying
audit: type=1400 audit(1795501111.1:79): apparmor="DENIED" name="NVRM: Xid (PCI:{0}): 79, quoted" comm="Xid"
systemd-journald[611]: quoted from elsewhere kernel: NVRM: Xid (PCI:{0}): 48, pid=1, quoted in another message
perf: interrupt took too long (2512 > 2500), lowering kernel.perf_event_max_sample_rate to 79000
mce: [Hardware Error]: Machine check events logged
EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x79 offset:0x48)
CPU3: Core temperature/speed normal
TCP: request_sock_TCP: Possible SYN flooding on port 127.0.0.1:8001. Sending cookies.
vllm[2222]: segfault at 48 ip 00007f0000000079 sp 00007ffd00000094 error 4 in libpython3.12.so[7f0000000000+79000]
usb 1-14: New USB device found, idVendor=046b, idProduct=ffb0, bcdDevice= 1.00
IPv6: ADDRCONF(NETDEV_CHANGE): eno1: link becomes ready
"""


def healthy(hours: int = 24) -> list[str]:
    """Messages of a boot and a day without a fault."""
    lines = _BOOT.splitlines()
    for address in ADDRESSES:
        lines += _CARD.format(address).splitlines()
    for hour in range(hours):
        lines += _HOUR.format(ADDRESSES[hour % len(ADDRESSES)]).splitlines()
    return lines


def dmesg(messages: Iterable[str], start: float = 0.0, step: float = 1.0) -> str:
    return "\n".join(f"[{start + n * step:12.6f}] {text}" for n, text in enumerate(messages))


def entry(message: str, when: Optional[float] = BOOTED, identifier: str = "kernel") -> str:
    """One line of ``journalctl -o json``."""
    stamp = {} if when is None else {"__REALTIME_TIMESTAMP": str(int(when * 1e6))}
    return json.dumps({"_TRANSPORT": "kernel", "SYSLOG_IDENTIFIER": identifier, "MESSAGE": message, **stamp})


def journal(messages: Iterable[str], start: float = BOOTED, step: float = 1.0) -> str:
    return "\n".join(entry(text, start + n * step) for n, text in enumerate(messages))


def xid(number: int, address: str = ADDRESSES[0], text: str = "pid='<unknown>', name=<unknown>, something") -> str:
    return f"NVRM: Xid (PCI:{address}): {number}, {text}"
