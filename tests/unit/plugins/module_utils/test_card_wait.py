# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _card_wait as cw

GIB = 2**30


class NVMLError(Exception):
    pass


class Nvml:
    """Cards by index and UUID: total, reserved and free in GiB, and the processes on them."""

    NVMLError = NVMLError
    nvmlMemory_v2 = 2

    def __init__(self, *cards, old=False):
        self.cards, self.old = cards, old

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        for number, card in enumerate(self.cards):
            if uuid == f"GPU-{number}":
                return card
        raise NVMLError("not found")

    def nvmlDeviceGetMemoryInfo(self, card, version=1):
        if self.old and version != 1:
            raise NVMLError("not supported")
        total, reserved, free = (int(size * GIB) for size in card[:3])
        return SimpleNamespace(total=total, reserved=reserved, free=free)

    def nvmlDeviceGetComputeRunningProcesses(self, card):
        if card[3] is None:
            raise NVMLError("not supported")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in card[3]]


@pytest.mark.parametrize(
    ("words", "share"),
    [
        (["vllm", "serve", "/m", "--gpu-memory-utilization", "0.9"], 0.9),
        (["--gpu-memory-utilization=0.8"], 0.8),
        (["--gpu_memory_utilization", "0.8", "--gpu-memory-utilization", "0.5"], 0.5),
        (["--gpu-memory-utilization"], 0.0),
        (["--gpu-memory-utilization", "much"], 0.0),
        (["--gpu-memory-utilization", "7"], 0.0),
        (["vllm", "serve", "/m"], 0.0),
    ],
)
def test_utilization(words, share):
    assert cw.utilization(words) == share


def test_a_card_is_held_when_less_is_free_than_the_engine_will_ask_for():
    nvml = Nvml((32, 0.5, 31, []), (32, 0.5, 20, [(4711, 11 * GIB), (4712, None)]))
    assert cw.held_cards(nvml, ["GPU-0"], 0.92) == []
    (held,) = cw.held_cards(nvml, ["GPU-0", "GPU-1"], 0.92)
    assert (held.card, held.free_bytes, held.wanted_bytes) == ("GPU-1", 20 * GIB, int(31.5 * GIB * 0.92))
    assert held.processes == ((4711, 11 * GIB), (4712, None))


def test_what_the_driver_keeps_for_itself_is_not_asked_for():
    # of 32 GiB, 4 are the driver's own: half of the rest is 14
    assert cw.held_cards(Nvml((32, 4, 14, [])), ["0"], 0.5) == []
    assert cw.held_cards(Nvml((32, 4, 14, []), old=True), ["0"], 0.5) != []


def test_a_driver_that_lists_no_processes():
    (held,) = cw.held_cards(Nvml((32, 0, 1, None)), ["0"], 0.9)
    assert held.processes == ()


def waited(states, limit=60.0):
    """Outcome, lines and seconds of a wait in which each look takes the next state, the last one for ever."""
    lines, now, states = [], [0.0], list(states)

    def sleep(seconds):
        now[0] += seconds

    free = cw.wait_for_cards(
        lambda: states.pop(0) if len(states) > 1 else states[0],
        lines.append,
        "gpu0",
        name_of=lambda pid: {7: "VLLM::EngineCore of vllm@gpu0.service"}.get(pid, "python3"),
        clock=lambda: now[0],
        sleep=sleep,
        limit=limit,
    )
    return free, lines, now[0]


HELD = cw.Held("GPU-a", 2 * GIB, 28 * GIB, ((7, 26 * GIB), (8, None)))


def test_free_cards_are_not_waited_for():
    assert waited([[]]) == (True, [], 0.0)


def test_orphans_that_vanish_are_waited_for():
    assert waited([[HELD], [HELD], []]) == (True, ["the cards of gpu0 came free after 2 s"], 2.0)


def test_one_line_names_the_card_and_who_holds_it():
    free, lines, seconds = waited([[HELD]])
    assert not free and seconds == 60.0
    assert lines == [
        "not started: card GPU-a has 2.0 GiB free of the 28.0 GiB that gpu0 wants, held by PID 7 (VLLM::EngineCore of "
        "vllm@gpu0.service, 26.0 GiB), PID 8 (python3): end it, or lower vllm_gpu_memory_utilization"
    ]


def test_memory_that_nobody_holds():
    lines = waited([[cw.Held("0", GIB, 28 * GIB)]])[1]
    assert lines == [
        "not started: card 0 has 1.0 GiB free of the 28.0 GiB that gpu0 wants, no process shows on it: reset the card "
        "(nvidia-smi -r), or lower vllm_gpu_memory_utilization"
    ]


def test_a_process_and_its_service(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/comm").write_text("VLLM::EngineCor\n")
    (tmp_path / "7/cgroup").write_text("0::/system.slice/system-vllm.slice/vllm@gpu0.service\n")
    (tmp_path / "8").mkdir()
    (tmp_path / "8/comm").write_text("bash\n")
    (tmp_path / "8/cgroup").write_text("0::/user.slice/session-1.scope\n")
    names = [cw.process_name(pid, str(tmp_path)) for pid in (7, 8, 9)]
    assert names == ["VLLM::EngineCor of vllm@gpu0.service", "bash", "not among this system's processes"]
