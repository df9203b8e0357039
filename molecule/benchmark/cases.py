#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cases.py MACHINE PORT [CASE...]: ends benchmarks in many ways. What served before must come back each time, by itself
or with the next run, which says so before it does anything else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MACHINE = sys.argv[1] if len(sys.argv) > 1 else "molecule"
PORT = sys.argv[2] if len(sys.argv) > 2 else "18000"
INVENTORY = f"{ROOT}/.cache/molecule/benchmark-{PORT}.yml"
TP2 = {"vllm_bench_candidates": ["1xTP2"]}  # what served before is two replicas
SAYS = "a benchmark of this host was interrupted"
LOOK = r"""
import glob, json, os, subprocess
def sh(line):
    return subprocess.run(line, shell=True, capture_output=True, text=True).stdout.split()
def link(name):
    try:
        return os.readlink("/etc/gpuserve/" + name)
    except OSError:
        return ""
print(json.dumps({
    "good": link("plan.json"), "previous": link("previous"), "held": link("held.json"),
    "instances": {os.path.basename(p): os.readlink(p) for p in sorted(glob.glob("/etc/gpuserve/instances/*"))},
    "units": sorted(sh("systemctl list-units --plain --no-legend 'vllm@*' --state=active | cut -d' ' -f1")),
    "gateway": sorted(set(sh("grep -ohE 'server 127.0.0.1:[0-9]+' /etc/nginx/conf.d/gpuserve.conf"))),
    "releases": sorted(os.listdir("/etc/gpuserve/releases")),
    "left": sh("find /etc/gpuserve -name '*.new' -o -name '.gpuserve-*' -o -name 'tmp*'"),
}))
"""


def on_host(command: str, check: bool = True) -> str:
    words = [f"{ROOT}/tests/machines/machine", "ssh", MACHINE, command]
    done = subprocess.run(words, capture_output=True, text=True, check=check, stdin=subprocess.DEVNULL)
    return done.stdout.strip()


def look() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(on_host(f"python3 - <<'END'\n{LOOK}\nEND"))
    return found


def clients() -> str:
    """Processes that still measure."""
    return on_host("pgrep -fc '^/usr/bin/python3 /tmp/tmp[^/]*[.]py$' || true")


def play(
    playbook: str, settings: Optional[dict[str, Any]] = None, at: str = "", then: Any = None, host: str = "molecule"
) -> tuple[int, str]:
    """Runs it; ``then`` is called with the process as soon as ``at`` matches a line."""
    with open(f"{ROOT}/molecule/shared/inventory.yml", encoding="utf-8") as handle:
        text = handle.read().replace("    molecule:", f'    "{host}":')
    with open(INVENTORY, "w", encoding="utf-8") as handle:
        handle.write(text)
    words = ["ansible-playbook", f"gpuserve.inference.{playbook}", "-i", INVENTORY]
    words += ["-e", f"@{HERE}/settings.yml", "-e", json.dumps(settings or {})]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1"}
    environment.update(GPUSERVE_TEST_PORT=PORT, MOLECULE_PROJECT_DIRECTORY=ROOT, ANSIBLE_PIPELINING="1")
    lines = []
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    ) as run:
        for line in run.stdout or ():
            lines.append(line)
            if os.environ.get("SHOW"):
                sys.stderr.write(line)
            if at and then and re.search(at, line):
                then(run)
                then = None
    if at and then:
        raise SystemExit(f"no line of {playbook} matches {at}:\n{''.join(lines)[-3000:]}")
    return run.returncode, "".join(lines)


def kill(run: Any) -> None:
    os.killpg(run.pid, signal.SIGKILL)


def interrupt(run: Any) -> None:
    os.killpg(run.pid, signal.SIGINT)


WRONG: list[str] = []


def expect(what: str, true: Any, text: str = "") -> None:
    if not true:
        WRONG.append(what)
        print(f"  WRONG: {what}\n{text[-2500:]}")


def as_before(before: dict[str, Any], text: str) -> None:
    after = look()
    expect("the state is as before", after == before, json.dumps([before, after], indent=1) + text)
    expect("nobody measures any more", clients() == "0", clients())


def said_first(text: str) -> bool:
    """That it was interrupted, before anything was changed or planned."""
    return SAYS in text and text.index(SAYS) < (
        text.index("Choose the topology") if "Choose the topology" in text else 1 << 30
    )


def killed_while_measuring(before: dict[str, Any]) -> None:
    on_host("echo 20 >/run/slow")
    play("benchmark", TP2, at=r"1xTP2, 1 of 1, warm-up", then=kill)
    on_host("rm -f /run/slow")
    expect("something was left", look()["held"])
    code, text = play("plan")
    expect("plan changes nothing", code == 0 and look()["held"], text)
    code, text = play("site")
    expect("site says it and goes on", code == 0 and said_first(text), text)
    expect("site restarts nothing else", "changed=0" not in text, text)
    as_before(before, text)
    code, text = play("site")
    expect("then there is nothing left to do", code == 0 and SAYS not in text and "changed=0" in text, text)


def interrupted_while_deploying(before: dict[str, Any]) -> None:
    play("benchmark", TP2, at=r"Lead \| Wait until each has answered", then=interrupt)
    code, text = play("benchmark", TP2)
    expect("benchmark says it, and measures", code == 0 and said_first(text) and "it took" in text, text)
    as_before(before, text)


