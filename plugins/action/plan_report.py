# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_report import write_reports
from ansible_collections.gpuserve.inference.plugins.modules.plan_report import ARGUMENT_SPEC


class ActionModule(ActionBase):
    """Writes on the controller, whatever the host's connection and become settings are."""

    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        host = options["host"] or (task_vars or {}).get("inventory_hostname", "localhost")
        try:
            changed, files = write_reports(
                options["directory"], host, options["planned"], options["gpus"], options["own_pids"]
            )
        except GpuserveError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=changed, files=files)
        return result
