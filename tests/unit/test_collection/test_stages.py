# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stages of site: their tags are those of the guide, each runs what it is for, and forks have what they need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import COLLECTIONS

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "docsite" / "rst" / "guide_automation.rst"
# what must be among the tasks of a stage, and what must not
STAGES = {
    "plan": ("Plan | Choose the topology", "Run the instances"),
    "host": ("Build the tools' environment", "Plan | Choose the topology"),
    "engine": ("Install the engine", "Bring the model"),
    "model": ("Bring the model", "Install the engine"),
    "instances": ("Instances | Hold the files of the release", "Configure | Hold keys"),
    "gateway": ("Configure | Hold keys", "Plan | Choose the topology"),
    "verify": ("Verify | Ask every instance", "Plan | Choose the topology"),
}


def site(*words):
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"}
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "gpu1,", "gpuserve.inference.site", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_the_guide_names_every_tag():
    tags = {tag for found in re.findall(r"TASK TAGS: \[(.*)\]", site("--list-tags")) for tag in found.split(", ")}
    assert tags - {"always"} == set(STAGES)
    table = GUIDE.read_text(encoding="utf-8").partition("One stage at a time")[2].partition(".. code-block")[0]
    assert set(re.findall(r"^   \* - ``(\w+)``$", table, re.M)) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_what_it_stands_for(stage):
    tasks = site("--list-tasks", "--tags", stage)
    wanted, other = STAGES[stage]
    assert wanted in tasks
    assert other not in tasks
    assert "Check the settings" in tasks  # in every run


def test_the_first_task_imports_what_forks_need():
    """A fork inherits what is in the main process; Ansible imports the class of an action there before it forks."""
    code = (
        "import sys\n"
        "from ansible.plugins.loader import action_loader, init_plugin_loader\n"
        "init_plugin_loader()\n"
        "action_loader.get('gpuserve.inference.settings_check', class_only=True)\n"
        "print(*[name for name in sys.modules if 'gpuserve' in name])\n"
    )
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)}
    loaded = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    filters = {path.stem for path in (ROOT / "plugins" / "filter").glob("[!_]*.py")}
    assert filters <= {name.rpartition(".")[2] for name in loaded.split() if ".filter." in name}