def killed_while_restoring(before: dict[str, Any]) -> None:
    play("benchmark", TP2, at=r"Restore \| Go by what is applied", then=kill)
    left = look()
    expect("it is still held", left["held"], str(left))
    code, text = play("rolling_update")
    expect("rolling_update says it", code == 0 and said_first(text), text)
    as_before(before, text)


def rolled_back(before: dict[str, Any]) -> None:
    play("benchmark", TP2, at=r"Candidate \| Measure", then=kill)
    code, text = play("rollback")
    expect("rollback leads to what served before", code == 0, text)
    as_before(before, text)


def out_of_reach(before: dict[str, Any]) -> None:
    """No connection for 25 seconds, in the middle of a measurement: it goes on."""

    def cut(_run: Any) -> None:
        on_host(
            "systemd-run --unit=cut --collect sh -c "
            "'sleep 1; systemctl stop ssh.socket ssh; pkill -KILL sshd; sleep 25; systemctl start ssh' >/dev/null"
        )

    on_host("echo 8 >/run/slow")
    code, text = play("benchmark", TP2, at=r"1 of 1, warm-up", then=cut)
    on_host("rm -f /run/slow")
    expect("it measures to its end", code == 0 and "run 4 of 4" in text and "it took" in text, text)
    as_before(before, text)


def one_does_not_start(before: dict[str, Any]) -> None:
    script = 'case "$*" in *"--tensor-parallel-size 2"*) echo "RuntimeError: no second card"; exit 7;; esac; '
    command = ["/bin/bash", "-c", f'{script}exec python3 /srv/standin_engine.py "$0" "$@"']
    code, text = play("benchmark", {"vllm_command": command})
    expect("the other is measured", code == 0 and "is the only candidate that was measured" in text, text)
    expect("its cause is told", re.search(r"1xTP2 was not measured: .*no second card", text), text)
    as_before(before, text)


def full_disk(before: dict[str, Any]) -> None:
    """The collection's directory on a file system of its own, without a byte left when the record is to be written."""
    on_host(
        "cp -a /etc/gpuserve /run/kept && mount -t tmpfs -o size=2m tmpfs /etc/gpuserve "
        "&& cp -a /run/kept/. /etc/gpuserve/ && rm -f /etc/gpuserve/measured.json"
    )

    def fill(_run: Any) -> None:
        on_host("dd if=/dev/zero of=/etc/gpuserve/fill bs=4k >/dev/null 2>&1; true")

    with tempfile.TemporaryDirectory() as folder:
        code, text = play(
            "benchmark", {**TP2, "vllm_bench_report_dir": folder}, at=r"Benchmark . See who won", then=fill
        )
        expect("it says that the record is missing", code != 0 and "the record could not be written" in text, text)
        expect("the report is there", os.listdir(folder), str(os.listdir(folder)))
    on_host("rm /etc/gpuserve/fill")
    after = look()
    on_host("umount /etc/gpuserve && rm -rf /run/kept")
    expect(
        "the state is as before, in the full file system", after == before, json.dumps([before, after], indent=1) + text
    )
    code, text = play("site")
    expect("site has nothing to do", code == 0 and "changed=0" in text, text)
    as_before(before, text)


def own_prompts(before: dict[str, Any]) -> None:
    """Prompts of a file, on a host whose name is no file's: the report, the record, and who may use it."""
    mine = {"vllm_bench_dataset": "custom", "vllm_bench_dataset_path": "/srv/asked.jsonl"}
    with tempfile.TemporaryDirectory() as folder:
        code, text = play("benchmark", {**mine, "vllm_bench_report_dir": folder}, host="gpu 1/rack")
        names = sorted(os.listdir(folder))
        expect("it measures", code == 0 and "each is deployed and asked custom /srv/asked.jsonl" in text, text)
        expect("its files have a safe name", [n[:10] for n in names] == ["gpu_1_rack"] * 2, str(names))
    as_before(before, text)
    code, text = play("plan", {"vllm_topology": "measured"})
    expect(
        "other requests do not use it",
        "dataset 'custom /srv/asked.jsonl' then, 'random' now" in " ".join(text.split()),
        text,
    )
    code, text = play("plan", {**mine, "vllm_topology": "measured"})
    expect("the same do", "Measured on this host" in text, text)
    code, text = play("benchmark", mine)
    expect(
        "the estimate goes by what it took",
        re.search(r"2 candidates, 2 points, 2 repeats: about .*as measured here", text),
        text,
    )
    expect("and is compared with it", re.search(r"it took .*, .* were estimated \(\d", text), text)
    as_before(before, text)


CASES = [
    own_prompts, killed_while_measuring, interrupted_while_deploying, killed_while_restoring, rolled_back, out_of_reach,
    one_does_not_start, full_disk,
]  # fmt: skip


def main() -> int:
    wanted = sys.argv[3:]
    for case in CASES:
        if wanted and case.__name__ not in wanted:
            continue
        began = time.monotonic()
        before = look()
        case(before)
        print(f"{case.__name__}: {time.monotonic() - began:.0f} s", flush=True)
    print(f"cases: {len(WRONG)} wrong" if WRONG else "cases: all as they should be")
    return 1 if WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
