# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _watch_look
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import EngineClient
from ansible_collections.gpuserve.inference.plugins.module_utils._watch import (
    ANSWERED,
    COUNTERS,
    DEAD,
    SILENT,
    UNKNOWN,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_look import Looker, Replica, ask, replicas
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import FakeEngine, load

ANSWER = 0.3


@pytest.fixture
def engine():
    fake = FakeEngine().start()
    yield fake
    fake.stop()


def client_of(engine, key=None):
    return EngineClient(f"http://127.0.0.1:{engine.port}", key, ANSWER)


def kind(engine, **more):
    return ask(Replica("gpu0", "", **more), client_of(engine), ANSWER)[0]


FULL = (503, {"error": {"message": "queue is full"}})
BROKEN = (500, {"error": {"message": "EngineCore encountered an issue"}})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ANSWERED),
        ({"hang": {"/v1/completions"}}, SILENT),
        ({"hang": {"/v1/models"}}, SILENT),
        ({"answer": FULL}, SILENT),  # its admission limits: the engine is well
        ({"answer": FULL, "health": 503}, DEAD),
        ({"answer": BROKEN, "health": 503}, DEAD),
        ({"answer": BROKEN}, SILENT),
        ({"answer": BROKEN, "hang": {"/health"}}, SILENT),
        ({"answer": (429, {"detail": "slow down"})}, SILENT),
        ({"answer": (401, {"error": "Unauthorized"})}, UNKNOWN),
        ({"answer": (404, {"detail": "Not Found"})}, UNKNOWN),
        ({"answer": (200, {"choices": []})}, SILENT),
        ({"models": (200, {"data": []})}, ANSWERED),
    ],
)
def test_what_an_answer_means(engine, change, expected):
    for name, value in change.items():
        setattr(engine, name, value)
    assert kind(engine) == expected


def test_nobody_listens():
    engine = FakeEngine()
    assert kind(engine) == DEAD
    engine.stop()


def test_it_asks_for_one_token_of_the_model_it_serves_with_the_key(engine):
    assert ask(Replica("gpu0", "", model="big"), client_of(engine, "secret"), ANSWER) == (ANSWERED, "")
    path, body, key = engine.seen[-1]
    assert (path, body["model"], body["max_tokens"], key) == ("/v1/completions", "big", 1, "Bearer secret")
    assert len(engine.seen) == 1


def test_an_embedding_model_is_asked_for_an_embedding(engine):
    engine.embedding = (200, {"data": [{"embedding": [0.1]}]})
    assert kind(engine, task="embed") == ANSWERED
    assert engine.seen[-1][0] == "/v1/embeddings"


@pytest.mark.parametrize(("health", "expected"), [(200, ANSWERED), (503, DEAD)])
def test_of_other_tasks_only_the_health_is_known(engine, health, expected):
    engine.health, engine.hang = health, {"/v1/completions"}
    assert kind(engine, task="classify") == expected


def test_counters_are_those_of_the_engine_core(engine):
    engine.metrics = (200, load(3, 5) + "process_cpu_seconds_total 7.0\nhttp_requests_total 9.0\n")
    values = _watch_look.counters(client_of(engine))
    assert sum(values) == 8.0
    assert len(values) == len(COUNTERS)


@pytest.mark.parametrize("metrics", [(404, ""), (200, "process_cpu_seconds_total 7.0\n")])
def test_metrics_may_be_switched_off(engine, metrics):
    engine.metrics = metrics
    assert _watch_look.counters(client_of(engine)) == ()


# ---------------------------------------------------------------- which there are

TARGET = {"name": "gpu0", "host": "127.0.0.1", "port": 8001, "task": "embed", "served_model_name": "m"}


def test_each_instance_by_the_release_it_is_linked_to(tmp_path):
    for release, port in (("a", 8001), ("b", 8102)):
        folder = tmp_path / "releases" / release
        folder.mkdir(parents=True)
        targets = [{**TARGET, "name": name, "port": port + n} for n, name in enumerate(("gpu0", "gpu1", "gpu2"))]
        (folder / "release.json").write_text(json.dumps({"targets": targets}))
        for name in ("gpu0", "gpu1"):
            (folder / f"{name}.args").write_text("vllm\n")
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances" / "gpu0.args").symlink_to("../releases/b/gpu0.args")
    (tmp_path / "instances" / "gpu1.args").symlink_to("../releases/a/gpu1.args")
    assert replicas(str(tmp_path)) == [
        Replica("gpu0", "http://127.0.0.1:8102", "embed", "m"),
        Replica("gpu1", "http://127.0.0.1:8002", "embed", "m"),
    ]


