# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module by itself, without its action plugin: what it returns, and what it tells the plugin."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import COLLECTIONS, FakeNvml, profile

MODULE = "ansible_collections.gpuserve.inference.plugins.modules.gpu_info"


@pytest.fixture
def gpu_info(fake_nvml: FakeNvml, tmp_path: Path) -> Any:
    def run(source: Optional[str], *path: str, **options: Any) -> dict[str, Any]:
        arguments = tmp_path / "arguments.json"
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}), encoding="utf-8")
        environment = fake_nvml.environment(profile(source) if source else None)
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (*path, str(COLLECTIONS), os.environ.get("PYTHONPATH"))),
        )
        done = subprocess.run(
            [sys.executable, "-m", MODULE, str(arguments)], env=environment, capture_output=True, text=True, check=False
        )
        result: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == (not result.get("failed"))
        return result

    return run


@pytest.fixture
def hidden(tmp_path: Path) -> str:
    """A folder for PYTHONPATH in which pynvml cannot be imported."""
    package = tmp_path / "hides" / "pynvml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('hidden')\n", encoding="ascii")
    return str(package.parent)


@pytest.mark.parametrize("check", [False, True])
def test_returns(gpu_info: Any, check: bool) -> None:
    result = gpu_info("rtx5080x2", _ansible_check_mode=check)
    documented = {"changed", "pci_cards", "gpus", "links", "driver_version", "cuda_driver_version"}
    assert set(result) - {"invocation"} == documented  # ansible-core before 2.21 adds it
    assert result["changed"] is False
    assert result["gpus"][0]["name"] == "NVIDIA GeForce RTX 5080"


def test_asks_for_pynvml(gpu_info: Any, hidden: str) -> None:
    result = gpu_info("rtx5080x2", hidden)
    assert result["failed"]
    assert result["pynvml_missing"] is True
    assert "pip install nvidia-ml-py" in result["msg"]


def test_finds_pynvml_by_pattern(gpu_info: Any, hidden: str, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("pynvml")
    assert spec is not None
    folder = tmp_path / "lib/python3.9/site-packages"
    folder.mkdir(parents=True)
    (folder / "pynvml.py").write_bytes(Path(str(spec.origin)).read_bytes())
    result = gpu_info("rtx5080x2", hidden, pynvml_path=[str(tmp_path / "lib/python3*/site-packages")])
    assert len(result["gpus"]) == 2


def test_broken_driver(gpu_info: Any) -> None:
    result = gpu_info("driver_mismatch")
    assert result["failed"]
    assert "pynvml_missing" not in result
    assert "driver and library versions differ" in result["msg"]
