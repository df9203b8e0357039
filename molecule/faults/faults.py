#!/usr/bin/env python3
"""Does one thing to a replica of this machine that goes wrong on real ones, and prints as JSON what came of it.

faults.py DOOR kill NAME main|core|worker    SIGKILL to one of its processes
faults.py DOOR stall NAME                    SIGSTOP to its engine core
faults.py DOOR busy SECONDS                  more work for both engines than they can begin
faults.py DOOR crash NAME                    arguments with which it cannot start
faults.py DOOR card NAME                     faults of its card, in the kernel's log and in NVML
faults.py DOOR application NAME              an error of which only its process has to be started anew

Plain requests go through the door all the while; "lost" are those without a full answer.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse

PATIENCE = 400  # seconds, on machines that do other work too
ETC = "/etc/gpuserve"
DMESG = "/usr/local/sbin/dmesg"
PROFILE = "/etc/fake-nvml.profile"
MODEL = "tiny-llama"


def sh(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True).stdout.strip()


def first_key(path=f"{ETC}/gateway/clients"):
    with open(path, encoding="utf-8") as handle:
        lines = [line.split() for line in handle if line.strip() and not line.startswith("#")]
    return lines[0][1] if lines else ""


def read(path):
    with open(path, encoding="utf-8") as handle:
        return handle.read()


def engine_key():
    return read(f"{ETC}/engine.key").strip()


def post(base, body, key, timeout=300):
    where = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        connection.request("POST", "/v1/completions", json.dumps({"model": MODEL, **body}), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Load:
    """A few clients that ask through the door, and remember what they did not get."""

    def __init__(self, base, clients=3, tokens=150):
        self.base, self.key, self.tokens, self.pause = base, first_key(), tokens, 0.05
        self.sent, self.lost, self.slowest, self._over = 0, [], 0.0, threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _number in range(clients)]

    def _client(self):
        while not self._over.is_set():
            began, problem = time.monotonic(), ""
            try:
                body = {"prompt": "Count", "max_tokens": self.tokens, "ignore_eos": True}
                status, raw = post(self.base, body, self.key)
                tokens = json.loads(raw)["usage"]["completion_tokens"] if status == 200 else 0
                if tokens != self.tokens:
                    problem = f"{status} {raw[:200]!r}"
            except (OSError, ValueError, http.client.HTTPException) as error:
                problem = repr(error)
            with self._lock:
                self.sent += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                if problem:
                    self.lost.append(problem)
            self._over.wait(self.pause)

    def calm(self):
        """The fault has come while requests were under way; what loads now needs the processor."""
        self.pause = 1.0

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        time.sleep(2)
        return self

    def __exit__(self, *_error):
        self._over.set()
        for thread in self._threads:
            thread.join(300)

    def result(self):
        slowest = round(self.slowest, 1)
        return {"sent": self.sent, "lost": self.lost[:5], "lost_count": len(self.lost), "slowest": slowest}


class Replica:
    def __init__(self, name):
        self.name, self.unit = name, f"vllm@{name}.service"
        plan = json.loads(read(f"{ETC}/plan.json"))
        names = [row["name"] for row in plan["instances"]]
        self.port = plan["instances"][names.index(name)]["port"]
        self.card = plan["instances"][names.index(name)]["gpu_uuids"][0]
        self.names = names

    @property
    def others(self):
        return [Replica(name) for name in self.names if name != self.name]

    def show(self, name):
        return sh("systemctl", "show", self.unit, f"--property={name}", "--value")

    def processes(self):
        """Names by PID of all processes of the unit."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cgroup", encoding="utf-8") as handle:
                    ours = re.search(rf"/{re.escape(self.unit)}$", handle.read(), re.M)
                if ours:
                    with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
                        found[int(pid)] = handle.read().strip()
            except OSError:
                continue
        return found

    def process(self, which):
        if which == "main":
            return int(self.show("MainPID"))
        name = {"core": "VLLM::EngineCor", "worker": "VLLM::Worker"}[which]
        return next(pid for pid, comm in self.processes().items() if comm.startswith(name))

    def marks(self):
        try:
            marks = json.loads(read(f"{ETC}/rotation.json"))["marks"]
        except (OSError, ValueError):
            return []
        return [mark["by"] for mark in marks if mark["name"] == self.name]

    def answers(self):
        try:
            body = {"prompt": "Hello", "max_tokens": 1}
            return post(f"http://127.0.0.1:{self.port}", body, engine_key(), 5)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def serves(self):
        return not self.marks() and self.answers()

    def invocation(self):
        return self.show("InvocationID")


