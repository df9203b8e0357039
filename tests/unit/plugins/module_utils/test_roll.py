# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _release_apply as apply
from ansible_collections.gpuserve.inference.plugins.module_utils import _roll
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_cache import key_in
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_drain import Drained
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import Outcome
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Mark, RotationState
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import Clock
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.release_host import Host

ALL = ["take_out", "drain", "stop", "switch", "start", "ready", "put_back"]


class Killed(BaseException):
    """The controller, and with it the module, is gone."""


class World:
    """A host, its rotation and its engines. ``bad`` are releases that never get ready, ``die_at`` a step to die at."""

    gateway = True

    def __init__(self, root):
        self.host, self.clock = Host(root), Clock()
        self.host.before = self.step
        self.marks, self.said, self.bad, self.ill = [], [], set(), set()
        self.load = [(0, 0)]  # running requests and tokens so far, look by look; the last for ever
        self.steps, self.die_at, self.most_down = 0, -1, 0

    def step(self, _what=""):
        """Called before everything that changes something: here it may end, and here is counted who is away."""
        self.most_down = max(self.most_down, len(self.away()))
        self.steps += 1
        if self.steps == self.die_at:
            raise Killed()

    def away(self):
        names = self.host.store.names()
        marked = {mark.name for mark in self.marks}
        return [n for n in names if n in marked or self.host.units.get(f"vllm@{n}.service", ("", 0))[0] != "active"]

    # the rotation

    def look(self):
        return RotationState([], list(self.marks))

    def take_out(self, names, by, reason=""):
        self.step()
        new = [Mark(name, by, reason) for name in names if not any(m.name == name and m.by == by for m in self.marks)]
        self.marks += new
        return bool(new)

    def put_back(self, names, by):
        self.step()
        left = [mark for mark in self.marks if mark.name not in names or mark.by != by]
        changed, self.marks = left != self.marks, left
        return changed

    # the engines

    def serves(self, row):
        return row["name"] not in self.ill and self.host.store.of(row["name"]) not in self.bad

    def ready(self, rows, _timeout):
        self.step()
        return [
            Outcome(row["name"], True) if self.serves(row) else Outcome(row["name"], error="crashed: no such option")
            for row in rows
        ]

    def busy(self, row):
        self.step()
        running, tokens = self.load.pop(0) if len(self.load) > 1 else self.load[0]
        return Drained(row["name"], running == 0, False, running, 0, progress=tokens)

    def roll(self, name, release, force=False, drain_force=False):
        look = apply.Look(self.host, self.serves, self.out, self.host.proc, self.host.unit_dir)
        hands = _roll.Hands(look, self, self.ready, self.busy, self.clock, self.clock.sleep, self.said.append)
        return _roll.Roll(self.host.store, name, release, hands, _roll.Patience(drain=300)).go(force, drain_force)

    def out(self, name):
        return [mark for mark in self.marks if mark.name == name]

    def marked(self, name):
        return any(mark.name == name and mark.by == "roll" for mark in self.marks)

    def compare(self, release):
        look = apply.Look(self.host, self.serves, self.out, self.host.proc, self.host.unit_dir)
        return apply.compare(self.host.store, release, look)

    def site(self, release):
        """What the role does with a release."""
        step = self.compare(release)
        if step.mode == "at_once":
            apply.start_at_once(self.host.store, release, apply.Look(self.host, self.serves))
        for name in step.roll:
            self.roll(name, release)
        self.step()
        assert all(outcome.ready for outcome in self.ready(release.targets, 1))
        self.put_back(release.names, "roll")
        self.host.store.finish(release.id)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.one = made.host.write()
    made.two = made.host.write(words=("--a",))
    made.host.runs(made.one)
    made.host.store.finish(made.one.id)
    made.host.orders.clear()
    return made


def test_one_replica(world):
    out = world.roll("gpu0", world.two)
    assert [row["stage"] for row in out.stages] == ALL and out.changed and not out.rolled_back
    assert world.host.orders == [
        "stop vllm@gpu0.service",
        "reset-failed vllm@gpu0.service",
        "enable vllm@gpu0.service",
        "start vllm@gpu0.service",
    ]
    assert (world.host.store.of("gpu0"), world.host.store.of("gpu1")) == (world.two.id, world.one.id)
    assert world.marks == [] and world.most_down == 1
    assert [line.split(",", 1)[0] for line in world.said] == [f"gpu0: {stage}" for stage in ALL]
    assert not world.roll("gpu0", world.two).changed


