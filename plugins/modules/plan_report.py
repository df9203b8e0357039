#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_report
short_description: Write a plan as JSON and as an HTML page on the controller
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Writes C(HOST.json), the whole plan with sorted keys, and C(HOST.html), one page that needs no other file, into a
    directory of the controller. From two hosts on there is C(index.html) too.
  - Where no topology fits, the page shows what is missing, and the JSON file holds C(msg) and C(candidates).
  - Runs on the controller; nothing on the host is read or changed.
extends_documentation_fragment:
  - gpuserve.inference._attributes
attributes:
  check_mode:
    support: full
    details:
      - The reports are written in check mode too, since they are on the controller only and describe what would be.
  diff_mode:
    support: none
    details:
      - There is no meaningful text to compare.
options:
  directory:
    description: Directory on the controller, made as needed. A relative one starts where Ansible was started.
    type: path
    required: true
  planned:
    description: >-
      What M(gpuserve.inference.topology_plan) returned: RV(gpuserve.inference.topology_plan#module:plan), or the whole
      registered result, also that of a task which failed because nothing fits.
    type: dict
    required: true
  host:
    description: Name of the files. The inventory's name of the host where it is left out.
    type: str
    default: ""
  gpus:
    description: The cards, as RV(gpuserve.inference.gpu_info#module:gpus), to name them on the page.
    type: list
    elements: dict
    default: []
  own_pids:
    description: Processes that the plan replaces. What they hold on a card is not shown as used by others.
    type: list
    elements: int
    default: []
seealso:
  - module: gpuserve.inference.topology_plan
  - plugin: gpuserve.inference.plan_html
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Keep the plan of every host
  gpuserve.inference.plan_report:
    directory: plans
    planned: "{{ planned }}"
    gpus: "{{ cards.gpus }}"
"""

RETURN = r"""
files:
  description: Paths of the reports on the controller.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_report import write_reports

ARGUMENT_SPEC = {
    "directory": {"type": "path", "required": True},
    "planned": {"type": "dict", "required": True},
    "host": {"type": "str", "default": ""},
    "gpus": {"type": "list", "elements": "dict", "default": []},
    "own_pids": {"type": "list", "elements": "int", "default": []},
}


def main() -> None:
    # the action plugin of the same name does the work; this is what remains where it is bypassed
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    p = module.params
    try:
        changed, files = write_reports(p["directory"], p["host"] or "localhost", p["planned"], p["gpus"], p["own_pids"])
    except GpuserveError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, files=files)


if __name__ == "__main__":
    main()
