# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the makers' data sheets say of a card's speed, by the name NVML gives it.

TFLOPS are dense (no sparsity) with 32-bit accumulation, which is what inference kernels use: GeForce cards run that at
half the rate of the professional cards of their generation. Bandwidths are GB/s (10^9); NVLink is a card's total over
all links and both directions, as data sheets give it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Optional


@dataclass(frozen=True)
class CardData:
    name: str
    bandwidth_gb_s: float
    fp16_tflops: float  # bfloat16 runs at the same rate
    fp8_tflops: float = 0.0  # 0: no such units, 8-bit weights are widened to 16 bits
    int8_tflops: float = 0.0
    fp4_tflops: float = 0.0
    pcie_gen: int = 4
    pcie_lanes: int = 16
    nvlink_gb_s: float = 0.0
    pcie_p2p: bool = False  # do driver and card allow peer access over PCIe at all? (the probe knows for the host)
    estimated: bool = False  # computed from clocks, not from a data sheet


# (pattern of the whole name without "NVIDIA", data). Sources, NVIDIA's unless said otherwise:
# RTX 3090, 4090, 5090: "RTX Blackwell GPU architecture" white paper, table 3 (rows "with FP32 accumulate", dense).
# RTX 3090 Ti, A6000: "Ampere GA102 GPU architecture" white paper; RTX 4080: "Ada GPU architecture" white paper,
#   appendix; 4080 SUPER, 5080, 5070 Ti, 5060 Ti: product pages, AI TOPS (FP4 or FP8 with sparsity) divided down.
# RTX 6000 Ada, RTX PRO 6000: "RTX Blackwell PRO GPU architecture" white paper, table 4. Of the Server Edition the data
#   sheet gives 1597 GB/s and 120 FP32 TFLOPS; its tensor figures are four times that, as for the Workstation Edition.
# T4, A10, A30, A40, L4, L40, L40S, A100, H100, H200, GH200, HGX B200: data sheets; figures "with sparsity" are halved.
# The GeForce driver grants no peer access over PCIe; the probe knows where a patched one does.
_CARDS = (
    # GeForce
    (r"rtx 3090", CardData("RTX 3090", 936.2, 71.2, 0, 284, 0, 4, 16, 112.5)),
    (r"rtx 3090 ti", CardData("RTX 3090 Ti", 1008, 80.0, 0, 320, 0, 4, 16, 112.5)),
    (r"rtx 4080", CardData("RTX 4080", 716.8, 97.5, 194.9, 389.9, 0, 4, 16)),
    (r"rtx 4080 super", CardData("RTX 4080 SUPER", 736.3, 104.4, 208.9, 417.8, 0, 4, 16)),
    (r"rtx 4090", CardData("RTX 4090", 1008, 165.2, 330.3, 660.6, 0, 4, 16)),
    (r"rtx 5060 ti", CardData("RTX 5060 Ti", 448, 47.4, 94.9, 189.8, 379.6, 5, 8)),
    (r"rtx 5070 ti", CardData("RTX 5070 Ti", 896, 87.9, 175.8, 351.5, 703, 5, 16)),
    (r"rtx 5080", CardData("RTX 5080", 960, 112.6, 225.1, 450.2, 900.4, 5, 16)),
    (r"rtx 5090", CardData("RTX 5090", 1792, 209.5, 419, 838, 1676, 5, 16)),
    # professional
    (r"rtx a6000", CardData("RTX A6000", 768, 154.8, 0, 309.7, 0, 4, 16, 112.5, True)),
    (r"rtx 6000 ada generation", CardData("RTX 6000 Ada", 960, 364.2, 728.5, 728.5, 0, 4, 16, 0, True)),
    (
        r"rtx pro 6000 blackwell workstation edition",
        CardData("RTX PRO 6000 Workstation", 1792, 503.8, 1007.6, 1007.6, 2015.2, 5, 16, 0, True),
    ),
    (
        r"rtx pro 6000 blackwell max q workstation edition",
        CardData("RTX PRO 6000 Max-Q", 1792, 438.9, 877.8, 877.8, 1755.5, 5, 16, 0, True),
    ),
    (
        r"rtx pro 6000 blackwell server edition",
        CardData("RTX PRO 6000 Server", 1597, 480, 960, 960, 1920, 5, 16, 0, True),
    ),
    # data centre, PCIe only
    (r"t4", CardData("T4", 320, 65, 0, 130, 0, 3, 16, 0, True)),
    (r"a10", CardData("A10", 600, 125, 0, 250, 0, 4, 16, 0, True)),
    (r"l4", CardData("L4", 300, 121, 242.5, 242.5, 0, 4, 16, 0, True)),
    (r"l40", CardData("L40", 864, 181.05, 362, 362, 0, 4, 16, 0, True)),
    (r"l40s", CardData("L40S", 864, 362.05, 733, 733, 0, 4, 16, 0, True)),
    # data centre, NVLink (of the PCIe cards only where bridges are fitted: the probe knows)
    (r"a30", CardData("A30", 933, 165, 0, 330, 0, 4, 16, 200, True)),
    (r"a40", CardData("A40", 696, 149.7, 0, 299.3, 0, 4, 16, 112.5, True)),
    (r"a100 (pcie 40gb|40gb pcie)", CardData("A100 PCIe 40GB", 1555, 312, 0, 624, 0, 4, 16, 600, True)),
    (r"a100 (pcie 80gb|80gb pcie)", CardData("A100 PCIe 80GB", 1935, 312, 0, 624, 0, 4, 16, 600, True)),
    (r"a100 sxm4? 40gb", CardData("A100 SXM 40GB", 1555, 312, 0, 624, 0, 4, 16, 600, True)),
    (r"a100 sxm4? 80gb", CardData("A100 SXM 80GB", 2039, 312, 0, 624, 0, 4, 16, 600, True)),
    (r"h100 pcie|h100 80gb hbm2e", CardData("H100 PCIe", 2000, 756, 1513, 1513, 0, 5, 16, 600, True)),
    (r"h100 nvl", CardData("H100 NVL", 3900, 835.5, 1670.5, 1670.5, 0, 5, 16, 600, True)),
    (r"h100 80gb hbm3|h100 sxm5?( 80gb)?", CardData("H100 SXM", 3350, 989.4, 1978.9, 1978.9, 0, 5, 16, 900, True)),
    (r"h200( sxm5?)?( 141gb( hbm3e)?)?", CardData("H200 SXM", 4800, 989.5, 1979, 1979, 0, 5, 16, 900, True)),
    (r"h200 nvl", CardData("H200 NVL", 4800, 835.5, 1670.5, 1670.5, 0, 5, 16, 900, True)),
    (r"gh200 480gb", CardData("GH200 96GB", 4000, 990, 1979, 1979, 0, 5, 16, 900, True)),
    (r"gh200 144gb? hbm3e", CardData("GH200 144GB", 4900, 990, 1979, 1979, 0, 5, 16, 900, True)),
    (r"b200( sxm6?)?( 180gb| 192gb)?", CardData("B200", 8000, 2250, 4500, 4500, 9000, 5, 16, 1800, True)),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern), data) for pattern, data in _CARDS)
