# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``gpu_info`` says beside what ``nvidia-smi -q -x`` says: ``cards.py GPU_INFO.json NVIDIA_SMI.xml``.

One line for each figure that differs, and one that counts those that agree. Exit status 1 where one differs. Figures
that move between two looks (free memory, clocks, the current PCIe generation) are not compared.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any
from xml.etree import ElementTree

MIB = 2**20


def text(node: ElementTree.Element, *paths: str) -> str | None:
    """The first of these that is there and says something."""
    for path in paths:
        found = node.findtext(path)
        if found is not None and found.strip() not in ("N/A", "[N/A]", "Unknown Error", ""):
            return found.strip()
    return None


def whole(said: str | None) -> int | None:
    match = re.match(r"\d+", said or "")
    return int(match[0]) if match else None


def bus(said: str | None) -> str | None:
    """00000000:19:00.0 as 0000:19:00.0."""
    return None if said is None else re.sub(r"^0000(?=[0-9a-f]{4}:)", "", said.lower())


def pairs(card: dict[str, Any], node: ElementTree.Element) -> list[tuple[str, Any, Any]]:
    """(what, gpu_info's, nvidia-smi's) of one card; None on the right side where nvidia-smi does not say."""
    mig = text(node, "mig_mode/current_mig")
    ecc = text(node, "ecc_mode/current_ecc")
    link = "pci/pci_gpu_link_info"
    found = [
        ("uuid", card["uuid"], text(node, "uuid")),
        ("name", card["name"], text(node, "product_name")),
        ("pci_bus_id", card["pci_bus_id"].lower(), bus(node.get("id"))),
        ("memory_total MiB", card["memory_total_bytes"] // MIB, whole(text(node, "fb_memory_usage/total"))),
        ("memory_reserved MiB", card["memory_reserved_bytes"] // MIB, whole(text(node, "fb_memory_usage/reserved"))),
        ("pcie_gen max", card["pcie_gen"]["max"], whole(text(node, f"{link}/pcie_gen/max_link_gen"))),
        ("pcie_width max", card["pcie_width"]["max"], whole(text(node, f"{link}/link_widths/max_link_width"))),
        ("mig_mode", card["mig_mode"], mig.lower() if mig else None),
        ("ecc mode", card["ecc"].get("mode"), ecc.lower() if ecc else None),
    ]
    volatile = card["ecc"].get("volatile") or {}
    if "uncorrected" in volatile:
        names = ("sram_uncorrectable_parity", "sram_uncorrectable_secded", "sram_uncorrectable", "dram_uncorrectable")
        every = [whole(text(node, f"ecc_errors/volatile/{name}")) for name in names]
        said = [one for one in every if one is not None]
        found.append(("ecc volatile uncorrected", volatile["uncorrected"], sum(said) if said else None))
    return found


def compare(info: dict[str, Any], tree: ElementTree.Element) -> tuple[list[str], int, list[str]]:
    """(what differs, how many figures agree, what nvidia-smi does not say)."""
    nodes = {text(node, "uuid"): node for node in tree.findall("gpu")}
    rows = [
        ("driver_version", info["driver_version"], text(tree, "driver_version")),
        ("cuda_driver_version", info["cuda_driver_version"], text(tree, "cuda_version")),
        ("number of cards", len(info["gpus"]), len(nodes)),
    ]
    for card in info["gpus"]:
        node = nodes.get(card["uuid"])
        if node is None:
            rows.append((f"card {card['index']}", card["uuid"], "no such card"))
            continue
        rows += [(f"card {card['index']} {what}", ours, theirs) for what, ours, theirs in pairs(card, node)]
    wrong, agree, silent = [], 0, []
    for what, ours, theirs in rows:
        if theirs is None:
            silent.append(what)
        elif ours == theirs or ("MiB" in what and abs(ours - theirs) <= 1):  # nvidia-smi rounds
            agree += 1
        else:
            wrong.append(f"{what}: gpu_info {ours!r}, nvidia-smi {theirs!r}")
    return wrong, agree, silent


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as handle:
        info = json.load(handle)
    wrong, agree, silent = compare(info, ElementTree.parse(sys.argv[2]).getroot())
    for line in wrong:
        print(line)
    rest = f", {len(silent)} not said by nvidia-smi: {', '.join(silent)}" if silent else ""
    print(f"{agree} figures agree, {len(wrong)} differ{rest}")
    return 1 if wrong or not agree else 0


if __name__ == "__main__":
    sys.exit(main())
