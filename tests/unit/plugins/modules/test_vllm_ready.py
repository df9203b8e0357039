# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.modules import vllm_ready
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import FakeEngine
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call


@pytest.fixture
def engine():
    fake = FakeEngine()
    yield fake
    fake.stop()


def one(engine, **kw):
    return {"name": "gpu0", "port": engine.port, "served_model_name": "tiny", **kw}


def test_ready(engine):
    engine.start()
    said = call(vllm_ready, {"instances": [one(engine, expected={"kv_cache_tokens": 896912})]})
    assert (said["ready"], said["changed"], said.get("failed")) == (True, False, None)
    (row,) = said["instances"]
    assert set(row) == {"name", "ready", "seconds", "stage", "models", "kv", "error", "cause", "advice"}
    assert (row["stage"], row["kv"]["difference_percent"]) == ("ready", 0.0)


def test_failure_is_one_line_for_each_that_failed(engine):
    engine.start()
    said = call(
        vllm_ready,
        {"instances": [one(engine), one(engine, name="b", served_model_name="x"), one(engine, name="c", task="embed")]},
    )
    assert said["failed"]
    assert said["msg"].startswith(f"b: port {engine.port} serves tiny, not x")
    assert "; c: /v1/embeddings answered 404: Not Found (this engine does not do that" in said["msg"]
    assert "gpu0:" not in said["msg"]
    assert [row["ready"] for row in said["instances"]] == [True, False, False]


def test_check_mode_looks_once_and_never_fails(engine):
    said = call(vllm_ready, {"instances": [one(engine)], "timeout": 900}, check_mode=True)
    assert (said["ready"], said.get("failed"), said["changed"]) == (False, None, False)
    assert "refused" in said["instances"][0]["error"]


def test_a_timeout_of_nothing_looks_once(engine):
    said = call(vllm_ready, {"instances": [one(engine)], "timeout": 0})
    assert said["msg"].startswith("gpu0: not ready within 0 s: ")


@pytest.mark.parametrize("by_file", [True, False])
def test_key_and_prompt(engine, tmp_path, by_file):
    path = tmp_path / "key"
    path.write_text("sesame-9\nsecond line\n", encoding="utf-8")
    key = {"api_key_file": str(path)} if by_file else {"api_key": "sesame-9"}
    engine.start()
    said = call(vllm_ready, {"instances": [one(engine)], "prompt": "Bonjour", **key})
    assert said["ready"]
    assert {auth for _path, _body, auth in engine.seen} == {"Bearer sesame-9"}
    assert "Bonjour" in [body["prompt"] for path, body, _k in engine.seen if path == "/v1/completions"]
    assert "sesame-9" not in str(said)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({}, "missing required arguments: instances"),
        ({"instances": [{"name": "a"}]}, "one of the following is required: port, unix_socket"),
        ({"instances": [{"name": "a", "port": 1, "unix_socket": "/x"}]}, "mutually exclusive: port|unix_socket"),
        ({"instances": [{"name": "a", "port": 70000}]}, "port 70000 of 'a' is out of range; give one from 1 to 65535"),
        ({"instances": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}, "name 'a' is given twice"),
        ({"instances": [{"name": "a", "port": 1, "task": "sing"}]}, "must be one of: generate, embed"),
        ({"instances": [{"name": "a", "port": 1}], "api_key_file": "/no/such"}, "api_key_file /no/such cannot be read"),
        ({"instances": [{"name": "a", "port": 1}], "api_key_file": "/dev/null"}, "has no key in its first line"),
    ],
)
def test_bad_input(args, text):
    said = call(vllm_ready, args)
    assert said["failed"]
    assert text in said["msg"]
    assert "\n" not in said["msg"]


def test_each_instance_may_have_a_key_file_of_its_own(engine, tmp_path):
    clients = tmp_path / "clients"
    clients.write_text("# a comment\n\nalice  sesame-1  given\nbob  sesame-2  made\n", encoding="utf-8")
    (tmp_path / "empty").write_text("# nobody yet\n", encoding="utf-8")
    engine.start()
    for name, auth in ((str(clients), "Bearer sesame-1"), (str(tmp_path / "none"), ""), (str(tmp_path / "empty"), "")):
        engine.seen.clear()
        said = call(vllm_ready, {"instances": [one(engine, api_key_file=name)]})
        assert said["ready"]
        assert {seen or "" for _path, _body, seen in engine.seen} == {auth}
        assert "sesame" not in str(said)
