# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import (
    Host,
    Patience,
    Target,
    targets_from,
    wait_ready,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import (
    Clock,
    FakeEngine,
    Systemd,
)

UNIT = "vllm@gpu0.service"
QUICK = Patience(timeout=900, sleep=1, max_sleep=10, request=5, answer=5)


@pytest.fixture
def engines():
    fakes = [FakeEngine(), FakeEngine()]
    yield fakes
    for fake in fakes:
        fake.stop()


@pytest.fixture
def engine(engines):
    return engines[0]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def systemd():
    fake = Systemd()
    fake.set(UNIT)
    return fake


def target(engine, name="gpu0", unit=UNIT, **kw):
    return Target(name, engine.port, unit=unit, served_model_name=kw.pop("model", "tiny"), **kw)


def wait(targets, systemd, clock, patience=QUICK, **kw):
    host = Host(systemd.run, systemd.listeners)
    return wait_ready(targets, host, clock, clock.sleep, patience, **kw)


def test_a_slow_start_step_by_step(engine, systemd, clock):
    """Refused, then 503, then no model yet, then 500 to the first completion, then serving."""
    engine.health = [503, 503, 200]
    engine.models = [(200, {"data": []}), (200, {"data": [{"id": "tiny"}]})]
    engine.answer = [(500, {"error": {"message": "not yet"}}), engine.answer]
    clock.at(40, engine.start)
    (out,) = wait([target(engine, expected={"kv_cache_tokens": 900000, "num_gpu_blocks": 56057})], systemd, clock)
    assert (out.ready, out.stage, out.error, out.models) == (True, "ready", "", ["tiny"])
    assert 40 < out.seconds < 100
    assert out.kv == {
        "num_gpu_blocks": 56057,
        "block_size": 16,
        "kv_cache_tokens": 896912,
        "max_concurrency": 6.5,
        "planned_kv_cache_tokens": 900000,
        "planned_num_gpu_blocks": 56057,
        "difference_percent": -0.34,
        "blocks_difference_percent": 0.0,
    }
    # the pause grows up to its cap
    assert clock.naps[:3] == [1, 1.5, 2.25]
    assert max(clock.naps) == 10


def test_ready_at_once_does_not_sleep(engine, systemd, clock):
    engine.start()
    (out,) = wait([target(engine)], systemd, clock)
    assert out.ready
    assert clock.naps == []
    assert [path for path, _b, _k in engine.seen] == ["/health", "/v1/models", "/v1/completions", "/metrics"]


def test_two_in_one_call_each_in_its_own_time(engines, systemd, clock):
    first, second = engines
    first.start()
    clock.at(100, second.start)
    outs = wait([target(second, "late", unit=""), target(first, "early", unit="")], systemd, clock)
    assert [(o.name, o.ready) for o in outs] == [("late", True), ("early", True)]
    assert outs[1].seconds == 0
    assert outs[0].seconds >= 100
    assert sum(path == "/health" for path, _b, _k in first.seen) == 1  # not asked again


def test_timeout_keeps_what_was_reached(engines, systemd, clock):
    ready, stuck = engines
    ready.start()
    stuck.health = 503
    stuck.start()
    systemd.journals[UNIT, "aaaa"] = "(EngineCore pid=9) INFO 11-23 12:00:57 [w.py:1] Loading shards: 50%\n"
    outs = wait([target(ready, "a", unit=""), target(stuck, "b")], systemd, clock, Patience(timeout=60))
    assert [o.ready for o in outs] == [True, False]
    assert clock.now == 1060  # never past the deadline
    assert outs[1].stage == "health"
    assert outs[1].line() == (
        "b: not ready within 60 s: /health answered 503; last line of its journal: Loading shards: 50%"
        f" ('journalctl -u {UNIT}' tells more; a larger vllm_start_timeout waits longer)"
    )


ARGUMENT = "vllm: error: unrecognized arguments: --foo\n"
MEMORY = "ValueError: Free memory on device cuda:0 (3/15 GiB) on startup is less than desired GPU memory utilization\n"


