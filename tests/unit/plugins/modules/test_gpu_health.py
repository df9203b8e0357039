# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""gpu_health over a fake driver library, with a journalctl and a dmesg that say what a test wants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import NoneListed
from ansible_collections.gpuserve.inference.plugins.modules import gpu_health
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import (
    COLLECTIONS,
    FakeNvml,
    changed_profile,
    profile,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.kernel_logs import (
    dmesg,
    healthy,
    journal,
    xid,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call

MODULE = "ansible_collections.gpuserve.inference.plugins.modules.gpu_health"
CARDS = [f"GPU-40900000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3, 4)]
INSTANCES = [
    {"name": f"gpu{n}", "gpus": [n], "gpu_uuids": [uuid], "port": 8001 + n, "host": "127.0.0.1", "env": {}, "args": []}
    for n, uuid in enumerate(CARDS)
]
THIRD = "0000:81:00"


class Host:
    def __init__(self, fake_nvml: FakeNvml, folder: Path) -> None:
        self.fake_nvml, self.folder = fake_nvml, folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.says("journalctl", journal(healthy()))
        self.says("dmesg", "", 1)

    def says(self, program: str, text: str, code: int = 0) -> None:
        (self.folder / f"{program}.text").write_text(text, encoding="utf-8")
        path = self.bin / program
        path.write_text(
            f'#!/bin/sh\necho "$@" >"{self.folder}/{program}.args"\ncat "{self.folder}/{program}.text"\n'
            f"[ {code} = 0 ] || echo 'not permitted' >&2\nexit {code}\n",
            encoding="ascii",
        )
        path.chmod(0o755)

    def asked(self, program: str) -> str:
        path = self.folder / f"{program}.args"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def health(self, source: Optional[Path], **options: Any) -> dict[str, Any]:
        arguments = self.folder / "arguments.json"
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}), encoding="utf-8")
        environment = self.fake_nvml.environment(source)
        environment["PATH"] = f"{self.bin}{os.pathsep}{environment['PATH']}"
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(COLLECTIONS), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, "-m", MODULE, str(arguments)], env=environment, capture_output=True, text=True, check=False
        )
        result: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == (not result.get("failed")), done.stderr
        return result


@pytest.fixture
def host(fake_nvml: FakeNvml, tmp_path: Path) -> Host:
    return Host(fake_nvml, tmp_path)


def verdicts(result: dict[str, Any]) -> list[str]:
    return [card["verdict"] for card in result["cards"]]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("name", ["rtx4090x4", "h200x2", "h100x8", "mig_a100", "mixed_rtx5090_rtx3090"])
def test_healthy_hosts(host: Host, name: str, check: bool) -> None:
    result = host.health(profile(name), _ansible_check_mode=check)
    assert set(result) - {"invocation"} == {  # ansible-core before 2.21 adds it
        "changed", "verdict", "cards", "switches", "hit", "restart", "log", "driver_version", "pci_cards"
    }  # fmt: skip
    assert (result["changed"], result["verdict"]) == (False, "ok")
    assert all(card["reasons"] == [] and card["action"] == "none" for card in result["cards"])
    assert set(result["cards"][0]) == {
        "index", "uuid", "name", "pci_bus_id", "verdict", "reasons", "action", "xids"
    }  # fmt: skip
    assert result["log"]["source"] == "journal"
    assert result["log"]["lines"] > 450
    assert "--dmesg --boot" in host.asked("journalctl")


def test_xid_hits_one_instance(host: Host) -> None:
    host.says("journalctl", journal([*healthy(), xid(48, THIRD)]))
    result = host.health(profile("rtx4090x4"), instances=INSTANCES)
    assert verdicts(result) == ["ok", "ok", "fail", "ok"]
    assert result["hit"] == ["gpu2"]
    assert result["cards"][2]["action"] == "drain_and_reset"


@pytest.mark.parametrize("given", [{"instances": INSTANCES}, {"expected_uuids": CARDS}])
def test_lost_card(host: Host, given: dict[str, Any]) -> None:
    host.says("journalctl", journal([*healthy(), xid(79, THIRD, "GPU has fallen off the bus.")]))
    result = host.health(profile("rtx4090x4_lost"), **given)
    assert verdicts(result) == ["ok", "ok", "fail", "ok"]
    lost = result["cards"][2]
    assert (lost["uuid"], lost["index"], lost["action"]) == (CARDS[2], 2, "reboot")
    assert len(lost["reasons"]) == 2
    assert result["hit"] == (["gpu2"] if "instances" in given else [])


NVML = {
    "uncorrectable ECC": (["ecc = 1 0 2 0 2"], "fail", "drain_and_reset"),
    "row remap failed": (["remapped_rows = 0 1 0 1"], "fail", "replace"),
    "row remap pending": (["remapped_rows = 0 1 1 0"], "warn", "drain_and_reset"),
    "NVLinks down": (["nvlink = 16 switch 6", "nvlink = 2 inactive 6"], "fail", "drain_and_reset"),
    "driver asks for a reset": (["recovery_action = 1"], "fail", "drain_and_reset"),
    "driver asks for a reboot": (["recovery_action = 2"], "fail", "reboot"),
    "lost": (["handle_error = 15"], "fail", "reboot"),
    "lost while open": (["call_error = 15"], "fail", "reboot"),
    "needs a reset, and worn out": (["recovery_action = 1", "remapped_rows = 0 1 0 1"], "fail", "replace"),
    "slow": (["event_reasons = 0x8"], "warn", "none"),
    "fabric manager down": (["fabric_state = 2"], "fail", "restart_application"),
}


