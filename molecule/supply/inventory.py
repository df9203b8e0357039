#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One server in the machines' own network, which has no way out; everything it needs lies in two directories."""

from __future__ import annotations

import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ROOT / "tests" / "machines" / "machine"
CACHE = Path(os.environ.get("GPUSERVE_CACHE") or ROOT / ".cache") / "machines"
NAME = os.environ.get("GPUSERVE_TEST_MACHINE") or "supply"
ADDRESS = os.environ.get("GPUSERVE_TEST_ADDRESS") or "10.77.0.41"

SERVER = {
    "ansible_host": ADDRESS,
    "ansible_user": "root",
    "ansible_ssh_private_key_file": str(CACHE / "id_ed25519"),
    "ansible_ssh_common_args": (
        "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
        f" -o ConnectTimeout=10 -o ProxyCommand='{MACHINE} proxy %h %p'"
    ),
    "ansible_python_interpreter": "/usr/bin/python3",
    "machine_name": NAME,
    "gpu_host_find_links": ["/srv/wheels"],
    "gpu_host_no_index": True,
    "vllm_find_links": ["/srv/wheels"],
    "vllm_no_index": True,
    "vllm_model": "example/tiny-llama",
    "vllm_models_mirror": "/srv/mirror",
    "vllm_served_model_name": "tiny",
    "vllm_install_method": "existing",
    "vllm_command": ["/usr/bin/python3", "/srv/standin/standin_engine.py"],
    "gateway_listen": "127.0.0.1:8000",
}

if __name__ == "__main__":
    hosts = {"hosts": [NAME]}
    print(json.dumps({"_meta": {"hostvars": {NAME: SERVER}}, "all": {"children": ["supply"]}, "supply": hosts}))
