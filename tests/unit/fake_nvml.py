# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the fake libnvidia-ml.so.1 and asks it through the real pynvml, in a process of its own.

A process of its own because the loader looks for the library where LD_LIBRARY_PATH pointed at its start, and because
pynvml and the library keep what they have loaded.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _nvml

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "fake_nvml"
PROFILES = FIXTURES / "profiles"
# The folder above ansible_collections, by the path through which this process knows the collection.
COLLECTIONS = Path(str(_nvml.__file__)).absolute().parents[5]

_PROBE = """
import json, sys
from ansible_collections.gpuserve.inference.plugins.module_utils import _errors, _nvml
paths, sysfs, proc = json.loads(sys.argv[1])
try:
    print(json.dumps(_nvml.probe(_nvml.load_pynvml(paths), sysfs=sysfs, proc=proc).to_dict()))
except _errors.ProbeError as error:
    print(json.dumps({"error": str(error), "type": type(error).__name__}))
"""


class FakeNvml:
    """The built library, and what the probe makes of a profile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["bash", str(FIXTURES / "build.sh"), str(folder)], check=True)

    def environment(self, profile: Optional[Path]) -> dict[str, str]:
        """Without a profile, a library that cannot be loaded: it hides one this machine may really have."""
        folder = self.folder
        if profile is None:
            folder = self.folder / "broken"
            folder.mkdir(exist_ok=True)
            (folder / _nvml.LIBRARY).touch()
        return {**os.environ, "LD_LIBRARY_PATH": str(folder), "FAKE_NVML_PROFILE": str(profile or "")}

    def probe(
        self,
        profile: Optional[Path],
        sysfs: str = "/nonexistent",
        proc: str = "/nonexistent",
        python: str = sys.executable,
        lend_pynvml: bool = True,
    ) -> dict[str, Any]:
        spec = importlib.util.find_spec("pynvml")
        assert spec is not None, "the tests need nvidia-ml-py"
        assert spec.origin is not None
        paths = [str(Path(spec.origin).parent)] if lend_pynvml else []
        done = subprocess.run(
            [python, "-c", _PROBE, json.dumps([paths, str(sysfs), str(proc)])],
            env={**self.environment(profile), "PYTHONPATH": str(COLLECTIONS)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


def profile(name: str) -> Path:
    return PROFILES / f"{name}.profile"


def changed_profile(name: str, folder: Path, card: int, lines: Iterable[str]) -> Path:
    """A copy of a profile in which one card has other values: each line replaces that card's lines of the same key."""
    lines = list(lines)
    keys = {line.split("=")[0].strip() for line in lines}
    out: list[str] = []
    seen = -1
    for line in profile(name).read_text(encoding="utf-8").splitlines():
        if line == "[gpu]":
            seen += 1
            out.append(line)
            if seen == card:
                out.extend(lines)
        elif seen != card or line.split("=")[0].strip() not in keys:
            out.append(line)
    assert seen >= card, f"{name} has no card {card}"
    path = folder / f"{name}.profile"
    path.write_text("\n".join(out) + "\n", encoding="utf-8")
    return path


def fake_sysfs(folder: Path, devices: Mapping[str, Mapping[str, str]]) -> str:
    """A /sys with PCI devices by address. Keys: vendor, class, numa_node (files), driver, physfn (links)."""
    for address, entries in devices.items():
        device = folder / "bus/pci/devices" / address
        device.mkdir(parents=True)
        for key, value in {"vendor": "0x10de", "class": "0x030200", **entries}.items():
            if key in ("driver", "physfn"):
                target = folder / "bus/pci" / key / value
                target.mkdir(parents=True, exist_ok=True)
                (device / key).symlink_to(target)
            else:
                (device / key).write_text(value + "\n", encoding="ascii")
    return str(folder)
