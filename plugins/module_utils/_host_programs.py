# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The parts of the core that programs on a host need, as files to put there: just these, whole and unchanged."""

from __future__ import annotations

import os
import re
from typing import Iterable, Union

PACKAGE = "ansible_collections.gpuserve.inference.plugins.module_utils"
_IMPORT = re.compile(rf"^[ \t]*from {re.escape(PACKAGE)}(?:\.(\w+))? import (\([^)]*\)|[^\n#]*)", re.M)


def imported(source: str) -> set[str]:
    """Names of the core's modules that a module's text imports, wherever in it."""
    found: set[str] = set()
    for module, names in _IMPORT.findall(source):
        # no tree of the text is built: this runs for every host in every run
        found |= {module} if module else {name.split()[0] for name in names.strip("()").split(",") if name.strip()}
    return found


def sources(entries: Iterable[str], folder: str = os.path.dirname(__file__)) -> dict[str, str]:
    """Text by name of these modules and of all that they import, directly or not."""
    found: dict[str, str] = {}
    todo = sorted(entries)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        with open(os.path.join(folder, f"{name}.py"), encoding="utf-8") as handle:
            found[name] = handle.read()
        todo.extend(imported(found[name]))
    return dict(sorted(found.items()))


def host_programs(entries: Iterable[str], prefix: str) -> list[dict[str, Union[str, bool]]]:
    """``files`` of host_files below ``prefix``/host. Packages of their own: one that Ansible brought must not win."""
    levels = PACKAGE.split(".")
    packages = ["/".join(levels[: depth + 1]) for depth in range(len(levels))]
    files: list[dict[str, Union[str, bool]]] = [
        {"path": f"{prefix}/host/{package}/__init__.py", "content": ""} for package in packages
    ]
    for name, text in sources(entries).items():
        files.append({"path": f"{prefix}/host/{packages[-1]}/{name}.py", "content": text, "program": True})
    return files
