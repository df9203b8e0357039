# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""One look at the cards, in a process of its own: NVML may wait for ever for a card that is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _kernel_log
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._gpu_health import (
    HostHealth,
    Served,
    judge_host,
    served_by,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._kernel_log_read import read_kernel_log
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import (
    PynvmlMissing,
    load_pynvml,
    pci_nvidia_cards,
    probe,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run, local_run
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu

LOOK = "--look"


@dataclass(frozen=True)
class Verdict:
    """``hit`` and ``restart``: reasons by the name of the instance. ``problem``: why nothing can be said."""

    hit: dict[str, str] = field(default_factory=dict)
    restart: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    def confirmed(self, again: Verdict) -> Verdict:
        """What both looks saw."""
        return Verdict(
            {name: why for name, why in again.hit.items() if name in self.hit},
            {name: why for name, why in again.restart.items() if name in self.restart},
            again.problem,
        )


def judged(gpus: Sequence[Gpu], served: Sequence[Served], run: Run) -> HostHealth:
    """The cards that NVML listed, by what it and the whole kernel log say of them."""
    _source, lines, _why = read_kernel_log(run, shutil.which)
    booted = _kernel_log.boot_time()
    return judge_host(
        gpus,
        _kernel_log.read_log(lines, 0, booted),
        served,
        bus=pci_nvidia_cards(),
        started=lambda pids: _kernel_log.process_starts(pids, booted),
    )


# ---------------------------------------------------------------- the child


def judge(instances: Sequence[Any], run: Run = local_run) -> dict[str, Any]:
    """What the child prints. A host that can say nothing of its cards is a problem, never a verdict."""
    try:
        served = served_by(instances)
        found = probe(load_pynvml())
    except (PynvmlMissing, InputError):
        return {}  # no tools, or nothing on cards: nothing to look after
    except GpuserveError as exc:
        return {"problem": str(exc)}
    if not found.gpus:
        return {"problem": "NVML lists no card"}
    health = judged(found.gpus, served, run)
    reasons = {}
    for one in served:
        mine = [card for card in health.cards if card.names() & set(one.uuids) or card.index in one.indexes]
        reasons[one.name] = "; ".join(line for card in mine for line in (card.fails or card.warns))
    return {
        "hit": {name: reasons[name] or "its card is gone" for name in health.hit},
        "restart": {name: reasons[name] for name in health.restart},
    }


def look_main(text: str) -> int:
    json.dump(judge(json.loads(text)), sys.stdout)
    return 0


# ---------------------------------------------------------------- the parent


class Eye:
    """Starts a look and waits for it, but not for ever. One that hangs is left behind, and no second one is begun."""

    def __init__(self, command: Sequence[str], run_dir: str, timeout: float, proc: str = "/proc") -> None:
        self._command = list(command)
        self._hung = f"{run_dir}/health/hung"
        self._timeout = timeout
        self._proc = proc

    def look(self, instances: Sequence[Any]) -> Verdict:
        if self._still_hangs():
            return Verdict(problem="an earlier look at the cards still hangs in the driver")
        child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, err = child.communicate(json.dumps(list(instances)), timeout=self._timeout)
        except subprocess.TimeoutExpired:
            self._remember(child.pid)
            child.kill()  # hangs in the driver where even this does not end it, so nobody waits for it
            return Verdict(problem=f"the look at the cards did not end within {self._timeout:.0f} s")
        try:
            data = json.loads(out)
            return Verdict(data.get("hit", {}), data.get("restart", {}), data.get("problem", ""))
        except (ValueError, AttributeError):
            last = (err.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
            return Verdict(problem=f"the look at the cards failed: {last}")

    def _start(self, pid: int) -> Optional[str]:
        """When a process was started, so that a number that is used again is not taken for it."""
        try:
            with open(f"{self._proc}/{pid}/stat", encoding="utf-8", errors="replace") as handle:
                words = handle.read().rpartition(")")[2].split()
        except OSError:
            return None
        return None if words[0] in ("Z", "X") else words[19]

    def _remember(self, pid: int) -> None:
        os.makedirs(os.path.dirname(self._hung), mode=0o755, exist_ok=True)
        write_text(self._hung, f"{pid} {self._start(pid)}\n")

    def _still_hangs(self) -> bool:
        try:
            with open(self._hung, encoding="ascii") as handle:
                pid, start = handle.read().split()
        except (OSError, ValueError):
            return False
        if self._start(int(pid)) == start:
            return True
        os.unlink(self._hung)
        return False


def command_of(program: str) -> list[str]:
    """This program once more, as the child."""
    cache = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    return [sys.executable, "-I", *cache, program, LOOK]