def test_a_failed_unit_ends_the_wait_at_once(engine, systemd, clock):
    systemd.journals[UNIT, "bbbb"] = MEMORY
    clock.at(
        30,
        lambda: systemd.set(
            UNIT, ActiveState="failed", SubState="failed", MainPID="0", Result="exit-code", ExecMainStatus="1",
            InvocationID="bbbb",
        ),
    )  # fmt: skip
    (out,) = wait([target(engine)], systemd, clock)
    assert (out.ready, out.fatal, out.stage, out.cause) == (False, True, "unit", "gpu_memory_taken")
    assert out.seconds < 45
    assert out.line().startswith("gpu0: vllm@gpu0.service has failed (exit-code): ValueError: Free memory on device")
    assert out.line().endswith("lower vllm_gpu_memory_utilization)")


@pytest.mark.parametrize(
    ("props", "error"),
    [
        ({"ActiveState": "inactive", "SubState": "dead", "MainPID": "0"}, "vllm@gpu0.service is not running"),
        ({"LoadState": "not-found", "ActiveState": "inactive", "MainPID": "0"}, "vllm@gpu0.service does not exist"),
        ({"LoadState": "masked", "ActiveState": "inactive", "MainPID": "0"}, "vllm@gpu0.service is masked"),
        ({"MainPID": "0"}, "vllm@gpu0.service is active but its main process is gone"),
        (
            {"ActiveState": "failed", "MainPID": "0", "Result": "oom-kill", "ExecMainCode": "2", "ExecMainStatus": "9"},
            "ran out of memory",
        ),
        (
            {"ActiveState": "failed", "MainPID": "0", "Result": "exit-code", "ExecMainStatus": "203"},
            "execute the engine",
        ),
    ],
)
def test_units_that_will_not_come(engine, systemd, clock, props, error):
    systemd.set(UNIT, **props)
    (out,) = wait([target(engine)], systemd, clock)
    assert error in out.error
    assert (out.fatal, clock.naps) == (True, [])


def test_one_dead_unit_does_not_stop_the_other(engines, systemd, clock):
    dead, slow = engines
    systemd.set("vllm@gpu1.service", ActiveState="failed", MainPID="0", Result="exit-code", ExecMainStatus="1")
    clock.at(50, slow.start)
    outs = wait([target(dead, "gpu1", "vllm@gpu1.service"), target(slow)], systemd, clock)
    assert [o.ready for o in outs] == [False, True]
    assert outs[0].seconds == 0


def crash(systemd, number, between=False):
    """The ``number``-th crash: systemd waits to start it again, or has done so."""
    systemd.set(
        UNIT,
        ActiveState="activating" if between else "active",
        SubState="auto-restart" if between else "running",
        NRestarts=str(7 + number - between),
        MainPID="0" if between else "99",
        Result="exit-code" if between else "success",
        ExecMainStatus="1" if between else "0",
        InvocationID=f"run{number - between}",
    )


@pytest.mark.parametrize("between", [True, False])
def test_a_crash_that_can_only_repeat_itself_is_enough(engine, systemd, clock, between):
    systemd.set(UNIT, NRestarts="7", InvocationID="run0")  # crashes of earlier days do not count
    systemd.journals[UNIT, "run0"] = ARGUMENT
    clock.at(20, lambda: crash(systemd, 1, between))
    (out,) = wait([target(engine)], systemd, clock)
    assert (out.fatal, out.cause) == (True, "unknown_argument")
    assert out.error == "vllm@gpu0.service crashed: vllm: error: unrecognized arguments: --foo"
    assert out.seconds < 35


def test_a_crash_that_may_pass_gets_another_chance(engine, systemd, clock):
    systemd.set(UNIT, NRestarts="7", InvocationID="run0")
    systemd.journals[UNIT, "run0"] = MEMORY
    clock.at(20, lambda: crash(systemd, 1, between=True))
    clock.at(25, lambda: crash(systemd, 1))
    clock.at(90, engine.start)
    (out,) = wait([target(engine)], systemd, clock)
    assert (out.ready, out.error, out.cause) == (True, "", "")


