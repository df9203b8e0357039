#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_release
short_description: Lead a host from the release of its vLLM instances to another one
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - A release is a directory below C(/etc/gpuserve/releases) with the plan, the unit, and the arguments and environment
    of each instance, named after its contents. The options that this module shares with
    M(gpuserve.inference.host_files) write it, and whatever else belongs to it, before O(state=compared) compares.
    With another O(state) they have no effect.
  - This module tells what leads to a release, starts one at once where that is the way, and keeps in mind which
    release was good last. M(gpuserve.inference.vllm_roll) replaces instances one by one.
  - Whether an instance runs as wanted is read from the environment of its process, so a run that was interrupted
    anywhere is made good by the next one.
seealso:
  - module: gpuserve.inference.vllm_roll
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.files
  - gpuserve.inference._hold.files
options:
  release:
    description:
      - Name of the release, twelve hexadecimal digits.
      - V(previous) is the last good one where some instance has left it, else the one that was good before it.
        While one is held it is that one.
      - V(held) is the one that O(state=held) keeps.
      - Needed with every O(state) but V(held) and V(unheld), and with V(compared) where O(plan) is not given.
    type: str
  state:
    description:
      - V(found) only tells which release O(release) means.
      - V(compared) tells what has to be done. Where no instance must be restarted, it puts links and unit right.
      - V(started) stops whatever is not as wanted, all at once, and starts it with this release.
      - V(good) remembers the release as good, and removes releases that nothing needs any more, with what their
        engines compiled.
      - V(held) keeps the release that is good now while others are tried, with what it would go back to. V(unheld) ends
        that, and removes the releases that were tried. Both tell the release that is held, or was.
    type: str
    choices:
      - found
      - compared
      - started
      - good
      - held
      - unheld
    default: compared
  restart:
    description: Whether instances that keep their names, cards and ports may be replaced one by one.
    type: str
    choices:
      - rolling
      - at_once
    default: rolling
  force:
    description: Whether all instances shall be restarted though they run as wanted, with O(restart=rolling).
    type: bool
    default: false
  plan:
    description:
      - A plan that M(gpuserve.inference.topology_plan) made. Its release is written, and then compared.
      - Needs O(command), O(model_path) and O(unit) too.
    type: dict
  command:
    description: The words that start C(vllm).
    type: list
    elements: str
  model_path:
    description: What C(vllm serve) is to load.
    type: str
  unit:
    description: Text of the unit C(vllm@.service).
    type: str
  environment:
    description:
      - Variables laid over those of the plan, as JSON. They are in no log and no diff.
      - As one text, because of a hidden dictionary Ansible hides each value wherever it appears, and one may be V(1).
    type: str
    default: '{}'
  instances:
    description:
      - The instances of the release, as RV(instances) returns them.
      - Only needed in check mode, where the release may not have been written.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the instance, what follows the C(@) of its unit.
        type: str
        required: true
      digest:
        description: What C(GPUSERVE_DIGEST) in the environment of the running process must be.
        type: str
        required: true
      gpus:
        description: Its cards.
        type: list
        elements: raw
        default: []
      host:
        description: Address that it listens on.
        type: str
        default: ""
      port:
        description: Port that it listens on.
        type: int
        required: true
  trying:
    description:
      - With O(state=good), whether the release is only tried, so that what is held stays so.
      - Otherwise a release that is good ends the holding, such as that of a trial that was interrupted.
    type: bool
    default: false
  prune:
    description:
      - Directories of engines and of models that may be removed with V(good), where no kept release names them.
      - May hold shell patterns. Only those are removed that hold a record of this collection.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: See what leads to the release
  gpuserve.inference.vllm_release:
    release: 0f3c55d0a1b2
  register: step

- name: Write what a plan comes to, and see what leads to it
  gpuserve.inference.vllm_release:
    plan: "{{ vllm_plan }}"
    command: [/opt/vllm/bin/vllm]
    model_path: /srv/models/Llama-3.1-8B-Instruct
    unit: "{{ lookup('ansible.builtin.template', 'vllm@.service.j2') }}"
    daemon_reload: true

- name: Start it at once
  gpuserve.inference.vllm_release:
    release: 0f3c55d0a1b2
    state: started
  when: step.mode == 'at_once'
