# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._cards import (
    _CARDS,
    card_data,
    estimated_card,
    pcie_gb_s,
    plain_name,
)

# name as NVML reports it, the card meant, GB/s, dense FP16 TFLOPS
KNOWN = (
    ("NVIDIA GeForce RTX 3090", "RTX 3090", 936.2, 71.2),
    ("NVIDIA GeForce RTX 3090 Ti", "RTX 3090 Ti", 1008, 80.0),
    ("NVIDIA GeForce RTX 4080", "RTX 4080", 716.8, 97.5),
    ("NVIDIA GeForce RTX 4080 SUPER", "RTX 4080 SUPER", 736.3, 104.4),
    ("NVIDIA GeForce RTX 4090", "RTX 4090", 1008, 165.2),
    ("NVIDIA GeForce RTX 5060 Ti", "RTX 5060 Ti", 448, 47.4),
    ("NVIDIA GeForce RTX 5070 Ti", "RTX 5070 Ti", 896, 87.9),
    ("NVIDIA GeForce RTX 5080", "RTX 5080", 960, 112.6),
    ("NVIDIA GeForce RTX 5090", "RTX 5090", 1792, 209.5),
    ("NVIDIA RTX A6000", "RTX A6000", 768, 154.8),
    ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", 960, 364.2),
    ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 Workstation", 1792, 503.8),
    ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "RTX PRO 6000 Max-Q", 1792, 438.9),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Server", 1597, 480),
    ("Tesla T4", "T4", 320, 65),
    ("NVIDIA A10", "A10", 600, 125),
    ("NVIDIA A30", "A30", 933, 165),
    ("NVIDIA A40", "A40", 696, 149.7),
    ("NVIDIA L4", "L4", 300, 121),
    ("NVIDIA L40", "L40", 864, 181.05),
    ("NVIDIA L40S", "L40S", 864, 362.05),
    ("NVIDIA A100-PCIE-40GB", "A100 PCIe 40GB", 1555, 312),
    ("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB", 1935, 312),
    ("NVIDIA A100-SXM4-40GB", "A100 SXM 40GB", 1555, 312),
    ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB", 2039, 312),
    ("NVIDIA H100 PCIe", "H100 PCIe", 2000, 756),
    ("NVIDIA H100 NVL", "H100 NVL", 3900, 835.5),
    ("NVIDIA H100 80GB HBM3", "H100 SXM", 3350, 989.4),
    ("NVIDIA H200", "H200 SXM", 4800, 989.5),
    ("NVIDIA H200 NVL", "H200 NVL", 4800, 835.5),
    ("NVIDIA GH200 480GB", "GH200 96GB", 4000, 990),
    ("NVIDIA B200", "B200", 8000, 2250),
)


@pytest.mark.parametrize(("name", "card", "bandwidth", "fp16"), KNOWN)
def test_known_cards(name: str, card: str, bandwidth: float, fp16: float) -> None:
    data = card_data(name)
    assert data is not None
    assert (data.name, data.bandwidth_gb_s, data.fp16_tflops) == (card, bandwidth, fp16)
    assert not data.estimated


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA RTX 5000 Ada Generation",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 5090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA RTX 4000 Ada Generation",
        "Quadro RTX 6000",
        "Quadro RTX 5000",
        "NVIDIA RTX PRO 5000 Blackwell",
        "NVIDIA A10G",
        "NVIDIA A10M",
        "NVIDIA A4000",
        "NVIDIA A1000",
        "NVIDIA L400",
        "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        "NVIDIA H20",
        "NVIDIA B2000",
        "",
    ],
)
def test_no_card_is_taken_for_another(name: str) -> None:
    assert card_data(name) is None


def test_every_entry_is_reached_by_one_name_only() -> None:
    seen = {card_data(name).name for name, _card, _bw, _fp16 in KNOWN}  # type: ignore[union-attr]
    seen.add(card_data("NVIDIA GH200 144G HBM3e").name)  # type: ignore[union-attr]
    assert seen == {data.name for _pattern, data in _CARDS}


