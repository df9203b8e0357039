# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module model_verify: a record is taken, holds, and refuses one flipped byte."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gpuserve.inference.plugins.modules import model_verify
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.model_module import run_module


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "config.json").write_bytes(b"{}")
    (directory / "model.safetensors").write_bytes(bytes(5000))
    return directory


def test_taken_and_verified(model: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"path": str(model), "state": "taken", "log": str(tmp_path / "verify.log")}
    would = run_module("model_verify", {**options, "_ansible_check_mode": True})
    assert (would["changed"], (model / ".gpuserve-model.json").exists()) == (True, False)
    first, second = run_module("model_verify", options), run_module("model_verify", options)
    assert (first["changed"], first["record"], second["changed"]) == (True, "taken", False)
    (line,) = (tmp_path / "verify.log").read_text(encoding="utf-8").splitlines()  # check mode wrote none
    assert line.endswith(f"{model}: hashing 2 files, 0.0 GB")
    found = run_module("model_verify", {"path": str(model)})
    assert set(yaml.safe_load(model_verify.RETURN)) <= set(found)
    assert (found["changed"], found["verified"], found["files"], found["hashed_bytes"]) == (False, True, 2, 0)
    assert run_module("model_verify", {"path": str(model), "mode": "full"})["hashed_bytes"] == 5002


def test_one_flipped_byte(model: Path) -> None:
    run_module("model_verify", {"path": str(model), "state": "taken"})
    weights = model / "model.safetensors"
    weights.write_bytes(bytes(4999) + b"\1")
    os.utime(weights, ns=(1, 1))
    for mode in ("quick", "full"):
        refused = run_module("model_verify", {"path": str(model), "mode": mode})
        assert (refused["failed"], refused["verified"], refused["changed"]) == (True, False, False)
        assert refused["msg"] == refused["problems"][0]
        assert refused["msg"].startswith(f"{weights}: is not the recorded file")
    assert run_module("model_verify", {"path": str(model), "state": "taken"})["failed"] is True
    assert run_module("model_verify", {"path": str(model), "state": "taken", "force": True})["changed"] is True


def test_others_who_may_write_are_named(model: Path) -> None:
    (model / "config.json").chmod(0o666)
    found = run_module("model_verify", {"path": str(model)})
    assert "config.json can be written by others" in json.dumps(found["warnings"])


FAILURES = [
    ({"path": "/nowhere/model"}, ["/nowhere/model", "does not exist"]),
    ({"mode": "slow"}, ["mode", "quick, full", "slow"]),
    ({"state": "checked"}, ["state", "verified, taken", "checked"]),
    ({"workers": 0}, ["workers", "1 or more"]),
    ({"mode": "full"}, ["neither a record nor a SHA256SUMS file", "state: taken"]),
]


@pytest.mark.parametrize(("options", "words"), FAILURES)
def test_failures(model: Path, options: dict[str, Any], words: list[str]) -> None:
    result = run_module("model_verify", {"path": str(model), **options})
    assert result["failed"] is True
    assert "\n" not in result["msg"]
    for word in words:
        assert word in result["msg"]
