#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller is killed in the middle of rolling_update, at one task after the other, and run again.

    make molecule SCENARIOS=fleet MOLECULE_COMMAND=converge
    benchmarks/reliability/interrupted.py --hosts fleet1,fleet9 --every 1 --json interrupted.json

For each point: a rolling_update with other flags is killed with SIGKILL when its N-th task starts (and --after seconds
into it, which also cuts what runs on the host off from its controller), then run again to its end. Looked at from
outside all the time: how many replicas of a host do not answer /health, and how many a roll has out of rotation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fleet import INVENTORY, MACHINE, ROOT, Fleet, find_fleet, say

PLUGINS = ROOT / "tests" / "fixtures" / "kill_controller" / "callback_plugins"


HOSTS: list[str] = []


async def play(variables: dict[str, Any], **env: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "ansible-playbook"), "gpuserve.inference.rolling_update",
        f"--inventory={INVENTORY}", f"--extra-vars={json.dumps({'gpuserve_hosts': ','.join(HOSTS), **variables})}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".venv" / "collections"), "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS), "ANSIBLE_CALLBACKS_ENABLED": "kill_at_task", **env,
        },
    )  # fmt: skip
    out, _err = await process.communicate()
    return process.returncode or 0, out.decode()


class Outside:
    """Each replica's /health, asked inside the host's own network but past Ansible and the gateway."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ports = {
            name: [row["port"] for row in json.loads(fleet.file(name, "/etc/gpuserve/plan.json"))["instances"]]
            for name in fleet.servers
        }
        self.most_down = dict.fromkeys(fleet.servers, 0)
        self.most_out = dict.fromkeys(fleet.servers, 0)
        self.looks = 0
        self.processes: list[asyncio.subprocess.Process] = []

    async def _ask(self, name: str) -> None:
        """One long-lived process a host: starting one a look would cost more than looking."""
        script = (
            "import http.client, sys, time\n"
            "while True:\n"
            "    down = 0\n"
            f"    for port in {self.ports[name]}:\n"
            "        try:\n"
            "            c = http.client.HTTPConnection('127.0.0.1', port, timeout=2); c.request('GET', '/health')\n"
            "            down += c.getresponse().status != 200; c.close()\n"
            "        except OSError: down += 1\n"
            "    print(down, flush=True); time.sleep(0.2)\n"
        )
        pid = (MACHINE.parents[2] / ".cache/machines/run" / name / "leader.pid").read_text(encoding="ascii").split()[0]
        process = await asyncio.create_subprocess_exec(
            "nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
        )
        self.processes.append(process)
        assert process.stdout is not None
        async for line in process.stdout:
            self.looks += 1
            self.most_down[name] = max(self.most_down[name], int(line))
            out = {mark["name"] for mark in self.fleet.marks(name) if mark["by"] == "roll"}
            self.most_out[name] = max(self.most_out[name], len(out))

    async def __aenter__(self) -> Outside:
        self.tasks = [asyncio.create_task(self._ask(name)) for name in self.fleet.servers]
        return self

    async def __aexit__(self, *_error: Any) -> None:
        for process in self.processes:
            process.kill()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def changed(text: str) -> int:
    return sum(int(number) for number in re.findall(r"\bchanged=(\d+)", text))


async def run(args: argparse.Namespace) -> int:
    fleet = await find_fleet()
    HOSTS[:] = fleet.servers[:] = args.hosts.split(",")
    seed = int(time.time()) % 100000
    log = Path(tempfile.mkstemp(prefix="tasks-")[1])
    points: list[dict[str, Any]] = []
    problems: list[str] = []
    began = time.monotonic()
    async with Outside(fleet) as outside:
        # the first run is whole: it tells how many tasks there are, and their names
        code, text = await play({"vllm_extra_args": ["--seed", str(seed)]}, KILL_LOG=str(log))
        if code:
            raise SystemExit(f"interrupted: rolling_update fails without being killed:\n{text[-3000:]}")
        tasks = log.read_text(encoding="utf-8").splitlines()
        log.unlink()
        wanted = range(args.first, (args.last or len(tasks)) + 1, args.every)
        say(f"{len(tasks)} tasks, of which {len(wanted)} are tried; two replicas of a host must never be down")
        for at in wanted:
            if args.seconds and time.monotonic() - began > args.seconds:
                say("out of time")
                break
            seed += 1
            wish = {"vllm_extra_args": ["--seed", str(seed)]}
            started = time.monotonic()
            killed, _text = await play(wish, KILL_AT_TASK=str(at), KILL_AFTER=str(args.after))
            again, text = await play(wish)
            third, quiet = (await play(wish)) if args.third else (0, "")
            point = {
                "task": tasks[at - 1] if at <= len(tasks) else str(at),
                "killed": killed == -9,
                "rerun_exit": again,
                "changed_after": changed(quiet) if args.third else None,
                "seconds": round(time.monotonic() - started, 1),
            }
            points.append(point)
            bad = again != 0 or third != 0 or point["changed_after"] not in (0, None)
            bad = bad or max(outside.most_down.values()) > 1 or max(outside.most_out.values()) > 1
            say(f"{point}, most down {outside.most_down}, most out {outside.most_out}")
            if bad:
                problems.append(f"{point}: most down {outside.most_down}, most out {outside.most_out}")
                if again:
                    say(text[-2500:])
                if max(outside.most_down.values()) > 1:
                    break
    out = {
        "tasks": len(tasks),
        "points": points,
        "tried": len(points),
        "looks": outside.looks,
        "most_replicas_down_at_once": outside.most_down,
        "most_replicas_out_at_once": outside.most_out,
        "left_out_of_rotation": {name: fleet.marks(name) for name in fleet.servers if fleet.marks(name)},
        "problems": problems,
    }
    text = json.dumps(out, indent=1)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if problems or out["left_out_of_rotation"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="fleet1,fleet9", help="of two replicas each, so that two could be down")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=0, help="default: the last task")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--after", type=float, default=0.0, help="seconds after the task's start")
    parser.add_argument("--third", action="store_true", help="a third run each time, which must change nothing")
    parser.add_argument("--seconds", type=float, default=0.0, help="begin no further point after so long")
    parser.add_argument("--json", type=Path)
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
