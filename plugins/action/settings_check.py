# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader
from ansible.release import __version__ as ansible_release
from ansible_collections.gpuserve.inference.plugins.module_utils._settings import slips
from ansible_collections.gpuserve.inference.plugins.module_utils._settings_rules import PLAYBOOK_OPTIONS, check
from ansible_collections.gpuserve.inference.plugins.plugin_utils import _payloads

# This task comes first in every playbook, and Ansible imports it in the controller's main process. Each later task is
# a fork of that process for each host, and would import what the main process lacks again: a third of all its work.
filter_loader.get("gpuserve.inference.watch_problem")  # with it come all filters of this collection
for _name in ("ansible.builtin.file", "ansible.builtin.fileglob", "ansible.builtin.template"):
    lookup_loader.get(_name, class_only=True)
test_loader.get("ansible.builtin.match")

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
HERE = Path(__file__).resolve().parents[2]
ROLES = HERE / "roles"
if context.CLIARGS:  # a playbook's run, not a test's
    _told = vars(constants)
    _payloads.attach(
        HERE, ansible_release, Path(_told["ANSIBLE_HOME"]), Path(_told["DEFAULT_LOCAL_TMP"], "ansiballz_cache"),
        _told["DEFAULT_MODULE_UTILS_PATH"] or (),
    )  # fmt: skip


def role_options() -> dict[str, dict[str, Any]]:
    """Every variable of every role: its options in the argument specs, of all entry points."""
    found: dict[str, dict[str, Any]] = dict(PLAYBOOK_OPTIONS)
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        for spec in yaml.load(path.read_text(encoding="utf-8"), LOADER)["argument_specs"].values():
            found.update(spec.get("options") or {})
    return found


class ActionModule(ActionBase):
    """Runs on the controller: what is wrong with the settings is known before the host is asked anything."""

    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        known = role_options()
        held = task_vars or {}
        values: dict[str, Any] = {}
        lines = slips(held, known)
        for name in sorted(set(held) & set(known)):
            try:
                values[name] = self._templar.template(held[name])
            except AnsibleError as error:
                reason = " ".join(str(error).split())
                lines.append(f"{name} cannot be worked out: {reason}; mend its expression or what it uses")
        lines += check(values, known)
        result.update(changed=False, problems=lines)
        if lines:
            result.update(failed=True, msg="; ".join(lines))
        return result
