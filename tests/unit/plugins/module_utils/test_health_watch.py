# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._health_watch import (
    BACK,
    OUT,
    RESTART,
    START,
    STOP,
    Card,
    steps,
)

BAD, XID94 = "Xid 79 (the GPU has fallen off the bus)", "Xid 94 (contained memory error)"

CASES = {
    "all is well": ([Card("a"), Card("b")], {}, []),
    "a card fails: exactly its replica": ([Card("a", BAD), Card("b")], {}, [(OUT, "a"), (STOP, "a")]),
    "out already, its stop was interrupted": ([Card("a", BAD), Card("b")], {"a": ["health"]}, [(STOP, "a")]),
    "out and stopped: nothing more": ([Card("a", BAD, active="inactive", answers=False)], {"a": ["health"]}, []),
    "systemd starts it": ([Card("a", BAD, active="activating", answers=False)], {"a": ["health"]}, [(STOP, "a")]),
    "crashed for good on it": ([Card("a", BAD, active="failed", answers=False)], {}, [(OUT, "a"), (STOP, "a")]),
    "the watch was first": ([Card("a", BAD, answers=False)], {"a": ["watch"]}, [(OUT, "a"), (STOP, "a")]),
    "an operator is at it": ([Card("a", BAD)], {"a": ["operator"]}, []),
    "a rollout is at it": ([Card("a", BAD)], {"a": ["roll", "health"]}, []),
    "all cards fail": ([Card("a", BAD), Card("b", BAD)], {}, [(OUT, "a"), (STOP, "a"), (OUT, "b"), (STOP, "b")]),
    "well again: started": ([Card("a", active="inactive", answers=False)], {"a": ["health"]}, [(START, "a")]),
    "well again, it loads": ([Card("a", answers=False)], {"a": ["health"]}, []),
    "well again, and it does not start": ([Card("a", active="failed", answers=False)], {"a": ["health"]}, []),
    "well again, and it answers": ([Card("a")], {"a": ["health"]}, [(BACK, "a")]),
    "well again under an operator's mark": ([Card("a")], {"a": ["health", "operator"]}, []),
    "well again under the watch's mark": ([Card("a")], {"a": ["health", "watch"]}, [(BACK, "a")]),
    "stopped by somebody else": ([Card("a", active="inactive", answers=False)], {}, []),
    "a process is to be restarted": ([Card("a", "", XID94), Card("b")], {}, [(OUT, "a"), (RESTART, "a")]),
    "one at a time": ([Card("a", "", XID94), Card("b", "", XID94)], {}, [(OUT, "a"), (RESTART, "a")]),
    "not while nobody else serves": ([Card("a", "", XID94), Card("b", answers=False)], {}, []),
    "not while the other one is out": ([Card("a", "", XID94), Card("b")], {"b": ["operator"]}, []),
    "not while the other one's card fails": (
        [Card("a", "", XID94), Card("b", BAD)],
        {},
        [(OUT, "b"), (STOP, "b")],
    ),
    "the only one of its host": ([Card("a", "", XID94)], {}, [(OUT, "a"), (RESTART, "a")]),
    "it loads already": ([Card("a", "", XID94, active="activating", answers=False), Card("b")], {}, []),
    "failing outdoes restarting": ([Card("a", BAD, XID94), Card("b")], {}, [(OUT, "a"), (STOP, "a")]),
}


@pytest.mark.parametrize("name", CASES)
def test_steps(name):
    cards, marks, expected = CASES[name]
    assert [(step.kind, step.name) for step in steps(cards, marks)] == expected


def test_the_reason_is_that_of_the_card():
    assert {step.reason for step in steps([Card("a", BAD), Card("b")], {})} == {BAD}