def await_that(condition, what, seconds=PATIENCE):
    """Seconds until it holds."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            journal = sh("journalctl", "--no-pager", "--lines=60", "--output=short-precise", check=False)
            sys.exit(f"{what} did not come within {seconds} s\n{journal}\n{read(ETC + '/rotation.json')}")
        time.sleep(0.1)
    return round(time.monotonic() - began, 1)


def said(since):
    """What watch and health check did, by the journal."""
    lines = sh("journalctl", "--no-pager", "--quiet", "--output=cat", f"--since=@{since:.3f}",
               "--identifier=gpuserve-watch", "--identifier=gpuserve-health", check=False)  # fmt: skip
    return lines.splitlines()


def not_touched(replicas):
    return {replica.name: (replica.invocation(), replica.marks()) for replica in replicas}


# ---------------------------------------------------------------- what is done


def kill(base, replica, which):
    before, invocation, processes = not_touched(replica.others), replica.invocation(), replica.processes()
    with Load(base) as load:
        began = time.monotonic()
        os.kill(replica.process(which), 9)
        died = await_that(lambda: replica.invocation() != invocation, "another start")
        load.calm()
        await_that(replica.serves, "its return into rotation")
        seconds = round(time.monotonic() - began, 1)
    return {
        "processes": sorted(processes.values()),
        "started_again_after": died,
        "serving_after": seconds,
        "orphans": [name for pid, name in processes.items() if os.path.exists(f"/proc/{pid}")],
        "others_untouched": not_touched(replica.others) == before,
        "load": load.result(),
    }


def stall(base, replica):
    before, invocation = not_touched(replica.others), replica.invocation()
    processes, since = replica.processes(), time.time()
    with Load(base) as load:
        began = time.monotonic()
        os.kill(replica.process("core"), 19)
        await_that(lambda: replica.marks() == ["watch"], "the mark of the watch")
        out = round(time.monotonic() - began, 1)
        health = http.client.HTTPConnection("127.0.0.1", replica.port, timeout=5)
        health.request("GET", "/health")
        status = health.getresponse().status
        await_that(lambda: replica.invocation() != invocation, "another start")
        restarted = round(time.monotonic() - began, 1)
        load.calm()
        await_that(replica.serves, "its return into rotation")
        seconds = round(time.monotonic() - began, 1)
    return {
        "health_meanwhile": status,
        "out_after": out,
        "started_again_after": restarted,
        "serving_after": seconds,
        "orphans": [name for pid, name in processes.items() if os.path.exists(f"/proc/{pid}")],
        "others_untouched": not_touched(replica.others) == before,
        "said": said(since),
        "load": load.result(),
    }


def busy(seconds):
    """Each engine gets four times as many requests as it works on at a time, and long ones."""
    replicas = [Replica("gpu0"), Replica("gpu1")]
    before, since, over = not_touched(replicas), time.time(), threading.Event()
    key = engine_key()
    waits = []

    def client(port, tokens):
        while not over.is_set():
            began = time.monotonic()
            post(f"http://127.0.0.1:{port}", {"prompt": "Count " * 200, "max_tokens": tokens, "ignore_eos": True}, key)
            if tokens == 1:
                waits.append(time.monotonic() - began)

    threads = [
        threading.Thread(target=client, args=(replica.port, tokens), daemon=True)
        for replica in replicas
        for tokens in [1] + 64 * [1500]
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    after = not_touched(replicas)
    over.set()
    for thread in threads:
        thread.join(300)
    return {"one_token_took_up_to": round(max(waits), 1), "untouched": after == before, "said": said(since)}


def crash(base, replica):
    before, since = not_touched(replica.others), time.time()
    path = f"{ETC}/instances/{replica.name}.args"
    link = os.readlink(path) if os.path.islink(path) else ""
    words = read(path)
    os.unlink(path)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(f"{words}--no-such-argument\n")
    with Load(base, clients=2) as load:
        sh("systemctl", "reset-failed", replica.unit)  # what was started before counts no more
        os.kill(replica.process("main"), 9)
        load.calm()
        failed = await_that(lambda: replica.show("ActiveState") == "failed", "its end")
        time.sleep(8)
        state = {"active": replica.show("ActiveState"), "result": replica.show("Result"), "marks": replica.marks()}
        starts = sh("journalctl", "--no-pager", "--quiet", "--output=cat", f"--since=@{since:.3f}",
                    f"--unit={replica.unit}", "--grep=^Started ", check=False).splitlines()  # fmt: skip
        untouched = not_touched(replica.others) == before
        os.unlink(path)
        if link:
            os.symlink(link, path)
        else:
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(words)
        sh("systemctl", "reset-failed", replica.unit)
        sh("systemctl", "start", replica.unit)
        await_that(replica.serves, "its return into rotation")
    return {
        "failed_after": failed,
        "starts": len(starts),
        "state": state,
        "others_untouched": untouched,
        "said": said(since),
        "load": load.result(),
    }


class Cards:
    """The kernel's log and NVML as this machine shows them: a machine of its own has no kernel of its own."""

    def __init__(self, replica):
        self.profile = read(PROFILE)
        part = next(part for part in self.profile.split("[gpu]") if f"uuid = {replica.card}" in part)
        self.part = part
        self.address = re.search(r"pci = (\S+)", part).group(1)[4:]
        self.lines = []
        self.log()

    def log(self, *lines):
        with open("/proc/uptime", encoding="ascii") as handle:
            now = float(handle.read().split()[0])
        self.lines += [f"[{now:12.6f}] {line}" for line in lines]
        with open(DMESG + ".log", "w", encoding="utf-8") as handle:
            handle.write("\n".join(["[    0.100000] Linux version 6.8.0", *self.lines]) + "\n")
        with open(DMESG, "w", encoding="utf-8") as handle:
            handle.write(f"#!/bin/sh\ncat {DMESG}.log\n")
        os.chmod(DMESG, 0o755)

    def nvml(self, line=""):
        part = f"{self.part.rstrip()}\n{line}\n\n" if line else self.part
        with open(PROFILE + ".new", "w", encoding="utf-8") as handle:
            handle.write(self.profile.replace(self.part, part))
        os.replace(PROFILE + ".new", PROFILE)

    def xid(self, text):
        self.log(f"NVRM: Xid (PCI:{self.address}): {text}")

    def look(self):
        began = time.monotonic()
        sh("systemctl", "start", "gpuserve-health.service")
        return round(time.monotonic() - began, 1)


