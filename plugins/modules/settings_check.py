#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: settings_check
short_description: Look at all settings of a host before it is asked anything
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Compares the variables of a host with what the roles of this collection can use, and fails with one line that names
    each value, what is allowed, and what to do. Values of secrets are not shown.
  - Also finds names that are nearly those of a variable and would be read by nobody.
  - Runs on the controller, asks nothing of the host, and never changes anything.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
options: {}
"""

EXAMPLES = r"""
- name: Check the settings
  gpuserve.inference.settings_check:
"""

RETURN = r"""
problems:
  description: One line for each value that cannot be used.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    # the action plugin of the same name does the work; this is what remains where it is bypassed
    AnsibleModule(argument_spec={}, supports_check_mode=True).exit_json(changed=False, problems=[])


if __name__ == "__main__":
    main()
