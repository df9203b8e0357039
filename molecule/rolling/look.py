#!/usr/bin/env python3
"""What the host runs and keeps, as JSON: for each replica its process, its seed and its release; who is out."""

from __future__ import annotations

import json
import os
import subprocess

ETC = "/etc/gpuserve"


def release(link):
    words = os.readlink(link).split("/") if os.path.islink(link) else [""]
    return words[words.index("releases") + 1] if "releases" in words else ""


def replica(name):
    unit = subprocess.run(
        ["systemctl", "show", f"vllm@{name}.service", "--property=MainPID,ActiveState"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    said = dict(line.split("=", 1) for line in unit.splitlines())
    try:
        with open(f"/proc/{said['MainPID']}/cmdline", "rb") as handle:
            words = handle.read().decode().split("\0")
    except OSError:
        words = []
    seed = words[words.index("--seed") + 1] if "--seed" in words else ""
    return {
        "pid": said["MainPID"],
        "state": said["ActiveState"],
        "seed": seed,
        "release": release(f"{ETC}/instances/{name}.env"),
    }


def main():
    names = sorted({name.rpartition(".")[0] for name in os.listdir(f"{ETC}/instances")})
    with open(f"{ETC}/rotation.json", encoding="utf-8") as handle:
        marks = json.load(handle)["marks"]
    print(
        json.dumps(
            {
                "replicas": {name: replica(name) for name in names},
                "good": release(f"{ETC}/plan.json"),
                "previous": release(f"{ETC}/previous"),
                "kept": sorted(os.listdir(f"{ETC}/releases")),
                "out": sorted(f"{mark['name']} by {mark['by']}" for mark in marks),
            }
        )
    )


if __name__ == "__main__":
    main()
