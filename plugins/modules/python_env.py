#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: python_env
short_description: Build a Python environment from a hashed lock file
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Builds a virtual environment from a lock file in which every package is pinned and hashed, with C(uv) or C(pip),
    and switches a symbolic link to it.
  - What was built is written down last, so an environment that an interrupted run left behind is built anew.
  - C(uv) does not read the configuration of C(pip). Where no source is given here, the sources that the host's C(pip)
    is configured with are handed to it.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.no_diff
options:
  path:
    description: Directory of the environment.
    type: path
    required: true
  lock:
    description: Text of the lock file.
    type: str
    required: true
  python:
    description: Interpreter that the environment is made with.
    type: str
    default: python3
  uv:
    description: Path of C(uv). Empty builds with C(pip).
    type: path
  index_url:
    description: Package index to use.
    type: str
    default: ""
  extra_index_urls:
    description: Further package indexes.
    type: list
    elements: str
    default: []
  find_links:
    description: Directories or pages with wheels.
    type: list
    elements: str
    default: []
  no_index:
    description: Whether only O(find_links) may be used.
    type: bool
    default: false
  torch_backend:
    description: The build of PyTorch that C(uv) shall look for, used only where no other source is known.
    type: str
    default: ""
  cache_dir:
    description: Cache of C(uv). Keep it on the same file system as O(path), files are then linked rather than copied.
    type: path
  aliases:
    description: Distributions to record as present because another wheel brings their files.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the distribution.
        type: str
        required: true
      version:
        description: Version of the distribution.
        type: str
        required: true
  compile_bytecode:
    description: Whether C(uv) compiles all modules. Slower to install, faster to start where a service cannot.
    type: bool
    default: true
  min_free_bytes:
    description: Free space that building needs.
    type: int
    default: 0
  link:
    description: Symbolic link to switch to the environment once it is complete.
    type: path
  log:
    description: File that the installer writes its progress to.
    type: path
  progress:
    description:
      - File that says in one line how far it is, while it runs. The action plugin of the same name sets and reads it.
    type: path
"""

EXAMPLES = r"""
- name: Build the probe's environment
  gpuserve.inference.python_env:
    path: /opt/gpuserve/tools
    lock: "{{ lookup('ansible.builtin.file', 'tools.lock') }}"
"""

RETURN = r"""
lock_sha256:
  description: Digest of the lock that the environment is built from.
  returned: success
  type: str
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _environment, _install_progress
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InstallError
from ansible_collections.gpuserve.inference.plugins.module_utils._lock import held
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Beat

LOCK = "/run/gpuserve/install.lock"
WAIT = 1800  # seconds: an installation over a slow line


def build(request: _environment.EnvironmentRequest, module: AnsibleModule, beat: Beat) -> bool:
    """One at a time: a run that was ended with Ctrl-C may still be building on the host."""
    if module.check_mode or os.geteuid() != 0 or _environment.is_current(request):
        return _environment.build(request, module.run_command, check=module.check_mode)
    beat.say("waiting for another installation on this host to end")
    with held(LOCK, time.sleep, timeout=WAIT) as mine:
        if not mine:
            raise InstallError(f"another installation holds {LOCK} for {WAIT} s; let it end, or end its process")
        beat.follow(_install_progress.InstallLook(request.path, request.log, request.packages))
        return _environment.build(request, module.run_command)


def main() -> None:
    strings = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "lock": {"type": "str", "required": True},
            "python": {"type": "str", "default": "python3"},
            "uv": {"type": "path"},
            "index_url": {"type": "str", "default": ""},
            "extra_index_urls": strings,
            "find_links": strings,
            "no_index": {"type": "bool", "default": False},
            "torch_backend": {"type": "str", "default": ""},
            "cache_dir": {"type": "path"},
            "aliases": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "version": {"type": "str", "required": True},
                },
            },
            "compile_bytecode": {"type": "bool", "default": True},
            "min_free_bytes": {"type": "int", "default": 0},
            "link": {"type": "path"},
            "log": {"type": "path"},
            "progress": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    request = _environment.EnvironmentRequest(
        path=params["path"],
        lock=params["lock"],
        python=params["python"],
        uv=params["uv"] or "",
        sources=_environment.Sources(
            params["index_url"],
            tuple(params["extra_index_urls"]),
            tuple(params["find_links"]),
            params["no_index"],
            params["torch_backend"],
        ),
        cache_dir=params["cache_dir"] or "",
        aliases=tuple(params["aliases"]),
        compile_bytecode=params["compile_bytecode"],
        min_free_bytes=params["min_free_bytes"],
        link=params["link"] or "",
        log=params["log"] or "",
    )
    try:
        with Beat(params["progress"] or "") as beat:
            changed = build(request, module, beat)
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=changed, lock_sha256=request.lock_sha256)


if __name__ == "__main__":
    main()