def test_but_not_more_than_the_limit(engine, systemd, clock):
    systemd.set(UNIT, NRestarts="7", InvocationID="run0")
    systemd.journals[UNIT, "run0"] = systemd.journals[UNIT, "run1"] = MEMORY
    clock.at(20, lambda: crash(systemd, 1))
    clock.at(60, lambda: crash(systemd, 2))
    (out,) = wait([target(engine)], systemd, clock)
    assert (out.fatal, out.cause) == (True, "gpu_memory_taken")
    assert out.error.startswith("vllm@gpu0.service crashed 2 times: ValueError: Free memory")
    assert 60 <= out.seconds < 75


def test_a_crash_is_not_forgotten_when_time_runs_out(engine, systemd, clock):
    systemd.set(UNIT, NRestarts="7", InvocationID="run0")
    systemd.journals[UNIT, "run0"] = MEMORY
    clock.at(20, lambda: crash(systemd, 1))
    (out,) = wait([target(engine)], systemd, clock, Patience(timeout=60))
    assert "not ready within 60 s" in out.error
    assert "before that vllm@gpu0.service crashed: ValueError: Free memory" in out.error


def test_journal_without_the_invocation_is_better_than_none(engine, systemd, clock):
    systemd.journals[UNIT, ""] = ARGUMENT
    systemd.set(UNIT, ActiveState="failed", MainPID="0", Result="exit-code", ExecMainStatus="2")
    (out,) = wait([target(engine)], systemd, clock)
    assert out.cause == "unknown_argument"


def test_without_systemd_it_goes_by_http_alone(engine, systemd, clock):
    systemd.there = False
    engine.start()
    (out,) = wait([target(engine)], systemd, clock)
    assert out.ready


FOREIGN = {"address": "127.0.0.1", "port": 0, "pid": 42, "process": "ollama", "unit": "ollama.service"}


def test_another_model_on_the_port(engine, systemd, clock):
    engine.start()
    systemd.ports = [{**FOREIGN, "port": engine.port}]
    (out,) = wait([target(engine, unit="", model="other")], systemd, clock)
    assert (out.fatal, out.stage, clock.naps) == (True, "model", [])
    port = engine.port
    assert out.error == (
        f"port {port} serves tiny, not other; port {port} is held by process 42 (ollama, ollama.service)"
    )


def test_the_right_model_of_the_wrong_process(engine, systemd, clock):
    """An engine left over from before answers like the new one would."""
    engine.start()
    systemd.ports = [{**FOREIGN, "port": engine.port, "process": "vllm", "unit": ""}]
    (out,) = wait([target(engine)], systemd, clock)
    assert out.fatal
    assert f"port {engine.port} is answered by process 42 (vllm), not by vllm@gpu0.service" in out.error


def test_the_own_process_is_fine(engine, systemd, clock):
    engine.start()
    systemd.ports = [{**FOREIGN, "port": engine.port, "unit": UNIT}]
    assert wait([target(engine)], systemd, clock)[0].ready


@pytest.mark.parametrize("health", [404, 401, 302])
def test_a_web_server_that_is_not_vllm(engine, systemd, clock, health):
    engine.health = health
    engine.start()
    (out,) = wait([target(engine)], systemd, clock)
    assert (out.fatal, out.stage, out.cause) == (True, "health", "foreign")
    assert f"port {engine.port} answers, but not as vLLM: /health answered {health}" in out.error


def test_port_in_use_names_who_holds_it(engine, systemd, clock):
    systemd.ports = [{**FOREIGN, "port": engine.port}]
    systemd.journals[UNIT, "aaaa"] = "OSError: [Errno 98] Address already in use\n"
    systemd.set(UNIT, ActiveState="failed", MainPID="0", Result="exit-code", ExecMainStatus="1")
    (out,) = wait([target(engine)], systemd, clock)
    assert out.error.endswith(f": port {engine.port} is in use by process 42 (ollama, ollama.service)")


@pytest.mark.parametrize(
    ("attribute", "said", "advice"),
    [
        ("models", (401, {"error": "Unauthorized"}), "api_key"),
        ("answer", (404, {"detail": "Not Found"}), "is its task embed?"),
        ("answer", (400, {"error": {"message": "prompt too long"}}), ""),
    ],
)
def test_refusals_that_will_not_change(engine, systemd, clock, attribute, said, advice):
    setattr(engine, attribute, said)
    engine.start()
    (out,) = wait([target(engine)], systemd, clock)
    assert (out.ready, out.fatal, clock.naps) == (False, True, [])
    assert advice in out.advice


