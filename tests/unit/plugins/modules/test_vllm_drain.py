# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.modules import vllm_drain
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import FakeEngine, load
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call


@pytest.fixture
def engine():
    fake = FakeEngine()
    yield fake
    fake.stop()


def one(engine, **kw):
    return {"name": "gpu0", "port": engine.port, **kw}


def test_drained(engine):
    engine.start()
    said = call(vllm_drain, {"instances": [one(engine)], "interval": 0})
    assert (said["drained"], said["changed"], said.get("failed")) == (True, False, None)
    (row,) = said["instances"]
    assert set(row) == {"name", "drained", "gone", "running", "waiting", "seconds", "error"}
    assert sum(path == "/metrics" for path, _b, _k in engine.seen) == 3


def test_failure_names_the_instance_and_its_requests(engine):
    engine.metrics = (200, load(7, 2))
    engine.start()
    said = call(vllm_drain, {"instances": [one(engine)], "timeout": 0})
    assert said["failed"]
    assert said["msg"].startswith("gpu0: still 7 running and 2 waiting requests after 0 s")
    assert said["instances"][0]["running"] == 7


def test_check_mode_looks_once_and_never_fails(engine):
    engine.metrics = (200, load(1, 0))
    engine.start()
    said = call(vllm_drain, {"instances": [one(engine)]}, check_mode=True)
    assert (said["drained"], said.get("failed")) == (False, None)


@pytest.mark.parametrize("gone_ok", [True, False])
def test_gone(engine, gone_ok):
    said = call(vllm_drain, {"instances": [one(engine)], "timeout": 0, "gone_ok": gone_ok})
    assert said["instances"][0]["gone"] is gone_ok
    assert bool(said.get("failed")) is not gone_ok


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({}, "missing required arguments: instances"),
        ({"instances": [{"name": "a"}]}, "one of the following is required: port, unix_socket"),
        ({"instances": [{"name": "a", "port": -1}]}, "port -1 of 'a' is out of range; give one from 1 to 65535"),
    ],
)
def test_bad_input(args, text):
    said = call(vllm_drain, args)
    assert said["failed"]
    assert text in said["msg"]
