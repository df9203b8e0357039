# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on cards from the kernel log and from what NVML said, and which instances they hit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Sequence

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._card_actions import ACTIONS, worst_action
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._gpu_health import Served, judge_host, served_by
from ansible_collections.gpuserve.inference.plugins.module_utils._kernel_log import read_log
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu, MigDevice
from ansible_collections.gpuserve.inference.plugins.module_utils._xid import XIDS
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.kernel_logs import (
    ADDRESSES,
    BOOTED,
    healthy,
    journal,
    xid,
)

UUIDS = [f"GPU-40900000-0000-4000-8000-00000000000{n}" for n in range(4)]
INSTANCES = [Served(f"gpu{n}", (uuid,)) for n, uuid in enumerate(UUIDS)]
SICK = 2


def gpu(n: int, **changes: Any) -> Gpu:
    return replace(Gpu(n, UUIDS[n], "NVIDIA H200", 1, 0, 1, pci_bus_id=f"{ADDRESSES[n]}.0"), **changes)


def four(**changes: Any) -> list[Gpu]:
    """Four cards, of which one is changed."""
    return [gpu(n, **(changes if n == SICK else {})) for n in range(4)]


def judge(messages: Sequence[str], gpus: Sequence[Gpu] = (), **options: Any) -> dict[str, Any]:
    log = read_log(journal(messages).splitlines())
    options.setdefault("instances", INSTANCES)
    return judge_host(gpus or four(), log, **options).to_dict()


def sick(*messages: str) -> list[str]:
    """The messages of one card's fault within a healthy day."""
    day = healthy()
    return [*day[:200], *messages, *day[200:]]


# Xid -> verdict, action while no process is on the card
EXPECTED = {
    48: ("fail", "drain_and_reset"),
    74: ("fail", "drain_and_reset"),
    79: ("fail", "reboot"),
    95: ("fail", "drain_and_reset"),
    64: ("fail", "drain_and_reset"),
    46: ("fail", "drain_and_reset"),
    119: ("fail", "drain_and_reset"),
    63: ("warn", "drain_and_reset"),
    94: ("warn", "none"),
    999: ("warn", "none"),
    13: ("ok", "none"),
    31: ("ok", "none"),
    43: ("ok", "none"),
    45: ("ok", "none"),
}


@pytest.mark.parametrize("number", EXPECTED)
def test_each_xid_is_its_own_cards_only(number: int) -> None:
    verdict, action = EXPECTED[number]
    said = judge(sick(xid(number, ADDRESSES[SICK])))
    cards = said["cards"]
    assert [card["verdict"] for card in cards] == ["ok", "ok", verdict, "ok"]
    assert [card["action"] for card in cards] == ["none", "none", action, "none"]
    assert [len(card["reasons"]) for card in cards] == [0, 0, int(verdict != "ok"), 0]
    assert cards[SICK]["xids"] == [{"xid": number, "count": 1, "last": "2026-11-24T06:03:20Z"}]
    assert said["verdict"] == verdict
    assert said["hit"] == (["gpu2"] if verdict == "fail" else [])
    if verdict != "ok":
        assert cards[SICK]["reasons"][0].startswith(f"Xid {number} (")
        assert " at 2026-11-24T06:03:20Z: " in cards[SICK]["reasons"][0]


def test_healthy_day_raises_nothing() -> None:
    said = judge(healthy(), expected_uuids=UUIDS, expected_count=4)
    assert said["verdict"] == "ok"
    assert [card["reasons"] for card in said["cards"]] == [[]] * 4
    assert (said["hit"], said["restart"], said["switches"]) == ([], [], [])


@pytest.mark.parametrize("number", sorted(XIDS))
def test_every_known_xid_says_what_and_what_to_do(number: int) -> None:
    known = XIDS[number]
    assert known.what and known.advice and "\n" not in known.what + known.advice
    assert known.action in ACTIONS
    assert (known.verdict == "fail") == (known.action in ("drain_and_reset", "reboot") and known.verdict != "warn")


