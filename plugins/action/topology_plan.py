# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options
from ansible_collections.gpuserve.inference.plugins.modules.topology_plan import ARGUMENT_SPEC


class ActionModule(ActionBase):
    """Plans on the controller: the plan needs nothing of the host, so a remote call would only cost time."""

    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        try:
            plan = plan_from_options(options)
        except PlanError as error:
            candidates = [candidate.to_dict() for candidate in error.candidates]
            # returned, not raised: failed_when has a say in what is returned only
            result.update(failed=True, changed=False, msg=str(error), candidates=candidates)
            return result
        except GpuserveError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=False, plan=plan)
        if plan["warnings"]:
            result["warnings"] = plan["warnings"]
        return result
