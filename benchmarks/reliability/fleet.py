#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet that is updated, given a bad version, and loses a host, under load through its front gateway.

    make molecule SCENARIOS=fleet MOLECULE_COMMAND=converge     # ten machines, twenty stand-in engines
    benchmarks/reliability/fleet.py roll bad off --requests 10000 --json fleet.json
    make molecule SCENARIOS=fleet MOLECULE_COMMAND=destroy

roll  rolling_update with other flags, host by host
bad   rolling_update with an argument that the engine refuses: it must stop at the first host
off   rolling_update, and one host is switched off in the middle of it (the fleet has to be made anew afterwards)

The load is --share of the capacity that was measured just before. Runs as root, on the host of the machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "reliability"))
from load import Asked, Load, Settings, summarize  # noqa: E402

MACHINE = ROOT / "tests" / "machines" / "machine"
RUN = Path(os.environ.get("GPUSERVE_CACHE") or ROOT / ".cache") / "machines" / "run"
INVENTORY = ROOT / "molecule" / "fleet" / "inventory.py"
KEY = "fleet-of-throwaway-machines"
MODEL = "assistant"


def say(text: str) -> None:
    print(f"fleet: {text}", file=sys.stderr, flush=True)


async def output(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    out, _err = await process.communicate()
    if process.returncode:
        raise SystemExit(f"fleet: {' '.join(words[:4])} ... ended with {process.returncode}")
    return out.decode()


@dataclass
class Fleet:
    front: str
    servers: list[str]

    def file(self, name: str, path: str) -> str:
        """A file in a machine, read past it: nothing there notices."""
        pid = (RUN / name / "leader.pid").read_text(encoding="ascii").split()[0]
        return Path(f"/proc/{pid}/root{path}").read_text(encoding="utf-8")

    def marks(self, name: str) -> list[dict[str, Any]]:
        try:
            return list(json.loads(self.file(name, "/etc/gpuserve/rotation.json"))["marks"])
        except (OSError, ValueError):
            return []  # switched off, or just being written

    def state(self, name: str) -> str:
        """What a host runs: its plan and which process is which replica; another after any restart."""
        pid = (RUN / name / "leader.pid").read_text(encoding="ascii").split()[0]
        links = sorted(Path(f"/proc/{pid}/root/etc/gpuserve/instances").glob("*"))
        engines = []
        for cgroup in Path("/proc").glob("[0-9]*/cgroup"):
            try:
                text = cgroup.read_text(encoding="utf-8")
            except OSError:
                continue
            if f"gpuserve-{name}/" in text and "vllm@" in text:
                engines.append(cgroup.parent.name)
        return json.dumps(
            [self.file(name, "/etc/gpuserve/plan.json"), [os.readlink(x) for x in links], sorted(engines)]
        )


async def find_fleet() -> Fleet:
    words = json.loads(await output(sys.executable, str(INVENTORY)))
    servers = [n for group in words["servers"]["children"] for n in words[group]["hosts"]]
    front = words["gpuserve_front"]["hosts"][0]
    missing = [name for name in (front, *servers) if not (RUN / name / "leader.pid").exists()]
    if missing:
        raise SystemExit(
            f"fleet: {', '.join(missing)} is not up; make molecule SCENARIOS=fleet MOLECULE_COMMAND=converge"
        )
    return Fleet(f"http://{words['_meta']['hostvars'][front]['ansible_host']}:8000", servers)


@dataclass
class Watcher:
    """Who is out of rotation by a rolling update, seen from outside all the time."""

    fleet: Fleet
    most_out: dict[str, int] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    async def watch(self) -> None:
        while True:
            now = time.time()
            for name in self.fleet.servers:
                out = {mark["name"] for mark in self.fleet.marks(name) if mark["by"] == "roll"}
                if out:
                    self.first.setdefault(name, now)
                    self.last[name] = now
                    self.most_out[name] = max(self.most_out.get(name, 0), len(out))
            await asyncio.sleep(0.25)

    def hosts(self, zero: float) -> list[dict[str, Any]]:
        return [
            {
                "host": name,
                "first_replica_out_s": round(begun - zero, 1),
                "seconds": round(self.last[name] - begun, 1),
                "most_replicas_out_at_once": self.most_out[name],
            }
            for name, begun in sorted(self.first.items(), key=lambda item: item[1])
        ]


class Under:
    """Load for as long as the block lasts, and at least so many requests."""

    def __init__(self, fleet: Fleet, rate: float, requests: int, seed: int = 1) -> None:
        self.load = Load(
            Settings(fleet.front, MODEL, key=KEY, rate=rate, tokens=(8, 24), words=(4, 20), timeout=60.0, seed=seed)
        )
        self.requests = requests

    async def __aenter__(self) -> Under:
        self.task = asyncio.create_task(self.load.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_error: Any) -> None:
        while len(self.load.asked) < self.requests:
            await asyncio.sleep(0.2)
        self.load.stop()
        await self.task

    def told(self, begun: float, ended: float) -> dict[str, Any]:
        """All requests, and the times of those before and during the block's event (seconds since the start)."""
        asked = self.load.asked
        every = summarize(asked)
        return {
            "requests": every.requests,
            "seconds": every.seconds,
            "not_whole": every.not_whole,
            "outcomes": every.outcomes,
            "steady": times([one for one in asked if one.start < begun]),
            "during": times([one for one in asked if begun <= one.start < ended]),
            "failures": every.failures[:20],
        }


def times(asked: list[Asked]) -> dict[str, Any]:
    part = summarize(asked)
    seconds = max((one.start for one in asked), default=0.0) - min((one.start for one in asked), default=0.0)
    return {
        "requests": part.requests,
        "requests_per_second": round(part.requests / seconds, 1) if seconds else 0.0,
        "ttft_s": part.ttft_s,
        "latency_s": part.latency_s,
    }


@dataclass
class Playbook:
    code: int
    text: str
    seconds: float

    def lines(self, pattern: str) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if re.search(pattern, line)]

    def fleet(self) -> list[str]:
        found = re.findall(r"^fleet:\n((?:  .*\n)+)", self.text, re.M)
        return [line.rstrip() for line in found[-1].splitlines()] if found else []


