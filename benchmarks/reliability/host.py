# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host under test: what its replicas do, several times a second, and commands on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import time
from dataclasses import dataclass, field
from typing import Any, Callable

# Runs on the host and prints one JSON line a look, until its input ends.
EYES = r"""
import glob, json, os, re, select, sys, time, urllib.request
def read(path):
    try:
        with open(path) as handle: return handle.read()
    except OSError: return ""
plan = json.loads(read("/etc/gpuserve/plan.json"))
key = read("/etc/gpuserve/engine.key").strip()
clients = [line.split() for line in read("/etc/gpuserve/gateway/clients").splitlines() if line and line[0] != "#"]
def kind(pid):
    title = (read("/proc/%s/cmdline" % pid).replace("\0", " ") + read("/proc/%s/comm" % pid)).lower()
    return "core" if "enginecore" in title else "worker" if "worker" in title else ""
def look():
    groups = {}
    for path in glob.glob("/proc/[0-9]*/cgroup"):
        unit = re.search(r"vllm@([^/]+)\.service", read(path))
        if unit: groups.setdefault(unit[1], []).append(int(path.split("/")[2]))
    try: out = [mark["name"] for mark in json.loads(read("/etc/gpuserve/rotation.json") or "{}").get("marks", [])]
    except ValueError: out = None
    replicas = {}
    for instance in plan["instances"]:
        name = instance["name"]; pids = sorted(groups.get(name, [])); kinds = {}
        for pid in pids:
            if kind(pid): kinds.setdefault(kind(pid), pid)
        others = [pid for pid in pids if pid not in kinds.values()]
        try: healthy = urllib.request.urlopen("http://127.0.0.1:%s/health" % instance["port"], timeout=1).status == 200
        except Exception: healthy = False
        replicas[name] = {"port": instance["port"], "main": min(others) if others else 0, "pids": pids, **kinds,
                          "healthy": healthy, "out": None if out is None else name in out}
    return {"at": time.time(), "replicas": replicas}
print(json.dumps({"key": clients[0][1] if clients else "", "model": plan["model"]["served_model_name"]}), flush=True)
while not select.select([sys.stdin], [], [], 0.2)[0]:
    print(json.dumps(look()), flush=True)
"""


@dataclass
class Host:
    """``reach`` are the words before a command there, such as ``ssh root@gpu1``. Times are of the host's clock."""

    reach: list[str]
    key: str = ""
    model: str = ""
    looks: list[dict[str, Any]] = field(default_factory=list)
    _eyes: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Host:
        self._eyes = await asyncio.create_subprocess_exec(
            *self.reach, f"python3 -u -c {shlex.quote(EYES)}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**22,
        )  # fmt: skip
        assert self._eyes.stdout is not None
        first = await self._eyes.stdout.readline()
        if not first:
            raise SystemExit("figures: the host cannot be looked at; is the endpoint set up (setup.sh)?")
        self.key, self.model = (json.loads(first)[name] for name in ("key", "model"))
        self._reader = asyncio.create_task(self._read())
        await self.wait(lambda look: True, 30)
        return self

    async def __aexit__(self, *_details: object) -> None:
        assert self._eyes is not None and self._eyes.stdin is not None and self._reader is not None
        self._eyes.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            await self._eyes.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._eyes is not None and self._eyes.stdout is not None
        async for line in self._eyes.stdout:
            self.looks.append(json.loads(line))

    async def run(self, command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self.reach, command, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _none = await process.communicate()
        text = out.decode(errors="replace")
        if process.returncode:
            raise SystemExit(f"figures: {command!r} failed on the host: {text.strip()[-400:]}")
        return text

    @property
    def now(self) -> dict[str, Any]:
        return self.looks[-1]

    @property
    def replicas(self) -> dict[str, Any]:
        return self.now["replicas"]  # type: ignore[no-any-return]

    async def wait(self, wanted: Callable[[dict[str, Any]], bool], seconds: float, since: float = 0.0) -> float:
        """When ``wanted`` was first seen (after ``since``); nan where it was not in ``seconds``."""
        ends = time.monotonic() + seconds
        position = 0
        while time.monotonic() < ends:
            for look in self.looks[position:]:
                if look["at"] >= since and wanted(look):
                    return float(look["at"])
            position = len(self.looks)
            await asyncio.sleep(0.1)
        return float("nan")

    async def all_well(self, seconds: float = 600) -> None:
        """Every replica healthy and in rotation, in ten looks one after the other."""
        count = 0
        ends = time.monotonic() + seconds
        seen = len(self.looks)
        while count < 10:
            if time.monotonic() > ends:
                raise SystemExit(f"figures: the replicas are not well after {seconds:g} s: {json.dumps(self.replicas)}")
            await asyncio.sleep(0.1)
            if len(self.looks) > seen:
                seen = len(self.looks)
                good = all(one["healthy"] and not one["out"] for one in self.replicas.values())
                count = count + 1 if good else 0
