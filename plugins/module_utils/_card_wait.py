# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Waits until a replica's cards have the memory it wants: its unit runs this file on the host before every start.

What was killed gives its memory back only when the driver has cleaned up after it. An engine that finds less than it
wants ends with an error, and five of those end the unit. The file stands alone: it imports only pynvml.
"""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

WAIT_S = 60.0
POLL_S = 1.0
GIB = 2**30
FLAG = "--gpu-memory-utilization"


@dataclass(frozen=True)
class Held:
    """A card with less free memory than wanted, and who is on it: (PID, bytes or None)."""

    card: str
    free_bytes: int
    wanted_bytes: int
    processes: tuple[tuple[int, Optional[int]], ...] = ()


def utilization(words: Sequence[str]) -> float:
    """The share of each card that the engine will ask for; 0 where its arguments do not say. The last word counts."""
    share = 0.0
    for position, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag.replace("_", "-") != FLAG:
            continue
        if not equals:
            value = words[position + 1] if position + 1 < len(words) else ""
        try:
            share = float(value)
        except ValueError:
            pass
    return share if 0 < share <= 1 else 0.0


def held_cards(nvml: Any, names: Sequence[str], share: float) -> list[Held]:
    """Which of the cards (UUIDs or indexes, as in CUDA_VISIBLE_DEVICES) do not have ``share`` of their memory free."""
    found = []
    for name in names:
        if name.isdigit():
            handle = nvml.nvmlDeviceGetHandleByIndex(int(name))
        else:
            handle = nvml.nvmlDeviceGetHandleByUUID(name)
        total, free = _memory(nvml, handle)
        wanted = int(total * share)
        if free >= wanted:
            continue
        try:
            running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except nvml.NVMLError:
            running = []
        found.append(Held(name, free, wanted, tuple((p.pid, p.usedGpuMemory) for p in running)))
    return found


def _memory(nvml: Any, handle: Any) -> tuple[int, int]:
    """What processes can have of a card at all, and what of it is free now."""
    try:
        info = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        return int(info.total) - int(info.reserved), int(info.free)
    except (nvml.NVMLError, AttributeError, TypeError):  # driver or pynvml of before 2022
        info = nvml.nvmlDeviceGetMemoryInfo(handle)
        return int(info.total), int(info.free)


def process_name(pid: int, proc: str = "/proc") -> str:
    """What the process is called, and the service it belongs to."""
    try:
        with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as handle:
            name = handle.read().strip()
        with open(f"{proc}/{pid}/cgroup", encoding="utf-8", errors="replace") as handle:
            units = re.findall(r"([^/\n]+\.service)", handle.read())
    except OSError:
        return "not among this system's processes"
    return f"{name} of {units[-1]}" if units else name


def complaint(instance: str, held: Sequence[Held], name_of: Callable[[int], str] = process_name) -> str:
    """One line: which card, how much is missing, who has it and what to do."""
    cards, pids = [], []
    for card in held:
        free, wanted = card.free_bytes / GIB, card.wanted_bytes / GIB
        cards.append(f"card {card.card} has {free:.1f} GiB free of the {wanted:.1f} GiB")
        for pid, used in card.processes:
            size = "" if used is None else f", {used / GIB:.1f} GiB"
            text = f"PID {pid} ({name_of(pid)}{size})"
            if text not in pids:
                pids.append(text)
    who = f"held by {', '.join(pids)}: end it" if pids else "no process shows on it: reset the card (nvidia-smi -r)"
    return f"{', '.join(cards)} that {instance} wants, {who}, or lower vllm_gpu_memory_utilization"


def wait_for_cards(
    look: Callable[[], list[Held]],
    say: Callable[[str], None],
    instance: str,
    name_of: Callable[[int], str] = process_name,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    limit: float = WAIT_S,
) -> bool:
    """Whether the cards came free within ``limit`` seconds; says so in one line where it had to wait."""
    begun = clock()
    waited = False
    while True:
        held = look()
        took = clock() - begun
        if not held:
            if waited:
                say(f"the cards of {instance} came free after {took:.0f} s")
            return True
        if took >= limit:
            say(f"not started: {complaint(instance, held, name_of)}")
            return False
        waited = True
        sleep(POLL_S)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """0 lets the engine start: also where cards cannot be read, since it says better itself what is wrong with them."""
    instance = arguments[0]
    names = [name.strip() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    with open(f"/etc/gpuserve/instances/{instance}.args", encoding="utf-8") as handle:
        share = utilization(handle.read().splitlines())
    if not names or not share:
        return 0
    try:
        import pynvml
    except ImportError:
        return 0

    def look() -> list[Held]:
        pynvml.nvmlInit()
        try:
            return held_cards(pynvml, names, share)
        finally:
            pynvml.nvmlShutdown()

    try:
        free = wait_for_cards(look, say, instance)
    except pynvml.NVMLError as exc:
        say(f"the cards of {instance} cannot be read ({exc}), starting it all the same")
        return 0
    return 0 if free else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
