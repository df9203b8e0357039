# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in engine, as the collection's own waiting, draining and asking see it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_drain import drain
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import EngineClient, NoAnswer, Refused
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_log import root_cause
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import Host, Patience, Target, wait_ready
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, plan

PROGRAM = Path(__file__).resolve().parents[2] / "fixtures" / "standin_engine" / "standin_engine.py"
FAST = {"STANDIN_START_S": "0.1", "STANDIN_TTFT_MS": "20", "STANDIN_TPOT_MS": "5"}


class StandIn:
    def __init__(self, faults: Path, *words: str, **env: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.faults = faults
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "serve", "m", "--port", str(self.port), "--shutdown-timeout", "20", *words],
            env={**os.environ, **FAST, "STANDIN_FAULT_DIR": str(faults), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.client = EngineClient(f"http://127.0.0.1:{self.port}", env.get("VLLM_API_KEY"), 10.0)

    def target(self, **more: Any) -> Target:
        return Target("gpu0", self.port, **more)

    def ready(self) -> StandIn:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.client.health()
            except NoAnswer:
                assert self.process.poll() is None, self.process.communicate()[0]
                time.sleep(0.05)
            else:
                return self
        raise AssertionError("the stand-in does not listen")

    def fault(self, name: str) -> None:
        (self.faults / "all").write_text(name, encoding="utf-8")
        time.sleep(0.5)  # it looks five times a second

    def term(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., StandIn]]:
    begun: list[StandIn] = []

    def one(*words: str, **env: str) -> StandIn:
        begun.append(StandIn(tmp_path, *words, **env))
        return begun[-1]

    yield one
    for engine in begun:
        engine.process.kill()
        engine.process.communicate()


def nothing_to_run(words: Any) -> tuple[int, str, str]:
    raise OSError("no systemd here")


def waited(engine: StandIn, timeout: float = 60.0, answer: float = 10.0, **target: Any) -> Any:
    patience = Patience(timeout=timeout, sleep=0.1, max_sleep=0.2, answer=answer)
    host = Host(nothing_to_run, list)
    (out,) = wait_ready([engine.target(**target)], host, time.monotonic, time.sleep, patience)
    return out


def in_background(what: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(what())
        except Exception as exc:
            got.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def test_ready_as_the_collection_waits(start: Callable[..., StandIn]) -> None:
    engine = start("--served-model-name", "assistant", STANDIN_KV_TOKENS="65536")
    out = waited(engine, served_model_name="assistant", expected={"kv_cache_tokens": 65536})
    assert (out.ready, out.error, out.models) == (True, "", ["assistant"])
    assert out.kv["kv_cache_tokens"] == out.kv["planned_kv_cache_tokens"] == 65536


def test_the_wrong_model_is_refused(start: Callable[..., StandIn]) -> None:
    engine = start().ready()
    with pytest.raises(Refused, match="does not exist"):
        engine.client.completion("other", "Hello")


def test_drain_waits_for_running_and_waiting(start: Callable[..., StandIn]) -> None:
    engine = start(STANDIN_SLOTS="1").ready()
    asked = [in_background(lambda: engine.client.completion("m", "Hello", 200)) for _number in range(2)]
    deadline = time.monotonic() + 20
    seen: tuple[float, ...] = ()
    while seen != (1, 1) and time.monotonic() < deadline:
        metrics = engine.client.metrics()
        seen = tuple(metrics.total(f"vllm:num_requests_{state}") or 0 for state in ("running", "waiting"))
    assert seen == (1, 1)
    (out,) = drain([engine.target()], nothing_to_run, time.monotonic, time.sleep, timeout=60, interval=0.1)
    assert (out.drained, out.running, out.waiting) == (True, 0, 0)
    for thread, got in asked:
        thread.join()
        assert got[0]["usage"]["completion_tokens"] == 200


def test_what_is_under_way_is_answered_after_sigterm_and_nothing_else(start: Callable[..., StandIn]) -> None:
    engine = start().ready()
    thread, got = in_background(lambda: engine.client.completion("m", "Hello", 300))
    while not engine.client.metrics().total("vllm:num_requests_running"):
        time.sleep(0.02)
    engine.term()
    assert engine.client.health() == 200
    with pytest.raises(Refused, match="cannot schedule new futures after shutdown"):
        engine.client.completion("m", "too late")
    thread.join()
    assert got[0]["usage"]["completion_tokens"] == 300
    assert engine.process.wait(30) == 0


def test_without_shutdown_timeout_requests_hang(start: Callable[..., StandIn]) -> None:
    engine = start("--shutdown-timeout", "0", STANDIN_HANG_S="1").ready()
    thread, got = in_background(lambda: engine.client.completion("m", "Hello", 300))
    while not engine.client.metrics().total("vllm:num_requests_running"):
        time.sleep(0.02)
    engine.term()
    assert engine.process.wait(30) == 0
    thread.join()
    assert isinstance(got[0], NoAnswer)


def test_a_client_that_goes_takes_its_request_along(start: Callable[..., StandIn]) -> None:
    engine = start().ready()
    with pytest.raises(NoAnswer):
        engine.client.completion("m", "Hello", 4000, timeout=0.5)
    deadline = time.monotonic() + 20
    while engine.client.metrics().total("vllm:num_requests_running") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert engine.client.metrics().total("vllm:num_requests_running") == 0


def test_stream_ends_with_done(start: Callable[..., StandIn]) -> None:
    engine = start().ready()
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=20)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    lines = [line[6:].strip() for line in connection.getresponse() if line.startswith(b"data: ")]
    assert len(lines) == 6
    assert lines[-1] == b"[DONE]"
    assert json.loads(lines[4])["choices"][0]["finish_reason"] == "length"
    connection.request("GET", "/health")  # on the same connection
    assert connection.getresponse().status == 200