RECOVERY = "GPU recovery action changed from 0x0 (None) to {}"
LINES = {
    "recovery: reset": ([xid(154, text=RECOVERY.format("0x1 (GPU Reset Required)"))], "fail", "drain_and_reset"),
    "recovery: reset, in other words": ([xid(154, text=RECOVERY.format("0x1 (PF FLR)"))], "fail", "drain_and_reset"),
    "recovery: reboot": ([xid(154, text=RECOVERY.format("0x2 (Node Reboot Required)"))], "fail", "reboot"),
    "recovery: drain": ([xid(154, text=RECOVERY.format("0x4 (Drain and Reset)"))], "fail", "drain_and_reset"),
    "recovery: cut short": ([xid(154, text="GPU recovery act")], "fail", "reboot"),
    "recovery: none": ([xid(154, text=RECOVERY.format("0x0 (None)"))], "ok", "none"),
    "NVLink 5, fatal": ([xid(149, text="NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x02)")], "fail", "drain_and_reset"),
    "NVLink 5, not fatal": ([xid(145, text="RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x04)")], "warn", "none"),
    "NVLink 5, both": ([xid(145, text="X Fatal y"), xid(145, text="X Nonfatal y")], "fail", "drain_and_reset"),
    "off the bus, with the driver's wish": (
        [xid(79), xid(154, text=RECOVERY.format("0x1 (GPU Reset Required)"))],
        "fail",
        "reboot",
    ),
    "application, then card": ([xid(31), xid(45), xid(95)], "fail", "drain_and_reset"),
    "contained, row to be remapped": ([xid(94), xid(63)], "warn", "drain_and_reset"),
}


@pytest.mark.parametrize("case", LINES)
def test_lines(case: str) -> None:
    messages, verdict, action = LINES[case]
    card = judge(messages)["cards"][0]
    assert (card["verdict"], card["action"]) == (verdict, action)
    assert bool(card["reasons"]) == (verdict != "ok")


def test_many_of_one_kind_are_one_reason() -> None:
    card = judge([xid(48)] * 3)["cards"][0]
    assert len(card["reasons"]) == 1
    assert " 3 times, last at 2026-11-24T06:00:02Z: " in card["reasons"][0]


# ---------------------------------------------------------------- errors of applications

PROCESS = {"pid": 4711, "name": "vllm", "memory_bytes": 1}
# Xid, its process, processes on the card, when they were started (against the error), verdict, action
APPLICATIONS = {
    "its process is there": (31, 4711, [PROCESS], -60, "warn", "restart_application"),
    "its process is gone, another came": (31, 815, [PROCESS], -60, "ok", "none"),
    "no process named, an old one is there": (43, 0, [PROCESS], -60, "warn", "restart_application"),
    "no process named, restarted since": (43, 0, [PROCESS], +60, "ok", "none"),
    "contained, its process is there": (94, 4711, [PROCESS], -60, "warn", "restart_application"),
    "contained, restarted since": (94, 0, [PROCESS], +60, "warn", "none"),
    "the card's own error": (48, 4711, [PROCESS], +60, "fail", "drain_and_reset"),
}


@pytest.mark.parametrize("case", APPLICATIONS)
def test_application(case: str) -> None:
    number, pid, processes, age, verdict, action = APPLICATIONS[case]
    gpus = four(processes=tuple(processes))
    message = xid(number, ADDRESSES[SICK], f"pid={pid}, name=x, y" if pid else "pid='<unknown>', name=<unknown>, y")
    said = judge([message], gpus, started=lambda pids: dict.fromkeys(pids, BOOTED + age))
    card = said["cards"][SICK]
    assert (card["verdict"], card["action"]) == (verdict, action)
    assert said["restart"] == (["gpu2"] if action == "restart_application" else [])
    assert said["hit"] == (["gpu2"] if verdict == "fail" else [])


# ---------------------------------------------------------------- what NVML said