_BRANDS = ("nvidia ", "geforce ", "tesla ")
# GB/s of one lane and direction after line coding, by PCIe generation (PCI-SIG)
_LANE_GB_S = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
# 16-bit tensor operations (two a multiply-add) a CUDA core and clock; gives the data sheets' TFLOPS within 5 %
_TENSOR_RATE = {(7, 5): 16, (8, 0): 32, (9, 0): 32, (10, 0): 60, (10, 3): 60}
_TENSOR_RATE_ELSE = 8  # cores of 8.6, 8.9, 12.x; GeForce runs half of it with 32-bit accumulation


def short_name(name: str) -> str:
    """``RTX 5090``: as people call it in a table."""
    return " ".join(word for word in name.split() if word not in ("NVIDIA", "GeForce"))


def plain_name(name: str) -> str:
    """ "NVIDIA GeForce RTX 4090" -> "rtx 4090": lower case, one blank between words, without the brand."""
    low = " ".join(re.sub(r"[^a-z0-9.]+", " ", name.lower()).split())
    for brand in _BRANDS:
        if low.startswith(brand):
            low = low[len(brand) :]
    return low


@lru_cache(maxsize=64)
def card_data(name: str) -> Optional[CardData]:
    """The data of the card with that NVML name; None where it is not known (also for laptop parts and MIG slices)."""
    low = plain_name(name)
    return next((data for pattern, data in _PATTERNS if pattern.fullmatch(low)), None)


def pcie_gb_s(gen: int, lanes: int) -> float:
    """What a link carries in one direction; 0 where the generation is not known."""
    return _LANE_GB_S.get(gen, 0.0) * max(lanes, 0)


def estimated_card(
    name: str,
    compute_capability: str,
    memory_clock_mhz: int,
    memory_bus_bits: int,
    cores: int = 0,
    sm_clock_mhz: int = 0,
    pcie_gen: int = 4,
    pcie_lanes: int = 16,
) -> Optional[CardData]:
    """A card that is in no table, from what NVML says of its clocks (their maxima).

    NVML's memory clock counts half the transfers: 10501 MHz x 2 x 384 bit = 1008 GB/s on an RTX 4090.
    """
    if memory_clock_mhz <= 0 or memory_bus_bits <= 0:
        return None
    found = re.match(r"(\d+)\.(\d+)", compute_capability)
    capability = (int(found.group(1)), int(found.group(2))) if found else (8, 6)
    bandwidth = memory_clock_mhz * 2 * memory_bus_bits / 8 / 1000
    geforce = "geforce" in name.lower()
    half = 2 if geforce and capability not in _TENSOR_RATE else 1  # accumulating in 32-bit floats
    full = _TENSOR_RATE.get(capability, _TENSOR_RATE_ELSE) * cores * sm_clock_mhz / 1e6
    if full <= 0:  # the cards of the table do 70 to 400 operations a byte: the low end is the safe one
        full = 0.07 * bandwidth * half
    fp8 = 2 * full / half if capability >= (8, 9) else 0.0
    fp4 = 4 * full if capability >= (10, 0) else 0.0
    return CardData(
        name, bandwidth, full / half, fp8, 2 * full, fp4, pcie_gen, pcie_lanes, 0.0, not geforce, estimated=True
    )