def test_weights_are_read_while_it_still_serves(world):
    world.host.before = lambda order: seen.append(order.split(" ", 1)[0])
    seen = []
    look = apply.Look(world.host, world.serves, world.out, world.host.proc, world.host.unit_dir)

    def read(path):
        seen.append(f"read {path}, marked: {world.marked('gpu0')}")
        return "15.0 GiB"

    hands = _roll.Hands(
        look, world, world.ready, world.busy, world.clock, world.clock.sleep, world.said.append, read_ahead=read
    )
    new = dataclasses.replace(world.two, model_path="/m")
    out = _roll.Roll(world.host.store, "gpu0", new, hands).go()
    assert [row["stage"] for row in out.stages] == ["read_ahead", *ALL] and out.stages[0]["note"] == "15.0 GiB"
    assert seen[:2] == ["read /m, marked: False", "stop"]
    out = _roll.Roll(world.host.store, "gpu1", dataclasses.replace(new, model_path=""), hands).go()
    assert [row["stage"] for row in out.stages] == ALL


def test_what_it_compiled_is_kept_before_a_request_can_reach_it(world):
    look = apply.Look(world.host, world.serves, world.out, world.host.proc, world.host.unit_dir)
    seen = []

    def keep(name, path):
        seen.append((name, path, world.marked(name)))
        return "2.0 MiB"

    def roll(name, release, **words):
        hands = _roll.Hands(
            look, world, world.ready, world.busy, world.clock, world.clock.sleep, world.said.append, keep_cache=keep
        )
        return _roll.Roll(world.host.store, name, release, hands).go(**words)

    out = roll("gpu0", world.two)
    assert [row["stage"] for row in out.stages] == [*ALL[:-1], "keep_cache", "put_back"]
    assert seen == [("gpu0", f"{world.host.etc}/releases/{world.two.id}/gpu0.env", True)]
    with open(seen[0][1], encoding="utf-8") as handle:
        assert key_in(handle.read())
    world.gateway = False  # requests are let in as soon as it listens
    assert "keep_cache" not in [row["stage"] for row in roll("gpu1", world.two).stages]
    world.gateway = True
    world.bad.add(world.one.id)
    with pytest.raises(_roll.RollError):
        roll("gpu0", world.one)
    assert len(seen) == 1


def test_the_only_replica_keeps_nothing_for_others(tmp_path):
    world = World(tmp_path)
    one, two = world.host.write(names=("gpu0",)), world.host.write(names=("gpu0",), words=("--a",))
    world.host.runs(one)
    look = apply.Look(world.host, world.serves, world.out, world.host.proc, world.host.unit_dir)
    hands = _roll.Hands(
        look,
        world,
        world.ready,
        world.busy,
        world.clock,
        world.clock.sleep,
        keep_cache=lambda *_words: pytest.fail("kept"),
    )
    assert _roll.Roll(world.host.store, "gpu0", two, hands).go().changed


def test_the_files_change_while_it_is_stopped(world):
    world.host.before = lambda order: (
        order.startswith(("stop", "start"))
        and seen.append((order.split(" ", 1)[0], world.host.store.of("gpu0"), world.marked("gpu0")))
    )
    seen = []
    world.roll("gpu0", world.two)
    assert seen == [("stop", world.one.id, True), ("start", world.two.id, True)]


def test_restart_without_a_change(world):
    assert not world.roll("gpu0", world.one).changed and not world.host.orders
    out = world.roll("gpu0", world.one, force=True)
    assert out.changed and "start vllm@gpu0.service" in world.host.orders


def test_an_operators_mark_stays(world):
    world.marks.append(Mark("gpu0", "operator", "fan"))
    out = world.roll("gpu0", world.two)
    assert out.stages[-1]["note"] == "still out by operator"
    assert [mark.by for mark in world.marks] == ["operator"]


@pytest.mark.parametrize("died_at", range(1, 40))
def test_killed_anywhere_the_next_run_completes_and_only_one_is_ever_away(world, died_at):
    world.load = [(2, 5), (1, 9), (0, 9)]
    world.die_at = died_at
    try:
        world.site(world.two)
    except Killed:
        pass
    world.die_at = -1
    world.site(world.two)
    assert world.most_down == 1
    assert world.away() == [] and world.marks == []
    assert world.compare(world.two).mode == "none"
    assert (world.host.store.good(), world.host.store.previous()) == (world.two.id, world.one.id)


@pytest.mark.parametrize("died_at", range(1, 40))
def test_killed_anywhere_and_other_wishes_after(world, died_at):
    """The operator saw the mistake, ended the run, and goes on with a third release, or back to the first."""
    for release in (world.host.write(words=("--c",)), world.one):
        world.steps, world.die_at = 0, died_at
        try:
            world.site(world.two)
        except Killed:
            pass
        world.die_at = -1
        world.site(release)
        assert world.most_down == 1
        assert world.away() == [] and world.marks == []
        assert world.compare(release).mode == "none"


def test_a_bad_version_goes_back_by_itself(world):
    world.bad.add(world.two.id)
    with pytest.raises(_roll.RollError) as failed:
        world.roll("gpu0", world.two)
    assert str(failed.value) == (
        f"gpu0 did not come up with release {world.two.id}: crashed: no such option;"
        f" release {world.one.id} serves there again"
    )
    assert failed.value.rolled.rolled_back
    assert world.away() == [] and world.compare(world.one).mode == "none"