@pytest.mark.parametrize("sign", NVML)
def test_nvml(host: Host, tmp_path: Path, sign: str) -> None:
    lines, verdict, action = NVML[sign]
    uuids = [f"GPU-f2000000-0000-4000-8000-00000000000{n}" for n in (1, 2)]
    instances = [{"name": f"gpu{n}", "gpu_uuids": [uuid]} for n, uuid in enumerate(uuids)]
    result = host.health(changed_profile("h200x2", tmp_path, 1, lines), instances=instances)
    assert verdicts(result) == ["ok", verdict]
    assert result["cards"][1]["action"] == action
    assert result["hit"] == (["gpu1"] if verdict == "fail" else [])


def test_all_cards_gone(host: Host) -> None:
    """No card in NVML, none on the bus: without an expectation that is a host without cards."""
    assert host.health(profile("none"))["cards"] == []
    result = host.health(profile("none"), instances=INSTANCES[:2], expected_count=3)
    assert verdicts(result) == ["fail"] * 3
    assert result["hit"] == ["gpu0", "gpu1"]


def test_given_log(host: Host) -> None:
    text = dmesg([*healthy(), xid(95, THIRD)])
    result = host.health(profile("rtx4090x4"), kernel_log=text)
    assert verdicts(result) == ["ok", "ok", "fail", "ok"]
    assert result["log"]["source"] == "given"
    assert host.asked("journalctl") == ""


@pytest.mark.parametrize("empty", [("", 0), ("", 1)])
def test_dmesg_where_the_journal_has_nothing(host: Host, empty: tuple[str, int]) -> None:
    host.says("journalctl", *empty)
    host.says("dmesg", dmesg([xid(95, THIRD)]))
    result = host.health(profile("rtx4090x4"))
    assert (verdicts(result)[2], result["log"]) == ("fail", {"source": "dmesg", "lines": 1})


def test_no_log_at_all_is_said(host: Host) -> None:
    host.says("journalctl", "", 1)
    result = host.health(profile("rtx4090x4"))
    assert (result["verdict"], result["log"]) == ("ok", {"source": "none", "lines": 0})
    assert (
        "the kernel log cannot be read (journalctl: not permitted; dmesg: not permitted): "
        "the verdicts come from NVML alone"
    ) in json.dumps(result["warnings"])


def test_since(host: Host) -> None:
    host.says("journalctl", journal([xid(48, THIRD), *healthy()[60:]]))
    assert verdicts(host.health(profile("rtx4090x4"), since="2026-11-24T06:00:00Z"))[2] == "fail"
    assert verdicts(host.health(profile("rtx4090x4"), since="2026-11-24T06:00:01Z"))[2] == "ok"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"since": "yesterday"}, "since is 'yesterday'"),
        ({"expected_count": -1}, "expected_count is -1"),
        ({"instances": [{"name": "gpu0"}]}, "'gpu0' names no card"),
    ],
)
def test_bad_input_is_one_line(host: Host, options: dict[str, Any], words: str) -> None:
    result = host.health(profile("rtx4090x4"), **options)
    assert result["failed"]
    assert words in result["msg"] and "\n" not in result["msg"]


def test_broken_driver_is_no_verdict(host: Host) -> None:
    result = host.health(profile("driver_mismatch"), instances=INSTANCES)
    assert result["failed"]
    assert "driver and library versions differ" in result["msg"]


@pytest.mark.parametrize(
    "expected", [{"instances": INSTANCES[:1]}, {"expected_uuids": CARDS[:1]}, {"expected_count": 1}, {}]
)
def test_only_card_off_the_bus(monkeypatch: pytest.MonkeyPatch, expected: dict[str, Any]) -> None:
    """The driver lists none but the bus has one: where that card is expected it is a verdict, elsewhere an error."""

    def lists_none(*_args: Any) -> None:
        raise NoneListed("NVIDIA card on the PCI bus (0000:81:00.0) but the NVIDIA driver lists none: look")

    monkeypatch.setattr(gpu_health, "probe", lists_none)
    monkeypatch.setattr(gpu_health, "load_pynvml", lambda paths: None)
    monkeypatch.setattr(gpu_health, "pci_nvidia_cards", lambda: [f"{THIRD}.0"])
    result = call(gpu_health, {**expected, "kernel_log": ""})
    if not expected:
        assert result["failed"] and "lists none" in result["msg"]
        return
    assert verdicts(result) == ["fail"]
    card = result["cards"][0]
    assert (card["pci_bus_id"], card["action"]) == (f"{THIRD}.0", "reboot")
    assert "lists none" in card["reasons"][0]
    assert result["hit"] == (["gpu0"] if "instances" in expected else [])
