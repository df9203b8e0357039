# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How cards are joined: NVLink (bridges and NVSwitch), peer-to-peer access, and the path over PCIe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._types import Link

# nvml.h: nvmlGpuTopologyLevel_t in nvidia-smi's words (INTERNAL is a board with two GPUs)
PATHS = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
# nvml.h, NVML_NVLINK_VERSION_*: an enumeration, not the generation itself (1.0, 2.0, 2.2, 3.0, 3.1, 4.0, 5.0, 6.0)
NVLINK_GENERATION = {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 5, 8: 6}
MAX_LINKS = 36  # more than any card has; NVML calls a number beyond the card's own an invalid argument
REMOTE_IS_SWITCH = 2  # nvmlIntNvLinkDeviceType_t
P2P_READ = 0  # pynvml's NVML_P2P_CAPS_INDEX_READ is a tuple by mistake
P2P_OK = 0


@dataclass(frozen=True)
class LinkEnds:
    """Where one card's NVLinks go."""

    active: int = 0
    inactive: int = 0
    version: int = 0
    to_switch: int = 0
    to_cards: dict[str, int] = field(default_factory=dict)  # links by the PCI address of the other card

    def to_dict(self) -> dict[str, int]:
        if not self.active and not self.inactive:
            return {}
        return {"active": self.active, "inactive": self.inactive, "version": self.version}

    def count_to(self, address: str, other: LinkEnds) -> int:
        """Every card on a switch reaches every other with all its links."""
        return self.to_cards.get(address, 0) + min(self.to_switch, other.to_switch)


def pci_address(info: Any) -> str:
    """NVML's "00000000:41:00.0" in the form of sysfs and lspci, "0000:41:00.0"."""
    if info is None:
        return ""
    return f"{int(info.domain):04x}:{int(info.bus):02x}:{int(info.device):02x}.0"


def read_link_ends(ask: Callable[..., Any], handle: Any) -> LinkEnds:
    active = inactive = version = to_switch = 0
    to_cards: dict[str, int] = {}
    for link in range(MAX_LINKS):
        state = ask("nvmlDeviceGetNvLinkState", handle, link)
        if state is None:
            continue
        if not state:
            inactive += 1
            continue
        active += 1
        if not version:
            version = NVLINK_GENERATION.get(int(ask("nvmlDeviceGetNvLinkVersion", handle, link, default=0)), 0)
        if ask("nvmlDeviceGetNvLinkRemoteDeviceType", handle, link) == REMOTE_IS_SWITCH:
            to_switch += 1
            continue
        address = pci_address(ask("nvmlDeviceGetNvLinkRemotePciInfo", handle, link))
        if address:
            to_cards[address] = to_cards.get(address, 0) + 1
    return LinkEnds(active, inactive, version, to_switch, to_cards)


def link_matrix(ask: Callable[..., Any], readings: Sequence[Any]) -> tuple[tuple[Link, ...], ...]:
    return tuple(tuple(_link(ask, one, other) for other in readings) for one in readings)


def _link(ask: Callable[..., Any], one: Any, other: Any) -> Link:
    if one is other:
        return Link(0, True, "X")
    if one.handle is None or other.handle is None:
        return Link()
    count = one.link_ends.count_to(other.gpu.pci_bus_id, other.link_ends)
    p2p = ask("nvmlDeviceGetP2PStatus", one.handle, other.handle, P2P_READ) == P2P_OK
    level = ask("nvmlDeviceGetTopologyCommonAncestor", one.handle, other.handle)
    return Link(count, p2p, "NVL" if count else PATHS.get(level, "SYS"))