def test_key_is_asked_for_below_v1_only(start: Callable[..., StandIn]) -> None:
    engine = start(VLLM_API_KEY="secret-of-this-host").ready()
    assert engine.client.completion("m", "Hello")["usage"]["completion_tokens"] == 1
    stranger = EngineClient(f"http://127.0.0.1:{engine.port}", "guess", 10.0)
    with pytest.raises(Refused) as refused:
        stranger.models()
    assert refused.value.status == 401
    assert stranger.health() == 200
    assert stranger.metrics().total("vllm:num_requests_running") == 0


def test_stalled_looks_healthy_and_gives_no_answer_until_it_is_over(start: Callable[..., StandIn]) -> None:
    engine = start().ready()
    engine.fault("stall")
    assert engine.client.health() == 200
    with pytest.raises(NoAnswer) as silent:
        engine.client.completion("m", "Hello", timeout=1.0)
    assert silent.value.silent
    (engine.faults / "all").unlink()
    assert engine.client.completion("m", "Hello")["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize(("fault", "stage"), [("never_ready", "health"), ("sick", "health"), ("error", "completion")])
def test_never_ready(start: Callable[..., StandIn], fault: str, stage: str) -> None:
    out = waited(start(STANDIN_FAULT=fault), timeout=2.0)
    assert (out.ready, out.stage) == (False, stage)


def test_crash_has_its_cause_in_the_log(start: Callable[..., StandIn]) -> None:
    engine = start(STANDIN_FAULT="crash")
    text, _nothing = engine.process.communicate(timeout=60)
    assert engine.process.returncode == 1
    assert root_cause(text, "exit-code", 1).line == "RuntimeError: told to crash"


def test_unknown_argument_is_refused_as_vllm_does(start: Callable[..., StandIn]) -> None:
    engine = start("--no-such-argument")
    text, _nothing = engine.process.communicate(timeout=60)
    assert engine.process.returncode == 2
    assert root_cause(text, "exit-code", 2).kind == "unknown_argument"


def test_every_argument_that_is_planned_is_known(start: Callable[..., StandIn]) -> None:
    planned = (
        "--host 127.0.0.1 --served-model-name m --tensor-parallel-size 2 --max-model-len 4096 --max-num-seqs 16"
        " --max-num-batched-tokens 2048 --gpu-memory-utilization 0.9 --kv-cache-memory-bytes 1000 --kv-cache-dtype fp8"
        " --enforce-eager --disable-custom-all-reduce"
    )
    start(*planned.split()).ready()


@pytest.mark.parametrize(
    ("card", "wishes"),
    [
        ("h200", {"max_cudagraph_capture_size": "auto", "kv_cache_sizing": "pinned", "kv_cache_dtype": "fp8"}),
        ("5090", {"topology": "tensor_parallel", "enforce_eager": True, "trust_remote_code": True}),
    ],
)
def test_it_knows_what_the_planner_passes(start: Callable[..., StandIn], card: str, wishes: dict[str, Any]) -> None:
    words = plan(cards(card, card), **wishes)["instances"][0]["args"]
    port = words.index("--port")  # the fixture gives one
    start(*words[:port], *words[port + 2 :]).ready()
