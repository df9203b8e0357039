# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _watch_run
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Mark, RotationError, RotationState
from ansible_collections.gpuserve.inference.plugins.module_utils._watch import ANSWERED, DEAD, SILENT, Limits, Seen
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_run import Watch, load, save
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_settings import (
    Settings,
    read_settings,
    settings_from,
)


class Rotation:
    """What the watch needs of it, on a host whose nginx may refuse."""

    def __init__(self):
        self.marks, self.calls, self.refuses = [], [], False

    def look(self):
        return RotationState([], list(self.marks))

    def sync(self):
        self.calls.append("sync")

    def take_out(self, names, by, reason):
        if self.refuses:
            raise RotationError("nginx -t refuses the upstreams")
        self.calls.append(("out", *names, by))
        self.marks += [Mark(name, by, reason) for name in names]

    def put_back(self, names, by):
        self.calls.append(("back", *names, by))
        self.marks = [mark for mark in self.marks if mark.name not in names or mark.by != by]


class Host:
    def __init__(self, tmp_path):
        self.rotation, self.ran, self.said, self.looks = Rotation(), [], [], []
        self.state = tmp_path / "run" / "watch" / "state.json"
        limits = Limits(8, 30, 180, 900)
        self.watch = Watch(self.look, self.rotation, self.run, str(self.state), limits, self.tell)

    def look(self, left):
        self.left = left
        return self.looks

    def run(self, words):
        self.ran.append(words)
        return 0, "", ""

    def tell(self, level, text):
        self.said.append((level, text))

    def see(self, at, answer, **more):
        self.looks = [Seen("gpu0", at, answer, invocation="one", counters=(0.0,), **more)]
        return self.watch.once()


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_a_stall_from_the_first_doubt_to_the_return(host):
    stopped = {"stopped": ("VLLM::EngineCor (7)",)}
    assert host.see(0, ANSWERED) is None
    assert host.see(7, SILENT, **stopped) == 1
    assert host.see(9, SILENT, **stopped) == 21
    assert host.see(31, SILENT, **stopped) == 0
    assert host.see(60, ANSWERED) is None
    assert host.rotation.calls == ["sync", ("out", "gpu0", "watch"), ("back", "gpu0", "watch")]
    assert host.ran == [["systemctl", "kill", "--signal=SIGKILL", "vllm@gpu0.service"]]
    assert host.said == [
        (4, "gpu0: out of rotation: no answer and no step for 9 s, VLLM::EngineCor (7) stopped"),
        (4, "gpu0: killed, to be started again: no answer and no step for 31 s, VLLM::EngineCor (7) stopped"),
        (5, "gpu0: back in rotation: answers again"),
    ]


def test_an_nginx_that_refuses_stops_neither_the_next_try_nor_the_kill(host):
    stopped = {"stopped": ("x (7)",)}
    host.see(0, ANSWERED)
    host.rotation.refuses = True
    host.see(9, SILENT, **stopped)
    host.see(31, SILENT, **stopped)
    assert [level for level, _text in host.said] == [3, 3, 4]
    assert len(host.ran) == 1


def test_somebody_took_it_out_between_look_and_act(host):
    host.see(0, ANSWERED)
    marks = iter([[], [Mark("gpu0", "roll")], [Mark("gpu0", "roll")]])
    host.rotation.look = lambda: RotationState([], next(marks))
    host.see(9, DEAD)
    assert host.rotation.calls == ["sync"]
    assert host.said == []


def test_marks_on_what_is_gone_are_taken_off(host):
    host.rotation.marks = [Mark("old", "watch"), Mark("old", "operator"), Mark("gpu0", "watch")]
    host.see(0, DEAD)
    assert host.rotation.calls == ["sync", ("back", "old", "watch")]


def test_sync_is_for_the_first_run_of_a_boot(host):
    host.see(0, ANSWERED)
    host.see(4, ANSWERED)
    assert host.rotation.calls == ["sync"]


def test_memory_survives_the_file(tmp_path, host):
    host.see(0, ANSWERED)
    host.see(9, SILENT, cpu={7: 1.5}, stopped=("x (7)",))
    memories = load(str(host.state))
    save(str(tmp_path / "copy" / "state.json"), memories)
    assert load(str(tmp_path / "copy" / "state.json")) == memories
    assert memories["gpu0"].cpu == {7: 1.5}
    assert memories["gpu0"].answered


BROKEN = ["", "[]", "{", '{"gpu0": {}}', '{"gpu0": 3}', '{"gpu0": {"cpu": {}, "counters": [], "x": 1}}']


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_memory_is_none(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert load(str(tmp_path / "state.json")) == {}


# ---------------------------------------------------------------- settings


def test_defaults_meet_the_promises():
    """Out within 15 s, killed soon enough to be started again within 60 s, at the timer's beat."""
    now = Settings()
    late = now.interval + now.answer_timeout
    assert now.out_after + late <= 15
    assert now.restart_after + late + 5 < 60


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"interval": 0}, "interval is 0; give seconds from 1 to 300"),
        ({"interval": True}, "interval is True"),
        ({"out_after": "8"}, "out_after is '8'; give seconds from 2 to 3600"),
        ({"start_after": -1}, "start_after is -1; give seconds from 0"),
        ({"answer_timeout": float("nan")}, "answer_timeout is nan"),
        ({"outafter": 8}, "outafter is no setting of the watch; it has answer_timeout, "),
        ({"out_after": 40}, "restart_after is 30; give more than w_out_after (40)"),
        ({"busy_after": 20}, "busy_after is 20; give at least w_restart_after (30)"),
    ],
)
def test_bad_settings_are_one_line(values, words):
    with pytest.raises(InputError) as error:
        settings_from(values, "w_")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_of_the_file(tmp_path):
    path = tmp_path / "watch.json"
    assert read_settings(str(path)) == Settings()
    path.write_text(json.dumps({"interval": 2, "restart_after": 20}))
    assert read_settings(str(path)) == Settings(interval=2.0, restart_after=20.0)
    for text in ("", "[]", "{"):
        path.write_text(text)
        with pytest.raises(InputError, match="run the role again"):
            read_settings(str(path))


@pytest.mark.parametrize("broken", ["watch_replicas", "end_old_keys"])
def test_each_part_runs_whatever_becomes_of_the_other(monkeypatch, capsys, broken):
    ran = []

    def fails():
        raise InputError("it is broken")

    for name in ("watch_replicas", "end_old_keys"):
        monkeypatch.setattr(_watch_run, name, fails if name == broken else lambda name=name: ran.append(name))
    assert _watch_run.main() == 1
    assert len(ran) == 1
    assert capsys.readouterr().out == "<3>it is broken\n"
