#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gpu_info
short_description: Read the NVIDIA cards of a host, how they are joined, and whether they are well
version_added: 0.1.0
author:
  - gpuserve contributors (@gpuserve)
description:
  - Reads every NVIDIA card of the host through NVML, NVIDIA's management library, which the driver brings along.
  - A host without a card is a valid answer, an empty RV(gpus). A card on the PCI bus that cannot be read (no driver,
    driver not loaded, driver and library of different versions) is a failure that says what to do.
  - A card that fell off the bus does not hide the others. It keeps its index, and its C(health.verdict) is V(fail).
requirements:
  - nvidia-ml-py (the Python module C(pynvml)) on the host or on the controller, if the host has cards
options:
  pynvml_path:
    description:
      - Directories in which to look for C(pynvml.py), before the module search path of the host's Python. Patterns
        such as V(/opt/*/site-packages) are allowed.
      - Where the host has C(pynvml) nowhere, the controller's own copy is used for the duration of the task.
    type: list
    elements: path
    default:
      - /opt/gpuserve/tools/lib/python3*/site-packages
attributes:
  action:
    description: Has an action plugin, which lends the controller's C(pynvml) to a host without one.
    support: full
  check_mode:
    description: Can run in check mode and predict the changed status without touching the host.
    support: full
    details: This module does not modify state.
  diff_mode:
    description: Returns details on what has changed, or would change in check mode, when in diff mode.
    support: N/A
    details: This module does not modify state.
  platform:
    description: Target operating systems.
    support: full
    platforms: Linux
notes:
  - Run it as root, since NVML hides the processes and names of other users from an ordinary one.
seealso:
  - module: gpuserve.inference.gpu_health
  - module: gpuserve.inference.topology_plan
"""

EXAMPLES = r"""
- name: Read the cards
  gpuserve.inference.gpu_info:
  register: probe

- name: Stop where a card is broken
  ansible.builtin.assert:
    that: item.health.verdict != 'fail'
    fail_msg: "GPU {{ item.index }}: {{ item.health.reasons | join('; ') }}"
  loop: "{{ probe.gpus }}"
  loop_control:
    label: "{{ item.index }} {{ item.name }}"

- name: Plan for what is there
  gpuserve.inference.topology_plan:
    gpus: "{{ probe.gpus }}"
    links: "{{ probe.links }}"
    model: "{{ described.model }}"
"""

RETURN = r"""
gpus:
  description: The cards in the order of NVML, which is the order of the PCI bus. Empty where the host has none.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: The number of the card in NVML and C(nvidia-smi).
      type: int
      sample: 0
    uuid:
      description: The identity of the card, which does not change when cards are moved. Empty for a lost card.
      type: str
      sample: GPU-8d3f1c52-6b7e-4c1a-9f0d-2e5a7c9b1d34
    name:
      description: The product name.
      type: str
      sample: NVIDIA H200
    memory_total_bytes:
      description: Memory of the card. CUDA's own total is less, by RV(gpus[].memory_reserved_bytes).
      type: int
      sample: 150754820096
    memory_reserved_bytes:
      description: Memory that the driver keeps for itself.
      type: int
      sample: 644939776
    memory_free_bytes:
      description: Memory that nothing uses now.
      type: int
      sample: 150109880320
    compute_capability:
      description: CUDA compute capability.
      type: str
      sample: "9.0"
    pci_bus_id:
      description: The address of the card in the form of C(lspci -D) and C(/sys/bus/pci/devices).
      type: str
      sample: "0000:19:00.0"
    pcie_gen:
      description: C(current) and C(max) generation of the PCIe link. The current one drops when the card is idle.
      type: dict
      sample: {"current": 5, "max": 5}
    pcie_width:
      description: C(current) and C(max) number of PCIe lanes.
      type: dict
      sample: {"current": 16, "max": 16}
    numa_node:
      description: The NUMA node the card is attached to, V(none) where the firmware does not say.
      type: int
      sample: 0
    mig_mode:
      description: V(enabled), V(disabled) or V(unsupported).
      type: str
      sample: disabled
    mig_devices:
      description:
        - The MIG slices of the card, each with C(uuid), C(name), C(memory_total_bytes) and C(memory_free_bytes).
      type: list
      elements: dict
      sample: []
    ecc:
      description:
        - C(mode) and C(pending_mode), and where ECC is on C(volatile) and C(aggregate) with C(corrected) and
          C(uncorrected) errors, and C(remapped_rows) with C(corrected), C(uncorrected), C(pending) and C(failure).
      type: dict
      sample: {"mode": "enabled", "pending_mode": "enabled", "volatile": {"corrected": 0, "uncorrected": 0}}
    processes:
      description:
        - The compute processes on the card, each with C(pid), C(name) and C(memory_bytes), which is V(none) where the
          driver does not say.
      type: list
      elements: dict
      sample: []
    health:
      description:
        - C(verdict) is V(ok), V(warn) or V(fail); C(reasons) says why and what to do. Do not serve from a card that
          fails.
        - C(action) is the least that mends it, one of V(none), V(restart_application), V(drain_and_reset), V(reboot)
          and V(replace).
      type: dict
      sample: {"verdict": "ok", "reasons": [], "action": "none"}
    nvlink:
      description:
        - Number of C(active) and C(inactive) NVLinks and their C(version). Empty for a card without NVLink.
      type: dict
      sample: {"active": 18, "inactive": 0, "version": 4}
links:
  description: How card I(i) reaches card I(j) is row I(i), column I(j).
  returned: success
  type: list
  elements: list
  sample:
    - [{"nvlink_count": 0, "p2p": true, "path": "X"}, {"nvlink_count": 18, "p2p": true, "path": "NVL"}]
    - [{"nvlink_count": 18, "p2p": true, "path": "NVL"}, {"nvlink_count": 0, "p2p": true, "path": "X"}]
driver_version:
  description: Version of the NVIDIA driver, empty where there is none.
  returned: success
  type: str
  sample: 580.95.05
cuda_driver_version:
  description: The newest CUDA version the driver can run, empty where there is no driver.
  returned: success
  type: str
  sample: "13.0"
warnings:
  description:
    - What does not stop the host from serving but ought to be looked at, such as a card on the PCI bus that NVML does
      not list. Shown as warnings of the task too.
  returned: when there are any
  type: list
  elements: str
  sample: []
pci_cards:
  description:
    - The addresses of the NVIDIA display and 3D controllers on the PCI bus, whether or not a driver works. Cards given
      to a virtual machine (C(vfio-pci)) are left out.
  returned: always
  type: list
  elements: str
  sample: ["0000:19:00.0", "0000:3b:00.0"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ProbeError
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import (
    PYNVML_PATH,
    PynvmlMissing,
    load_pynvml,
    pci_nvidia_cards,
    probe,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **PYNVML_PATH,
        },
        supports_check_mode=True,
    )
    cards = pci_nvidia_cards()
    try:
        found = probe(load_pynvml(module.params["pynvml_path"])).to_dict()
    except PynvmlMissing as error:
        module.fail_json(msg=str(error), pci_cards=cards, pynvml_missing=True)
    except ProbeError as error:
        module.fail_json(msg=str(error), pci_cards=cards)
    else:
        # "warnings" is Ansible's own key: what is warned of comes back under it, and is shown to the operator too.
        for warning in found.pop("warnings"):
            module.warn(warning)
        module.exit_json(changed=False, pci_cards=cards, **found)


if __name__ == "__main__":
    main()