def test_instances_from_before_there_were_releases(tmp_path):
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances" / "gpu0.args").write_text("vllm\n")
    (tmp_path / "instances" / "gone.args").write_text("vllm\n")
    assert replicas(str(tmp_path)) == []
    plan = {"model": {"served_model_name": "m"}, "instances": [{"name": "gpu0", "port": 8001}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert replicas(str(tmp_path)) == [Replica("gpu0", "http://127.0.0.1:8001", "generate", "m")]


def test_a_host_without_instances(tmp_path):
    assert Looker(None, None, str(tmp_path)).look() == []


@pytest.mark.parametrize(("text", "expected"), [(None, None), ("", None), ("abc\n", "abc")])
def test_engine_key(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "engine.key").write_text(text)
    assert _watch_look.engine_key(str(tmp_path)) == expected


# ---------------------------------------------------------------- processes


def process(proc, pid, unit, state="S", ticks=(0, 0, 0, 0), name="python"):
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cgroup").write_text(f"1:name=systemd:/system.slice/system-vllm.slice/{unit}\n0::/\n")
    words = [state, "1"] + ["0"] * 9 + [str(tick) for tick in ticks] + ["0"] * 30
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(words)}\n")


def test_cpu_time_with_that_of_ended_children_and_stopped_processes(tmp_path):
    hertz = os.sysconf("SC_CLK_TCK")
    process(tmp_path, 10, "vllm@gpu0.service", ticks=(hertz, hertz, hertz, hertz))
    process(tmp_path, 11, "vllm@gpu0.service", "T", name="VLLM::E (x) y")
    process(tmp_path, 12, "vllm@gpu01.service")
    process(tmp_path, 13, "nginx.service")
    pids = _watch_look.processes("vllm@gpu0.service", str(tmp_path))
    assert pids == [10, 11]
    assert _watch_look.at_work([*pids, 99], str(tmp_path)) == ({10: 4.0, 11: 0.0}, ("VLLM::E (x) y (11)",))


# ---------------------------------------------------------------- all of it

UNIT = "Id=vllm@{0}.service\nLoadState=loaded\nActiveState={1}\nSubState={2}\nResult={3}\nInvocationID=i-{0}\n"


def test_look(tmp_path, engine):
    engine.hang, engine.metrics = {"/v1/completions"}, (200, load(2, 1))
    (tmp_path / "instances").mkdir()
    (tmp_path / "engine.key").write_text("secret\n")
    rows = []
    for name in ("gpu0", "gpu1", "gpu2"):
        (tmp_path / "instances" / f"{name}.args").write_text("vllm\n")
        rows.append({"name": name, "port": engine.port})
    (tmp_path / "instances" / "release.json").write_text(json.dumps({"targets": rows}))
    process(tmp_path / "proc", 10, "vllm@gpu0.service", "T")
    asked = []

    def run(words):
        asked.append(words)
        states = [("gpu0", "active", "running", ""), ("gpu1", "failed", "failed", "exit-code")]
        return 0, "\n".join(UNIT.format(*state) for state in states), ""

    looker = Looker(run, lambda: 5.0, str(tmp_path), str(tmp_path / "proc"), ANSWER)
    gpu0, gpu1, gpu2 = looker.look()
    assert (gpu0.answer, gpu0.invocation, gpu0.stopped) == (SILENT, "i-gpu0", ("python (10)",))
    assert sum(gpu0.counters) == 3.0
    assert (gpu0.before, gpu0.begun) == (gpu0.counters, 5.0)
    assert (gpu1.answer, gpu1.why) == (DEAD, "vllm@gpu1.service is failed (exit-code)")
    assert (gpu2.answer, gpu2.active) == (DEAD, "")
    assert len(asked) == 1  # one call for all
    assert {key for _path, _body, key in engine.seen} == {"Bearer secret"}
