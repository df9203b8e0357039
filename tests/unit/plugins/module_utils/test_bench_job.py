# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A benchmark in the background: real processes, which end with their work, with a new one, or when nobody looks."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_job import Job
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError


def until(true: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)
    return true()


def state(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(job.path("state.json")).read_text(encoding="utf-8"))
    return found


@pytest.fixture
def job(tmp_path: Path) -> Any:
    made = Job(str(tmp_path / "bench"))
    yield made
    made.stop()


def long_work(job: Job) -> dict[str, Any]:
    client = subprocess.Popen(["sleep", "60"])  # what it started must end with it
    job.say(str(client.pid))
    client.wait()
    return {}


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_tells_lines_and_a_result(job: Job) -> None:
    def work(running: Job) -> dict[str, Any]:
        running.say("one")
        running.say("two")
        return {"points": [1]}

    job.start(work)
    until(lambda: state(job)["result"])
    assert state(job) == {"lines": ["one", "two"], "result": {"points": [1]}}
    until(lambda: not job.running())
    assert not job.stop()


def test_an_error_of_the_work_is_its_result(job: Job) -> None:
    job.start(lambda running: {}["no"])  # type: ignore[typeddict-item]
    assert until(lambda: state(job)["result"]) == {"failed": True, "msg": "KeyError: 'no'"}


def test_it_is_ended_with_what_it_started(job: Job) -> None:
    job.start(long_work)
    client = int(until(lambda: state(job)["lines"])[0])
    assert job.running() and os.getpgid(client) == job.running() != os.getpgid(0)
    assert job.stop()
    assert not job.running() and not alive(client)


def test_a_new_one_ends_the_former(job: Job) -> None:
    job.start(long_work)
    client = int(until(lambda: state(job)["lines"])[0])
    job.start(lambda running: {"points": []})
    until(lambda: state(job)["result"])
    assert not alive(client) and state(job)["lines"] == []


def test_it_ends_where_nobody_looks(job: Job) -> None:
    job.start(long_work, silence=0.6)
    client = int(until(lambda: state(job)["lines"])[0])
    for _look in range(10):  # as long as somebody does, it goes on
        Path(job.path("beat")).touch()
        time.sleep(0.1)
    assert alive(client)
    until(lambda: not job.running())
    assert state(job)["result"]["msg"] == "nobody looked at this benchmark for 0.6 s, so it ended"
    until(lambda: not alive(client))


def test_where_nothing_can_be_written_it_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "state.json").mkdir()
    with pytest.raises((EngineError, OSError), match="could not begin in the background"):
        Job(str(tmp_path / "bench")).start(long_work)
