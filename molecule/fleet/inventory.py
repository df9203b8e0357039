#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory of the fleet: servers of different cards in two groups with a model each, and one front before them.

FLEET_ENGINE=standin (default) or vllm, the real one; FLEET_HOSTS: how many of the servers (default: 10, with vllm 2).
Six of them are of different kinds, so the gate takes six.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ROOT / "tests" / "machines" / "machine"
CACHE = Path(os.environ.get("GPUSERVE_CACHE") or ROOT / ".cache") / "machines"
NETWORK = "10.77.0"
FRONT = f"{NETWORK}.10"
REAL = os.environ.get("FLEET_ENGINE", "standin") == "vllm"
CORES = os.cpu_count() or 1
COUNT = int(os.environ.get("FLEET_HOSTS") or (2 if REAL else 10))

# cards and group of each server, in the order in which they are rolled
SERVERS = (
    ("rtx5090x2", "chat"),
    ("rtx5080x2", "chat"),  # one card does not hold the model: one replica over both
    ("rtx4090x4", "chat"),
    ("rtx5090x1", "chat"),
    ("h200x2", "large"),
    ("h100x8", "large"),
    ("rtx3090x2_nvlink", "chat"),
    ("rtx5080x2", "chat"),
    ("rtx5090x2", "chat"),
    ("rtx5090x2", "chat"),
)
MODELS = {"chat": "llama-3.1-8b", "large": "llama-3.3-70b"}

CONNECTION = {
    "ansible_user": "root",
    "ansible_ssh_private_key_file": str(CACHE / "id_ed25519"),
    "ansible_ssh_common_args": (
        "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
        f" -o ConnectTimeout=10 -o ProxyCommand='{MACHINE} proxy %h %p'"
    ),
    "ansible_python_interpreter": "/usr/bin/python3",
}

# all serve under one name, so that the front may send a request to any of them
STANDIN = {
    "vllm_install_method": "existing",
    "vllm_command": ["/usr/bin/python3", "/srv/standin/standin_engine.py"],
    "vllm_served_model_name": "assistant",
    "vllm_model_verify": "none",
    "vllm_watch_interval": 12,  # a look costs an eighth of a second of CPU, and all servers share two cores
    "vllm_environment": {"STANDIN_SLOTS": "4", "STANDIN_TTFT_MS": "150", "STANDIN_TPOT_MS": "40"},
}
VLLM = {"vllm_rehearsal": True, "vllm_model": "/srv/models/tiny-llama", "vllm_served_model_name": "assistant"}


def boot_words(name: str, address: str, cards: str = "") -> str:
    """What `machine boot` needs to know, apart from the layer."""
    binds = ["tests/fixtures/models:/srv/models", "tests/fixtures/standin_engine:/srv/standin"]
    if REAL:
        binds = [".cache/molecule/tiny-llama:/srv/models/tiny-llama", ".cache/opt/engines:/opt/gpuserve/engines"]
    words = [name, f"--network {address}", *(f"--bind-ro {ROOT}/{bind}" for bind in binds if cards)]
    return " ".join([*words, *([f"--gpus {cards}"] if cards else [])])


def inventory() -> dict[str, Any]:
    servers: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {name: [] for name in MODELS}
    for number, (cards, group) in enumerate(SERVERS[:COUNT], 1):
        name, address = f"fleet{number}", f"{NETWORK}.{10 + number}"
        servers[name] = {"ansible_host": address, "machine_boot": boot_words(name, address, cards)}
        groups[group].append(name)
    if REAL:  # one replica each: four engines would take the memory of a small computer
        # and a core each: engines that answer spin, and one that starts on the same core would hardly get to
        servers = {
            name: {**row, "vllm_gpus": [0], "vllm_environment": {"VLLM_CPU_OMP_THREADS_BIND": str(n % CORES)}}
            for n, (name, row) in enumerate(servers.items())
        }
    front = {
        "ansible_host": FRONT,
        "machine_boot": boot_words("front", FRONT),
        "gateway_listen": f"{FRONT}:8000",
        "gateway_balancing": "least_conn",
        "gateway_upstreams": [{"name": n, "host": row["ansible_host"], "port": 8000} for n, row in servers.items()],
    }
    out: dict[str, Any] = {
        "_meta": {"hostvars": {"front": front, **{n: {**row, "gateway_listen": "8000"} for n, row in servers.items()}}},
        "all": {"vars": {**CONNECTION, "gateway_api_keys": ["fleet-of-throwaway-machines"]}, "children": ["fleet"]},
        "fleet": {"children": ["servers", "gpuserve_front"]},
        "gpuserve_front": {"hosts": ["front"]},
        "servers": {"children": list(groups), "vars": VLLM if REAL else STANDIN},
    }
    for group, names in groups.items():
        variables = {} if REAL else {"vllm_model": f"/srv/models/{MODELS[group]}"}
        out[group] = {"hosts": names, "vars": variables}
    return out


if __name__ == "__main__":
    print(json.dumps(inventory(), indent=1))
