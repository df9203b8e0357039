# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host in a directory: releases as host_files writes them, and units whose processes carry their digests."""

from __future__ import annotations

import os
from typing import Any, Callable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _instances
from ansible_collections.gpuserve.inference.plugins.module_utils._release_store import Release, ReleaseStore


def plan(
    names: tuple[str, ...] = ("gpu0", "gpu1"), words: tuple[str, ...] = (), port: int = 8001, reason: str = ""
) -> dict[str, Any]:
    return {
        "reason": reason,
        "model": {"served_model_name": "tiny", "tasks": ["generate"]},
        "instances": [
            {
                "name": name,
                "gpus": [{"index": index, "uuid": f"GPU-{name}"}],
                "port": port + index,
                "env": {},
                "args": ["--port", str(port + index), *words],
            }
            for index, name in enumerate(names)
        ],
    }


class Host:
    """systemctl of a host whose /etc and /proc lie in ``root``. A unit that starts reads its links, as systemd does."""

    def __init__(self, root: Any) -> None:
        self.etc, self.proc, self.unit_dir = f"{root}/etc", f"{root}/proc", f"{root}/systemd"
        for path in (f"{self.etc}/instances", self.proc, self.unit_dir):
            os.makedirs(path)
        self.store = ReleaseStore(self.etc, f"{self.unit_dir}/vllm@.service")
        self.units: dict[str, tuple[str, int]] = {}
        self.orders: list[str] = []
        self.disabled: set[str] = set()
        self.pid = 100
        self.before: Optional[Callable[[str], None]] = None  # told each order, before it is carried out

    def write(self, unit: str = "[Unit]\n", model: str = "/m", **words: Any) -> Release:
        made = _instances.instance_files(plan(**words), ["/e/bin/vllm"], model, {}, unit)
        for entry in made["files"]:
            path = entry["path"].replace(_instances.CONFIG_DIR, self.etc, 1)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(entry["content"])
        return self.store.load(made["release"])

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        words = [word for word in command[1:] if word != "--quiet"]
        if words[0] == "list-units":
            return 0, "\n".join(f"{unit} loaded {state[0]} x vLLM" for unit, state in self.units.items()), ""
        if words[0] == "show":
            state, pid = self.units.get(words[1], ("inactive", 0))
            return 0, f"ActiveState={state}\nMainPID={pid}\n", ""
        order = " ".join(words)
        if self.before:
            self.before(order)
        self.orders.append(order)
        for unit in words[1:]:
            if words[0] == "stop":
                self.units[unit] = ("inactive", 0)
                if unit in self.disabled:  # systemd forgets it
                    self.units.pop(unit)
            elif words[0] == "start":
                self.start(unit)
            elif words[0] == "disable":
                self.disabled.add(unit)
            elif words[0] == "enable":
                self.disabled.discard(unit)
        return 0, "", ""

    def start(self, unit: str) -> None:
        name = unit[len("vllm@") : -len(".service")]
        with open(f"{self.etc}/instances/{name}.env", encoding="utf-8") as handle:
            lines = handle.read().replace('"', "").splitlines()
        self.pid += 1
        os.makedirs(f"{self.proc}/{self.pid}")
        with open(f"{self.proc}/{self.pid}/environ", "wb") as out:
            out.write("\0".join(lines).encode())
        self.units[unit] = ("active", self.pid)

    def runs(self, release: Release, *names: str) -> None:
        """These instances run a release already."""
        for name in names or release.names:
            self.store.point(name, release.id)
            self.start(f"vllm@{name}.service")
        self.store.install_unit(release.id)