async def play(name: str, variables: dict[str, Any], serial: str) -> Playbook:
    began = time.monotonic()
    given = {"gpuserve_hosts": "servers", **({"gpuserve_serial": json.loads(serial)} if serial else {}), **variables}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "ansible-playbook"), f"gpuserve.inference.{name}", f"--inventory={INVENTORY}",
        "--forks=10", f"--extra-vars={json.dumps(given)}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".venv" / "collections"), "ANSIBLE_PIPELINING": "1"},
    )  # fmt: skip
    out, _err = await process.communicate()
    return Playbook(process.returncode or 0, out.decode(), round(time.monotonic() - began, 1))


async def capacity(fleet: Fleet, seconds: float, concurrency: int) -> float:
    """Whole answers a second with more clients than all slots; the first seconds warm up."""
    settings = Settings(
        fleet.front,
        MODEL,
        key=KEY,
        seconds=seconds,
        concurrency=concurrency,
        tokens=(8, 24),
        words=(4, 20),
        timeout=60.0,
    )
    asked = await Load(settings).run()
    whole = [one for one in asked if one.outcome == "ok" and seconds * 0.2 < one.end <= seconds]
    return round(len(whole) / (seconds * 0.8), 1)


async def event(
    fleet: Fleet, args: argparse.Namespace, rate: float, variables: dict[str, Any], off: str = ""
) -> tuple[dict[str, Any], Playbook]:
    """Steady load, then a rolling update under it. ``off`` is switched off once the second host is being updated."""
    before = {name: fleet.state(name) for name in fleet.servers}
    watcher = Watcher(fleet)
    watching = asyncio.create_task(watcher.watch())
    switched_off = None
    try:
        async with Under(fleet, rate, args.requests) as under:
            await asyncio.sleep(args.steady)
            begun, zero = under.load.now(), time.time()
            running = asyncio.create_task(play("rolling_update", variables, args.serial))
            while off and not running.done() and len(watcher.first) < 2:
                await asyncio.sleep(0.2)
            if off and not running.done():
                say(f"{off} is switched off")
                switched_off = round(time.time() - zero, 1)
                await output(str(MACHINE), "destroy", "--halt", off)
            playbook = await running
            ended = under.load.now()
            say(f"rolling_update ended with {playbook.code} after {playbook.seconds} s")
    finally:
        watching.cancel()
    left = [name for name in fleet.servers if name != off]
    return {
        **under.told(begun, ended),
        "rate": rate,
        "playbook_exit": playbook.code,
        "playbook_seconds": playbook.seconds,
        "hosts_in_order": watcher.hosts(zero),
        "untouched": [name for name in left if fleet.state(name) == before[name]],
        "switched_off": {"host": off, "after_s": switched_off} if off else None,
        "fleet_table": playbook.fleet(),
    }, playbook


