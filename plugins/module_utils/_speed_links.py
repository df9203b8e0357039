# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What one all-reduce costs, by the link that joins the cards: a latency, and bytes over what the link carries.

Constants are medians of published measurements, of all-reduces alone where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._cards import CardData, pcie_gb_s

NVLINK, PCIE_P2P, PCIE = "nvlink", "pcie_p2p", "pcie"
LINKS = (NVLINK, PCIE_P2P, PCIE)


@dataclass(frozen=True)
class LinkCost:
    pair_ms: float  # a small all-reduce between two cards
    more_ms: float  # for each card beyond two
    many_ms: float  # added beyond two cards, where vLLM's own kernel gives way to NCCL
    share: float  # of the data sheet's one-direction bandwidth (bus bandwidth, as nccl-tests count it)


COSTS = {
    # vLLM's one-shot kernel on H100: 8.7 to 9.5 us up to 32 KB for 2, 4, 8 cards (sglang #2904); B300: 7 to 9 us up
    # to 256 KB (vllm #37756). Share: A100 208 of 300 GB/s (nccl-tests #178), H100 370 of 450 (nccl-tests #212), B300
    # about 600 of 900 (vllm #37756).
    NVLINK: LinkCost(0.009, 0.0, 0.0, 0.7),
    # One-shot kernels on RTX PRO 6000: 7.5 us at 1 KB to 9 at 8 KB; beyond two PCIe cards vLLM takes NCCL: 18 to 28 us
    # (both voipmonitor/rtx6kpro, hardware/). Share: 26 of 31.5 GB/s with four 4090 (tinygrad/open-gpu-kernel-modules
    # #36), 22 to 41 of 63 with eight RTX PRO 6000.
    PCIE_P2P: LinkCost(0.009, 0.0, 0.015, 0.6),
    # Staged through host memory: 17 to 20 us NCCL in a graph (sglang #22734), 42 us for eight 4090 (nccl #1530). Share:
    # the median of what prefill with and without peer access or NVLink gives, in GB/s: 5 of 31.5 and 13 of 63
    # (club-3090 #702, #873), 2 of 31.5 (vllm #6955), 1 of 31.5 (databasemart's 4090), 2 of 7.9 (reddit 1kkvqti), and of
    # nccl-tests between sockets: 20 of 31.5 (nccl-tests #178).
    PCIE: LinkCost(0.020, 0.0035, 0.0, 0.18),
}


def link_gb_s(link: str, card: CardData, narrowest_pcie_gb_s: Optional[float]) -> float:
    """One direction, by data sheet; the slot may be narrower than the card."""
    if link == NVLINK and card.nvlink_gb_s:
        return card.nvlink_gb_s / 2
    return narrowest_pcie_gb_s or pcie_gb_s(card.pcie_gen, card.pcie_lanes)


def all_reduce_ms(
    link: str, card: CardData, tp: int, size: float, narrowest_pcie_gb_s: Optional[float] = None
) -> float:
    """One all-reduce of ``size`` bytes over ``tp`` cards."""
    if tp < 2:
        return 0.0
    if link == NVLINK and not card.nvlink_gb_s:
        link = PCIE_P2P
    cost = COSTS[link]
    latency = cost.pair_ms + cost.more_ms * (tp - 2) + (cost.many_ms if tp > 2 else 0.0)
    wire = size * 2 * (tp - 1) / tp
    return latency + wire / (cost.share * link_gb_s(link, card, narrowest_pcie_gb_s) * 1e6)