def test_geforce_runs_half_rate_and_has_no_peer_access() -> None:
    for _pattern, data in _CARDS:
        geforce = data.name.startswith(("RTX 3", "RTX 4", "RTX 5"))
        assert data.pcie_p2p != geforce, data.name
    ada, geforce = card_data("NVIDIA RTX 6000 Ada Generation"), card_data("NVIDIA GeForce RTX 4090")
    assert ada is not None and geforce is not None
    assert ada.fp16_tflops / geforce.fp16_tflops > 2  # the same chip, with more of it enabled


def test_figures_are_dense() -> None:
    """Eight bits run at twice the rate of sixteen, four at four times: a figure with sparsity would stand out.

    GeForce halves the rates that accumulate in 32-bit floats (FP16, FP8), not those of INT8 and FP4.
    """
    for _pattern, data in _CARDS:
        half = 2 if data.name.startswith(("RTX 3", "RTX 4", "RTX 5")) else 1
        for rate, factor in ((data.fp8_tflops, 2), (data.int8_tflops, 2 * half), (data.fp4_tflops, 4 * half)):
            assert not rate or abs(rate / data.fp16_tflops / factor - 1) < 0.02, data.name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("NVIDIA GeForce RTX 4090", "rtx 4090"),
        ("Tesla T4", "t4"),
        ("NVIDIA A100-SXM4-80GB", "a100 sxm4 80gb"),
        ("  nvidia   h200 ", "h200"),
    ],
)
def test_plain_name(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_pcie() -> None:
    assert pcie_gb_s(4, 16) == pytest.approx(31.5, rel=0.01)
    assert pcie_gb_s(5, 16) == pytest.approx(63, rel=0.01)
    assert pcie_gb_s(3, 8) == pytest.approx(7.88, rel=0.01)
    assert pcie_gb_s(0, 16) == 0


# clocks and widths as nvidia-smi reports them for cards whose data sheet is known
@pytest.mark.parametrize(
    ("name", "capability", "memory_mhz", "bus_bits", "cores", "sm_mhz"),
    [
        ("NVIDIA GeForce RTX 4090", "8.9", 10501, 384, 16384, 2520),
        ("NVIDIA GeForce RTX 3090", "8.6", 9751, 384, 10496, 1695),
        ("NVIDIA GeForce RTX 5090", "12.0", 14001, 512, 21760, 2407),
        ("NVIDIA RTX A6000", "8.6", 8001, 384, 10752, 1800),
        ("NVIDIA L4", "8.9", 6251, 192, 7424, 2040),
        ("NVIDIA A100-SXM4-80GB", "8.0", 1593, 5120, 6912, 1410),
        ("NVIDIA H100 80GB HBM3", "9.0", 2619, 5120, 16896, 1830),
    ],
)
def test_estimate_meets_the_data_sheet(
    name: str, capability: str, memory_mhz: int, bus_bits: int, cores: int, sm_mhz: int
) -> None:
    sheet, made = card_data(name), estimated_card(name, capability, memory_mhz, bus_bits, cores, sm_mhz)
    assert sheet is not None and made is not None
    assert made.estimated
    assert made.bandwidth_gb_s == pytest.approx(sheet.bandwidth_gb_s, rel=0.01)
    assert made.fp16_tflops == pytest.approx(sheet.fp16_tflops, rel=0.05)
    assert bool(made.fp8_tflops) == bool(sheet.fp8_tflops)
    assert made.int8_tflops == pytest.approx(sheet.int8_tflops, rel=0.05)
    assert made.pcie_p2p == sheet.pcie_p2p


def test_estimate_needs_the_memory_clock() -> None:
    assert estimated_card("NVIDIA X", "9.0", 0, 384) is None
    assert estimated_card("NVIDIA X", "9.0", 10000, 0) is None
    bare = estimated_card("NVIDIA X", "", 10000, 384)
    assert bare is not None and bare.bandwidth_gb_s == 960 and bare.fp16_tflops > 0
