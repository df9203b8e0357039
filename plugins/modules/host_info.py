#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: One look at a host before anything is planned or changed
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Reads everything that the roles of this collection ask of a host, in one remote call.
    Processor cores, memory, free disk, listening ports and who holds them, systemd and its C(vllm@) units,
    nginx and whether its configuration parses, the environments built before, and the plan applied last.
    Where it is asked to, also the cards and a model in a directory, as M(gpuserve.inference.gpu_info) and
    M(gpuserve.inference.model_info) read them.
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
options:
  disks:
    description: Paths whose free space is wanted. A path that does not exist yet is measured at its nearest parent.
    type: list
    elements: path
    default: []
  paths:
    description: Paths of which it is wanted whether they exist and a service user can read them.
    type: list
    elements: path
    default: []
  environments:
    description:
      - Directories of environments that this collection builds, to read what was written down about them.
      - May hold shell patterns.
    type: list
    elements: path
    default: []
  models:
    description:
      - Directories of models, whose names, sizes and times are compared with their record as
        M(gpuserve.inference.model_verify) does. No model's file is read.
      - May hold shell patterns.
    type: list
    elements: path
    default: []
  commands:
    description: Names of programs to look for.
    type: list
    elements: str
    default: []
  libraries:
    description: Shared libraries to look for, by the name that the dynamic linker knows.
    type: list
    elements: str
    default: []
  cards:
    description: Whether NVML is asked for the cards.
    type: bool
    default: false
  pynvml_path:
    description: Where C(pynvml.py) is looked for, as for M(gpuserve.inference.gpu_info).
    type: list
    elements: path
    default:
      - /opt/gpuserve/tools/lib/python3*/site-packages
  model:
    description: A model in a directory of the host that is read. Its files are not compared with a record.
    type: dict
    suboptions:
      path:
        description: The directory.
        type: path
        required: true
      allow_pickle:
        description: Whether weights in pickle files are taken, as for M(gpuserve.inference.model_info).
        type: bool
        default: false
      allow_unknown:
        description: Whether an unknown architecture is taken, as for M(gpuserve.inference.model_info).
        type: bool
        default: false
  plan_path:
    description: Where the applied plan is kept.
    type: path
    default: /etc/gpuserve/plan.json
"""

EXAMPLES = r"""
- name: Look at the host
  gpuserve.inference.host_info:
    disks:
      - /opt/gpuserve
  register: look
"""

RETURN = r"""
pynvml_missing:
  description: The host has NVML, but neither it nor the controller has the binding for it.
  returned: when that is so
  type: bool
host:
  description: What was seen.
  returned: always
  type: dict
  contains:
    cards:
      description:
        - What M(gpuserve.inference.gpu_info) returns, and V(error), which is empty where NVML answered.
        - A driver that does not answer is told there and is no failure here, since there is more to say of such a host.
      type: dict
      returned: with O(cards=true)
    model:
      description: What M(gpuserve.inference.model_info) returns under C(model), and V(error), empty where it was read.
      type: dict
      returned: with O(model)
    os:
      description: V(id) and V(version_id) of os-release.
      type: dict
      returned: always
    uid:
      description: Number of the user that the module ran as.
      type: int
      returned: always
    user:
      description: Name of the user that the module ran as.
      type: str
      returned: always
    python:
      description: Version of the Python that ran this module, whether it has headers and can make environments.
      type: dict
      returned: always
    cpus:
      description: One hardware thread of each usable core.
      type: list
      elements: int
      returned: always
    avx512_bf16:
      description: Whether the processors compute in bfloat16, which decides how the CPU engine keeps recurrent states.
      type: bool
      returned: always
    memory:
      description: Memory in bytes, V(total_bytes) and V(available_bytes).
      type: dict
      returned: always
    pci_nvidia_cards:
      description: PCI addresses of NVIDIA cards, whether or not a driver answers for them.
      type: list
      elements: str
      returned: always
    disks:
      description:
        - For each of O(disks), V(free_bytes), V(total_bytes), where it was measured, and whether that is a directory
          which can be written to.
      type: dict
      returned: always
    paths:
      description: For each of O(paths), whether it exists, whether a service can read it, and where it is blocked.
      type: dict
      returned: always
    environments:
      description: For each directory that matches O(environments), what was written down when it was finished.
      type: dict
      returned: always
    models:
      description:
        - For each directory that O(models) names, V(record), V(verified), V(problems), the first of them as
          V(complaint), and V(touched), the files of which only their content can say whether they are the right ones.
      type: dict
      returned: always
    commands:
      description: For each of O(commands), its path or an empty string.
      type: dict
      returned: always
    libraries:
      description: For each of O(libraries), whether it can be loaded.
      type: dict
      returned: always
    listeners:
      description: Listening TCP ports with address, pid, process and systemd unit.
      type: list
      elements: dict
      returned: always
    addresses:
      description: Addresses that a service can listen on. Empty where the host allows others too.
      type: list
      elements: str
      returned: always
    systemd:
      description: Whether systemd runs the host, its version, and the states of all C(vllm@) units.
      type: dict
      returned: always
    vllm_pids:
      description: Processes of the C(vllm@) units. What they hold of a card is free for the plan that replaces them.
      type: list
      elements: int
      returned: always
    nginx:
      description: Whether nginx is there, its version, and whether its configuration parses.
      type: dict
      returned: always
    measured:
      description: What the playbook C(benchmark) measured here last, or none. It lies beside the plan.
      type: dict
      returned: always
    held:
      description:
        - The release that served before the playbook C(benchmark) began, while it tries others, and after it was
          interrupted. Empty otherwise.
      type: str
      returned: always
    plan:
      description: The plan applied last, or none.
      type: dict
      returned: always