"""

RETURN = r"""
files:
  description: What was done, or would be, to each path that was not as wanted.
  returned: with O(state=compared)
  type: list
  elements: dict
retired:
  description: Those of O(retired) that were stopped and disabled.
  returned: with O(state=compared)
  type: list
  elements: str
timers:
  description: What was done to each of O(timers) that was not as wanted, V(start) or V(restart).
  returned: with O(state=compared)
  type: dict
instances:
  description: The instances of the release, each with V(name), V(digest), V(gpus), V(host) and V(port).
  returned: with O(plan)
  type: list
  elements: dict
release:
  description: The release that was meant. Empty with O(state=held) and O(state=unheld) where there is none.
  returned: success
  type: str
  sample: 0f3c55d0a1b2
mode:
  description: V(none), V(rolling) or V(at_once).
  returned: with O(state=compared)
  type: str
why:
  description: Why that is so, in one line.
  returned: with O(state=compared)
  type: str
kept:
  description: Instances that go on serving as they are, where RV(mode) is V(at_once).
  returned: with O(state=compared)
  type: list
  elements: str
roll:
  description: Instances to replace, in the order in which to do it.
  returned: with O(state=compared)
  type: list
  elements: str
targets:
  description: What M(gpuserve.inference.vllm_ready) has to ask of the instances of this release.
  returned: success
  type: list
  elements: dict
good:
  description: The release that was good last. Empty where there was none.
  returned: success
  type: str
held:
  description: The release that O(state=held) keeps. Empty where none is.
  returned: success, except with O(state=held) and O(state=unheld)
  type: str
good_targets:
  description: What M(gpuserve.inference.vllm_ready) has to ask of the instances of that release.
  returned: success
  type: list
  elements: dict
units:
  description: Units that were not as wanted, and what was done, or would be.
  returned: with O(state=started)
  type: list
  elements: dict
removed:
  description: Releases, caches of what they compiled, engines and models that were removed, or would be.
  returned: with O(state=good) and O(state=unheld)
  type: list
  elements: str
"""

import glob
import json
import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import (
    _engine_cache,
    _hold,
    _instances,
    _release_apply,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._host import MARKER
from ansible_collections.gpuserve.inference.plugins.module_utils._lock import held
from ansible_collections.gpuserve.inference.plugins.module_utils._model_manifest import MANIFEST
from ansible_collections.gpuserve.inference.plugins.module_utils._release_store import Release, ReleaseStore
from ansible_collections.gpuserve.inference.plugins.module_utils._roll_host import LOCK, WAIT, look_at
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin
from ansible_collections.gpuserve.inference.plugins.module_utils._units import told


def the_release(store: ReleaseStore, params: dict, check: bool) -> Release:
    """The release as it is on the host; in check mode as it would be written."""
    name = _release_apply.wanted_release(store, params["release"])
    if check and params["instances"] and name not in store.ids():
        rows = tuple({**row, "gpus": list(row["gpus"])} for row in params["instances"])
        return Release(name, rows, tuple({"name": row["name"], "port": row["port"]} for row in rows))
    return store.load(name)


def take_plan(params: dict) -> None:
    """The plan's release among the files to hold, as if it had been given there."""
    try:
        environment = json.loads(params["environment"])
    except ValueError as exc:
        raise InputError("environment is no JSON; give it as vllm_environment | to_json") from exc
    made = _instances.instance_files(
        params["plan"], params["command"], params["model_path"], environment, params["unit"]
    )
    params["release"], params["instances"] = made["release"], made["instances"]
    params["files"] = made["files"] + params["files"]
    params["secrets"] = {**params["secrets"], **made["secrets"]}


def removable(patterns: list) -> list:
    """Finished environments and downloads of this collection; nothing that somebody else put there."""
    found = sorted({path for pattern in patterns for path in glob.glob(pattern) if not os.path.islink(path)})
    return [path for path in found if any(os.path.isfile(os.path.join(path, name)) for name in (MARKER, MANIFEST))]


def hold(store: ReleaseStore, check: bool) -> dict:
    before = store.held()
    return {"changed": store.hold(check), "release": before or store.held(), "good": store.good()}


