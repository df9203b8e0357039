# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_drain import drain
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import Target
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import (
    Clock,
    FakeEngine,
    Systemd,
    load,
)

UNIT = "vllm@gpu0.service"


@pytest.fixture
def engine():
    fake = FakeEngine()
    yield fake
    fake.stop()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def systemd():
    return Systemd()


def scrapes(*loads):
    return [(200, load(running, waiting)) for running, waiting in loads]


def go(engine, systemd, clock, unit="", **kw):
    (out,) = drain([Target("gpu0", engine.port, unit=unit)], systemd.run, clock, clock.sleep, **kw)
    return out


@pytest.mark.parametrize(
    ("loads", "naps"),
    [
        ([(0, 0)], 2),
        ([(3, 2), (1, 0), (0, 0)], 4),
        ([(0, 1), (0, 0)], 3),
        ([(0, 0), (0, 0), (1, 0), (0, 0)], 5),  # a late one: counting starts anew
    ],
)
def test_quiet_three_times_in_a_row(engine, systemd, clock, loads, naps):
    engine.metrics = scrapes(*loads)
    engine.start()
    out = go(engine, systemd, clock)
    assert (out.drained, out.gone, out.running, out.waiting) == (True, False, 0, 0)
    assert clock.naps == [1.0] * naps
    assert out.seconds == naps


def test_settle_and_interval_are_the_callers(engine, systemd, clock):
    engine.start()
    assert go(engine, systemd, clock, settle=5, interval=0.5).drained
    assert clock.naps == [0.5] * 4


def test_timeout_names_what_still_runs(engine, systemd, clock):
    engine.metrics = (200, load(7, 2))
    engine.start()
    out = go(engine, systemd, clock, timeout=10)
    assert (out.drained, clock.now) == (False, 1010)
    assert out.line(10).startswith("gpu0: still 7 running and 2 waiting requests after 10 s")


def test_every_engine_core_counts(engine, systemd, clock):
    text = load(0, 0) + load(1, 0).replace('engine="0"', 'engine="1"')
    engine.metrics = [(200, text), (200, load(0, 0))]
    engine.start()
    assert go(engine, systemd, clock).drained
    assert len(clock.naps) == 3


def test_two_instances_each_for_itself(engine, systemd, clock):
    other = FakeEngine()
    try:
        other.metrics = (200, load(1, 0))
        outs = drain(
            [Target("a", engine.start().port), Target("b", other.start().port)],
            systemd.run, clock, clock.sleep, timeout=5,
        )  # fmt: skip
    finally:
        other.stop()
    assert [out.drained for out in outs] == [True, False]


@pytest.mark.parametrize(
    ("props", "gone_ok", "drained"),
    [
        ({"ActiveState": "inactive"}, None, True),
        ({"ActiveState": "failed"}, None, True),
        ({"LoadState": "not-found"}, None, True),
        ({"ActiveState": "active"}, None, False),  # it runs, so its silence means nothing good
        ({"ActiveState": "activating"}, None, False),
        ({"ActiveState": "inactive"}, False, False),
        ({"ActiveState": "active"}, True, True),
    ],
)
def test_nobody_answers(engine, systemd, clock, props, gone_ok, drained):
    systemd.set(UNIT, **props)
    out = go(engine, systemd, clock, UNIT, gone_ok=gone_ok, timeout=3)  # not started: refused
    assert (out.drained, out.gone, out.running) == (drained, drained, None)
    assert ("Connection refused" in out.error) == (not drained)


def test_without_a_unit_silence_is_no_proof(engine, systemd, clock):
    assert not go(engine, systemd, clock, timeout=2).drained


def test_a_hanging_engine_is_not_gone(engine, systemd, clock):
    engine.hang = {"/metrics"}
    engine.start()
    out = go(engine, systemd, clock, gone_ok=True, timeout=1, request=0.1)
    assert (out.drained, out.gone) == (False, False)
    assert "no answer" in out.line(1)


@pytest.mark.parametrize(("said", "text"), [((200, "up 1\n"), "is it vLLM"), ((404, ""), "/metrics answered 404")])
def test_metrics_that_say_nothing(engine, systemd, clock, said, text):
    engine.metrics = said
    engine.start()
    out = go(engine, systemd, clock, gone_ok=True, timeout=2)
    assert not out.drained
    assert text in out.line(2)


def test_once_looks_once(engine, systemd, clock):
    engine.start()
    assert go(engine, systemd, clock, once=True).drained
    engine.metrics = (200, load(1, 0))
    assert not go(engine, systemd, clock, once=True).drained
    assert clock.naps == []
