#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show_text
short_description: Show a text to the operator as it is
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Prints O(text) into the output of the run, line by line, without the quoting and folding that results get.
  - Runs on the controller and never changes anything.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
options:
  text:
    description: The text. May have many lines.
    type: str
    required: true
  heading:
    description: What stands above it. Without one it is the host's name.
    type: str
    default: ""
  warning:
    description: Show it as a warning.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the plan
  gpuserve.inference.show_text:
    text: "{{ vllm_plan | gpuserve.inference.plan_table }}"
"""

RETURN = r"""
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "text": {"type": "str", "required": True},
    "heading": {"type": "str", "default": ""},
    "warning": {"type": "bool", "default": False},
}


def main() -> None:
    # the action plugin of the same name does the work; this is what remains where it is bypassed
    AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True).exit_json(changed=False)


if __name__ == "__main__":
    main()