def unhold(store: ReleaseStore, check: bool) -> dict:
    before, changed = store.held(), store.unhold(check)
    removed = [store.folder(name) for name in store.prune(check)] if before else []
    return {"changed": changed or bool(removed), "release": before, "good": store.good(), "removed": removed}


def hold_files(module: AnsibleModule, params: dict) -> dict:
    """The files of O(state=compared), those of the plan's release among them."""
    if params["plan"]:
        take_plan(params)
    done = _hold.hold(module.run_command, params, module.check_mode)
    result = {"changed": done.changed, **done.to_dict()}
    if module._diff:
        result["diff"] = _hold.diff(done.changes)
    if params["plan"]:
        result["instances"] = params["instances"]
    return result


def start(module: AnsibleModule, store: ReleaseStore, release: Release) -> dict:
    units = _release_apply.start_at_once(store, release, look_at(module.run_command), module.check_mode)
    return told(units, module._diff)


def finish(module: AnsibleModule, store: ReleaseStore, release: Release) -> dict:
    """It is good: what nothing needs any more goes."""
    back = Rotation(module.run_command).put_back(release.names, "roll")
    changed = store.finish(release.id)
    changed |= not module.params["trying"] and store.unhold()
    removed = [store.folder(name) for name in store.prune()]
    keys = store.cache_keys()
    removed += _engine_cache.prune(_engine_cache.Places(), keys, store.names()) if keys else []
    kept = [store.load(name) for name in store.kept()]
    for path in _release_apply.unneeded(removable(module.params["prune"]), kept):
        shutil.rmtree(path)
        removed.append(path)
        if os.path.isfile(f"{path}.lock.txt"):  # what an environment was built from lies beside it
            os.unlink(f"{path}.lock.txt")
    return {"changed": bool(back or changed or removed), "removed": removed}


def apply(module: AnsibleModule, store: ReleaseStore) -> dict:
    # a copy: what is added here must not be told as if it had been given
    params, check = dict(module.params), module.check_mode
    state = params["state"]
    if state == "held":
        return hold(store, check)
    if state == "unheld":
        return unhold(store, check)
    result: dict = hold_files(module, params) if state == "compared" else {"changed": False}
    release = the_release(store, params, check)
    result.update(release=release.id, targets=list(release.targets))
    if state == "compared":
        step = _release_apply.compare(
            store, release, look_at(module.run_command), params["restart"], check, params["force"]
        )
        result.update(
            changed=result["changed"] or step.changed, mode=step.mode, why=step.why, roll=step.roll, kept=step.kept
        )
    elif state == "started":
        result.update(start(module, store, release))
    elif state == "good" and not check:
        result.update(finish(module, store, release))
    good = store.good()
    result.update(good=good, held=store.held(), good_targets=list(store.load(good).targets) if good else [])
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str"},
            "state": {
                "type": "str",
                "choices": ["found", "compared", "started", "good", "held", "unheld"],
                "default": "compared",
            },
            "trying": {"type": "bool", "default": False},
            "restart": {"type": "str", "choices": ["rolling", "at_once"], "default": "rolling"},
            "force": {"type": "bool", "default": False},
            "instances": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "digest": {"type": "str", "required": True},
                    "gpus": {"type": "list", "elements": "raw", "default": []},
                    "host": {"type": "str", "default": ""},
                    "port": {"type": "int", "required": True},
                },
            },
            "prune": {"type": "list", "elements": "path", "default": []},
            "plan": {"type": "dict"},
            "command": {"type": "list", "elements": "str"},
            "model_path": {"type": "str"},
            "unit": {"type": "str"},
            "environment": {"type": "str", "default": "{}", "no_log": True},
            **_hold.FILES_SPEC,
        },
        required_by={"plan": ("command", "model_path", "unit")},
        required_if=[
            *[("state", state, ("release",)) for state in ("found", "started", "good")],
            ("state", "compared", ("release", "plan"), True),
        ],
        supports_check_mode=True,
    )
    find_sbin()
    store = ReleaseStore()
    try:
        if module.check_mode:
            result = apply(module, store)
        else:
            # somebody who was killed may have left a replacement behind that still goes on here
            with held(LOCK, time.sleep, timeout=WAIT) as mine:
                if not mine:
                    raise InputError(f"another rollout holds {LOCK} for {WAIT} s; wait until it has ended")
                result = apply(module, store)
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
