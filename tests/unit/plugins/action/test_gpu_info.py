# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""gpu_info as an operator runs it: real Ansible, real pynvml, fake driver library, and a host's Python of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import COLLECTIONS, FakeNvml, profile


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of a host on which nothing is installed, so without pynvml."""
    folder = tmp_path_factory.mktemp("bare_python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


class Host:
    """Runs gpu_info by `ansible localhost -m`."""

    def __init__(self, fake_nvml: FakeNvml, folder: Path, python: str) -> None:
        self.fake_nvml, self.folder, self.python = fake_nvml, folder, python
        self.remote_tmp = folder / "remote_tmp"
        self.config = folder / "ansible.cfg"
        self.config.write_text("[defaults]\n", encoding="ascii")
        self.name = "localhost"
        self.said = ""

    def gpu_info(self, source: Optional[str], *options: str, **environment: str) -> tuple[bool, dict[str, Any]]:
        return self.run("gpu_info", source, *options, **environment)

    def run(self, module: str, source: Optional[str], *options: str, **environment: str) -> tuple[bool, dict[str, Any]]:
        done = subprocess.run(
            [
                sys.executable, "-m", "ansible.cli.adhoc", self.name, "-m", f"gpuserve.inference.{module}",
                "-e", f"ansible_python_interpreter={self.python}", *options,
            ],
            env={
                **self.fake_nvml.environment(profile(source) if source else None),
                "ANSIBLE_CONFIG": str(self.config),
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_NOCOLOR": "true",
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "local_tmp"),
                "ANSIBLE_REMOTE_TEMP": str(self.remote_tmp),
                **environment,
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        self.said = done.stdout + done.stderr
        head, _arrow, body = done.stdout.partition(" => ")
        assert body, self.said
        result, _end = json.JSONDecoder().raw_decode(body)
        assert ("SUCCESS" in head) == (done.returncode == 0)
        return done.returncode == 0, result

    def left_behind(self) -> list[Path]:
        return list(self.remote_tmp.rglob("*")) if self.remote_tmp.exists() else []


@pytest.fixture
def host(fake_nvml: FakeNvml, tmp_path: Path, bare_python: str) -> Host:
    return Host(fake_nvml, tmp_path, bare_python)


@pytest.mark.parametrize(
    ("options", "pipelining"),
    [((), "true"), ((), "false"), (("--check", "--diff"), "true"), (("--check",), "false")],
)
def test_host_without_pynvml_borrows_the_controllers(host: Host, options: tuple[str, ...], pipelining: str) -> None:
    ok, result = host.gpu_info("h200x2", *options, ANSIBLE_PIPELINING=pipelining)
    assert ok, result
    assert result["changed"] is False
    assert [gpu["name"] for gpu in result["gpus"]] == ["NVIDIA H200"] * 2
    assert result["links"][0][1] == {"nvlink_count": 18, "p2p": True, "path": "NVL"}
    assert (result["driver_version"], result["cuda_driver_version"]) == ("580.95.05", "13.0")
    assert isinstance(result["pci_cards"], list)
    assert host.remote_tmp.is_dir()  # what was lent went there
    assert host.left_behind() == []


def test_gpu_health_borrows_it_too(host: Host) -> None:
    options = {"kernel_log": "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."}
    ok, result = host.run("gpu_health", "h200x2", "-a", json.dumps(options))
    assert ok, result
    assert [card["verdict"] for card in result["cards"]] == ["ok", "fail"]
    assert host.left_behind() == []


def look(host: Host, source: Optional[str], **environment: str) -> dict[str, Any]:
    """host_info, asked for the cards and for a model."""
    options = {"cards": True, "pynvml_path": [], "model": {"path": str(host.folder / "no-such-model")}}
    ok, result = host.run("host_info", source, "-a", json.dumps(options), **environment)
    assert ok, result
    found: dict[str, Any] = result["host"]
    assert "no such directory" in found["model"]["error"]  # told beside the cards, whatever they say
    return found


def test_host_info_reads_the_cards_as_gpu_info_does(host: Host) -> None:
    cards = look(host, "h200x2")["cards"]
    assert cards.pop("error") == ""
    ok, alone = host.gpu_info("h200x2")
    assert ok
    assert cards == {key: alone[key] for key in cards}
    assert len(cards["gpus"]) == 2
    assert host.left_behind() == []


def test_host_info_tells_of_cards_that_cannot_be_read(host: Host) -> None:
    none = look(host, "h200x2", PYTHONPATH=no_pynvml(host.folder))
    assert none["cards"]["error"].endswith("pip install nvidia-ml-py on the controller")
    broken = look(host, "driver_mismatch")
    assert broken["cards"]["error"].startswith("NVIDIA driver and library versions differ (kernel ")
    assert broken["cards"]["gpus"] == []


def test_over_ssh(host: Host) -> None:
    """The ssh connection plugin with its own ways of transfer; in place of ssh, a script that stays on this machine."""
    ssh = host.folder / "ssh"
    ssh.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n', encoding="ascii")
    ssh.chmod(0o755)
    host.name = "server"
    settings = {"ansible_ssh_executable": str(ssh), "ansible_ssh_transfer_method": "piped", "ansible_ssh_args": ""}
    ok, result = host.gpu_info("h200x2", "-i", "server,", "-c", "ssh", "-e", json.dumps(settings))
    assert ok, result
    assert len(result["gpus"]) == 2
    assert host.remote_tmp.is_dir()
    assert host.left_behind() == []


def test_host_with_pynvml_of_its_own(host: Host) -> None:
    host.python = sys.executable
    ok, result = host.gpu_info("rtx4090x4_lost")
    assert ok, result
    assert [gpu["health"]["verdict"] for gpu in result["gpus"]] == ["ok", "ok", "fail", "ok"]


def no_pynvml(folder: Path) -> str:
    """A folder for PYTHONPATH that hides pynvml, keeping what was on the path: ansible-test lends Ansible that way."""
    package = folder / "hides" / "pynvml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('hidden')\n", encoding="ascii")
    return os.pathsep.join(filter(None, (str(package.parent), os.environ.get("PYTHONPATH"))))


def test_controller_has_no_pynvml_either(host: Host) -> None:
    ok, result = host.gpu_info("h200x2", PYTHONPATH=no_pynvml(host.folder))
    assert not ok
    assert result["msg"].endswith("pip install nvidia-ml-py on the controller")
    assert "\n" not in result["msg"]


def test_host_without_cards_needs_no_pynvml(host: Host) -> None:
    ok, result = host.gpu_info(None, PYTHONPATH=no_pynvml(host.folder))
    if result["pci_cards"]:  # this machine has a card, whose driver the test hides
        assert not ok
        assert "install the NVIDIA driver" in result["msg"]
        return
    assert ok, result
    assert (result["gpus"], result["links"], result["driver_version"]) == ([], [], "")


@pytest.mark.parametrize("own", [True, False])
def test_broken_driver_is_one_line(host: Host, own: bool) -> None:
    if own:
        host.python = sys.executable
    ok, result = host.gpu_info("driver_mismatch")
    assert not ok
    assert result["msg"].startswith("NVIDIA driver and library versions differ (kernel ")
    assert "library 580.95.05" in result["msg"]
    assert "\n" not in result["msg"]
    assert host.left_behind() == []


def test_warnings_reach_the_operator(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "host.profile"
    path.write_text(profile("h200x2").read_text(encoding="utf-8").replace("18 switch", "18 inactive"), encoding="utf-8")
    ok, result = host.gpu_info("h200x2", FAKE_NVML_PROFILE=str(path))
    assert ok, result
    assert {gpu["nvlink"]["active"] for gpu in result["gpus"]} == {0}
    assert "no NVLink is active on cards 0, 1" in " ".join(host.said.split())


def test_unknown_option_is_refused(host: Host) -> None:
    ok, result = host.gpu_info("h200x2", "-a", "colour=green")
    assert not ok
    assert "colour" in result["msg"]
