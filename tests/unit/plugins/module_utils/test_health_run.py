# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import sys
import time

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _health_look, _health_run
from ansible_collections.gpuserve.inference.plugins.module_utils._health_look import Eye, Verdict, judge
from ansible_collections.gpuserve.inference.plugins.module_utils._health_run import Health
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_settings import Settings
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import FakeEngine, load

UUIDS = ("GPU-00000000-0000-0000-0000-00000000000a", "GPU-00000000-0000-0000-0000-00000000000b")
BAD = "Xid 79 (the GPU has fallen off the bus)"


class Host:
    """Two replicas whose units start and stop at once; a verdict for each look, the last one for ever."""

    def __init__(self, tmp_path, answering=True):
        self.engines = [FakeEngine(), FakeEngine()]
        for engine in self.engines:
            engine.metrics = (200, load(0, 0))
            if answering:
                engine.start()
        self.units = {f"vllm@gpu{n}.service": "active" for n in (0, 1)}
        self.orders, self.said, self.verdicts, self.now = [], [], [Verdict()], 0.0
        self.etc, self.run_dir = tmp_path / "etc", tmp_path / "run"
        (self.etc / "instances").mkdir(parents=True)
        rows = [
            {"name": f"gpu{n}", "port": engine.port, "gpu_uuids": [UUIDS[n]], "unit": f"vllm@gpu{n}.service"}
            for n, engine in enumerate(self.engines)
        ]
        for row in rows:
            (self.etc / "instances" / f"{row['name']}.args").write_text("vllm\n")
        (self.etc / "instances" / "release.json").write_text(json.dumps({"targets": rows}))
        (self.etc / "plan.json").write_text(json.dumps({"instances": rows}))
        self.rotation = Rotation(self.run, str(self.etc), str(tmp_path / "proc"), str(self.run_dir))
        settings = Settings(drain_timeout=5, answer_timeout=0.5)
        self.health = Health(
            self.look,
            self.rotation,
            self.run,
            settings,
            str(self.etc),
            str(self.run_dir),
            clock=lambda: self.now,
            sleep=self.sleep,
            tell=lambda level, text: self.said.append((level, text)),
        )

    def look(self, instances):
        assert [row["name"] for row in instances] == ["gpu0", "gpu1"]
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    def sleep(self, seconds):
        self.now += seconds

    def run(self, words):
        if words[1] == "show":
            rows = [f"Id={unit}\nLoadState=loaded\nActiveState={state}\n" for unit, state in self.units.items()]
            return 0, "\n".join(rows), ""
        self.orders.append(tuple(words[1:]))
        if words[1] in ("start", "stop"):
            self.units[words[2]] = {"start": "active", "stop": "inactive"}[words[1]]
        return 0, "", ""

    def marks(self):
        return [(mark.name, mark.by) for mark in self.rotation.look().marks]

    def close(self):
        for engine in self.engines:
            engine.stop()


@pytest.fixture
def host(tmp_path):
    found = Host(tmp_path)
    yield found
    found.close()


def test_healthy_cards_change_nothing(host):
    host.health.once()
    assert (host.orders, host.said, host.marks()) == ([], [], [])


def test_a_card_fails_and_is_well_again(host):
    host.verdicts = [Verdict(hit={"gpu0": BAD})]
    host.health.once()
    assert host.marks() == [("gpu0", "health")]
    assert host.orders == [("stop", "vllm@gpu0.service"), ("reset-failed", "vllm@gpu0.service")]
    assert host.said == [
        (4, f"gpu0: out of rotation: {BAD}"),
        (4, "gpu0: stopped until its cards are well"),
    ]
    host.health.once()  # still so a minute later
    assert len(host.orders) == 2
    host.verdicts, host.orders[:], host.said[:] = [Verdict()], [], []
    host.health.once()
    assert host.orders == [("start", "vllm@gpu0.service")]
    assert host.marks() == []
    assert host.said == [
        (5, "gpu0: started: its cards are well"),
        (5, "gpu0: back in rotation: its cards are well and it answers"),
    ]


def test_one_look_alone_proves_nothing(host):
    host.verdicts = [Verdict(hit={"gpu0": BAD}, restart={"gpu1": BAD}), Verdict(hit={"gpu1": BAD})]
    host.health.once()
    assert host.orders == []


def test_a_process_that_an_error_hit_is_restarted_once(host):
    host.verdicts = [Verdict(restart={"gpu1": "Xid 94"})]
    host.health.once()
    verbs = [order[0] for order in host.orders]
    assert verbs == ["stop", "reset-failed", "start"]
    assert host.marks() == []
    assert host.said[-1][1].startswith("gpu1: back in rotation")


