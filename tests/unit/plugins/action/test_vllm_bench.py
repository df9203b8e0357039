# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A measurement is followed from the controller: with real Ansible, and with a connection that goes away."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.gpuserve.inference.plugins.action import vllm_bench
from ansible_collections.gpuserve.inference.tests.unit.plays import run_play
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.bench_fakes import fake_vllm

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - gpuserve.inference.vllm_bench:
        urls: ["http://127.0.0.1:1"]
        served_model_name: m
        tokenizer: "{{ folder }}"
        python: "{{ ansible_playbook_python }}"
        environment: {PYTHONPATH: "{{ folder }}"}
        concurrencies: [1, 2]
        repeats: 2
        title: 2xTP1, 1 of 2
      register: measured
    - ansible.builtin.debug:
        msg: "{{ measured.points | map(attribute='label') | join(' and ') }}, {{ measured.times.runs | length }} runs"
    - gpuserve.inference.vllm_bench:
        state: stopped
"""


def test_each_run_is_told_as_it_ends(tmp_path: Path) -> None:
    fake_vllm(tmp_path)
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    words = ["-i", "here,", "-c", "local", "-e", f"folder={tmp_path}"]
    said = run_play(tmp_path, *words, "-e", f"ansible_python_interpreter={sys.executable}", "play.yml")
    told = [line for line in said.splitlines() if line.startswith("here: 2xTP1, 1 of 2, ")]
    assert [line.split(", ")[2].split(":")[0] for line in told] == [
        "warm-up", "run 1 of 4", "run 2 of 4", "run 3 of 4", "run 4 of 4"
    ]  # fmt: skip
    assert "1 at once and 2 at once, 2 runs" in said
    assert "changed=0" in said


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Follows what the looks answer: text, or an error; returns the result and the seconds that went by."""
    now = [0.0]
    monkeypatch.setattr(vllm_bench.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(vllm_bench.time, "monotonic", lambda: now[0])

    def go(answers: list[Any]) -> tuple[dict[str, Any], float]:
        action = vllm_bench.ActionModule.__new__(vllm_bench.ActionModule)
        action._connection = SimpleNamespace(close=lambda: None)
        left = list(answers)

        def look(_command: str) -> dict[str, Any]:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return {"rc": 0, "stdout": "", "stderr": "", **answer}

        action._low_level_execute_command = look
        return action._follow("/run/gpuserve/bench", "gpu1"), now[0]

    return go


def told(result: Any, word: str = "on") -> dict[str, str]:
    return {"stdout": json.dumps({"lines": ["one"], "result": result}) + f" {word}\n"}


def test_a_connection_may_be_away_for_a_while(follow: Any) -> None:
    gone = AnsibleConnectionFailure("no route to host")
    result, seconds = follow([told(None), *[gone] * 100, told({"points": []}, "ended")])
    assert result == {"points": []} and seconds > 490


def test_but_not_for_ever(follow: Any) -> None:
    with pytest.raises(AnsibleConnectionFailure, match="the host was not reached for 540 s while it was measured"):
        follow([told(None), AnsibleConnectionFailure("no route to host")])


@pytest.mark.parametrize(
    "answer",
    [told(None, "ended"), {"rc": 1, "stderr": "cat: /run/gpuserve/bench/state.json: No such file or directory"}],
)
def test_one_that_was_ended_is_told(follow: Any, answer: dict[str, Any]) -> None:
    assert follow([told(None), answer])[0]["msg"] == "the measurement was ended on the host before it was done"
