# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which cards of a host may serve: what NVML says of them now, and what the kernel log said of them before.

A card that fails must not serve; one that warns serves on. Whose fault an error was is kept apart: an error of an
application never takes a card away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._card_actions import (
    DRAIN_AND_RESET,
    NONE,
    REBOOT,
    RESTART_APPLICATION,
    worst_action,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._kernel_log import (
    Event,
    KernelLog,
    pci_key,
    show_time,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu
from ansible_collections.gpuserve.inference.plugins.module_utils._xid import FAIL, OK, WARN, meaning

GONE = "NVML does not list it: look for Xid 79 in the kernel log, reboot the host, then reseat or replace the card"
_SWITCH = "look which cards report Xid 74, drain them, then reset all cards of the NVSwitch together or reboot"


@dataclass(frozen=True)
class Served:
    """The cards of one instance, as the plan names them."""

    name: str
    uuids: tuple[str, ...] = ()
    indexes: tuple[int, ...] = ()  # where the plan knows no UUIDs


@dataclass
class CardHealth:
    uuid: str = ""
    index: Optional[int] = None
    name: str = ""
    address: str = ""  # domain, bus and device
    gpu: Optional[Gpu] = None
    fails: list[str] = field(default_factory=list)
    warns: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    xids: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return FAIL if self.fails else WARN if self.warns else OK

    @property
    def action(self) -> str:
        return worst_action(self.actions)

    def add(self, verdict: str, reason: str, action: str) -> None:
        (self.fails if verdict == FAIL else self.warns).append(reason)
        self.actions.append(action)

    def names(self) -> set[str]:
        """Every UUID by which an instance may mean this card."""
        slices = self.gpu.mig_devices if self.gpu else ()
        return {uuid for uuid in (self.uuid, *(part.uuid for part in slices)) if uuid}

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "uuid": self.uuid,
            "name": self.name,
            "pci_bus_id": f"{self.address}.0" if self.address else "",
            "verdict": self.verdict,
            "reasons": self.fails + self.warns,
            "action": self.action,
            "xids": self.xids,
        }


@dataclass
class HostHealth:
    cards: list[CardHealth] = field(default_factory=list)
    switches: list[dict[str, Any]] = field(default_factory=list)
    hit: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        verdicts = [card.verdict for card in self.cards] + [switch["verdict"] for switch in self.switches]
        return {
            "verdict": FAIL if FAIL in verdicts else WARN if WARN in verdicts else OK,
            "cards": [card.to_dict() for card in self.cards],
            "switches": self.switches,
            "hit": self.hit,
            "restart": self.restart,
        }


def served_by(instances: Iterable[Any]) -> list[Served]:
    """The instances of a plan; what a plan says besides names and cards is left aside."""
    out = []
    for number, item in enumerate(instances):
        what = f"instances[{number}]"
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"]:
            raise InputError(f"{what}: give a dictionary with name and gpu_uuids, as plan.instances has them")
        uuids, indexes = item.get("gpu_uuids") or (), item.get("gpus") or ()
        if not isinstance(uuids, (list, tuple)) or not all(isinstance(uuid, str) for uuid in uuids):
            raise InputError(f"{what}.gpu_uuids of {item['name']!r} must be a list of UUIDs such as GPU-8d3f1c52-...")
        if not isinstance(indexes, (list, tuple)) or not all(str(index).isdecimal() for index in indexes):
            raise InputError(f"{what}.gpus of {item['name']!r} must be a list of card numbers such as [0, 1]")
        known = tuple(uuid for uuid in uuids if uuid)
        if not known and not indexes:
            raise InputError(f"{what}: {item['name']!r} names no card, give gpu_uuids as plan.instances has them")
        # A plan made before a card's UUID was known has an empty one; then its number has to do.
        whole = len(known) == max(len(uuids), len(indexes))
        out.append(Served(item["name"], known, () if whole else tuple(int(index) for index in indexes)))
    return out


def judge_host(
    gpus: Sequence[Gpu],
    log: KernelLog,
    instances: Sequence[Served] = (),
    expected_uuids: Sequence[str] = (),
    expected_count: int = 0,
    bus: Sequence[str] = (),
    started: Callable[[Sequence[int]], Mapping[int, float]] = lambda pids: {},
    gone: str = GONE,
) -> HostHealth:
    """``bus``: addresses of the cards on the PCI bus. ``started``: when processes were started.

    ``gone`` says why a card that is expected is not among ``gpus``.
    """
    cards = [_from_nvml(gpu) for gpu in gpus]
    _name_lost_cards(cards, log)
    missing = _missing(cards, instances, expected_uuids)
    nameless = [card for card in cards if not card.uuid]
    if len(nameless) == len(missing):  # both in the order of the bus
        for card, uuid in zip(nameless, missing):
            card.uuid = uuid
        missing = []
    _add_gone(cards, missing, expected_count, bus, gone)
    for card in cards:
        _from_log(card, [event for event in log.events if event.address == card.address], started)
    switches = _switches(cards, log.switch_events)
    health = HostHealth(cards, switches)
    indexes = {card.index for card in cards}
    for one in instances:
        mine = [card for card in cards if card.names() & set(one.uuids) or card.index in one.indexes]
        if any(card.verdict == FAIL for card in mine) or not indexes.issuperset(one.indexes):
            health.hit.append(one.name)
        if any(RESTART_APPLICATION in card.actions for card in mine):
            health.restart.append(one.name)
    return health


# ---------------------------------------------------------------- which cards there are


def _from_nvml(gpu: Gpu) -> CardHealth:
    card = CardHealth(gpu.uuid, gpu.index, gpu.name, pci_key(gpu.pci_bus_id), gpu)
    verdict = gpu.health.get("verdict", OK)
    for reason in gpu.health.get("reasons", ()):  # one action for all of them
        card.add(verdict, reason, gpu.health.get("action", NONE))
    return card


def _name_lost_cards(cards: list[CardHealth], log: KernelLog) -> None:
    """NVML forgets the UUID and address of a card it lost; the log has both where the driver reported an Xid of it."""
    known = {card.address for card in cards}
    faults = {event.address for event in log.events if meaning(event.xid, event.text).verdict == FAIL}
    strays = sorted(faults - known)
    lost = [card for card in cards if not card.address]
    if len(lost) == len(strays):
        for card, address in zip(lost, strays):
            card.address = address
    elif not lost:
        cards.extend(_gone_card("", address, GONE, log) for address in strays)
    for card in cards:
        card.uuid = card.uuid or log.uuids.get(card.address, "")


def _gone_card(uuid: str, address: str, why: str, log: Optional[KernelLog] = None) -> CardHealth:
    card = CardHealth(uuid or (log.uuids.get(address, "") if log else ""), address=address)
    card.add(FAIL, why if why != GONE else f"the card {uuid or address or 'that is expected'} is gone: {why}", REBOOT)
    return card


def _missing(cards: Sequence[CardHealth], instances: Sequence[Served], expected: Sequence[str]) -> list[str]:
    present = {name for card in cards for name in card.names()}
    wanted = [*expected, *(uuid for one in instances for uuid in one.uuids)]
    return [uuid for uuid in dict.fromkeys(wanted) if uuid and uuid not in present]


def _add_gone(cards: list[CardHealth], missing: Sequence[str], count: int, bus: Sequence[str], why: str) -> None:
    unnamed = max(count - len(cards) - len(missing), 0)
    names = [*missing, *[""] * unnamed]
    known = {card.address for card in cards}
    unlisted = [key for key in map(pci_key, bus) if key not in known]
    if len(unlisted) != len(names):  # which is which cannot be told
        unlisted = [""] * len(names)
    cards.extend(_gone_card(uuid, address, why) for uuid, address in zip(names, unlisted))


# ---------------------------------------------------------------- what the log says of a card


def _from_log(
    card: CardHealth, events: Sequence[Event], started: Callable[[Sequence[int]], Mapping[int, float]]
) -> None:
    by_xid: dict[int, list[Event]] = {}
    for event in events:
        by_xid.setdefault(event.xid, []).append(event)
    for xid, same in by_xid.items():
        said = max((meaning(xid, event.text) for event in same), key=lambda m: (OK, WARN, FAIL).index(m.verdict))
        last = show_time(same[-1].time)
        card.xids.append({"xid": xid, "count": len(same), "last": last})
        verdict, action, advice = said.verdict, said.action, said.advice
        if said.application:
            there = any(_still_there(card, event, started) for event in same)
            if there:
                verdict = WARN
            elif verdict == OK:
                continue
            else:
                action, advice = NONE, "the process it hit is gone, nothing to do"
        often = f" {len(same)} times, last" if len(same) > 1 else ""
        when = f"{often} at {last}" if last else often.replace(", last", "")
        card.add(verdict, f"Xid {xid} ({said.what}){when}: {advice}", action)


def _still_there(card: CardHealth, event: Event, started: Callable[[Sequence[int]], Mapping[int, float]]) -> bool:
    """Whether the process that an error hit is on the card yet. Of an error without a process, any older one is."""
    pids = [int(process["pid"]) for process in (card.gpu.processes if card.gpu else ())]
    if event.pid:
        pids = [pid for pid in pids if pid == event.pid]
    if event.time is None or not pids:
        return bool(pids)
    since = started(pids)
    return any(since.get(pid, 0.0) <= event.time for pid in pids)


def _switches(cards: Sequence[CardHealth], events: Sequence[Event]) -> list[dict[str, Any]]:
    """An SXid does not say whose link it was, so it fails no card: Xid 74 and NVML do that for those it hit."""
    out = []
    for address in dict.fromkeys(event.address for event in events):
        mine = [event for event in events if event.address == address]
        fatal = list(dict.fromkeys(event.xid for event in mine if event.fatal))
        counts = [(xid, [e for e in mine if e.xid == xid]) for xid in dict.fromkeys(e.xid for e in mine)]
        numbers = ", ".join(map(str, fatal or [xid for xid, _same in counts]))
        kind = "fatal" if fatal else "not fatal"
        reason = f"NVSwitch {address} reports SXid {numbers} ({kind}): {_SWITCH if fatal else 'watch it'}"
        out.append(
            {
                "pci_bus_id": f"{address}.0",
                "verdict": FAIL if fatal else WARN,
                "reasons": [reason],
                "sxids": [{"sxid": xid, "count": len(same), "last": show_time(same[-1].time)} for xid, same in counts],
            }
        )
        if fatal:
            for card in cards:
                if card.gpu is not None and card.gpu.nvlink:
                    card.add(WARN, reason, DRAIN_AND_RESET)
    return out