"""

import importlib.util
import os
import platform
import pwd
import sysconfig

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _host, _model_verify
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, ProbeError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import (
    PYNVML_PATH,
    PynvmlMissing,
    load_pynvml,
    pci_nvidia_cards,
    probe,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._release_store import ReleaseStore
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def read_cards(module: AnsibleModule) -> tuple:
    """What gpu_info would return, and whether the host has NVML but no binding for it."""
    missing = False
    found: dict = {"gpus": [], "links": [], "driver_version": "", "cuda_driver_version": "", "error": ""}
    try:
        found.update(probe(load_pynvml(module.params["pynvml_path"])).to_dict())
    except PynvmlMissing as error:
        missing, found["error"] = True, str(error)
    except ProbeError as error:
        found["error"] = str(error)
    for warning in found.pop("warnings", []):
        module.warn(warning)
    return found, missing


def read_the_model(module: AnsibleModule) -> dict:
    wish = module.params["model"]
    try:
        model = read_model(wish["path"], allow_pickle=wish["allow_pickle"], allow_unknown=wish["allow_unknown"])
    except GpuserveError as error:
        return {"error": str(error)}
    for warning in model.warnings:
        module.warn(warning)
    return {**model.to_dict(), "error": ""}


def main() -> None:
    paths = {"type": "list", "elements": "path", "default": []}
    module = AnsibleModule(
        argument_spec={
            "disks": paths,
            "paths": paths,
            "environments": paths,
            "models": paths,
            "commands": {"type": "list", "elements": "str", "default": []},
            "libraries": {"type": "list", "elements": "str", "default": []},
            "cards": {"type": "bool", "default": False},
            **PYNVML_PATH,
            "model": {
                "type": "dict",
                "options": {
                    "path": {"type": "path", "required": True},
                    "allow_pickle": {"type": "bool", "default": False},
                    "allow_unknown": {"type": "bool", "default": False},
                },
            },
            "plan_path": {"type": "path", "default": "/etc/gpuserve/plan.json"},
        },
        supports_check_mode=True,
    )
    find_sbin()
    wanted = module.params
    models = _model_verify.model_reports(wanted["models"])
    for report in models.values():
        for warning in report["warnings"]:
            module.warn(warning)
    asked: dict = {}
    missing = False  # the action plugin lends it then, and asks again
    if wanted["cards"]:
        asked["cards"], missing = read_cards(module)
    if wanted["model"]:
        asked["model"] = read_the_model(module)
    host = {
        **asked,
        "os": _host.operating_system(),
        "uid": os.geteuid(),
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "python": {
            "version": platform.python_version(),
            "headers": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
            "venv": importlib.util.find_spec("ensurepip") is not None,
        },
        "cpus": _host.physical_cores(),
        "avx512_bf16": "avx512_bf16" in _host.cpu_flags(),
        "memory": _host.memory(),
        "pci_nvidia_cards": pci_nvidia_cards(),
        "disks": {path: _host.disk(path) for path in wanted["disks"]},
        "paths": {path: _host.path_state(path) for path in wanted["paths"]},
        "environments": _host.environment_markers(wanted["environments"]),
        "models": models,
        "commands": {name: module.get_bin_path(name) or "" for name in wanted["commands"]},
        "libraries": {name: _host.library_loads(name) for name in wanted["libraries"]},
        "listeners": _host.listeners(),
        "addresses": _host.addresses(),
        "vllm_pids": _host.unit_pids("vllm@"),
        "systemd": _host.systemd(module.run_command),
        "nginx": _host.nginx(module.run_command, module.get_bin_path("nginx")),
        "held": ReleaseStore(os.path.dirname(wanted["plan_path"])).held(),
        "plan": _host.kept(wanted["plan_path"]),
        "measured": _host.kept(os.path.join(os.path.dirname(wanted["plan_path"]), "measured.json")),
    }
    result: dict = {"pynvml_missing": True} if missing else {}
    module.exit_json(changed=False, host=host, **result)


if __name__ == "__main__":
    main()
