# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback that counts remote calls: a test and figures rest on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: One of Ansible's actions, which runs two modules
      ansible.builtin.copy:
        content: a
        dest: "{{ folder }}/a"
    - name: Two in a loop
      ansible.builtin.command: "true"
      loop: [1, 2]
    - name: None on the host
      ansible.builtin.debug:
        msg: a
    - name: None on the host either
      ansible.builtin.command: "true"
      delegate_to: localhost
      vars:
        ansible_connection: local
    - name: One that fails is one as well
      ansible.builtin.command: "false"
      ignore_errors: true
"""


@pytest.fixture
def records(tmp_path):
    """The play over two hosts; in place of ssh, a script that stays on this machine."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n', encoding="ascii")
    ssh.chmod(0o755)
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    settings = {
        "ansible_ssh_executable": str(ssh),
        "ansible_ssh_transfer_method": "piped",
        "ansible_ssh_args": "",
        "ansible_python_interpreter": sys.executable,
        "folder": str(tmp_path),
    }
    env = {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks" / "seconds" / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "remote_calls",
        "ANSIBLE_PIPELINING": "1",
        "REMOTE_CALLS_OUT": str(tmp_path / "out"),
    }
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "one,two", "-e", json.dumps(settings)]
    for _time in range(2):
        subprocess.run([*command, str(tmp_path / "play.yml")], env=env, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in (tmp_path / "out").read_text(encoding="utf-8").splitlines()]


def test_modules_are_counted_where_they_run(records):
    first, again = records
    # copy asks for the file, and writes it where it is not as wanted
    assert first["hosts"] == {"one": 5, "two": 5}
    assert (first["changed"] > again["changed"]) and again["hosts"] == first["hosts"]
    assert first["playbook"] == "play.yml"
    assert all(call["seconds"] > 0 for call in first["calls"])
    assert {call["module"].rpartition(".")[2] for call in first["calls"]} >= {"stat", "command"}
