# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on sick cards, and hosts whose driver does not work: each fault is one clear line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import (
    COLLECTIONS,
    FakeNvml,
    changed_profile,
    fake_sysfs,
    profile,
)

# what is changed in card 1 of two H200, the verdict on it, words of its reason
SIGNS = {
    "aggregate errors are history": (["ecc = 1 3 0 3 2"], "ok", ""),
    "uncorrectable ECC": (["ecc = 1 0 2 0 2"], "fail", "2 uncorrectable ECC errors"),
    "row remap failed": (["remapped_rows = 0 1 0 1"], "fail", "row remapping failed"),
    "row remap pending": (["remapped_rows = 0 1 1 0"], "warn", "row remapping is pending"),
    "some NVLinks down": (["nvlink = 16 switch 6", "nvlink = 2 inactive 6"], "fail", "2 of 18 NVLinks are inactive"),
    "all NVLinks down on one card": (["nvlink = 18 inactive 6"], "fail", "18 of 18 NVLinks are inactive"),
    "hardware slowdown": (["event_reasons = 0x8"], "warn", "hardware slowdown"),
    "thermal slowdown": (["event_reasons = 0x48"], "warn", "hardware slowdown, hardware thermal slowdown"),
    "idle clocks": (["event_reasons = 0x1"], "ok", ""),
    "software power cap": (["event_reasons = 0x4"], "ok", ""),
    "recovery": (["recovery_action = 1"], "fail", "the driver asks for recovery: reset the GPU"),
    "unknown recovery": (["recovery_action = 99"], "fail", "the driver asks for recovery: action 99"),
    "fabric manager down": (["fabric_state = 2"], "fail", "start nvidia-fabricmanager"),
    "narrow link, idle": (["pcie = 5 5 8 16"], "ok", ""),
    "narrow link, busy": (["pcie = 5 5 8 16", "process = 7 1024 vllm"], "warn", "PCIe x8 of x16 under load"),
    "low generation": (["pcie = 1 5 16 16", "process = 7 1024 vllm"], "ok", ""),
    "lost while open": (["call_error = 15"], "fail", "the GPU is lost"),
    "lost": (["handle_error = 15"], "fail", "the GPU is lost"),
    "needs a reset": (["call_error = 16"], "fail", "nvidia-smi --gpu-reset -i 1"),
    "cannot be opened": (["handle_error = 999"], "fail", "NVML cannot open the card: Unknown Error"),
    "strange errors": (["call_error = 17"], "fail", "NVML does not say how much memory"),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_verdict(fake_nvml: FakeNvml, tmp_path: Path, sign: str) -> None:
    lines, verdict, words = SIGNS[sign]
    found = fake_nvml.probe(changed_profile("h200x2", tmp_path, 1, lines))
    healthy, sick = found["gpus"]
    assert healthy["health"] == {"verdict": "ok", "reasons": [], "action": "none"}
    assert sick["health"]["verdict"] == verdict
    assert words in " ".join(sick["health"]["reasons"])
    assert bool(sick["health"]["reasons"]) == (verdict != "ok")


def test_two_faults_are_both_told(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    path = changed_profile("h200x2", tmp_path, 0, ["ecc = 1 0 1 0 1", "event_reasons = 0x80"])
    health = fake_nvml.probe(path)["gpus"][0]["health"]
    assert health["verdict"] == "fail"
    assert [reason.split(":")[0] for reason in health["reasons"]] == [
        "1 uncorrectable ECC errors since the driver was loaded",
        "power brake slowdown",
    ]


def test_bridge_that_leaves_links_free(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    path = changed_profile("rtx3090x2_nvlink", tmp_path, 0, ["nvlink = 2 1 4", "nvlink = 2 inactive 4"])
    text = path.read_text(encoding="utf-8").replace("nvlink = 4 0 4", "nvlink = 2 0 4\nnvlink = 2 inactive 4")
    path.write_text(text, encoding="utf-8")
    found = fake_nvml.probe(path)
    assert [gpu["health"]["verdict"] for gpu in found["gpus"]] == ["warn", "warn"]
    assert found["links"][0][1]["nvlink_count"] == 2


def test_all_nvlinks_down_on_all_cards(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    path = tmp_path / "host.profile"
    path.write_text(profile("h200x2").read_text(encoding="utf-8").replace("18 switch", "18 inactive"), encoding="utf-8")
    found = fake_nvml.probe(path)
    assert [gpu["health"]["verdict"] for gpu in found["gpus"]] == ["ok", "ok"]
    assert len(found["warnings"]) == 1
    assert "no NVLink is active on cards 0, 1" in found["warnings"][0]


# ---------------------------------------------------------------- cards that fell off the bus

BUS = {"0000:01:00.0": {}, "0000:25:00.0": {}, "0000:81:00.0": {}, "0000:c1:00.0": {}}


@pytest.mark.parametrize("bus_is_seen", [True, False])
def test_lost_card_leaves_the_others_alone(fake_nvml: FakeNvml, tmp_path: Path, bus_is_seen: bool) -> None:
    sysfs = fake_sysfs(tmp_path, BUS if bus_is_seen else {})
    found = fake_nvml.probe(profile("rtx4090x4_lost"), sysfs=sysfs)
    assert [gpu["index"] for gpu in found["gpus"]] == [0, 1, 2, 3]
    assert [gpu["health"]["verdict"] for gpu in found["gpus"]] == ["ok", "ok", "fail", "ok"]
    lost = found["gpus"][2]
    assert "fell off the bus" in lost["health"]["reasons"][0]
    assert (lost["uuid"], lost["memory_total_bytes"]) == ("", 0)
    assert lost["pci_bus_id"] == ("0000:81:00.0" if bus_is_seen else "")
    assert found["gpus"][3]["uuid"].endswith("4")
    assert found["links"][0][2] == {"nvlink_count": 0, "p2p": False, "path": "SYS"}
    assert found["warnings"] == []


def test_card_on_the_bus_that_nvml_does_not_list(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    sysfs = fake_sysfs(tmp_path, {"0000:19:00.0": {}, "0000:2a:00.0": {}, "0000:3b:00.0": {}})
    found = fake_nvml.probe(profile("h200x2"), sysfs=sysfs)
    assert len(found["gpus"]) == 2
    assert len(found["warnings"]) == 1
    assert "0000:2a:00.0 is on the PCI bus but NVML does not list it" in found["warnings"][0]


# ---------------------------------------------------------------- nothing there, or not working

ONE = {"0000:41:00.0": {}}
# profile (None: no library), PCI bus, /proc/driver/nvidia/version, words of the error (None: no cards, no error)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build  (dvs-builder@U22)\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
DRIVERS = {
    "bare host": (None, {}, "", None),
    "no driver": (None, ONE, "", ["0000:41:00.0", "libnvidia-ml.so.1 is not there", "install the NVIDIA driver"]),
    "card of a virtual machine": (None, {"0000:41:00.0": {"driver": "vfio-pci"}}, "", None),
    "not loaded, no card": ("init_error = 9", {}, "", None),
    "not loaded": ("init_error = 9", ONE, "", ["0000:41:00.0", "modprobe nvidia"]),
    "nouveau": ("init_error = 9", {"0000:41:00.0": {"driver": "nouveau"}}, "", ["blacklist nouveau"]),
    "mismatch, open modules": ("driver_mismatch", ONE, OPEN, ["(kernel 570.133.20, library 580.95.05)", "reboot"]),
    "mismatch, closed modules": ("driver_mismatch", {}, CLOSED, ["(kernel 550.54.15, library 580.95.05)", "reload"]),
    "mismatch, nothing in /proc": ("driver_mismatch", ONE, "", ["(kernel unknown, library 580.95.05)"]),
    "no permission": ("init_error = 4", {}, "", ["become: true"]),
    "unknown error": ("init_error = 999", {}, "", ["code 999", "reboot"]),
    "driver lists no card": ("none", ONE, "", ["0000:41:00.0", "lists none", "open kernel modules"]),
    "driver without a card": ("none", {}, "", None),
}


@pytest.mark.parametrize("case", DRIVERS)
def test_driver(fake_nvml: FakeNvml, tmp_path: Path, case: str) -> None:
    source, bus, version, words = DRIVERS[case]
    path = None
    if source and "=" in source:
        path = tmp_path / "host.profile"
        path.write_text(source + "\n", encoding="utf-8")
    elif source:
        path = profile(source)
    proc = tmp_path / "proc"
    if version:
        (proc / "driver/nvidia").mkdir(parents=True)
        (proc / "driver/nvidia/version").write_text(version, encoding="utf-8")
    found = fake_nvml.probe(path, sysfs=fake_sysfs(tmp_path / "sys", bus), proc=str(proc))
    if words is None:
        assert "error" not in found
        assert (found["gpus"], found["links"], found["warnings"]) == ([], [], [])
        return
    assert found["type"] == ("NoneListed" if source == "none" else "ProbeError")
    assert "\n" not in found["error"]
    for word in words:
        assert word in found["error"]


# ---------------------------------------------------------------- no pynvml


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python without pynvml."""
    folder = tmp_path_factory.mktemp("bare_python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


@pytest.mark.parametrize(
    ("source", "bus", "kind"),
    [
        (None, {}, None),  # nothing there: pynvml is not needed to say so
        (None, ONE, "ProbeError"),  # the driver is what is missing
        ("h200x2", {}, "PynvmlMissing"),
        ("h200x2", ONE, "PynvmlMissing"),
    ],
)
def test_without_pynvml(
    fake_nvml: FakeNvml, tmp_path: Path, bare_python: str, source: str | None, bus: dict[str, dict[str, str]], kind: str
) -> None:
    found = fake_nvml.probe(
        profile(source) if source else None, sysfs=fake_sysfs(tmp_path, bus), python=bare_python, lend_pynvml=False
    )
    assert found.get("type") == kind
    if kind is None:
        assert found["gpus"] == []
    elif kind == "PynvmlMissing":
        assert "pip install nvidia-ml-py" in found["error"]


def test_pynvml_from_a_pattern(fake_nvml: FakeNvml, tmp_path: Path, bare_python: str) -> None:
    """The probe's own environment lies in a folder named after its Python; an empty match before it does no harm."""
    import pynvml

    folder = tmp_path / "lib/python3.13/site-packages"
    folder.mkdir(parents=True)
    (folder / "pynvml.py").write_bytes(Path(str(pynvml.__file__)).read_bytes())
    (tmp_path / "lib/python3.99/site-packages").mkdir(parents=True)
    code = (
        "import sys; from ansible_collections.gpuserve.inference.plugins.module_utils import _nvml;"
        "print(_nvml.load_pynvml(['/nonexistent', sys.argv[1]]).__file__)"
    )
    done = subprocess.run(
        [bare_python, "-c", code, str(tmp_path / "lib/python3*/site-packages")],
        env={"PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(folder / "pynvml.py")
