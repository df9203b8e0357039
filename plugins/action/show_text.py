# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.gpuserve.inference.plugins.modules.show_text import ARGUMENT_SPEC


class ActionModule(ActionBase):
    """Prints a text in one piece, so that those of several hosts do not mix."""

    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        if options["warning"]:
            result.update(changed=False, warnings=[options["text"]])
            return result
        heading = options["heading"] or (task_vars or {}).get("inventory_hostname", "")
        lines = options["text"].rstrip("\n").splitlines()
        Display().display("\n".join([f"{heading}:", *(f"  {line}".rstrip() for line in lines)]))
        result.update(changed=False)
        return result