@pytest.mark.parametrize("died_at", range(1, 30))
def test_killed_while_it_goes_back(world, died_at):
    world.bad.add(world.two.id)
    world.die_at = died_at
    for _again in range(3):
        try:
            world.site(world.two)
        except (Killed, _roll.RollError):
            pass
    assert world.most_down == 1
    assert world.away() == [] and world.compare(world.one).mode == "none"


def test_a_bad_version_where_nothing_was_good_before(world):
    world.ill.add("gpu0")
    with pytest.raises(_roll.RollError, match="no other release to go back to, gpu0 stays out of rotation"):
        world.roll("gpu0", world.one, force=True)
    assert world.marked("gpu0") and world.compare(world.two).roll[0] == "gpu0"


def test_going_back_fails_too(world):
    world.bad |= {world.one.id, world.two.id}
    world.serves = lambda row: row["name"] == "gpu1"
    with pytest.raises(
        _roll.RollError, match=r"going back to release .* failed too: crashed: no such option; gpu0 stays"
    ):
        world.roll("gpu0", world.two)
    assert world.marked("gpu0")


def test_it_waits_for_the_requests(world):
    world.load = [(3, 1), (2, 5), (0, 8), (1, 9), (0, 11)]
    world.roll("gpu0", world.two)
    assert world.clock.now - 1000 == 6  # two looks with work, one quiet, one with work, then three quiet


def test_requests_that_do_not_end(world):
    tokens = iter(range(100000))
    world.busy = lambda row: Drained(row["name"], False, False, 1, 2, progress=next(tokens))
    with pytest.raises(_roll.RollError, match=r"gpu0: still 1 running and 2 waiting requests after 300 s.*it goes on"):
        world.roll("gpu0", world.two)
    assert world.away() == [] and not world.host.orders
    out = world.roll("gpu0", world.two, drain_force=True)
    assert out.stages[1]["note"] == "still 1 running and 2 waiting requests" and world.away() == []


def test_a_stalled_engine_is_not_waited_for_as_long(world):
    world.load = [(4, 100)]
    out = world.roll("gpu0", world.two)
    assert out.stages[1]["note"] == "no progress for 120 s: its requests are lost"


OTHERS = [
    ("out", "gpu1 is out of rotation (by watch: no answer)"),
    ("ill", "gpu1: crashed: no such option"),
]


@pytest.mark.parametrize(("how", "why"), OTHERS)
@pytest.mark.parametrize("began", [False, True])
def test_nobody_is_taken_away_while_another_is_down(world, how, why, began):
    if began:  # an earlier run had taken it out already
        world.marks.append(Mark("gpu0", "roll"))
    if how == "out":
        world.marks.append(Mark("gpu1", "watch", "no answer"))
    else:
        world.ill.add("gpu1")
    with pytest.raises(_roll.RollError) as failed:
        world.roll("gpu0", world.two)
    assert str(failed.value).endswith(f"because not every other replica of this host serves: {why}")
    assert not world.marked("gpu0") and not world.host.orders


@pytest.mark.parametrize("state", [("failed", 0), ("inactive", 0), ("active", 0)])
def test_who_is_down_anyway_may_be_started(world, state):
    world.ill.add("gpu1")
    world.host.units["vllm@gpu0.service"] = state
    world.serves = lambda row: row["name"] != "gpu1" and world.host.units["vllm@gpu0.service"][1] != 0
    world.roll("gpu0", world.two)
    assert world.away() == []


def test_the_watch_is_given_time_to_put_back_who_answers_again(world):
    world.marks.append(Mark("gpu1", "watch", "no answer"))
    world.clock.at(10, world.marks.clear)
    world.roll("gpu0", world.two)
    assert world.away() == [] and 10 <= world.clock.now - 1000 < 20


def test_the_only_replica_is_said(tmp_path):
    world = World(tmp_path)
    world.host.runs(world.host.write(names=("gpu0-1",)))
    two = world.host.write(names=("gpu0-1",), words=("--a",))
    out = world.roll("gpu0-1", two)
    assert (
        "gpu0-1 is the only replica of this host: requests that come while it restarts are refused" in out.warnings[0]
    )
    assert world.away() == []


def test_without_a_gateway_nothing_is_waited_for(world):
    world.gateway, world.load = False, [(5, 1)]
    out = world.roll("gpu0", world.two)
    assert [row["note"] for row in out.stages[:2]] == [
        "no gateway here: nothing keeps requests away",
        "left out, requests would go on coming",
    ]


def test_an_instance_that_the_release_lacks(world):
    with pytest.raises(InputError, match=f"release {world.two.id} has no instance 'gpu7'; it has gpu0, gpu1"):
        world.roll("gpu7", world.two)


def test_the_unit_is_replaced_with_the_release(world):
    other = world.host.write(unit="[Unit]\n# other\n")
    world.roll("gpu0", other)
    assert "daemon-reload" in world.host.orders
    with open(world.host.store.unit_path, encoding="utf-8") as handle:
        assert handle.read() == "[Unit]\n# other\n"
