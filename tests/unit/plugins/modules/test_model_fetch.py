# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module model_fetch: download, second run, check mode, ownership, and bad options."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml
from ansible_collections.gpuserve.inference.plugins.modules import model_fetch
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import LLAMA, safetensors
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_hub_server import Hub, Repo
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.model_module import run_module, without_hub

WEIGHTS = safetensors({"model.layers.0.mlp.up_proj.weight": ("BF16", (128, 64))})


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub({"org/model": Repo({"config.json": json.dumps(LLAMA).encode(), "model.safetensors": WEIGHTS})})
    yield served
    served.close()


def test_fetch(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    env = {"HF_HOME": str(tmp_path / "home")}
    options: dict[str, Any] = {"repo": "org/model", "dest": str(tmp_path / "models"), "endpoint": hub.endpoint}
    planned = run_module("model_fetch", {**options, "_ansible_check_mode": True}, env)
    assert (planned["changed"], (tmp_path / "models").exists()) == (True, False)
    first = run_module("model_fetch", {**options, "file_mode": "0640", "directory_mode": "0750"}, env)
    assert set(first) >= set(yaml.safe_load(model_fetch.RETURN))
    assert (first["changed"], first["path"], first["files"]) == (
        True, planned["path"], ["config.json", "model.safetensors"]
    )  # fmt: skip
    weights = Path(first["path"]) / "model.safetensors"
    assert weights.read_bytes() == WEIGHTS
    assert stat.S_IMODE(weights.stat().st_mode) == 0o640
    assert stat.S_IMODE(weights.parent.stat().st_mode) == 0o750
    options.update(file_mode="0640", directory_mode="0750")
    assert run_module("model_fetch", options, env)["changed"] is False
    options["file_mode"] = "0644"
    would = run_module("model_fetch", {**options, "_ansible_check_mode": True}, env)
    assert (would["changed"], stat.S_IMODE(weights.stat().st_mode)) == (True, 0o640)
    assert run_module("model_fetch", options, env)["changed"] is True
    assert run_module("model_fetch", options, env)["changed"] is False


FAILURES = [
    ({"dest": "/x"}, ["repo"]),
    ({"file_mode": "rw"}, ["file_mode", "'rw'", "0644"]),
    ({"directory_mode": "0999"}, ["directory_mode", "'0999'"]),
    ({"group": "no-such-group"}, ["group", "'no-such-group'", "does not exist"]),
    ({"owner": "no-such-user"}, ["owner", "'no-such-user'"]),
    ({"workers": 0}, ["workers"]),
    ({"offline": True}, ["org/model@main", "offline"]),
]


@pytest.mark.parametrize(("options", "words"), FAILURES)
def test_failures(tmp_path: Path, options: dict[str, Any], words: list[str]) -> None:
    given = {"repo": "org/model", "dest": str(tmp_path), **options}
    if "dest" in options:
        del given["repo"]
    result = run_module("model_fetch", given)
    assert result["failed"] is True
    assert "\n" not in result["msg"]
    for word in words:
        assert word in result["msg"]
    assert list(tmp_path.iterdir()) == []


def test_without_huggingface_hub(tmp_path: Path) -> None:
    options = {"repo": "org/model", "dest": str(tmp_path / "models")}
    result = run_module("model_fetch", options, path=without_hub(tmp_path))
    assert "Failed to import the required Python library (huggingface_hub)" in result["msg"]
