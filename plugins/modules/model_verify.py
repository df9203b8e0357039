#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_verify
short_description: Compare a model's files with the record of what they should be
version_added: 0.1.0
author:
  - gpuserve contributors (@gpuserve)
description:
  - The record is the manifest that M(gpuserve.inference.model_fetch) writes, or the one that O(state=taken) wrote, or
    a file C(SHA256SUMS) in the directory.
  - Fails where a file is missing, is not in the record, leads out of the directory by a symlink, or is not the
    recorded one. The message names the first such file, what was expected, and what to do.
  - Warns of files that others than root could change, and of code among them.
  - Hidden files and directories at the top of the directory, and C(lost+found), are not the model's and not looked at.
options:
  path:
    description:
      - Directory of the model.
    type: path
    required: true
  state:
    description:
      - V(verified) compares the files with their record and changes nothing.
      - V(taken) hashes the files as they are and writes their record, C(.gpuserve-model.json). If there is a record,
        or a file C(SHA256SUMS), the files are compared with it first. If a record holds already, nothing is done. If
        only the times of files changed, their content is compared, and the new times are written down.
    type: str
    choices: [verified, taken]
    default: verified
  mode:
    description:
      - V(quick) compares names, sizes and times, in milliseconds. Where a time differs from the record, or the record
        has none, the content of that file decides. It cannot see a change that kept both size and time, as a failing
        disk or somebody with bad intent would make it.
      - V(full) compares the SHA-256 of every file. It reads all of them, so it takes minutes for a large model.
      - Only for O(state=verified).
    type: str
    choices: [quick, full]
    default: quick
  force:
    description:
      - With O(state=taken), replace a record that says otherwise. C(SHA256SUMS) is never overruled.
    type: bool
    default: false
  allow_pickle:
    description:
      - Accept a model whose weights are pickled only. Loading a pickle can run any code.
    type: bool
    default: false
  workers:
    description:
      - How many files are read at a time. The threads run at low priority for processor and disk.
    type: int
    default: 4
  log:
    description:
      - File that is given a line of progress every ten seconds while files are hashed. Not written in check mode.
    type: path
  progress:
    description:
      - File that says in one line how far it is, while it runs. The action plugin of the same name sets and reads it.
    type: path
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.no_diff
seealso:
  - module: gpuserve.inference.model_fetch
  - module: gpuserve.inference.model_info
"""

EXAMPLES = r"""
- name: See that nobody touched a model
  gpuserve.inference.model_verify:
    path: /srv/models/Qwen--Qwen3-8B-FP8@220b46e3b2f1

- name: Read every byte of it
  gpuserve.inference.model_verify:
    path: /srv/models/Qwen--Qwen3-8B-FP8@220b46e3b2f1
    mode: full
    log: /var/log/gpuserve/verify.log

- name: Write down the files of a model that was copied to the host, after comparing them with its SHA256SUMS if any
  gpuserve.inference.model_verify:
    path: /srv/models/my-model
    state: taken
"""

RETURN = r"""
verified:
  description: Whether there is a record and every file is as it says, as far as O(mode) looks.
  returned: always
  type: bool
record:
  description:
    - V(download) was compared with the checksums of the hub, V(taken) is of the files as they were, V(sums) is a file
      C(SHA256SUMS), V(none) means that there is nothing to compare with.
  returned: always
  type: str
files:
  description: Number of the model's files.
  returned: always
  type: int
size_bytes:
  description: Size of the model's files.
  returned: always
  type: int
hashed_bytes:
  description: How much of it was read and hashed.
  returned: always
  type: int
problems:
  description: One line for each file that is not as it should be.
  returned: always
  type: list
  elements: str
directory:
  description: The directory that was looked at.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_verify import take, verify
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Beat


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["verified", "taken"], "default": "verified"},
            "mode": {"type": "str", "choices": ["quick", "full"], "default": "quick"},
            "force": {"type": "bool", "default": False},
            "allow_pickle": {"type": "bool", "default": False},
            "workers": {"type": "int", "default": 4},
            "log": {"type": "path"},
            "progress": {"type": "path"},
        },
        supports_check_mode=True,
    )
    p = module.params
    log = "" if module.check_mode else p["log"] or ""
    changed = False
    try:
        if p["workers"] < 1:
            raise InputError(f"workers: {p['workers']} is too few; give 1 or more")
        with Beat(p["progress"] or "") as beat:
            more = {"workers": p["workers"], "log": log, "follow": beat.follow}
            if p["state"] == "taken":
                changed, report = take(p["path"], force=p["force"], check_mode=module.check_mode, **more)
            else:
                report = verify(p["path"], p["mode"], allow_pickle=p["allow_pickle"], **more)
    except GpuserveError as exc:
        module.fail_json(
            msg=str(exc),
            directory=p["path"],
            verified=False,
            record="none",
            files=0,
            size_bytes=0,
            hashed_bytes=0,
            problems=[str(exc)],
        )
    for warning in report.warnings:
        module.warn(warning)
    result = {
        "changed": changed,
        "directory": report.path,
        "verified": report.verified,
        "record": report.record,
        "files": report.files,
        "size_bytes": report.size_bytes,
        "hashed_bytes": report.hashed_bytes,
        "problems": report.problems,
    }
    if report.problems:
        module.fail_json(msg=report.complaint, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