def test_nvml_and_log_come_together() -> None:
    health = {"verdict": "fail", "reasons": ["2 uncorrectable ECC errors"], "action": "drain_and_reset"}
    said = judge([xid(79, ADDRESSES[SICK])], four(health=health))
    card = said["cards"][SICK]
    assert card["reasons"][0] == "2 uncorrectable ECC errors"
    assert card["reasons"][1].startswith("Xid 79")
    assert card["action"] == "reboot"
    assert said["hit"] == ["gpu2"]


def test_mixed_cards() -> None:
    messages = [xid(48, ADDRESSES[0]), xid(63, ADDRESSES[1]), xid(31, ADDRESSES[3])]
    said = judge(sick(*messages))
    assert [card["verdict"] for card in said["cards"]] == ["fail", "warn", "ok", "ok"]
    assert said["hit"] == ["gpu0"]


def test_tensor_parallel_is_hit_by_either_card() -> None:
    pairs = [Served("gpu0-1", tuple(UUIDS[:2])), Served("gpu2-3", tuple(UUIDS[2:]))]
    assert judge([xid(95, ADDRESSES[3])], instances=pairs)["hit"] == ["gpu2-3"]


def test_slices_of_a_sick_card_are_hit() -> None:
    slices = tuple(MigDevice(f"MIG-{n}", "1g", 1, 1) for n in range(2))
    gpus = four(mig_mode="enabled", mig_devices=slices)
    instances = [Served("a", ("MIG-0",)), Served("b", ("MIG-1",)), Served("c", (UUIDS[0],))]
    assert judge([xid(48, ADDRESSES[SICK] + " GPU-I:05")], gpus, instances=instances)["hit"] == ["a", "b"]


# ---------------------------------------------------------------- lost cards

LOST = {"verdict": "fail", "reasons": ["the GPU is lost"], "action": "reboot"}
NAMELESS = {"uuid": "", "name": "unknown", "health": LOST}
NAMED = f"NVRM: GPU at PCI:{ADDRESSES[SICK]}: {UUIDS[SICK]}"


@pytest.mark.parametrize("address", [f"{ADDRESSES[SICK]}.0", ""])
@pytest.mark.parametrize("messages", [[], [xid(79, ADDRESSES[SICK])], [NAMED, xid(79, ADDRESSES[SICK])]])
@pytest.mark.parametrize("known", ["instances", "expected"])
def test_lost_card_that_nvml_still_counts(address: str, messages: list[str], known: str) -> None:
    options = {"instances": INSTANCES} if known == "instances" else {"instances": [], "expected_uuids": UUIDS}
    said = judge(messages, four(**NAMELESS, pci_bus_id=address), **options)
    assert [card["verdict"] for card in said["cards"]] == ["ok", "ok", "fail", "ok"]
    card = said["cards"][SICK]
    assert (card["uuid"], card["index"], card["action"]) == (UUIDS[SICK], SICK, "reboot")
    assert card["pci_bus_id"] == (f"{ADDRESSES[SICK]}.0" if address or messages else "")
    assert len(card["reasons"]) == 1 + (len(messages) > 0)
    assert said["hit"] == (["gpu2"] if known == "instances" else [])


@pytest.mark.parametrize("messages", [[], [xid(79, ADDRESSES[SICK])], [NAMED, xid(79, ADDRESSES[SICK])]])
@pytest.mark.parametrize("bus", [(), [f"{address}.0" for address in ADDRESSES]])
def test_lost_card_that_nvml_no_longer_lists(messages: list[str], bus: list[str]) -> None:
    left = [replace(gpu(n), index=i) for i, n in enumerate((0, 1, 3))]
    said = judge(messages, left, bus=bus, expected_count=4)
    assert [card["verdict"] for card in said["cards"]] == ["ok", "ok", "ok", "fail"]
    card = said["cards"][3]
    assert (card["uuid"], card["index"], card["action"]) == (UUIDS[SICK], None, "reboot")
    assert card["pci_bus_id"] == (f"{ADDRESSES[SICK]}.0" if messages or bus else "")
    assert "NVML does not list it" in card["reasons"][0]
    assert said["hit"] == ["gpu2"]


