#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Make a set of files equal to what is given, validate it, and reload what uses it
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Writes all of O(files), removes what else matches O(purge), runs O(validate), and reloads O(unit), as one step.
  - Where the validation fails, every file is put back as it was before anything is reloaded.
  - A unit that was already running with these files is left alone.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.files
  - gpuserve.inference._hold.files
  - gpuserve.inference._hold.use
"""

EXAMPLES = r"""
- name: Hold one nginx file
  gpuserve.inference.host_files:
    files:
      - path: /etc/nginx/conf.d/gpuserve.conf
        content: "server { listen 127.0.0.1:8080; }\n"
    validate:
      - nginx
      - -t
    unit: nginx.service
"""

RETURN = r"""
files:
  description: What was done, or would be, to each path that was not as wanted.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      type: str
      returned: always
    action:
      description: V(create), V(update), V(mode) or V(remove).
      type: str
      returned: always
unit_action:
  description: What was done to O(unit), V(start), V(reload), or empty.
  returned: always
  type: str
retired:
  description: Those of O(retired) that were stopped and disabled.
  returned: always
  type: list
  elements: str
timers:
  description: What was done to each of O(timers) that was not as wanted, V(start) or V(restart).
  returned: always
  type: dict
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _hold
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def main() -> None:
    module = AnsibleModule(argument_spec=_hold.ARGUMENT_SPEC, supports_check_mode=True)
    find_sbin()
    try:
        held = _hold.hold(
            module.run_command, module.params, module.check_mode, module.params["validate"], module.params["unit"]
        )
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    result = {"changed": held.changed, **held.to_dict()}
    if module._diff:
        result["diff"] = _hold.diff(held.changes)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