def tell(name: str, row: dict[str, Any]) -> None:
    ttft = {part: row[part]["ttft_s"] for part in ("steady", "during")}
    say(
        f"{name}: {row['requests']} requests, {row['not_whole']} not whole; TTFT p50 {ttft['steady'].get('p50')} and"
        f" {ttft['during'].get('p50')} s, p99 {ttft['steady'].get('p99')} and {ttft['during'].get('p99')} s;"
        f" hosts {[h['host'] for h in row['hosts_in_order']]}, untouched {len(row['untouched'])}"
    )


async def run(args: argparse.Namespace) -> int:
    fleet = await find_fleet()
    clients = args.concurrency or 8 * len(fleet.servers)
    most = await capacity(fleet, args.capacity_seconds, clients)
    rate = round(most * args.share, 1)
    say(f"capacity {most} requests a second with {clients} clients; the load is {rate} a second")
    out: dict[str, Any] = {"capacity_rps": most, "share": args.share, "hosts": len(fleet.servers), "events": {}}
    problems: list[str] = []

    def need(what: str, true: bool) -> None:
        if not true:
            problems.append(what)
            say(f"NOT SO: {what}")

    for name in args.events:
        if name == "roll":
            # a flag that changes nothing but the command line; another each time, so that there is something to roll
            variables: dict[str, Any] = {"vllm_extra_args": ["--seed", str(int(time.time()) % 100000)]}
            row, playbook = await event(fleet, args, rate, variables)
            need("roll: the playbook succeeds", playbook.code == 0)
            need("roll: every host is updated", row["untouched"] == [])
            out["variables"] = variables
        elif name == "bad":
            given = [*out.get("variables", {}).get("vllm_extra_args", []), "--no-such-argument"]
            row, playbook = await event(fleet, args, rate, {"vllm_extra_args": given})
            row["said"] = playbook.lines("unknown_argument|unrecognized|back to|rolled back")[:6]
            need("bad: the playbook fails", playbook.code != 0)
            need("bad: only the first host was touched", row["untouched"] == fleet.servers[1:])
            need("bad: nobody stays out of rotation", not any(fleet.marks(name) for name in fleet.servers))
        else:
            off = args.off or fleet.servers[len(fleet.servers) // 2]
            row, playbook = await event(fleet, args, rate, {"vllm_extra_args": ["--seed", "7"]}, off)
            row["said"] = playbook.lines(f"UNREACHABLE|{off}.*(unreachable=1|NOT REACHED)")[:6]
            need("off: the playbook fails", playbook.code != 0)
        tell(name, row)
        need(f"{name}: every request was answered in full", row["not_whole"] == 0 or name == "off")
        need(
            f"{name}: one replica of a host out at a time",
            all(h["most_replicas_out_at_once"] == 1 for h in row["hosts_in_order"]),
        )
        out["events"][name] = row
        if args.json:
            (args.json.parent / f"{args.json.stem}-{name}.log").write_text(playbook.text, encoding="utf-8")
    out["problems"] = problems
    text = json.dumps(out, indent=1)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="+", choices=["roll", "bad", "off"], metavar="roll|bad|off")
    parser.add_argument("--requests", type=int, default=10000, help="at least so many during each event")
    parser.add_argument("--share", type=float, default=0.7, help="of the measured capacity")
    parser.add_argument("--steady", type=float, default=30.0, help="seconds of load before each event")
    parser.add_argument("--capacity-seconds", type=float, default=20.0)
    parser.add_argument(
        "--concurrency", type=int, default=0, help="clients that measure the capacity (default: 8 a host)"
    )
    parser.add_argument("--serial", default="", help='for example [1, "50%%"]; default: that of the playbook')
    parser.add_argument("--off", default="", help="which host is switched off (default: one in the middle)")
    parser.add_argument("--json", type=Path, help="write the figures here, and what the playbooks said beside it")
    args = parser.parse_args()
    if os.environ.get("FLEET_INSIDE") != "1":  # the front is reached in the machines' network only
        os.environ["FLEET_INSIDE"] = "1"
        os.execv(MACHINE, [str(MACHINE), "net", sys.executable, *sys.argv])
    return asyncio.run(run(args))


if __name__ == "__main__":
    sys.exit(main())
