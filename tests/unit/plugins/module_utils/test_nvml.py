# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the probe reads from healthy cards of many kinds: real pynvml, fake driver library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _nvml
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu, Link
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import PROFILES, FakeNvml, fake_sysfs, profile

SWITCHED = {"active": 18, "inactive": 0, "version": 4}
H200, H100, A100 = "NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"
R5090, R5080, R4090, R3090 = (f"NVIDIA GeForce RTX {number}" for number in (5090, 5080, 4090, 3090))

# profile: names, compute capabilities, total - reserved (what CUDA reports), NVLink of each card,
# and of the pair (first, last): NVLinks, peer-to-peer, path
HOSTS = {
    "h200x2": ([H200] * 2, ["9.0"] * 2, [150109880320] * 2, [SWITCHED] * 2, (18, True, "NVL")),
    "h100x8": ([H100] * 8, ["9.0"] * 8, [85045477376] * 8, [SWITCHED] * 8, (18, True, "NVL")),
    "rtx5090x2": ([R5090] * 2, ["12.0"] * 2, [33677180928] * 2, [{}] * 2, (0, False, "PHB")),
    "rtx5090x1": ([R5090], ["12.0"], [33677180928], [{}], (0, True, "X")),
    "rtx5080x2": ([R5080] * 2, ["12.0"] * 2, [16602103808] * 2, [{}] * 2, (0, False, "PHB")),
    "rtx4090x4": ([R4090] * 4, ["8.9"] * 4, [25386352640] * 4, [{}] * 4, (0, False, "SYS")),
    "rtx3090x2_nvlink": (
        [R3090] * 2, ["8.6"] * 2, [25327697920] * 2, [{"active": 4, "inactive": 0, "version": 3}] * 2, (4, True, "NVL"),
    ),
    "mixed_rtx5090_rtx3090": (
        [R5090, R3090], ["12.0", "8.6"], [33677180928, 25327697920],
        [{}, {"active": 0, "inactive": 4, "version": 0}], (0, False, "PHB"),
    ),
    "mig_a100": ([A100], ["8.0"], [85100068864], [{"active": 12, "inactive": 0, "version": 3}], (0, True, "X")),
    "none": ([], [], [], [], None),
}  # fmt: skip


def test_every_profile_is_tested() -> None:
    elsewhere = {"rtx4090x4_lost", "driver_mismatch"}
    assert {path.stem for path in PROFILES.glob("*.profile")} == set(HOSTS) | elsewhere


@pytest.mark.parametrize("name", HOSTS)
def test_host(fake_nvml: FakeNvml, name: str) -> None:
    names, capabilities, cuda_totals, nvlinks, pair = HOSTS[name]
    found = fake_nvml.probe(profile(name))
    gpus = found["gpus"]

    assert [gpu["index"] for gpu in gpus] == list(range(len(names)))
    assert [gpu["name"] for gpu in gpus] == names
    assert [gpu["compute_capability"] for gpu in gpus] == capabilities
    assert [gpu["memory_total_bytes"] - gpu["memory_reserved_bytes"] for gpu in gpus] == cuda_totals
    assert [gpu["nvlink"] for gpu in gpus] == nvlinks
    assert len({gpu["uuid"] for gpu in gpus if gpu["uuid"].startswith("GPU-")}) == len(names)
    assert len({gpu["pci_bus_id"] for gpu in gpus}) == len(names)
    assert [gpu["health"] for gpu in gpus] == [{"verdict": "ok", "reasons": [], "action": "none"}] * len(names)
    assert (found["driver_version"], found["cuda_driver_version"]) == ("580.95.05", "13.0")
    assert found["warnings"] == []

    links = found["links"]
    assert [len(row) for row in links] == [len(names)] * len(names)
    for i, row in enumerate(links):
        assert row[i] == {"nvlink_count": 0, "p2p": True, "path": "X"}
        assert row == [links[j][i] for j in range(len(names))]
    if pair:
        assert tuple(links[0][-1][key] for key in ("nvlink_count", "p2p", "path")) == pair


@pytest.mark.parametrize("name", HOSTS)
def test_plain_dict_is_what_the_planner_reads(fake_nvml: FakeNvml, name: str) -> None:
    found = fake_nvml.probe(profile(name))
    for gpu in found["gpus"]:
        assert Gpu.from_dict(gpu).to_dict() == gpu
    for row in found["links"]:
        assert [Link.from_dict(link).to_dict() for link in row] == row


