# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the verdicts on a host's cards mean for the replicas on them. Nothing here touches the host.

A replica on a card that fails is taken out of rotation, drained and stopped; the others serve on. Its mark stays until
the card is well: then it is started, and put back once it answers. So the mark alone says how far things are, and it
dies with a boot, after which cards are looked at afresh. An error that only asks for a new process (Xid 94 for one)
means the same in one go, one replica at a time and only while another one serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

HEALTH = "health"
_NOT_OURS = ("operator", "roll")
OUT, STOP, START, RESTART, BACK = "out", "stop", "start", "restart", "back"
# one that failed on a card that fails gets a fresh start with it: no longer failed, only stopped
_TO_STOP = ("active", "activating", "reloading", "failed")


@dataclass(frozen=True)
class Card:
    """A replica: what its cards are like, what systemd says of its unit, and whether it answers."""

    name: str
    reason: str = ""  # of a card that fails
    restart: str = ""  # of a card whose process is to be started anew
    active: str = "active"
    answers: bool = True


@dataclass(frozen=True)
class Step:
    kind: str
    name: str
    reason: str = ""


def steps(cards: Sequence[Card], marks: Mapping[str, Sequence[str]]) -> list[Step]:
    """What is to be done now, in this order. ``marks``: who took each replica out, by its name."""
    found = []
    serving = {card.name for card in cards if not marks.get(card.name) and not card.reason and card.answers}
    restarted = False
    for card in cards:
        owners = marks.get(card.name, ())
        mine = HEALTH in owners
        if any(by in _NOT_OURS for by in owners):
            continue
        if card.reason:
            if not mine:
                found.append(Step(OUT, card.name, card.reason))
            if card.active in _TO_STOP:
                found.append(Step(STOP, card.name, card.reason))
        elif mine:
            if card.active == "inactive":
                found.append(Step(START, card.name, "its cards are well"))
            elif card.active == "active" and card.answers:
                found.append(Step(BACK, card.name, "its cards are well and it answers"))
        elif card.restart and card.active == "active" and not restarted and (serving - {card.name} or len(cards) == 1):
            found += [Step(OUT, card.name, card.restart), Step(RESTART, card.name, card.restart)]
            restarted = True
    return found