def card(base, replica):
    before, since = not_touched(replica.others), time.time()
    cards = Cards(replica)
    with Load(base) as load:
        cards.xid("31, pid=99, name=other, Ch 00000008, MMU Fault")
        cards.look()
        harmless = replica.serves() and not said(since)
        cards.xid("48, pid='<unknown>', name=<unknown>, DBE (double bit error) detected")
        cards.nvml("recovery_action = 1")
        seconds = cards.look()
        load.calm()
        hit = {"marks": replica.marks(), "active": replica.show("ActiveState")}
        cards.log(f"gpuserve: GPU reset (PCI:{cards.address})")
        cards.look()
        half = {"marks": replica.marks(), "active": replica.show("ActiveState")}
        cards.nvml()
        untouched = not_touched(replica.others) == before
        began = time.monotonic()
        cards.look()
        await_that(lambda: cards.look() and replica.serves(), "its return into rotation")
        back = round(time.monotonic() - began, 1)
    return {
        "harmless_xid_ignored": harmless,
        "hit": hit,
        "taken_out_and_stopped_after": seconds,
        "reset_but_nvml_still_says_so": half,
        "back_after": back,
        "others_untouched": untouched,
        "said": said(since),
        "load": load.result(),
    }


def application(base, replica):
    before, since = not_touched(replica.others), time.time()
    invocation, cards = replica.invocation(), Cards(replica)
    core = replica.process("core")
    with Load(base) as load:
        cards.nvml(f"process = {core} 1000000 VLLM::EngineCore")
        cards.xid(f"94, pid={core}, name=VLLM::EngineCor, Contained: SM (0x1). RST: No")
        looks = threading.Thread(target=cards.look)
        looks.start()
        await_that(lambda: replica.invocation() != invocation, "another start")
        cards.nvml()
        load.calm()
        looks.join()
        await_that(lambda: cards.look() and replica.serves(), "its return into rotation")
    return {"others_untouched": not_touched(replica.others) == before, "said": said(since), "load": load.result()}


def main():
    base, what, *words = sys.argv[1:]
    if what == "busy":
        result = busy(float(words[0]))
    else:
        known = {"kill": kill, "stall": stall, "crash": crash, "card": card, "application": application}
        result = known[what](base, Replica(words[0]), *words[1:])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
