#!/usr/bin/env python3
"""Each bad input through the real playbooks: it must fail with one clear line and leave the host as it was.

cases.py [WORD]: only the rows that hold WORD. A playbook runs once for all its rows: each is a host of the inventory
with its own variables, and all these hosts are the same machine. Of the settings that a unit test goes through as well,
an eighth is tried here (GPUSERVE_TEST_CASES=all: all of them).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import table
import yaml

ROOT = os.environ["MOLECULE_PROJECT_DIRECTORY"]
INVENTORY = f"{ROOT}/molecule/shared/inventory.yml"
MACHINE = f"{ROOT}/tests/machines/machine"
NAME = os.environ.get("GPUSERVE_TEST_MACHINE", "molecule")
FORKS = 8

FINGERPRINT = (
    "(find /etc /opt /usr /srv /var/lib /var/cache -xdev -path /var/lib/systemd -prune -o -path '*/__pycache__' -prune "
    "-o -printf '%p %y %s %m\n'; dpkg -l) | sha256sum"
)


def on_host(command):
    return subprocess.run([MACHINE, "ssh", NAME, command], check=True, capture_output=True, text=True).stdout


def inventory_of(rows, folder):
    """One host a row: case007 is row 7."""
    machine = yaml.safe_load(Path(INVENTORY).read_text(encoding="utf-8"))["all"]["hosts"]["molecule"]
    hosts = {f"case{number:03}": {**machine, **row[0]} for number, row in enumerate(rows)}
    path = Path(folder, "hosts.json")
    path.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    return str(path)


def play(playbook, rows):
    env = {
        **os.environ,
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_DISPLAY_FAILED_STDERR": "0",
        "ANSIBLE_FORKS": str(FORKS),
    }
    with tempfile.TemporaryDirectory() as folder:
        command = ["ansible-playbook", "-i", inventory_of(rows, folder), f"gpuserve.inference.{playbook}"]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=900)


def lines_of(output, number):
    """What the operator read about the host of a row."""
    lines = []
    for start in re.finditer(rf"^fatal: \[case{number:03}[^]]*\]: [A-Z]+! => ", output, re.M):
        data, _end = json.JSONDecoder().raw_decode(output, start.end())
        lines += data.get("argument_errors") or [data.get("msg", "")]
    return lines


def judge(run, number, pattern):
    """The line that the operator saw, and what was wrong with it (nothing is good)."""
    lines = lines_of(run.stdout, number)
    line = lines[0] if lines else ""
    wrong = []
    if not re.search(rf"^case{number:03}\s+: .*\bchanged=0\b.*\b(failed|unreachable)=1\b", run.stdout, re.M):
        wrong.append("the playbook did not fail at once, or changed something")
    if len(lines) != 1 or "\n" in line:
        wrong.append(f"{len(lines)} messages instead of one line")
    if not re.search(pattern, line):
        wrong.append(f"the line does not match {pattern}")
    if re.search(r"Traceback|Finalization|_AnsibleTagged|Error while", line):
        wrong.append("the line speaks of Ansible's inside")
    return line, wrong


def try_rows(playbook, rows, before="", after=""):
    """Whether all rows were refused as they should be."""
    if before:
        on_host(before)
    try:
        fingerprint = on_host(FINGERPRINT)
        run = play(playbook, rows)
        unchanged = on_host(FINGERPRINT) == fingerprint
    finally:
        if after:
            on_host(after)
    failed = 0
    for number, (settings, pattern) in enumerate(rows):
        line, wrong = judge(run, number, pattern)
        failed += bool(wrong)
        verdict = "FAIL " + "; ".join(wrong) if wrong else "ok"
        print(f"{verdict}: {playbook} {json.dumps(settings)}\n    {line}", flush=True)
    if not unchanged:
        print(f"FAIL: {playbook} left the host changed", flush=True)
    if "Traceback" in run.stdout + run.stderr or failed == len(rows):
        print(run.stdout[-3000:] + run.stderr[-3000:])
    return len(rows) - failed, failed + (not unchanged)


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    told = [row for row in table.SETTINGS if row not in table.FEW and "{{" not in json.dumps(row[0])]
    if only or os.environ.get("GPUSERVE_TEST_CASES") == "all":
        told = []
    left_out = [row for number, row in enumerate(told) if number % 8]
    passed = failed = 0
    runs = [(playbook, rows, "", "") for playbook, rows in table.PLAYBOOKS.items()]
    runs += [("site", [(settings, pattern)], before, after) for settings, pattern, before, after in table.PREPARED]
    for playbook, rows, before, after in runs:
        chosen = [row for row in rows if row not in left_out and only in f"{playbook} {json.dumps(row[0])}"]
        if chosen:
            good, bad = try_rows(playbook, chosen, before, after)
            passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
