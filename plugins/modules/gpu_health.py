#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_health
short_description: Judge the NVIDIA cards of a host, and say which instances a sick card hits
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Judges each card by what NVML says of it now (lost, uncorrectable ECC errors, row remapping, NVLinks that are down,
    the recovery action that the driver asks for) and by the driver's Xids in the kernel log.
  - An Xid that is the fault of an application (such as 13, 31, 43 and 45) does not fail a card. While the process it
    hit is still on the card, the card warns and RV(cards[].action) is V(restart_application); afterwards it counts no
    more.
  - >-
    What the log says counts from the boot or from O(since), until the driver is loaded again or the card is reset. The
    driver logs no reset, so whoever resets a card writes the line V(gpuserve: GPU reset (PCI:0000:19:00\)) to
    C(/dev/kmsg) afterwards, with the card's own address.
  - A card that fails is a result, not a failure of the task.
requirements:
  - nvidia-ml-py (the Python module C(pynvml)) on the host or on the controller, if the host has cards
seealso:
  - module: gpuserve.inference.gpu_info
  - module: gpuserve.inference.vllm_drain
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
attributes:
  action:
    description: Has an action plugin, which lends the controller's C(pynvml) to a host without one.
    support: full
options:
  expected_uuids:
    description:
      - UUIDs of the cards the host ought to have. One that NVML does not list has fallen off the bus, and fails.
      - The cards of O(instances) are expected without being named here.
    type: list
    elements: str
    default: []
  expected_count:
    description: How many cards the host ought to have. Those that are missing fail.
    type: int
    default: 0
  instances:
    description:
      - The instances of the plan, as RV(gpuserve.inference.topology_plan#module:plan.instances) has them. Only C(name)
        and C(gpu_uuids), and C(gpus) where a plan knows no UUIDs, are looked at.
    type: list
    elements: dict
    default: []
  since:
    description:
      - From when on the kernel log counts. V(boot), seconds since 1970, or a date and time, which is one of the host's
        own zone unless it names another. It never reaches beyond the last boot.
      - Lines of O(kernel_log) without a time always count.
    type: str
    default: boot
  kernel_log:
    description:
      - The kernel log as text, in the form of C(journalctl -o json), C(dmesg), a syslog file or C(/dev/kmsg).
      - Not given, it is read by C(journalctl), or by C(dmesg) where the journal has none.
    type: str
  pynvml_path:
    description:
      - Directories in which to look for C(pynvml.py), as for M(gpuserve.inference.gpu_info).
    type: list
    elements: path
    default:
      - /opt/gpuserve/tools/lib/python3*/site-packages
notes:
  - Run it as root, since NVML and the journal hide things from an ordinary user.
"""

EXAMPLES = r"""
- name: Judge the cards
  gpuserve.inference.gpu_health:
    instances: "{{ plan.instances }}"
  register: health

- name: Show what is wrong and what mends it
  ansible.builtin.debug:
    msg: "GPU {{ item.index }} ({{ item.pci_bus_id }}), {{ item.action }}: {{ item.reasons | join('; ') }}"
  loop: "{{ health.cards | rejectattr('verdict', 'eq', 'ok') }}"
  loop_control:
    label: "{{ item.uuid }}"

- name: Wait until the instances on sick cards have finished their work
  gpuserve.inference.vllm_drain:
    instances:
      - name: "{{ item.name }}"
        port: "{{ item.port }}"
  loop: "{{ plan.instances | selectattr('name', 'in', health.hit) }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
verdict:
  description: The worst of all cards and switches, V(ok), V(warn) or V(fail).
  returned: success
  type: str
  sample: fail
cards:
  description: One entry for each card, in the order of NVML; those that are missing come last.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: The number of the card in NVML and C(nvidia-smi), null for a card that NVML does not list.
      type: int
      sample: 2
    uuid:
      description: The identity of the card. Empty for a lost card of which neither the options nor the log know it.
      type: str
      sample: GPU-8d3f1c52-6b7e-4c1a-9f0d-2e5a7c9b1d34
    name:
      description: The product name. Empty for a card that NVML does not list.
      type: str
      sample: NVIDIA H200
    pci_bus_id:
      description: The address of the card, empty where it is not known.
      type: str
      sample: "0000:81:00.0"
    verdict:
      description: V(fail) must not serve, V(warn) serves on but needs a look, V(ok).
      type: str
      sample: fail
    reasons:
      description: What is wrong, one line each, with what to do about it. Empty where the verdict is V(ok).
      type: list
      elements: str
      sample:
        - "Xid 79 (the GPU has fallen off the bus) at 2026-11-23T16:00:00Z: reboot the host; if it comes back, reseat
          the card, then replace it"
    action:
      description:
        - The least that mends all of it, one of V(none), V(restart_application), V(drain_and_reset), V(reboot) and
          V(replace).
      type: str
      sample: reboot
    xids:
      description:
        - The Xids of the card, also those that are no fault of it, each with C(xid), C(count) and C(last), the time of
          the last one (empty where the log has none).
      type: list
      elements: dict
      sample: [{"xid": 79, "count": 1, "last": "2026-11-23T16:00:00Z"}]
switches:
  description:
    - NVSwitches that reported SXids, each with C(pci_bus_id), C(verdict), C(reasons) and C(sxids).
    - An SXid does not name the card behind it. A fatal one makes all cards with NVLink warn; those it really hit
      fail through their own Xid 74 or their NVLinks.
  returned: success
  type: list
  elements: dict
  sample: []
hit:
  description: Names of the O(instances) that have a card which fails, in the order given.
  returned: success
  type: list
  elements: str
  sample: [gpu2]
restart:
  description: Names of the O(instances) on whose cards a process goes on after an error that needs its restart.
  returned: success
  type: list
  elements: str
  sample: []
log:
  description:
    - C(source) is V(journal), V(dmesg), V(given) or V(none), and C(lines) is how many lines of it were looked at.
    - With V(none) there is a warning, and the verdicts come from NVML alone.
  returned: success
  type: dict
  sample: {"source": "journal", "lines": 2817}
driver_version:
  description: Version of the NVIDIA driver, empty where there is none.
  returned: success
  type: str
  sample: 580.95.05
pci_cards:
  description: The addresses of the NVIDIA cards on the PCI bus, whether or not a driver works.
  returned: always
  type: list
  elements: str
  sample: ["0000:19:00.0", "0000:3b:00.0"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _kernel_log
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._gpu_health import GONE, judge_host, served_by
from ansible_collections.gpuserve.inference.plugins.module_utils._kernel_log_read import read_kernel_log
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import (
    PYNVML_PATH,
    NoneListed,
    PynvmlMissing,
    load_pynvml,
    pci_nvidia_cards,
    probe,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Probe


def kernel_log(module: AnsibleModule) -> tuple[str, list[str]]:
    """Where the log is from, and its lines."""
    given = module.params["kernel_log"]
    if given is not None:
        return "given", given.splitlines()
    source, lines, why = read_kernel_log(
        lambda words: module.run_command(words, errors="surrogate_or_replace"), module.get_bin_path
    )
    if source == "none":
        module.warn(f"the kernel log cannot be read ({why}): the verdicts come from NVML alone")
    return source, lines


def look(module: AnsibleModule, bus: list[str]) -> dict[str, Any]:
    params = module.params
    if params["expected_count"] < 0:
        raise InputError(f"expected_count is {params['expected_count']}: give 0 (any number of cards) or more")
    instances = served_by(params["instances"])
    since = _kernel_log.parse_since(params["since"])
    gone = GONE
    try:
        found = probe(load_pynvml(params["pynvml_path"]))
    except NoneListed as error:
        if not (params["expected_uuids"] or params["expected_count"] or any(one.uuids for one in instances)):
            raise
        found, gone = Probe(), str(error)
    for warning in found.warnings:
        module.warn(warning)
    source, lines = kernel_log(module)
    booted = _kernel_log.boot_time()
    log = _kernel_log.read_log(lines, since, booted)
    health = judge_host(
        found.gpus,
        log,
        instances,
        params["expected_uuids"],
        params["expected_count"],
        bus,
        lambda pids: _kernel_log.process_starts(pids, booted),
        gone,
    )
    return {
        **health.to_dict(),
        "log": {"source": source, "lines": log.lines},
        "driver_version": found.driver_version,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "expected_uuids": {"type": "list", "elements": "str", "default": []},
            "expected_count": {"type": "int", "default": 0},
            "instances": {"type": "list", "elements": "dict", "default": []},
            "since": {"type": "str", "default": "boot"},
            "kernel_log": {"type": "str"},
            **PYNVML_PATH,
        },
        supports_check_mode=True,
    )
    bus = pci_nvidia_cards()
    try:
        result = look(module, bus)
    except PynvmlMissing as error:
        module.fail_json(msg=str(error), pci_cards=bus, pynvml_missing=True)
    except GpuserveError as error:
        module.fail_json(msg=str(error), pci_cards=bus)
    else:
        module.exit_json(changed=False, pci_cards=bus, **result)


if __name__ == "__main__":
    main()
