# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every variable of every role has a value that is refused, in one line, before a host is asked.

The same rows go through the real playbooks in the scenario bad_input.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gpuserve.inference.molecule.bad_input.table import HOST, PLAYBOOKS, SETTINGS
from ansible_collections.gpuserve.inference.plugins.module_utils._settings import problems, slips
from ansible_collections.gpuserve.inference.plugins.module_utils._settings_rules import PLAYBOOK_OPTIONS, RULES, check

ROOT = Path(__file__).resolve().parents[3]


def known() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = dict(PLAYBOOK_OPTIONS)
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for spec in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found.update(spec.get("options") or {})
    return found


KNOWN = known()
TEMPLATED = [row for row in SETTINGS if "{{" in json.dumps(row[0])]  # these need Ansible


@pytest.mark.parametrize(("settings", "pattern"), [row for row in SETTINGS if row not in TEMPLATED])
def test_refused_in_one_line(settings: dict[str, Any], pattern: str) -> None:
    lines = slips(settings, KNOWN) + check(settings, KNOWN)
    assert len(lines) == 1
    assert re.search(pattern, lines[0]), lines[0]
    assert lines[0].isprintable() and len(lines[0]) < 400
    assert re.search(r"; .*(give|name|did you mean|leave|set) |not PORT or ADDRESS|must be", lines[0])  # what to do
    if any(KNOWN.get(name, {}).get("no_log") for name in settings):
        held = [value for name, value in settings.items() if KNOWN[name].get("no_log")]
        held = [word for value in held for word in re.findall(r"[\w\"-]+", json.dumps(value))]
        assert not any(word.strip('"') in lines[0].split() for word in held if len(word) > 5), lines[0]


def test_every_variable_has_a_row() -> None:
    tried = {name for settings, _pattern in SETTINGS for name in settings}
    missing = sorted(set(KNOWN) - tried)
    assert not missing, f"molecule/bad_input/table.py has no bad value for {', '.join(missing)}; add a row to SETTINGS"


def test_every_rule_is_of_a_variable() -> None:
    names = set(KNOWN) | {f"{name}.{key}" for name, spec in KNOWN.items() for key in spec.get("options") or {}}
    assert sorted(set(RULES) - names) == []


def test_every_playbook_is_tried() -> None:
    assert sorted(PLAYBOOKS) == sorted(path.stem for path in ROOT.glob("playbooks/*.yml"))
    assert sum(map(len, PLAYBOOKS.values())) >= 150
    assert len(HOST) >= 25


@pytest.mark.parametrize("playbook", sorted(PLAYBOOKS))
def test_every_playbook_looks_at_the_settings_first(playbook: str) -> None:
    first = tasks_of(f"{playbook}.yml")[0]
    while "ansible.builtin.import_tasks" in first:
        first = tasks_of(first["ansible.builtin.import_tasks"])[0]
    assert "gpuserve.inference.settings_check" in first


def tasks_of(path: str) -> Any:
    content = yaml.safe_load((ROOT / "playbooks" / path).read_text(encoding="utf-8"))
    return content[0].get("tasks") or content


def test_defaults_pass() -> None:
    unset = {"vllm_model": "/srv/m"}  # empty on purpose: there is no good default
    defaults = {name: spec["default"] for name, spec in KNOWN.items() if "default" in spec}
    assert check({**defaults, **unset}, KNOWN) == []


GOOD: list[dict[str, Any]] = [
    {"vllm_rehearsal": "yes", "vllm_replicas": "2", "vllm_gpu_memory_utilization": "0.9"},  # -e NAME=VALUE is text
    {"vllm_rehearsal": 1, "vllm_shutdown_timeout": 0, "vllm_max_model_len": 8192, "gateway_listen": 8000},
    {"gpuserve_serial": [1, "10%", "100%"], "gpuserve_max_fail_percentage": "20"}, {"gpuserve_serial": 5},
    {"gpuserve_drain": "gpu0", "gpuserve_drain_state": "back", "gpuserve_drain_stop": "true"},
    {"vllm_gpus": [0, "GPU-1"]}, {"vllm_gpus": 1}, {"vllm_workload": {"input_tokens": 1}},
    {"vllm_prefix": "/data/gpuserve", "vllm_models_dir": "/srv/models", "vllm_cache_dir": "/opt/gpuserve/cache"},
    {"vllm_model": "org/name.v1-2", "vllm_model_revision": "refs/pr/1", "vllm_hub_endpoint": "http://mirror:8080/hf"},
    {"vllm_environment": {"A": 1, "B": "x y", "_C": 0.5}}, {"vllm_python": "/usr/bin/python3.11"},
    {"vllm_no_index": True, "vllm_find_links": ["/srv/wheels", "https://wheels.example/list.html"]},
    {"gateway_upstreams": [{"port": 8001}, {"host": "10.0.0.1", "port": "8001"}]}, {"gateway_api_keys": ["x" * 32]},
    {"gateway_server_name": "*.b.example"}, {"gateway_extra_paths": ["/v1/score", "GET /v1/x"]},
    {"gateway_keys_rotate": "default,other"}, {"gateway_keys_add": ["a-1"]}, {"gateway_tls_names": ["10.0.0.1", "::1"]},
]  # fmt: skip


@pytest.mark.parametrize("settings", GOOD)
def test_good_settings_pass(settings: dict[str, Any]) -> None:
    assert check(settings, KNOWN) == []


def test_names_of_others_are_left_alone() -> None:
    names = ["vllm_plan", "vllm_planned_for", "vllm_verified", "vllm_team", "gateway", "vllm", "inventory_hostname"]
    assert slips([*names, *KNOWN], KNOWN) == []


def test_long_and_strange_values_stay_one_line() -> None:
    for value in ("x" * 5000, "a\nb\x1b[2J", {"a": object()}, float("nan"), 10**400, "\ud800", [None] * 1000):
        (line,) = problems({"vllm_replicas": value}, KNOWN, RULES)
        assert line.isprintable() and len(line) < 300
