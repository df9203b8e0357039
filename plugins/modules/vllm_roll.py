#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_roll
short_description: Restart one vLLM instance without losing a request
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Takes the instance out of the gateway's rotation, waits until it has no requests left, stops it, links its files to
    O(release), starts it, waits until it has answered a real request, and puts it back into rotation.
  - Where it does not come up, it goes back to the release that was good last by itself, and the module fails with the
    cause.
  - It is left alone while another instance of the host is out of rotation or does not answer, so that never more than
    one is down. An instance that does not run anyway may be started at any time.
  - What it compiled is kept for the instances that are replaced after it, where root began its cache with an empty
    directory. It is copied while the instance is out of rotation, before a client's request can reach it.
  - A run that was killed at any step is taken up by the next one. Only one runs on a host at a time, others wait.
  - Each step leaves a line in the system log.
notes:
  - Where the host has no other instance, requests that come meanwhile are refused, unless a gateway in front of
    several hosts sends them elsewhere. The module warns of it.
  - Without a gateway on the host nothing keeps requests away. Those begun have the time that the instance's
    C(--shutdown-timeout) gives.
seealso:
  - module: gpuserve.inference.vllm_release
  - module: gpuserve.inference.vllm_drain
  - module: gpuserve.inference.vllm_ready
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.no_diff
options:
  name:
    description: Name of the instance, what follows the C(@) of its unit.
    type: str
    required: true
  release:
    description:
      - Name of the release to run, one that is on the host.
      - Not given, the one that the instance runs now. With O(force) it is then simply restarted.
    type: str
    default: ""
  port:
    description: Port of the instance, only used in check mode, where the release may not have been written.
    type: int
    default: 0
  digest:
    description: As O(port), what C(GPUSERVE_DIGEST) in the environment of the process must be.
    type: str
    default: ""
  force:
    description: Whether to restart it though it runs as wanted.
    type: bool
    default: false
  drain_timeout:
    description: Seconds that requests under way may take to end.
    type: int
    default: 600
  drain_force:
    description: Whether to go on after O(drain_timeout), which ends the requests that are left.
    type: bool
    default: false
  start_timeout:
    description: Seconds that the instance may take to start and answer.
    type: int
    default: 900
  progress:
    description:
      - File that says in one line how far it is, while it runs. The action plugin of the same name sets and reads it.
    type: path
"""

EXAMPLES = r"""
- name: Restart a replica
  gpuserve.inference.vllm_roll:
    name: gpu0
    force: true
"""

RETURN = r"""
name:
  description: The instance.
  returned: always
  type: str
release:
  description: The release that it was to run.
  returned: always
  type: str
former:
  description: The release that it was linked to before. Empty where there was none.
  returned: always
  type: str
rolled_back:
  description: Whether it did not come up and runs the last good release again.
  returned: always
  type: bool
line:
  description: What was done, in one line for people.
  returned: always
  type: str
stages:
  description: What was done, in order; in check mode what would be.
  returned: always
  type: list
  elements: dict
  contains:
    stage:
      description:
        - V(read_ahead), V(take_out), V(drain), V(stop), V(switch), V(start), V(ready), V(keep_cache) or V(put_back).
      type: str
      returned: always
    seconds:
      description: How long it took.
      type: float
      returned: always
    note:
      description: What was special about it.
      type: str
      returned: always
"""

import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _roll, _roll_host
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._lock import held
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Beat
from ansible_collections.gpuserve.inference.plugins.module_utils._release_store import Release, ReleaseStore
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def wanted(store: ReleaseStore, params: dict, check: bool) -> Release:
    name = params["name"]
    release = params["release"] or store.of(name)
    if not release:
        there = ", ".join(store.names()) or "none"
        raise InputError(f"there is no instance {name!r} with a release on this host; there are: {there}")
    if check and params["digest"] and release not in store.ids():
        row = {"name": name, "digest": params["digest"], "port": params["port"]}
        return Release(release, (row,), (row,))
    return store.load(release)


def result_of(out: _roll.Rolled) -> dict:
    """All but the warnings, which Ansible has a place of its own for."""
    return {**{name: value for name, value in asdict(out).items() if name != "warnings"}, "line": out.line()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 0},
            "digest": {"type": "str", "default": ""},
            "force": {"type": "bool", "default": False},
            "drain_timeout": {"type": "int", "default": 600},
            "drain_force": {"type": "bool", "default": False},
            "start_timeout": {"type": "int", "default": 900},
            "progress": {"type": "path"},
        },
        supports_check_mode=True,
    )
    find_sbin()
    params, store = module.params, ReleaseStore()
    out = _roll.Rolled(params["name"], params["release"], store.of(params["name"]))

    try:
        release = wanted(store, params, module.check_mode)
        beat = Beat(params["progress"] or "")
        hands = _roll_host.hands_on(module.run_command, module.log, beat.say)
        patience = _roll.Patience(drain=params["drain_timeout"], start=params["start_timeout"])
        roll = _roll.Roll(store, params["name"], release, hands, patience)
        out = roll.out
        if module.check_mode:
            out.changed = roll.needed(params["force"])
            out.stages = [{"stage": stage, "seconds": 0.0, "note": ""} for stage in _roll.STAGES if out.changed]
        else:
            beat.say("waiting for another rollout to end")
            with beat, held(_roll_host.LOCK, time.sleep, timeout=_roll_host.WAIT) as mine:
                if not mine:
                    raise InputError(f"another rollout holds {_roll_host.LOCK} for {_roll_host.WAIT} s; let it end")
                roll.go(params["force"], params["drain_force"])
    except GpuserveError as exc:
        module.fail_json(msg=str(exc), **result_of(out))
    for warning in out.warnings:
        module.warn(warning)
    module.exit_json(**result_of(out))


if __name__ == "__main__":
    main()
