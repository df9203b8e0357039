#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many remote calls `site` makes, and how long it takes: see README.md here.

run.py one [--repeats N] [--beside COLLECTIONS] [--again]: one machine, the first run, then in turns converged runs,
those of another state of the collection (a directory with ansible_collections), and the same work a step a task.
run.py fleet [--hosts 10,25,50,100] [--machines N]: converged runs over many names of a few machines; with --again they
are names of the machine that `one --leave` left.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Sequence

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MACHINE = ROOT / "tests" / "machines" / "machine"
WORK = ROOT / ".cache" / "seconds"
NAME, PORT = "seconds", 2391
NETWORK = "10.79.0"
# what is no overhead of ours: packages and environments
INSTALLING = ("ansible.builtin.apt", "ansible.legacy.apt", "gpuserve.inference.python_env")
STANDIN = {
    "vllm_rehearsal": True,
    "vllm_install_method": "existing",
    "vllm_command": ["/usr/bin/python3", "/srv/standin/standin_engine.py"],
    "vllm_model": "/srv/models/tiny-llama",
}


def sh(*words: object, **more: Any) -> str:
    return subprocess.run([str(w) for w in words], check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def play(playbook: str, inventory: Path, *words: str, forks: int = 0, collections: str = "") -> dict[str, Any]:
    """Runs a playbook as an operator does from a checkout; the callback's record of it."""
    out = WORK / "record.jsonl"
    out.unlink(missing_ok=True)
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "remote_calls",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "REMOTE_CALLS_OUT": str(out),
    }
    if collections:
        env["ANSIBLE_COLLECTIONS_PATH"] = collections
    command = ["ansible-playbook", "-i", str(inventory), playbook, *words, *(["-f", str(forks)] if forks else [])]
    done = subprocess.run(command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    record: dict[str, Any] = json.loads(out.read_text(encoding="utf-8").splitlines()[-1])
    record["load"] = os.getloadavg()[0]
    return record


def calls(record: dict[str, Any]) -> int:
    return max(record["hosts"].values(), default=0)


def spread(values: Sequence[float], form: str = "{:.1f}") -> str:
    return f"{form} ({form}..{form})".format(statistics.median(values), min(values), max(values))


def row(name: str, records: Sequence[dict[str, Any]]) -> str:
    return (
        f"{name:34} {calls(records[0]):3d} calls  {records[0]['tasks']:4d} tasks  changed={records[0]['changed']}  "
        f"{spread([r['seconds'] for r in records])} s, controller's CPU "
        f"{spread([r['controller_cpu_seconds'] for r in records])} s, load {spread([r['load'] for r in records])}"
    )


def converged(records: Sequence[dict[str, Any]]) -> None:
    changed = [r["changed"] for r in records if r["changed"]]
    if changed:
        sys.exit(f"a run over a converged host changed {changed}")


def keep(names: Sequence[str]) -> None:
    """Copies files of the machine, with their modes, so that another playbook can hold them."""
    for name in names:
        target = WORK / "kept" / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(sh(MACHINE, "ssh", NAME, f"cat {name}", stdin=subprocess.DEVNULL), encoding="utf-8")
        target.chmod(int(sh(MACHINE, "ssh", NAME, f"stat -L -c %a {name}", stdin=subprocess.DEVNULL), 8))


def one(repeats: int, leave: bool, beside: str, again: bool) -> None:
    port, steps = 8400, str(HERE / "step_by_step.yml")
    sh(sys.executable, ROOT / "tests/fixtures/tiny_model/make.py", WORK / "tiny-llama")
    if not again:
        sh(MACHINE, "destroy", NAME)
    sh(
        MACHINE, "boot", NAME, "--port", PORT, "--gpus", "rtx5090x2",
        "--bind-ro", f"{WORK}/tiny-llama:/srv/models/tiny-llama",
        "--bind-ro", f"{ROOT}/tests/fixtures/standin_engine:/srv/standin",
    )  # fmt: skip
    try:
        inventory = WORK / "hosts.json"
        hosts = yaml.safe_load(sh(MACHINE, "inventory", NAME))
        hosts["all"]["hosts"][NAME].pop("ansible_ssh_args")  # those of ansible.cfg
        hosts["all"]["vars"] = {**STANDIN, "vllm_base_port": port + 1, "gateway_listen": f"127.0.0.1:{port}"}
        inventory.write_text(json.dumps(hosts), encoding="utf-8")
        first = play("gpuserve.inference.site", inventory)
        if not again:
            installing = sum(c["seconds"] for c in first["calls"] if c["module"] in INSTALLING)
            waiting = sum(c["seconds"] for c in first["calls"] if c["module"].endswith(("vllm_ready", "vllm_roll")))
            left = first["seconds"] - installing - waiting
            print(row("site, first run", [first]))
            print(f"  {installing:.1f} s installing, {waiting:.1f} s waiting for the engines, {left:.1f} s are left")

        parts = ("clients", "clients.conf", "engine-key.conf", "upstream.conf")
        nginx_files = [f"/etc/gpuserve/gateway/{part}" for part in parts] + ["/etc/nginx/conf.d/gpuserve.conf"]
        instances = ["gpu0", "gpu1"]
        keep([
            *nginx_files, "/opt/gpuserve/bin/vllm-instance", "/etc/systemd/system/vllm@.service",
            *(f"/etc/gpuserve/instances/{i}.{kind}" for i in instances for kind in ("args", "env")),
        ])  # fmt: skip
        words = {"kept": str(WORK / "kept"), "instances": instances, "nginx_files": nginx_files}
        words["ports"] = [port + 1, port + 2]
        ways = {
            "site, converged": lambda: play("gpuserve.inference.site", inventory),
            "the same work, a step a task": lambda: play(steps, inventory, "-e", json.dumps(words)),
        }
        if beside:
            ways["site, converged, the other state"] = lambda: play(
                "gpuserve.inference.site", inventory, collections=beside
            )
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for name in [*ways] * (repeats + 1):
            found[name].append(ways[name]())
        for name, records in found.items():
            del records[0]  # which may have had something to do, a list of packages for example
            converged(records)
            print(row(name, records))
        for call in found["site, converged"][-1]["calls"]:
            print(f"  {call['seconds']:.2f} s  {call['module']}")
        (WORK / "one.json").write_text(json.dumps({"first": first, **found}), encoding="utf-8")
    finally:
        if not leave:
            sh(MACHINE, "destroy", NAME)


def one_inventory(count: int) -> Path:
    """``count`` names of the one machine, each with an SSH connection of its own."""
    known = json.loads((WORK / "hosts.json").read_text(encoding="utf-8"))
    names = [f"host{n + 1:03}" for n in range(count)]
    hosts = {
        name: {**known["all"]["hosts"][NAME], "ansible_control_path": f"%(directory)s/{NAME}-{name}"} for name in names
    }
    path = WORK / f"names-{count}.json"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": known["all"]["vars"]}}), encoding="utf-8")
    return path


def fleet_inventory(machines: Sequence[str], count: int) -> Path:
    """``count`` names, dealt out to the machines; each with an SSH connection of its own."""
    key = ROOT / ".cache" / "machines" / "id_ed25519"
    common = (
        "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
        f" -o ProxyCommand='{MACHINE} proxy %h %p'"
    )
    hosts = {
        f"host{n + 1:03}": {
            "ansible_host": machines[n % len(machines)],
            "ansible_control_path": f"%(directory)s/seconds-{n + 1:03}",
        }
        for n in range(count)
    }
    settings = {
        **STANDIN,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": common,
        "ansible_python_interpreter": "/usr/bin/python3",
        "gateway_listen": "8000",
        # the machines share two cores with the controller, whose time is measured
        "vllm_watch": False,
        "vllm_health_watch": False,
    }
    path = WORK / f"fleet-{count}.json"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": settings}}), encoding="utf-8")
    return path


def series(counts: Sequence[int], inventory: Callable[[int], Path], repeats: int, forks: int) -> None:
    found = {}
    for count in counts:
        records = [play("gpuserve.inference.site", inventory(count), forks=forks) for _ in range(repeats)]
        converged(records)
        found[count] = records
        print(row(f"site, converged, {count} hosts", records),
              f"peak {max(r['controller_peak_mb'] for r in records)} MB,",
              f"{statistics.median(r['seconds'] for r in records) / count:.2f} s a host", flush=True)  # fmt: skip
    (WORK / "fleet.json").write_text(json.dumps(found), encoding="utf-8")


def fleet(counts: Sequence[int], machines: int, repeats: int, forks: int) -> None:
    layers = [name for name in sh(MACHINE, "layers").split() if name.startswith("fleet-")]
    if not layers:
        sys.exit("there is no layer to boot from; the scenario fleet makes it: tools/molecule.sh fleet")
    sh(sys.executable, ROOT / "tests/fixtures/tiny_model/make.py", WORK / "tiny-llama")
    names = [f"{NAME}{n + 1}" for n in range(machines)]
    addresses = [f"{NETWORK}.{11 + n}" for n in range(machines)]
    booting = [
        f"{name} --network {address} --gpus rtx5090x1 --layer {layers[-1]}"
        f" --bind-ro {WORK}/tiny-llama:/srv/models/tiny-llama"
        f" --bind-ro {ROOT}/tests/fixtures/standin_engine:/srv/standin"
        for name, address in zip(names, addresses)
    ]
    try:
        sh("xargs", "--max-lines=1", "--max-procs=10", MACHINE, "boot", input="\n".join(booting))
        first = play("gpuserve.inference.site", fleet_inventory(addresses, machines), forks=forks)
        print(row(f"site, first run, {machines} hosts", [first]))
        series(counts, lambda count: fleet_inventory(addresses, count), repeats, forks)
    finally:
        sh(MACHINE, "destroy", *names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["one", "fleet"])
    parser.add_argument("--repeats", type=int, default=0, help="runs of each kind (default: 5, for a fleet 1)")
    parser.add_argument("--hosts", default="10,25,50,100", help="how many hosts, one after the other")
    parser.add_argument("--machines", type=int, default=10, help="machines that the hosts are names of")
    parser.add_argument("--forks", type=int, default=0, help="instead of those of ansible.cfg")
    parser.add_argument("--leave", action="store_true", help="do not remove the machine")
    parser.add_argument("--again", action="store_true", help="on the machine that was left")
    parser.add_argument("--beside", default="", help="another state of the collection to run in turns with this one")
    asked = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if asked.what == "one":
        one(asked.repeats or 5, asked.leave, asked.beside, asked.again)
    else:
        counts = [int(count) for count in asked.hosts.split(",")]
        if asked.again:
            series(counts, one_inventory, asked.repeats or 1, asked.forks)
        else:
            fleet(counts, asked.machines, asked.repeats or 1, asked.forks)


if __name__ == "__main__":
    main()
