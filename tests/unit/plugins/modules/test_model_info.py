# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module model_info: its options, what it returns, and that what it cannot do is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model
from ansible_collections.gpuserve.inference.plugins.modules import model_info
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import (
    MODELS,
    config,
    model_dir,
    tiny_model,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_hub_server import Hub, Repo
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.model_module import run_module, without_hub

LLAMA_8B = str(MODELS / "llama-3.1-8b")


@pytest.mark.parametrize("check", [False, True])
def test_returns_what_is_documented(check: bool) -> None:
    result = run_module("model_info", {"path": LLAMA_8B, "_ansible_check_mode": check})
    assert result["changed"] is False
    documented = yaml.safe_load(model_info.RETURN)["model"]["contains"]
    assert set(result["model"]) == set(documented)
    assert result["model"]["weight_bytes"] == 16060522496
    assert Model.from_dict(result["model"]).layers == 32


def test_warnings_of_the_model_are_shown(tmp_path: Path) -> None:
    path = str(model_dir(tmp_path, config(architectures=["StrangeForCausalLM"])))
    result = run_module("model_info", {"path": path, "allow_unknown": True})
    assert any("StrangeForCausalLM" in w for w in result["model"]["warnings"])
    for warning in result["model"]["warnings"]:
        assert warning in str(result["warnings"])  # texts, or from ansible-core 2.19 on records that hold them


FAILURES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["path", "repo"]),
    ({"path": "/x", "repo": "a/b"}, ["mutually exclusive"]),
    ({"path": "/nowhere/at/all"}, ["/nowhere/at/all", "no such directory"]),
    ({"path": LLAMA_8B, "require_weights": True}, ["safetensors"]),
]


@pytest.mark.parametrize(("options", "words"), FAILURES)
def test_failures(options: dict[str, Any], words: list[str]) -> None:
    result = run_module("model_info", options)
    assert result["failed"] is True
    assert "\n" not in result["msg"]
    assert "exception" not in result
    for word in words:
        assert word in result["msg"]


def test_without_huggingface_hub(tmp_path: Path) -> None:
    hidden = without_hub(tmp_path)
    result = run_module("model_info", {"repo": "org/tiny"}, path=hidden)
    assert "Failed to import the required Python library (huggingface_hub)" in result["msg"]
    assert run_module("model_info", {"path": LLAMA_8B}, path=hidden)["model"]["layers"] == 32


def test_from_a_hub_and_then_offline(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    tiny = tiny_model(tmp_path / "tiny")
    hub = Hub({"org/tiny": Repo({p.name: p.read_bytes() for p in tiny.iterdir()}, gated=True)})
    try:
        options = {"repo": "org/tiny", "cache_dir": str(tmp_path / "cache")}
        env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        refused = run_module("model_info", options, env)
        assert "gated" in refused["msg"]
        result = run_module("model_info", {**options, "token": "hf_right"}, env)
        assert result["model"]["weight_bytes"] == 853248
        assert result["model"]["revision"] == hub.repos["org/tiny"].commit
        assert "hf_right" not in json.dumps(result)  # ansible-core before 2.21 tells the arguments too
        asked = len(hub.requests)
        again = run_module("model_info", {**options, "offline": True}, env)
        assert again["model"]["revision"] == result["model"]["revision"]
        assert len(hub.requests) == asked
    finally:
        hub.close()
