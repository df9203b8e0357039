# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports as an operator writes them: real Ansible, hosts that nobody can reach, check mode too."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.tests.unit.plays import run_play
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, model

PLAYBOOK = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - gpuserve.inference.topology_plan:
        gpus: "{{ cards }}"
        model: "{{ model }}"
        max_model_len: "{{ length }}"
      register: planned
      failed_when: planned is failed and planned.candidates is not defined
    - gpuserve.inference.show_text:
        text: "{{ planned | gpuserve.inference.plan_table }}"
    - gpuserve.inference.plan_report:
        directory: plans
        planned: "{{ planned }}"
        gpus: "{{ cards }}"
"""


@pytest.fixture
def run(tmp_path: Path):
    """Runs the playbook in a directory of its own; gives the output of the run."""
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    (tmp_path / "hosts.ini").write_text("one ansible_host=192.0.2.1\ntwo ansible_host=192.0.2.2\n", encoding="utf-8")
    settings = {"cards": cards("5090", "5090"), "model": model("llama-3.1-8b"), "length": "auto"}

    def go(*options: str, **changes: object) -> str:
        (tmp_path / "settings.json").write_text(json.dumps({**settings, **changes}), encoding="utf-8")
        return run_play(tmp_path, "-i", "hosts.ini", "-e", "@settings.json", *options, "play.yml")

    return go


def test_reports_are_written_on_the_controller_and_only_once(run, tmp_path):
    first = run("--check")
    assert first.count("changed=1") == 2
    assert ">  data_parallel    2 x TP1  yes" in first
    assert max(len(line) for line in first.split("TASK [gpuserve.inference.plan_report")[0].split("\n")) <= 100
    names = ["index.html", "one.html", "one.json", "two.html", "two.json"]
    assert sorted(os.listdir(tmp_path / "plans")) == names
    held = json.loads((tmp_path / "plans" / "one.json").read_text(encoding="utf-8"))
    assert held["topology"] == "data_parallel"
    assert "2 x NVIDIA GeForce RTX 5090" in (tmp_path / "plans" / "two.html").read_text(encoding="utf-8")
    assert run().count("changed=0") == 2


def test_nothing_fits_is_reported_too(run, tmp_path):
    shown = run("--limit", "one", cards=cards("3060"), length="131072")
    assert "Nothing fits" in shown
    held = json.loads((tmp_path / "plans" / "one.json").read_text(encoding="utf-8"))
    assert "does not fit" in held["msg"]
    assert "Nothing fits" in (tmp_path / "plans" / "one.html").read_text(encoding="utf-8")
