# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each story is a row of looks at one replica, each with the acts that must come of it; gpu1 is the other one."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _watch
from ansible_collections.gpuserve.inference.plugins.module_utils._watch import (
    ANSWERED,
    BACK,
    DEAD,
    KILL,
    OUT,
    SAY,
    SILENT,
    UNKNOWN,
    WATCH,
    Limits,
    Seen,
    decide,
)

LIMITS = Limits(out_after=8, restart_after=30, busy_after=180, start_after=900)


def look(at, answer, **more):
    return {"at": at, "answer": answer, **more}


def up(at, **more):
    return look(at, ANSWERED, counters=(float(at),), **more)


def still(at, **more):
    """No answer, and not one counter moved since the last answer at 0."""
    return look(at, SILENT, counters=(0.0,), **more)


def idle(at, **more):
    return still(at, cpu={7: 5.0, 8: 1.0 + 0.12 * at}, **more)


def working(at, **more):
    return still(at, cpu={7: 5.0 + 0.9 * at}, **more)


def blind(at, seconds, **more):
    """A look of so many seconds in which not even the counters came."""
    return look(at, SILENT, begun=at - seconds, **more)


STOPPED = {"stopped": ("VLLM::EngineCor (7)",)}

STORIES = {
    "healthy": [(up(0), []), (up(4), []), (up(8), [])],
    "busy but progressing: never acted on, however long": [
        (up(0), []),
        *[(look(at, SILENT, counters=(float(at),), cpu={7: 5.0}), []) for at in range(4, 1000, 4)],
        (up(1004), []),
    ],
    "a long prefill: only the share of the KV cache moves, in steps of 6 s": [
        (up(0), []),
        *[(look(at, SILENT, counters=(at // 6 * 0.01,), cpu={7: at * 1.0}), []) for at in range(3, 300, 3)],
    ],
    "stopped process: out, killed once, started again, back": [
        (up(0), []),
        (still(7, **STOPPED), []),
        (still(8, **STOPPED), [OUT]),
        (still(20, **STOPPED), []),
        (still(29.9, **STOPPED), []),
        (still(30, **STOPPED), [KILL]),
        (still(31, **STOPPED), []),
        (look(34, DEAD, active="activating"), []),
        (look(40, DEAD, invocation="two"), []),
        (up(60, invocation="two"), [BACK]),
        (up(64, invocation="two"), []),
    ],
    "under load: what moved before the look began is no life during it": [
        (up(0), []),
        (look(7, SILENT, begun=4.0, before=(9.0,), counters=(9.0,), **STOPPED), []),
        (look(10.5, SILENT, begun=7.5, before=(9.0,), counters=(9.0,), **STOPPED), []),
        (look(12, SILENT, begun=11.0, before=(9.0,), counters=(9.0,), **STOPPED), [OUT]),
        (look(34, SILENT, begun=31.0, before=(9.0,), counters=(9.0,), **STOPPED), [KILL]),
    ],
    "it moves during the look only": [
        (up(0), []),
        *[(look(at, SILENT, begun=at - 3.0, before=(at,), counters=(at + 1,)), []) for at in range(4, 60, 4)],
    ],
    "idle processes are as certain; what a worker uses by polling is idle": [
        (up(0), []),
        (idle(7), []),
        (idle(8.5), [OUT]),
        (idle(31), [KILL]),
    ],
    "continued before it was killed": [
        (up(0), []),
        (still(9, **STOPPED), [OUT]),
        (up(12), [BACK]),
        (up(16), []),
    ],
    "continued with a queue: out until it answers, then the clock begins anew": [
        (up(0), []),
        (still(9, **STOPPED), [OUT]),
        (look(12, SILENT, counters=(1.0,)), []),
        (look(40, SILENT, counters=(2.0,)), []),
        (up(60), [BACK]),
    ],
    "a kernel is compiled: out while another takes over, not killed": [
        (up(0), []),
        (working(7), []),
        (working(9), [OUT]),
        (working(60), []),
        (working(179), []),
        (up(185), [BACK]),
    ],
    "at work without a step for longer than anything compiles": [
        (up(0), []),
        (working(7), []),
        (working(9), [OUT]),
        (working(180), [KILL]),
        (working(200), []),
        (working(210), [KILL]),
    ],
    "compilers come and go: their time is their parent's once they have ended, their own before": [
        (up(0), []),
        (still(7, cpu={7: 5.0}), []),
        (still(9, cpu={7: 5.0, 99: 1.5}), [OUT]),
        (still(40, cpu={7: 30.0}), []),
    ],
    "no counters at all: only what the processes do tells": [
        (look(0, ANSWERED), []),
        (look(7, SILENT, cpu={7: 1.0}), []),
        (look(9, SILENT, cpu={7: 2.9}), [OUT]),
        (look(40, SILENT, cpu={7: 32.0}), []),
    ],
    "far too much to do: not even the counters can be read, and hardly anybody looks": [
        (up(0), []),
        (blind(44, 6, cpu={7: 30.0}), []),  # of which 38 s were seen by nobody
        (blind(51, 6, cpu={7: 36.0}), []),
        (blind(58, 6, cpu={7: 42.0}), []),
        (look(63, SILENT, counters=(9.0,), cpu={7: 47.0}), []),
        (up(70), []),
    ],
    "nothing can be read, and it is at work: out late, where another takes over": [
        (up(0), []),
        *[(blind(at, 6, cpu={7: 0.9 * at}), []) for at in range(7, 35, 7)],
        (blind(42, 6, cpu={7: 0.9 * 42}), [OUT]),
        (up(60), [BACK]),
    ],
    "nothing can be read, and it is idle: out as soon as that is known": [
        (up(0), []),
        (blind(9, 5, cpu={7: 5.0}), []),
        (blind(13, 3.5, cpu={7: 5.1}), [OUT]),
        (blind(38, 3.5, cpu={7: 5.4}), []),  # 21 of these seconds were seen by nobody
        (blind(60, 21.5, cpu={7: 5.4}), [KILL]),
    ],
    "no step, and whether it is at work is not known yet": [
        (up(0), []),
        (still(44, cpu={7: 5.0}), []),
        (still(45.5, cpu={7: 5.1}), [OUT, KILL]),
    ],
    "crashed: out at once, while it loads too, back when it answers": [
        (up(0), []),
        (look(4, DEAD), [OUT]),
        (look(8, DEAD, active="activating"), []),
        (look(12, DEAD, invocation="two"), []),
        (look(300, DEAD, invocation="two"), []),
        (up(304, invocation="two"), [BACK]),
    ],
    "crashed and started again between two looks": [
        (up(0), []),
        (look(4, DEAD, invocation="two"), [OUT]),
        (up(60, invocation="two"), [BACK]),
    ],
    "started again and back between two looks": [(up(0), []), (up(4, invocation="two"), [])],
    "never answered since the boot: loading, or broken, but not the watch's": [
        (look(0, DEAD), []),
        (look(100, SILENT), []),
        (look(2000, SILENT), []),
        (look(2004, DEAD, active="activating"), []),
        (look(2008, DEAD, invocation="two"), []),
        (up(2040, invocation="two"), []),
    ],
    "loads for ever after a crash": [
        (up(0), []),
        (look(4, DEAD, invocation="two"), [OUT]),
        (look(903, SILENT, invocation="two"), []),
        (look(904, SILENT, invocation="two"), [KILL]),
        (look(908, SILENT, invocation="two"), []),
        (look(920, DEAD, invocation="three"), []),
    ],
    "failed for good: out, said once": [
        (up(0), []),
        (look(4, DEAD, active="activating"), [OUT]),
        (look(60, DEAD, active="failed", why="has failed"), [SAY]),
        (look(64, DEAD, active="failed", why="has failed"), []),
        (up(500, invocation="two"), [BACK]),
        (look(504, DEAD, active="failed", why="has failed", invocation="two"), [SAY, OUT]),
    ],
    "failed before it ever answered": [
        (look(0, DEAD, active="activating"), []),
        (look(60, DEAD, active="failed", why="has failed"), [SAY]),
        (look(64, DEAD, active="failed", why="has failed"), []),
    ],
    "stopped by hand": [
        (up(0), []),
        (look(4, DEAD, active="deactivating"), [OUT]),
        (look(8, DEAD, active="inactive"), []),
        (look(400, DEAD, invocation="two"), []),
        (up(440, invocation="two"), [BACK]),
    ],
    "an answer that says nothing of the engine (a wrong key)": [
        (up(0), []),
        (look(4, UNKNOWN, why="401"), [SAY]),
        (look(300, UNKNOWN, why="401"), []),
        (look(304, SILENT), []),
        (look(307, SILENT), []),
    ],
}


def play(story, marks=(), other=True, limits=LIMITS):
    """The acts of each look. What the watch itself does to the marks is done."""
    memories, mine, told = {}, set(marks), []
    for row, _expected in story:
        looks = [Seen("gpu0", **{"invocation": "one", **row})]
        if other:
            looks.append(Seen("gpu1", row["at"], ANSWERED, invocation="other", counters=(row["at"],)))
        memories, acts = decide(looks, memories, {"gpu0": sorted(mine)}, limits)
        assert {act.name for act in acts} <= {"gpu0"}
        for act in acts:
            mine = mine | {WATCH} if act.kind == OUT else mine - {WATCH} if act.kind == BACK else mine
        told.append([act.kind for act in acts])
    return told


@pytest.mark.parametrize("name", STORIES)
def test_story(name):
    story = STORIES[name]
    assert play(story) == [expected for _row, expected in story]


@pytest.mark.parametrize("by", ["roll", "operator", "health"])
@pytest.mark.parametrize("name", STORIES)
def test_what_somebody_else_took_out_is_left_alone(name, by):
    assert not any(play(STORIES[name], marks=[by]))


def test_its_own_mark_goes_when_it_answers_even_under_anothers():
    assert play([(up(0), None)], marks=["roll", WATCH]) == [[BACK]]


def test_patience_begins_anew_when_somebody_else_is_done():
    memories, acts = {}, []
    rows = [(0, ANSWERED, []), (20, SILENT, ["roll"]), (24, SILENT, []), (27.9, SILENT, []), (28.1, SILENT, [])]
    for at, answer, marks in rows:
        seen = Seen("gpu0", at, answer, invocation="one", counters=(0.0,), stopped=("x (1)",))
        memories, acts = decide([seen], memories, {"gpu0": marks}, LIMITS)
        assert [act.kind for act in acts] == ([OUT] if at > 28 else [])


ALONE = {  # the one replica of a host, or the last one in rotation
    "stopped process: out, killed once, started again, back": None,
    "a kernel is compiled: out while another takes over, not killed": [[], [], [], [], [], []],
    "at work without a step for longer than anything compiles": [[], [], [], [KILL], [], [KILL]],
    "no counters at all: only what the processes do tells": [[], [], [], []],
    "crashed: out at once, while it loads too, back when it answers": None,
}


@pytest.mark.parametrize("name", ALONE)
def test_the_last_replica_is_taken_out_only_where_it_stalls_for_certain(name):
    story = STORIES[name]
    assert play(story, other=False) == (ALONE[name] or [expected for _row, expected in story])


def test_two_that_compile_at_the_same_time_both_stay_in():
    memories = {}
    for at in (0, 7, 9, 60):
        answer = ANSWERED if at == 0 else SILENT
        looks = [Seen(name, at, answer, invocation="one", counters=(0.0,), cpu={7: 1.0 * at}) for name in ("a", "b")]
        memories, acts = decide(looks, memories, {}, LIMITS)
        assert acts == []


@pytest.mark.parametrize(
    ("marks", "answer", "active"),
    [(["operator"], ANSWERED, "active"), ([], DEAD, "active"), ([], DEAD, "failed")],
    ids=["drained by an operator", "dead", "failed"],
)
def test_a_replica_that_gets_no_requests_is_no_other(marks, answer, active):
    memories = {}
    for at in (0, 7, 9):
        looks = [
            Seen("gpu0", at, ANSWERED if at == 0 else SILENT, invocation="one", counters=(0.0,), cpu={7: 1.0 * at}),
            Seen("gpu1", at, answer if at else ANSWERED, invocation="one", active=active),
        ]
        memories, acts = decide(looks, memories, {"gpu1": marks}, LIMITS)
        assert "gpu0" not in [act.name for act in acts]


def test_a_stall_is_out_within_15_s_and_killed_within_60_at_the_timers_beat():
    """The worst case: it stands still right after an answer. The timer comes after 4 s, then look follows look."""
    times = [0, 4 + 3]
    while times[-1] < 60:
        left = (LIMITS.out_after if times[-1] < LIMITS.out_after else LIMITS.restart_after) - times[-1]
        times.append(times[-1] + 0.5 + min(3, max(1, left)))
    acts = play([(up(0), 0), *[(still(at, **STOPPED), 0) for at in times[1:]]])
    assert times[acts.index([OUT])] <= 10
    assert times[acts.index([KILL])] <= 32


def test_an_instance_that_is_gone_is_forgotten():
    memories, _acts = decide([Seen("a", 0, ANSWERED), Seen("b", 0, ANSWERED)], {}, {}, LIMITS)
    memories, _acts = decide([Seen("b", 4, ANSWERED)], memories, {}, LIMITS)
    assert list(memories) == ["b"]


def test_reasons_tell_what_was_seen():
    memories = {}
    for at, answer, more in ((0, ANSWERED, {}), (9, SILENT, STOPPED)):
        seen = Seen("gpu0", at, answer, invocation="one", counters=(0.0,), **more)
        memories, acts = decide([seen], memories, {}, LIMITS)
    assert acts == [_watch.Act(OUT, "gpu0", "no answer and no step for 9 s, VLLM::EngineCor (7) stopped")]


@pytest.mark.parametrize(
    ("answer", "out", "expected"),
    [(ANSWERED, False, None), (SILENT, False, 4.0), (SILENT, True, 26.0), (DEAD, False, None), (UNKNOWN, False, None)],
)
def test_only_a_silent_replica_that_answered_before_is_in_doubt(answer, out, expected):
    memories, _acts = decide([Seen("a", 0, ANSWERED, counters=(1.0,))], {}, {}, LIMITS)
    seen = Seen("a", 4, answer, counters=(1.0,))
    memories, _acts = decide([seen], memories, {}, LIMITS)
    assert _watch.doubt(seen, memories["a"], out, LIMITS) == expected
    assert asdict(memories["a"])["served"]


def test_a_busy_one_is_in_no_doubt():
    memories, _acts = decide([Seen("a", 0, ANSWERED, counters=(1.0,))], {}, {}, LIMITS)
    seen = Seen("a", 4, SILENT, counters=(2.0,))
    memories, _acts = decide([seen], memories, {}, LIMITS)
    assert _watch.doubt(seen, memories["a"], False, LIMITS) is None