def test_a_stalled_engine_with_a_healthy_front(engine, systemd, clock):
    """SIGSTOP of the engine core: /health and /v1/models answer, nothing is generated."""
    engine.hang = {"/v1/completions"}
    engine.start()
    (out,) = wait([target(engine)], systemd, clock, Patience(timeout=1, answer=0.1))
    assert (out.ready, out.stage) == (False, "completion")
    assert "no answer from" in out.error
    assert "stalled" in out.advice


def test_an_embedding_model(engine, systemd, clock):
    engine.embedding = (200, {"data": [{"embedding": [0.1]}]})
    engine.answer = (404, {"detail": "Not Found"})
    engine.start()
    (out,) = wait([target(engine, task="embed")], systemd, clock, prompt="Hallo")
    assert out.ready
    assert ("/v1/embeddings", {"model": "tiny", "input": "Hallo"}, None) in engine.seen


def test_a_gateway_has_no_health_and_no_cache(engine, systemd, clock):
    engine.health = engine.metrics = (404, "")
    engine.models = [(502, "bad gateway"), engine.models]
    engine.start()
    (out,) = wait([target(engine, unit="", gateway=True)], systemd, clock, api_key="k")
    assert (out.ready, out.kv) == (True, {})
    assert {(path, key) for path, _b, key in engine.seen} == {
        ("/v1/models", "Bearer k"),
        ("/v1/completions", "Bearer k"),
    }


def test_a_gateway_that_speaks_another_protocol_is_not_waited_for(engine, systemd, clock):
    engine.start()
    (out,) = wait([target(engine, unit="", gateway=True, scheme="https")], systemd, clock)
    assert out.fatal and clock.naps == []
    assert out.line() == (
        f"gpu0: 127.0.0.1:{engine.port} speaks HTTP but is asked in HTTPS (set gateway_tls as the gateway has it, or "
        "run the playbook site, which gives it to the gateway)"
    )


def test_cache_figures_from_the_journal_where_metrics_lack_them(engine, systemd, clock):
    engine.metrics = (200, 'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n')
    systemd.journals[UNIT, "aaaa"] = (
        "INFO 07-01 10:00:00 [k.py:1] GPU KV cache size: 1,600 tokens\n"
        "INFO 07-01 10:00:00 [k.py:2] Maximum concurrency for 800 tokens per request: 2.00x\n"
    )
    engine.start()
    (out,) = wait([target(engine, expected={"kv_cache_tokens": 1000})], systemd, clock)
    assert (out.kv["num_gpu_blocks"], out.kv["kv_cache_tokens"], out.kv["max_concurrency"]) == (100, 1600, 2.0)
    assert out.kv["difference_percent"] == 60.0


def test_no_metrics_is_no_failure(engine, systemd, clock):
    engine.metrics = (404, "")
    engine.start()
    (out,) = wait([target(engine, unit="")], systemd, clock)
    assert out.ready
    assert set(out.kv.values()) == {None}


def test_once_looks_once_and_does_not_blame(engine, systemd, clock):
    (out,) = wait([target(engine)], systemd, clock, once=True)
    assert (out.ready, out.fatal, clock.naps) == (False, False, [])
    assert "refused" in out.error


def test_progress_is_told_now_and_then(engine, systemd, clock):
    told = []
    wait([target(engine)], systemd, clock, Patience(timeout=100, progress=30), progress=told.append)
    assert len(told) in (2, 3)
    assert all(line.startswith("gpu0: health, http://127.0.0.1:") for line in told)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"name": "a", "port": 1}, {"name": "a", "port": 2}], "name 'a' is given twice"),
        ([{"name": "a", "port": 0}], "port 0 of 'a' is out of range; give one from 1 to 65535"),
        ([{"name": "a", "port": 65536}], "port 65536 of 'a' is out of range"),
    ],
)
def test_bad_instances(rows, text):
    with pytest.raises(InputError, match=text):
        targets_from(rows)
