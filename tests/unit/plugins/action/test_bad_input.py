# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worst inputs through real Ansible: an operator reads one line for each, and no traceback."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import COLLECTIONS
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import config, model_dir
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, model

TASK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - gpuserve.inference.{name}:
      args: "{{{{ item }}}}"
      loop: "{{{{ cases }}}}"
      loop_control:
        label: "{{{{ index }}}}"
        index_var: index
      ignore_errors: true
      register: done
    - ansible.builtin.copy:
        content: "{{{{ done.results | to_json }}}}"
        dest: "{{{{ answers }}}}"
        mode: "0600"
"""


def run(name: str, cases: list[dict[str, Any]], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """What the module answers to each of ``cases``, all in one run, and everything that Ansible printed."""
    folder.mkdir(exist_ok=True)
    (folder / "play.yml").write_text(TASK.format(name=name), encoding="utf-8")
    (folder / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
    answers = folder / "answers.json"
    variables = {"cases": cases, "answers": str(answers), "ansible_python_interpreter": sys.executable}
    (folder / "vars.json").write_text(json.dumps(variables), encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "-c", "local", "-e", "@vars.json",
            "play.yml",
        ],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")},
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_LOCAL_TEMP": str(folder / "local_tmp"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "remote_tmp"),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    results: list[dict[str, Any]] = json.loads(answers.read_text(encoding="utf-8"))
    assert len(results) == len(cases)
    return results, said


def check_refused(name: str, result: dict[str, Any], words: list[str]) -> None:
    assert result.get("failed") is True, (name, result)
    assert result["msg"].isprintable(), name
    for word in words:
        assert word in result["msg"], name


# ---------------------------------------------------------------- model_info

LARGE = "9" * 5000
SHARD = {"a": {"dtype": "BF16", "shape": [2**62, 2**62], "data_offsets": [0, 2**62]}}


def header(raw: bytes, length: int) -> dict[str, bytes]:
    return {"model.safetensors": struct.pack("<Q", length) + raw}


# config.json (bytes as they are), other files, and words of the line
MODELS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "nothing": (b"", {}, ["config.json: not valid JSON"]),
    "deep": (b'{"x":' * 100_000, {}, ["nested too deep"]),
    "not finite": (config(hidden_size=float("inf")), {}, ["hidden_size", "'Infinity'"]),
    "digits": (json.dumps(config()).replace("256", LARGE).encode(), {}, ["vocab_size", "whole number"]),
    "endless layers": (config(num_hidden_layers=10**18), {}, ["num_hidden_layers", "1 to 4096"]),
    "no heads": (config(num_attention_heads=0), {}, ["num_attention_heads"]),
    "escapes": (config(architectures=["x\x1b[2J\ny"]), {}, ["architectures must be a list"]),
    "surrogate": (b'{"architectures": ["\\ud800"]}', {}, ["architectures must be a list"]),
    "unknown": (config(architectures=["FrobnicateForCausalLM"]), {}, ["FrobnicateForCausalLM", "allow_unknown"]),
    "quantization": (config(quantization_config={"quant_method": "squeeze"}), {}, ["quant_method 'squeeze'"]),
    "experts": (config(num_experts=4, num_experts_per_tok=8), {}, ["num_experts_per_tok 8"]),
    "header length": (config(), header(b"{}", 2**60), ["model.safetensors", "truncated"]),
    "header depth": (config(), header(b"[" * 100_000, 100_000), ["model.safetensors", "nested too deep"]),
    "header sizes": (config(), header(json.dumps(SHARD).encode(), len(json.dumps(SHARD))), ["tensor 'a'"]),
    "index": (
        config(),
        {"model.safetensors.index.json": {"weight_map": {"a": "../../etc/passwd"}}},
        ["outside the model's directory"],
    ),
}


def test_model_info_refuses_each_in_one_line(tmp_path: Path) -> None:
    cases = []
    for number, (content, files, _words) in enumerate(MODELS.values()):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        path = model_dir(tmp_path / str(number), None, {**files, "config.json": raw})
        cases.append({"path": str(path)})
    results, said = run("model_info", cases, tmp_path / "run")
    for (name, (_content, _files, words)), result in zip(MODELS.items(), results):
        check_refused(name, result, words)
    assert "Traceback" not in said
    assert "\x1b[2J" not in said


# ---------------------------------------------------------------- topology_plan

SMALL = model("llama-3.2-1b")
PLANS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no model": ({"gpus": cards("5090"), "model": {}}, ["model: key", "is missing"]),
    "no cards": ({"gpus": [], "model": SMALL}, ["no NVIDIA card was found on this host"]),
    "a card of words": ({"gpus": cards("5090", index="one"), "model": SMALL}, ["index", "whole number"]),
    "more free than there is": (
        {"gpus": cards("5090", memory_free_bytes=10**15), "model": SMALL},
        ["memory_free_bytes", "0 to"],
    ),
    "one card twice": ({"gpus": cards("5090") * 2, "model": SMALL}, ["index 0 is there twice"]),
    "an absurd size": ({"gpus": cards("5090"), "model": {**SMALL, "layers": 2**62}}, ["model.layers"]),
    "negative weights": ({"gpus": cards("5090"), "model": {**SMALL, "weight_bytes": -1}}, ["model.weight_bytes is -1"]),
    "a config that is none": ({"gpus": cards("5090"), "model": {**SMALL, "config": [1]}}, ["model.config must be"]),
    "a layout of words": (
        {"gpus": cards("5090"), "model": {**SMALL, "kv_layout": [{"kind": "x", "layers": 1}]}},
        ["kv_layout", "'x'"],
    ),
    "half a matrix of links": ({"gpus": cards("5090", "5090"), "links": [[{}]], "model": SMALL}, ["links"]),
    "negative links": (
        {"gpus": cards("5090"), "links": [[{"nvlink_count": -4}]], "model": SMALL},
        ["nvlink_count is -4"],
    ),
    "a workload of words": (
        {"gpus": cards("5090"), "model": SMALL, "workload": {"input_tokens": "many"}},
        ["workload"],
    ),
    "a length of nothing": ({"gpus": cards("5090"), "model": SMALL, "max_model_len": "-1"}, ["max_model_len"]),
    "too many": ({"gpus": cards("5090"), "model": SMALL, "replicas": 1000}, ["replicas"]),
    "too large": ({"gpus": cards("5080"), "model": {**SMALL, "weight_bytes": 10**13}}, ["does not fit"]),
}


def test_topology_plan_refuses_each_in_one_line(tmp_path: Path) -> None:
    results, said = run("topology_plan", [options for options, _words in PLANS.values()], tmp_path)
    for (name, (_options, words)), result in zip(PLANS.items(), results):
        check_refused(name, result, words)
    assert "Traceback" not in said


# ---------------------------------------------------------------- an architecture nobody knows


def test_an_unknown_architecture_is_planned_with_its_margin_said(tmp_path: Path) -> None:
    path = model_dir(tmp_path / "model", config(architectures=["FrobnicateForCausalLM"], model_type="frobnicate"))
    (read,), _said = run("model_info", [{"path": str(path), "allow_unknown": True}], tmp_path / "info")
    assert any("FrobnicateForCausalLM" in w and "planned from its dimensions" in w for w in read["model"]["warnings"])
    (planned,), said = run("topology_plan", [{"gpus": cards("5090"), "model": read["model"]}], tmp_path / "plan")
    plan = planned["plan"]
    assert plan["prediction"]["margin_percent"] >= 15
    assert any("FrobnicateForCausalLM" in w and "margin" in w for w in plan["warnings"])
    assert "FrobnicateForCausalLM" in said  # the operator sees it without asking
