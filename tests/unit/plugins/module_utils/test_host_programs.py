# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is carried to a host must run there by itself: no Ansible, no site packages, no other part of the collection."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _host_programs
from ansible_collections.gpuserve.inference.plugins.module_utils._host_programs import host_programs, imported, sources

ENTRIES = ["_cache_run", "_card_wait", "_health_run", "_watch_run"]


def test_imports_are_found_wherever_they_stand():
    package = _host_programs.PACKAGE
    text = f"""
import os
from {package} import _a, _b as b
from {package}._c import thing
from elsewhere import _x
def late():
    from {package}._d import other
"""
    assert imported(text) == {"_a", "_b", "_c", "_d"}


def test_the_pattern_finds_what_python_finds():
    """imported() reads the text by a pattern, which is quick; Python's own parser is the judge of it."""
    package = _host_programs.PACKAGE
    for path in Path(_host_programs.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom) and n.module]
        whole = {alias.name for node in nodes if node.module == package for alias in node.names}
        parts = {n.module[len(package) + 1 :] for n in nodes if n.module.startswith(f"{package}.")}
        assert imported(text) == whole | parts, path.name


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_set_is_closed_under_imports(entry):
    found = sources([entry])
    assert {name for text in found.values() for name in imported(text)} <= set(found)


def test_nothing_is_carried_that_has_no_business_there():
    """The watch starts every few seconds: it must stay small, and none of them needs planner or models."""
    watch, all_of_them = sources(["_watch_run"]), sources(ENTRIES)
    assert not [name for name in all_of_them if name.startswith(("_plan", "_model", "_rank", "_kv", "_speed"))]
    assert not [name for name in watch if name.startswith(("_nvml", "_gpu", "_engine_wait", "_host", "_health"))]


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_runs_alone(tmp_path, entry):
    for file in host_programs([entry], str(tmp_path)):
        path = tmp_path.__class__(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"], encoding="utf-8")
    words = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'host')!r}); "
        f"from {_host_programs.PACKAGE} import {entry} as it; assert {str(tmp_path)!r} in it.__file__; assert it.main"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_of_host_files():
    files = host_programs(["_watch_settings"], "/opt/x")
    paths = [file["path"] for file in files]
    assert "/opt/x/host/ansible_collections/__init__.py" in paths
    assert "/opt/x/host/ansible_collections/gpuserve/inference/plugins/module_utils/_errors.py" in paths
    assert len(paths) == len(set(paths))
