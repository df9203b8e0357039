# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module documents itself, and the lists that name modules name all of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "gpuserve.inference."
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("[!_]*.py"))


def texts(kind, name):
    """The documentation as text, read without importing the file: DOCUMENTATION, EXAMPLES, or a fragment's parts."""
    tree = ast.parse((ROOT / "plugins" / kind / f"{name}.py").read_text(encoding="utf-8"))
    return {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def constants(module):
    return texts("modules", module)


def documented_options(module):
    documentation = yaml.safe_load(constants(module)["DOCUMENTATION"])
    options = set(documentation.get("options") or {})
    for fragment in documentation.get("extends_documentation_fragment") or []:
        name, _dot, part = fragment[len(PREFIX) :].partition(".")
        shared = yaml.safe_load(texts("doc_fragments", name)[part.upper() or "DOCUMENTATION"])
        options |= set(shared.get("options") or {})
    return options


def tasks_of(examples):
    for item in yaml.safe_load(examples):
        yield from item.get("tasks") or [item]  # a play, or a task


def test_there_are_modules():
    assert MODULES


@pytest.mark.parametrize("module", MODULES)
def test_examples_run_this_module_with_options_it_has(module):
    text = constants(module)
    documented = documented_options(module)
    used = [task[PREFIX + module] for task in tasks_of(text["EXAMPLES"]) if PREFIX + module in task]
    assert used, f"no example of {PREFIX}{module}"
    for arguments in used:
        assert set(arguments or {}) <= documented


@pytest.mark.parametrize("module", MODULES)
def test_returned_values_are_documented(module):
    for key, value in (yaml.safe_load(constants(module)["RETURN"]) or {}).items():
        assert value.get("description"), key
        assert value.get("type"), key
        assert value.get("returned"), key


@pytest.mark.parametrize("module", MODULES)
def test_version_added_is_a_version_of_this_collection(module):
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    added = yaml.safe_load(constants(module)["DOCUMENTATION"])["version_added"]
    assert [int(part) for part in str(added).split(".")] <= [int(part) for part in galaxy["version"].split(".")]


def test_action_group_names_every_module():
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert sorted(runtime["action_groups"]["all"]) == MODULES


def test_action_plugins_stand_before_modules_of_the_same_name():
    actions = {path.stem for path in (ROOT / "plugins" / "action").glob("[!_]*.py")}
    assert actions <= set(MODULES)
