# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own papers agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


def text(*parts):
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def load(*parts):
    return yaml.safe_load(text(*parts))


def version(words):
    return tuple(int(part) for part in words.split("."))


def floor():
    return re.fullmatch(r">=(\d+\.\d+\.\d+)", load("meta", "runtime.yml")["requires_ansible"]).group(1)


def test_readme_names_the_ansible_floor():
    assert re.findall(r"ansible-core\W+(\d+\.\d+(?:\.\d+)?)", text("README.md"))[:1] in ([floor()], [floor()[:-2]])


def test_collection_needs_no_other_collection():
    assert load("galaxy.yml")["dependencies"] == {}


def test_licence_is_the_gpl_everywhere():
    assert load("galaxy.yml")["license"] == ["GPL-3.0-or-later"]
    assert text("LICENSE") == text("LICENSES", "GPL-3.0-or-later.txt")
    assert "Version 3, 29 June 2007" in text("LICENSE")


def test_this_version_has_release_notes():
    galaxy = load("galaxy.yml")["version"]
    released = set(load("changelogs", "changelog.yaml")["releases"])
    if galaxy not in released:
        fragments = [load(path) for path in (ROOT / "changelogs" / "fragments").glob("*.yml")]
        assert any("release_summary" in fragment for fragment in fragments), f"{galaxy} has no release_summary"


def test_execution_environment_installs_what_the_modules_import():
    named = load("meta", "execution-environment.yml")["dependencies"]["python"]
    wanted = [line for line in text(named).splitlines() if line and not line.startswith("#")]
    assert {re.split(r"[<>=]", line)[0] for line in wanted} >= {"nvidia-ml-py", "huggingface_hub"}
    for line in wanted:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", line), f"{line}: give it a lower bound and nothing else"
        assert "ansible" not in line


def test_role_metadata_names_the_same_ansible_floor():
    for path in ROOT.glob("roles/*/meta/main.yml"):
        info = yaml.safe_load(path.read_text(encoding="utf-8"))["galaxy_info"]
        assert version(str(info["min_ansible_version"]))[:2] == version(floor())[:2], path.parent.parent.name
        assert info["license"] == "GPL-3.0-or-later", path.parent.parent.name


def test_development_environment_is_within_the_supported_range():
    pins = ROOT / "tests" / "constraints.txt"
    pinned = dict(line.split("==") for line in pins.read_text(encoding="utf-8").splitlines() if "==" in line)
    assert version(pinned["ansible-core"]) >= version(floor())


def test_one_python_floor_for_managed_hosts():
    oldest = load("tests", "config.yml")["modules"]["python_requires"]
    assert oldest == ">=3.9"
    assert f'target-version = "py{oldest[2:].replace(".", "")}"' in text("pyproject.toml")