def test_measured_h200(fake_nvml: FakeNvml) -> None:
    gpu = fake_nvml.probe(profile("h200x2"))["gpus"][0]
    assert gpu == {
        "index": 0,
        "uuid": "GPU-f2000000-0000-4000-8000-000000000001",
        "name": H200,
        "memory_total_bytes": 150754820096,
        "memory_reserved_bytes": 644939776,
        "memory_free_bytes": 150109880320,
        "compute_capability": "9.0",
        "pci_bus_id": "0000:19:00.0",
        "pcie_gen": {"current": 5, "max": 5},
        "pcie_width": {"current": 16, "max": 16},
        "numa_node": None,
        "mig_mode": "disabled",
        "mig_devices": [],
        "ecc": {
            "mode": "enabled",
            "pending_mode": "enabled",
            "volatile": {"corrected": 0, "uncorrected": 0},
            "aggregate": {"corrected": 0, "uncorrected": 0},
            "remapped_rows": {"corrected": 0, "uncorrected": 0, "pending": False, "failure": False},
        },
        "processes": [],
        "health": {"verdict": "ok", "reasons": [], "action": "none"},
        "nvlink": SWITCHED,
    }


def test_card_without_ecc_mig_nvlink(fake_nvml: FakeNvml) -> None:
    gpu = fake_nvml.probe(profile("rtx5090x2"))["gpus"][1]
    assert (gpu["mig_mode"], gpu["ecc"], gpu["nvlink"]) == ("unsupported", {"mode": "unsupported"}, {})
    assert gpu["pcie_gen"] == {"current": 1, "max": 5}  # at idle, so no fault


def test_processes_and_free_memory(fake_nvml: FakeNvml) -> None:
    first, second = fake_nvml.probe(profile("rtx4090x4"))["gpus"][:2]
    assert first["processes"] == [{"pid": 4242, "name": "/usr/bin/python3", "memory_bytes": 1610612736}]
    assert second["processes"] == []
    assert second["memory_free_bytes"] - first["memory_free_bytes"] == 1610612736


def test_process_whose_memory_is_not_told(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    text = profile("rtx5080x2").read_text(encoding="utf-8").replace("pcie = ", "process = 7 -1 worker one\npcie = ", 1)
    path = tmp_path / "host.profile"
    path.write_text(text, encoding="utf-8")
    expected = [{"pid": 7, "name": "worker one", "memory_bytes": None}]
    assert fake_nvml.probe(path)["gpus"][0]["processes"] == expected


def test_paths_over_two_sockets(fake_nvml: FakeNvml) -> None:
    links = fake_nvml.probe(profile("rtx4090x4"))["links"]
    assert [[link["path"] for link in row] for row in links] == [
        ["X", "NODE", "SYS", "SYS"],
        ["NODE", "X", "SYS", "SYS"],
        ["SYS", "SYS", "X", "NODE"],
        ["SYS", "SYS", "NODE", "X"],
    ]


def test_peer_to_peer_without_nvlink(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    path = tmp_path / "host.profile"
    path.write_text(profile("rtx5090x2").read_text(encoding="utf-8").replace("pairs = 30 1", "pairs = 20 0"), "utf-8")
    assert fake_nvml.probe(path)["links"][1][0] == {"nvlink_count": 0, "p2p": True, "path": "PXB"}


def test_mig_slices(fake_nvml: FakeNvml) -> None:
    gpu = fake_nvml.probe(profile("mig_a100"))["gpus"][0]
    assert gpu["mig_mode"] == "enabled"
    slices = gpu["mig_devices"]
    assert [part["name"].rsplit(" ", 1)[1] for part in slices] == ["3g.40gb", "2g.20gb", "2g.20gb"]
    assert all(part["uuid"].startswith("MIG-") for part in slices)
    assert [part["memory_total_bytes"] // 1024**2 for part in slices] == [40192, 19968, 19968]
    assert slices[0]["memory_free_bytes"] == (40192 - 37) * 1024**2


def test_numa_nodes(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    sysfs = fake_sysfs(tmp_path, {"0000:19:00.0": {"numa_node": "1"}, "0000:3b:00.0": {"numa_node": "-1"}})
    gpus = fake_nvml.probe(profile("h200x2"), sysfs=sysfs)["gpus"]
    assert [gpu["numa_node"] for gpu in gpus] == [1, None]


PCI = {
    "0000:01:00.0": ({"class": "0x030000"}, True),  # a display controller
    "0000:41:00.0": ({"class": "0x030200", "driver": "nvidia"}, True),  # a 3D controller
    "0000:01:00.1": ({"class": "0x040300"}, False),  # its audio function
    "0000:02:00.0": ({"class": "0x030000", "vendor": "0x1002"}, False),  # another vendor's card
    "0000:81:00.0": ({"class": "0x030200", "driver": "vfio-pci"}, False),  # given to a virtual machine
    "0000:41:00.4": ({"class": "0x030200", "physfn": "0000:41:00.0"}, False),  # an SR-IOV function
}  # fmt: skip


def test_pci_nvidia_cards(tmp_path: Path) -> None:
    entries: dict[str, Any] = {address: entry for address, (entry, _mine) in PCI.items()}
    sysfs = fake_sysfs(tmp_path, entries)
    assert _nvml.pci_nvidia_cards(sysfs) == sorted(address for address, (_entry, mine) in PCI.items() if mine)


def test_no_pci_bus(tmp_path: Path) -> None:
    assert _nvml.pci_nvidia_cards(str(tmp_path)) == []