def test_card_that_only_the_log_remembers() -> None:
    said = judge([NAMED, xid(79, ADDRESSES[SICK])], [gpu(0), gpu(1)], instances=[])
    assert [(card["uuid"], card["verdict"]) for card in said["cards"]] == [
        (UUIDS[0], "ok"),
        (UUIDS[1], "ok"),
        (UUIDS[SICK], "fail"),
    ]


def test_count_alone() -> None:
    said = judge([], [gpu(0), gpu(1)], instances=[], expected_count=4)
    assert [card["verdict"] for card in said["cards"]] == ["ok", "ok", "fail", "fail"]
    assert {card["uuid"] for card in said["cards"][2:]} == {""}


def test_more_cards_than_expected_are_well() -> None:
    assert judge([], expected_count=2, expected_uuids=UUIDS[:1])["verdict"] == "ok"


def test_instance_known_by_number() -> None:
    said = judge(
        [xid(48, ADDRESSES[SICK])], instances=[Served("a", (), (1,)), Served("b", (), (2,)), Served("c", (), (7,))]
    )
    assert said["hit"] == ["b", "c"]


# ---------------------------------------------------------------- switches

SXID = "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): {}"


def test_fatal_switch_warns_and_drains_nobody() -> None:
    gpus = [gpu(n, nvlink={"active": 18, "inactive": 0, "version": 4} if n < 2 else {}) for n in range(4)]
    said = judge([SXID.format("20034, Fatal, Link 30 LTSSM Fault Up")], gpus)
    assert [card["verdict"] for card in said["cards"]] == ["warn", "warn", "ok", "ok"]
    assert (said["verdict"], said["hit"]) == ("fail", [])
    assert [(s["pci_bus_id"], s["verdict"]) for s in said["switches"]] == [("0000:05:00.0", "fail")]
    assert "SXid 20034 (fatal)" in said["switches"][0]["reasons"][0]


def test_fatal_switch_with_the_card_it_hit() -> None:
    gpus = [gpu(n, nvlink={"active": 18, "inactive": 0, "version": 4}) for n in range(4)]
    said = judge([SXID.format("20034, Fatal, Link 30"), xid(74, ADDRESSES[1])], gpus)
    assert said["hit"] == ["gpu1"]


def test_switch_error_that_is_not_fatal() -> None:
    said = judge([SXID.format("12028, Non-fatal, Link 32 egress")], [gpu(0, nvlink={"active": 18})])
    assert [card["verdict"] for card in said["cards"] if card["index"] == 0] == ["ok"]
    assert said["switches"][0]["sxids"] == [{"sxid": 12028, "count": 1, "last": "2026-11-24T06:00:00Z"}]


# ---------------------------------------------------------------- instances


def test_plans_instances() -> None:
    plan = [
        {"name": "gpu0", "gpus": [0], "gpu_uuids": ["GPU-a"], "port": 8001, "env": {}, "args": []},
        {"name": "gpu1-2", "gpus": [1, "2"], "gpu_uuids": ["", ""]},
    ]
    assert served_by(plan) == [Served("gpu0", ("GPU-a",)), Served("gpu1-2", (), (1, 2))]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("gpu0", "give a dictionary with name"),
        ({"gpu_uuids": ["GPU-a"]}, "give a dictionary with name"),
        ({"name": "a"}, "'a' names no card"),
        ({"name": "a", "gpu_uuids": "GPU-a"}, "must be a list of UUIDs"),
        ({"name": "a", "gpu_uuids": [1]}, "must be a list of UUIDs"),
        ({"name": "a", "gpus": [-1]}, "must be a list of card numbers"),
    ],
)
def test_instances_that_are_none(item: Any, words: str) -> None:
    with pytest.raises(InputError, match=r"^instances\[0\]") as caught:
        served_by([item])
    assert words in str(caught.value)


def test_worst_action() -> None:
    assert worst_action([]) == "none"
    assert worst_action(["reboot", "replace", "restart_application"]) == "replace"
