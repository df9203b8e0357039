# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge that holds gpu_info against nvidia-smi: it must find what differs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

FILE = Path(__file__).resolve().parents[3] / "tests" / "hardware" / "cards.py"
SPEC = importlib.util.spec_from_file_location("hardware_cards", FILE)
assert SPEC is not None and SPEC.loader is not None
cards = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(cards)

SMI = """<nvidia_smi_log><driver_version>580.1</driver_version><cuda_version>13.0</cuda_version>
<gpu id="00000000:19:00.0"><product_name>NVIDIA H200</product_name><uuid>GPU-1</uuid>
<fb_memory_usage><total>143771 MiB</total><reserved>615 MiB</reserved></fb_memory_usage>
<pci><pci_gpu_link_info><pcie_gen><max_link_gen>5</max_link_gen></pcie_gen>
<link_widths><max_link_width>16x</max_link_width></link_widths></pci_gpu_link_info></pci>
<mig_mode><current_mig>Disabled</current_mig></mig_mode><ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode>
<ecc_errors><volatile><sram_uncorrectable_parity>0</sram_uncorrectable_parity><dram_uncorrectable>0</dram_uncorrectable>
</volatile></ecc_errors></gpu></nvidia_smi_log>"""


def info(**changed: Any) -> dict[str, Any]:
    card = {
        "index": 0, "uuid": "GPU-1", "name": "NVIDIA H200", "pci_bus_id": "0000:19:00.0",
        "memory_total_bytes": 150754820096, "memory_reserved_bytes": 644939776, "pcie_gen": {"max": 5},
        "pcie_width": {"max": 16}, "mig_mode": "disabled", "ecc": {"mode": "enabled", "volatile": {"uncorrected": 0}},
    }  # fmt: skip
    return {"driver_version": "580.1", "cuda_driver_version": "13.0", "gpus": [{**card, **changed}]}


def test_all_agree() -> None:
    assert cards.compare(info(), ElementTree.fromstring(SMI)) == ([], 13, [])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": "NVIDIA H100"}, "card 0 name: gpu_info 'NVIDIA H100', nvidia-smi 'NVIDIA H200'"),
        ({"memory_total_bytes": 140 * 2**30}, "card 0 memory_total MiB: gpu_info 143360, nvidia-smi 143771"),
        ({"mig_mode": "enabled"}, "card 0 mig_mode: gpu_info 'enabled', nvidia-smi 'disabled'"),
        ({"pcie_width": {"max": 8}}, "card 0 pcie_width max: gpu_info 8, nvidia-smi 16"),
        ({"uuid": "GPU-2"}, "card 0: gpu_info 'GPU-2', nvidia-smi 'no such card'"),
    ],
)
def test_what_differs_is_told(changed: dict[str, Any], told: str) -> None:
    assert cards.compare(info(**changed), ElementTree.fromstring(SMI))[0] == [told]


def test_what_nvidia_smi_does_not_say_is_neither() -> None:
    silent = ElementTree.fromstring(SMI.replace("<current_mig>Disabled<", "<current_mig>N/A<"))
    assert cards.compare(info(), silent) == ([], 12, ["card 0 mig_mode"])


def test_a_card_too_few() -> None:
    two = ElementTree.fromstring(SMI.replace("</gpu>", "</gpu><gpu id='x'><uuid>GPU-9</uuid></gpu>"))
    assert cards.compare(info(), two)[0] == ["number of cards: gpu_info 1, nvidia-smi 2"]