def test_no_restart_during_a_rollout(host):
    host.verdicts = [Verdict(restart={"gpu1": "Xid 94"})]
    host.run_dir.mkdir()
    with open(host.run_dir / "roll.lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        host.health.once()
    assert host.orders == []
    assert host.marks() == []


def test_work_that_does_not_end_is_not_waited_for_for_ever(host):
    host.engines[0].metrics = (200, load(3, 0))
    host.verdicts = [Verdict(hit={"gpu0": BAD})]
    host.health.once()
    assert host.orders[0] == ("stop", "vllm@gpu0.service")
    assert any("still 3 running" in text for _level, text in host.said)
    assert 5 <= host.now < 30


def test_a_replica_that_takes_longer_to_load_is_put_back_by_a_later_run(tmp_path):
    host = Host(tmp_path, answering=False)
    host.rotation.take_out(["gpu0"], "health", BAD)
    host.units["vllm@gpu0.service"] = "inactive"
    host.health.once()
    assert host.orders == [("start", "vllm@gpu0.service")]
    assert host.marks() == [("gpu0", "health")]
    assert 40 < host.now < 60
    host.engines[0].start()
    host.health.once()
    assert host.marks() == []
    host.close()


def test_what_cannot_be_known_is_said_once_and_nothing_is_done(host):
    for problem in ("driver mismatch", "driver mismatch", "", "it hangs"):
        host.verdicts = [Verdict(problem=problem)]
        host.health.once()
    assert host.orders == []
    assert [text.rpartition(": ")[2] for _level, text in host.said] == ["driver mismatch", "it hangs"]


def test_a_second_look_that_fails_proves_nothing_either(host):
    host.verdicts = [Verdict(hit={"gpu0": BAD}), Verdict(problem="it hangs")]
    host.health.once()
    assert host.orders == []


@pytest.mark.parametrize("cards", [{}, {"gpu_uuids": [], "gpus": []}])
def test_a_host_without_cards_is_not_looked_at(host, cards):
    (host.etc / "plan.json").write_text(json.dumps({"instances": [{"name": "gpu0", "port": 1, **cards}]}))
    host.health._look = None
    host.health.once()


# ---------------------------------------------------------------- the look in a process of its own


def eye(tmp_path, code, timeout=10.0):
    return Eye([sys.executable, "-c", code], str(tmp_path / "run"), timeout)


def test_the_child_is_given_the_instances(tmp_path):
    code = "import json,sys; print(json.dumps({'hit': {r['name']: 'bad' for r in json.load(sys.stdin)}}))"
    assert eye(tmp_path, code).look([{"name": "gpu0"}]) == Verdict(hit={"gpu0": "bad"})


@pytest.mark.parametrize("code", ["raise OSError('broken')", "print('[]')", "import sys; sys.exit('broken')"])
def test_a_child_that_fails_is_a_problem(tmp_path, code):
    verdict = eye(tmp_path, code).look([])
    assert verdict.problem.startswith("the look at the cards failed: ")
    assert not verdict.hit


def test_a_look_that_hangs_is_left_behind_and_no_second_one_begun(tmp_path, monkeypatch):
    """As it is where the driver holds the process: it does not go away when it is killed."""
    killed = []

    def note(child):
        killed.append(child)

    monkeypatch.setattr(_health_look.subprocess.Popen, "kill", note)
    stuck = eye(tmp_path, "import time; time.sleep(60)", 0.3)
    began = time.monotonic()
    assert "did not end within" in stuck.look([]).problem
    assert "still hangs" in stuck.look([]).problem
    assert time.monotonic() - began < 30
    child = killed[0]
    os.kill(child.pid, 9)
    child.wait()
    assert eye(tmp_path, "print('{}')").look([]) == Verdict()


# ---------------------------------------------------------------- the child


def test_a_host_without_tools_or_cards_has_no_verdict(monkeypatch):
    def missing(*_paths):
        raise _health_look.PynvmlMissing("no pynvml")

    monkeypatch.setattr(_health_look, "load_pynvml", missing)
    assert judge([{"name": "gpu0", "gpu_uuids": [UUIDS[0]]}]) == {}
    assert judge([{"name": "gpu0"}]) == {}


def test_the_program_as_its_own_child(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpuserve-health", "--look"])
    monkeypatch.setattr(sys, "stdin", __import__("io").StringIO("[]"))
    monkeypatch.setattr(_health_look, "judge", lambda instances: {"hit": {"gpu0": str(instances)}})
    assert _health_run.main() == 0
    assert json.loads(capsys.readouterr().out) == {"hit": {"gpu0": "[]"}}
