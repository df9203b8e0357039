# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each role says the same thing in its spec, its defaults and its README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.parent.name for path in ROOT.glob("roles/*/tasks"))
MISSING = object()


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def options_of(role):
    """Options of all entry points: what two of them share, they must agree on."""
    specs = (load(ROOT / "roles" / role / "meta" / "argument_specs.yml") or {}).get("argument_specs") or {}
    assert "main" in specs, f"{role}: meta/argument_specs.yml has no entry point main"
    options = {}
    for entry, spec in specs.items():
        for name, option in (spec.get("options") or {}).items():
            before = options.setdefault(name, option)
            same = before.get("default", MISSING) == option.get("default", MISSING)
            assert same, f"{role}: {name} has another default in entry point {entry}"
    return options


def defaults_of(role):
    return load(ROOT / "roles" / role / "defaults" / "main.yml") or {}


def test_there_are_roles():
    assert ROLES


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_in_the_spec(role):
    assert sorted(set(defaults_of(role)) - set(options_of(role))) == []


@pytest.mark.parametrize("role", ROLES)
def test_spec_and_defaults_hold_the_same_values(role):
    defaults = defaults_of(role)
    wrong = []
    for name, option in options_of(role).items():
        in_spec, in_defaults = option.get("default", MISSING), defaults.get(name, MISSING)
        if option.get("required") and in_defaults is not MISSING:
            wrong.append(f"{name} is required, yet defaults/main.yml sets it")
        # 1 == True in Python, so the types are compared too
        elif in_spec is not in_defaults and (type(in_spec) is not type(in_defaults) or in_spec != in_defaults):
            shown = ["nothing" if v is MISSING else repr(v) for v in (in_spec, in_defaults)]
            wrong.append(f"{name}: the spec says {shown[0]}, defaults/main.yml says {shown[1]}")
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_each_option_is_described_typed_and_named_after_its_role(role):
    wrong = []
    for name, option in options_of(role).items():
        if not option.get("description"):
            wrong.append(f"{name} has no description")
        if "type" not in option:
            wrong.append(f"{name} has no type")
        if option.get("type") == "list" and "elements" not in option:
            wrong.append(f"{name} does not say what its elements are")
        if not name.startswith(f"{role}_"):
            wrong.append(f"{name} does not start with {role}_")
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_secrets_are_never_logged(role):
    secret = re.compile(r"(api_keys?|token|password|secret)$")
    shown = [name for name, option in options_of(role).items() if secret.search(name) and "no_log" not in option]
    assert shown == [], "say no_log: true, or no_log: false where it is no secret"


@pytest.mark.parametrize("role", ROLES)
def test_readme_table_holds_every_variable_with_its_default(role):
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    rows = {}  # every row of a variable: each entry point has a table
    for line in readme.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0].startswith("`"):
            rows.setdefault(cells[0].strip("`"), set()).add(cells[2].replace("\\|", "|"))
    options = options_of(role)
    assert sorted(name for name in rows if "." not in name) == sorted(options)
    for name, option in options.items():
        if option.get("required"):
            expected = "required"
        elif "default" not in option:
            expected = ""
        else:
            default = option["default"]
            expected = f"`{default if isinstance(default, str) and default else json.dumps(default)}`"
        assert rows[name] == {expected}, f"{name}: run make readme"
