# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines to compare with, beside those that the playbook runs: the same words, but for what makes the difference."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

HEALTH_SECONDS = 600.0


@dataclass
class Engine:
    """One ``vllm serve``; listens on ``port`` of the loopback address, or on ``uds``."""

    name: str
    words: list[str]
    env: dict[str, str]
    port: int = 0
    uds: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, logs: Path) -> None:
        where = ["--uds", self.uds] if self.uds else ["--host", "127.0.0.1", "--port", str(self.port)]
        with (logs / f"{self.name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.words, *where],
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def healthy(self) -> bool:
        connection: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            if self.uds:
                connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.sock.connect(self.uds)
                os.chmod(self.uds, 0o666)  # for nginx's workers
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """The whole group: engine cores and workers that outlive their server would keep their memory."""
        if self.process is None:
            return
        for sign, patience in ((signal.SIGINT, 30.0), (signal.SIGKILL, 30.0)):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(patience)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None


def wait(engines: list[Engine], most: float = HEALTH_SECONDS) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds until each is healthy, and why those are missing that do not come; they are stopped."""
    begun = time.monotonic()
    ready: dict[str, float] = {}
    missing: dict[str, str] = {}
    while len(ready) + len(missing) < len(engines):
        took = time.monotonic() - begun
        for engine in engines:
            if engine.name in ready or engine.name in missing:
                continue
            if engine.process is not None and engine.process.poll() is not None:
                missing[engine.name] = f"{engine.name} ended with status {engine.process.returncode}; see its log"
            elif engine.healthy():
                ready[engine.name] = round(took, 1)
            elif took > most:
                missing[engine.name] = f"{engine.name} is not healthy after {most:g} s; see its log"
        time.sleep(0.2)
    for engine in engines:
        if engine.name in missing:
            engine.stop()
    return ready, missing


@dataclass(frozen=True)
class Applied:
    """What the playbook has applied to this host: /etc/gpuserve."""

    names: list[str]
    ports: list[int]
    cards: list[list[str]]  # UUIDs, of each replica
    every_card: str  # as CUDA_VISIBLE_DEVICES; numbers, since vLLM's data parallel ranks cannot count in UUIDs
    words: list[str]  # of the first replica, less where it listens
    env: dict[str, str]  # likewise
    model: str  # the name under which it is served
    path: str
    version: str
    key: str
    kv_bytes: int  # of each card, as planned


def applied(etc: Path = Path("/etc/gpuserve")) -> Applied:
    plan = json.loads((etc / "plan.json").read_text(encoding="utf-8"))
    instances = plan["instances"]
    lines = (etc / "instances" / f"{instances[0]['name']}.args").read_text(encoding="utf-8").splitlines()
    env = (etc / "instances" / f"{instances[0]['name']}.env").read_text(encoding="utf-8")
    return Applied(
        names=[one["name"] for one in instances],
        ports=[one["port"] for one in instances],
        cards=[one["gpu_uuids"] for one in instances],
        every_card=",".join(str(card) for one in instances for card in one["gpus"]),
        words=without(lines, "--host", "--port", "--tensor-parallel-size"),
        env=dict(word.partition("=")[::2] for word in shlex.split(env)),
        model=plan["model"]["served_model_name"],
        path=lines[lines.index("serve") + 1],
        version=plan["vllm_version"],
        kv_bytes=int(plan["prediction"].get("kv_cache_bytes_per_gpu") or 0),
        key=(etc / "engine.key").read_text(encoding="utf-8").split()[0],
    )


def without(words: list[str], *flags: str) -> list[str]:
    """The words less these flags and the value of each."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in flags:
            kept.append(word)
        skip = not skip and word in flags
    return kept
