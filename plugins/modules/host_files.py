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
options:
  files:
    description: The files that shall be there. Parent directories are made as needed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the file.
        type: path
        required: true
      content:
        description: Content of the file. Left out where O(secrets) has it.
        type: str
      mode:
        description: Permissions in octal.
        type: str
        default: "0644"
      owner:
        description: Owning user.
        type: str
        default: root
      group:
        description: Owning group.
        type: str
        default: root
      replaces:
        description: File that this one takes over from. Where this one is new, the diff compares it with that.
        type: path
      program:
        description: Whether a diff shows only the size and sha256 of the file, for files that nobody reads there.
        type: bool
        default: false
  secrets:
    description:
      - Contents that must appear in no log and no diff, by the path of their file.
      - They stand apart because Ansible hides a parameter as a whole, but not one with several lines inside another.
    type: dict
    default: {}
  purge:
    description: Shell patterns. A file that matches and is not in O(files) is removed.
    type: list
    elements: str
    default: []
  absent:
    description: Files and whole directories to remove.
    type: list
    elements: path
    default: []
  tidy:
    description: Directories to remove where nothing is left in them.
    type: list
    elements: path
    default: []
  keys:
    description:
      - Files that hold a random key, 43 letters, digits, C(-) and C(_) on one line, readable by root alone.
      - Made where they are missing, otherwise never changed, and never shown. A key so made does not leave the host.
    type: list
    elements: path
    default: []
  validate:
    description: Command that must succeed once the files are written.
    type: list
    elements: str
    default: []
  daemon_reload:
    description: Whether systemd rereads its units when a file changed.
    type: bool
    default: false
  unit:
    description:
      - A unit that uses the files. It is enabled and started where it is not, and reloaded when a file changed.
    type: str
  timers:
    description:
      - Timer units. Each is enabled and started where it is not, and restarted when a file changed.
    type: list
    elements: str
    default: []
  retired:
    description:
      - Units that shall not run. Each that runs or is enabled is stopped and disabled, before any file is removed.
    type: list
    elements: str
    default: []
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

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _systemd
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import (
    WantedFile,
    apply_files,
    make_keys,
    remove_trees,
    validator,
)


def _wanted(entry: dict, secrets: dict) -> WantedFile:
    try:
        mode = int(entry["mode"], 8)
    except ValueError as exc:
        raise InputError(f"{entry['path']}: mode {entry['mode']!r} is not octal; write it like '0644'") from exc
    secret = entry["path"] in secrets
    if secret == (entry["content"] is not None):
        raise InputError(f"{entry['path']}: give its text either as content or among the secrets")
    content = secrets[entry["path"]] if secret else entry["content"]
    replaces = entry["replaces"] or ""
    return WantedFile(
        entry["path"], content, mode, entry["owner"], entry["group"], secret, replaces, program=entry["program"]
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "replaces": {"type": "path"},
                    "program": {"type": "bool", "default": False},
                },
            },
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "purge": {"type": "list", "elements": "str", "default": []},
            "absent": {"type": "list", "elements": "path", "default": []},
            "tidy": {"type": "list", "elements": "path", "default": []},
            "keys": {"type": "list", "elements": "path", "default": [], "no_log": False},
            "validate": {"type": "list", "elements": "str", "default": []},
            "daemon_reload": {"type": "bool", "default": False},
            "unit": {"type": "str"},
            "timers": {"type": "list", "elements": "str", "default": []},
            "retired": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    params = module.params
    run = module.run_command
    try:
        retired = [unit for unit in params["retired"] if _systemd.retire(run, unit, check=module.check_mode)]
        keys = make_keys(params["keys"], check=module.check_mode)
        changes = keys + apply_files(
            [_wanted(entry, params["secrets"]) for entry in params["files"]],
            params["purge"],
            validator(run, params["validate"]),
            check=module.check_mode,
        )
        changes += remove_trees(params["absent"], params["tidy"], check=module.check_mode)
        if changes and params["daemon_reload"] and not module.check_mode:
            _systemd.daemon_reload(run)
        action = ""
        if params["unit"]:
            action = _systemd.start_or_reload(run, params["unit"], bool(changes), check=module.check_mode)
        timers = {
            timer: done
            for timer in params["timers"]
            for done in [_systemd.start_or_reload(run, timer, bool(changes), check=module.check_mode, order="restart")]
            if done
        }
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    result = {
        "changed": bool(changes or action or timers or retired),
        "files": [{"path": change.path, "action": change.action} for change in changes],
        "unit_action": action,
        "timers": timers,
        "retired": retired,
    }
    if module._diff:
        result["diff"] = [
            {
                "before_header": change.path,
                "after_header": change.path,
                "before": change.before,
                "after": change.after,
            }
            for change in changes
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
