# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import shlex

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _instances
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_cache import key_in
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

PLAN = {
    "device": "cuda",
    "model": {"served_model_name": "tiny", "tasks": ["generate"]},
    "prediction": {"kv_cache_tokens": 1000},
    "instances": [
        {"name": "gpu0", "port": 8001, "env": {"CUDA_VISIBLE_DEVICES": "GPU-a"}, "args": ["--port", "8001"]},
        {
            "name": "gpu1",
            "port": 8002,
            "env": {"CUDA_VISIBLE_DEVICES": "GPU-b"},
            "args": ["--port", "8002", '{"a": 1}'],
        },
    ],
}


def _render(plan=None, command=("/e/bin/vllm",), unit="[Unit]\n", environment=None):
    return _instances.instance_files(plan or PLAN, list(command), "/m", environment or {}, unit)


def _file(result, end):
    path = next(entry["path"] for entry in result["files"] if entry["path"].endswith(end))
    entry = next(entry for entry in result["files"] if entry["path"] == path)
    return entry["content"] if "content" in entry else result["secrets"][path]


def test_files_of_two_replicas():
    result = _render()
    folder = f"/etc/gpuserve/releases/{result['release']}/"
    assert [entry["path"][len(folder) :] for entry in result["files"]] == [
        "plan.json",
        "vllm@.service",
        "gpu0.args",
        "gpu0.env",
        "gpu1.args",
        "gpu1.env",
        "release.json",  # last, so that a release that has it is whole
    ]
    assert all(entry["path"].startswith(folder) for entry in result["files"])
    assert _file(result, "gpu1.args").splitlines() == ["/e/bin/vllm", "serve", "/m", "--port", "8002", '{"a": 1}']
    assert 'CUDA_VISIBLE_DEVICES="GPU-b"\n' in _file(result, "gpu1.env")
    assert json.loads(_file(result, "plan.json")) == PLAN
    assert {entry["mode"] for entry in result["files"] if entry["path"].endswith(".env")} == {"0600"}


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "[Unit]\nx\n"},
        {"command": ("/other/vllm",)},
        {"environment": {"A": "b"}},
        {"plan": {**PLAN, "instances": [{**PLAN["instances"][0], "args": ["--port", "9"]}, PLAN["instances"][1]]}},
    ],
)
def test_the_digest_follows_what_decides_the_process(change):
    before, after = _render(), _render(**change)
    assert before == _render()
    assert after["instances"][0]["digest"] != before["instances"][0]["digest"]
    assert after["release"] != before["release"]
    assert f'GPUSERVE_DIGEST="{after["instances"][0]["digest"]}"' in _file(after, "gpu0.env")


def test_the_digest_leaves_the_rest_of_the_plan_out():
    """A new reason or prediction is no reason to restart a server."""
    other = {**PLAN, "reason": "said otherwise"}
    assert _render(plan=other)["instances"] == _render()["instances"]
    assert _render(plan=other)["release"] != _render()["release"]


def test_the_record_tells_what_is_needed_to_go_back():
    record = json.loads(_file(_render(), "release.json"))
    assert record["id"] == _render()["release"]
    assert [row["name"] for row in record["instances"]] == ["gpu0", "gpu1"]
    assert record["targets"] == _instances.ready_targets(PLAN)
    assert (record["command"], record["model_path"]) == (["/e/bin/vllm"], "/m")


@pytest.mark.parametrize("value", ["plain", 'with "quotes"', "back\\slash", "$HOME `id`", "0|1", "", "spaced out"])
def test_environment_values_survive_quoting(value):
    text = _instances.environment_text({"V": value})
    # systemd's rules for double quotes are the shell's for these characters
    assert shlex.split(text)[0].replace("\\$", "$").replace("\\`", "`") == f"V={value}"


def test_replicas_of_one_plan_may_share_what_they_compile():
    def keys(**words):
        result = _render(**words)
        return {key_in(_file(result, f"{name}.env")) for name in ("gpu0", "gpu1")}

    assert len(keys()) == 1 and keys() != {""}
    assert not keys() & keys(command=("/other/vllm",))
    other = {**PLAN["instances"][1], "args": ["--port", "8002", "--max-model-len", "9"]}
    assert len(keys(plan={**PLAN, "instances": [PLAN["instances"][0], other]})) == 2


def test_an_operators_variables_are_secret():
    assert _render()["secrets"] == {}
    result = _render(environment={"HF_TOKEN": "s3cret"})
    assert sorted(path.rsplit("/", 1)[1] for path in result["secrets"]) == ["gpu0.env", "gpu1.env"]
    assert "s3cret" not in str(result["files"])


@pytest.mark.parametrize(
    ("environment", "message"),
    [({"A": "x\ny"}, "environment variable A has a line break"), ({"A-B": "x"}, "'A-B' is not a name")],
)
def test_bad_environment(environment, message):
    with pytest.raises(InputError, match=message):
        _render(environment=environment)


def test_bad_argument():
    with pytest.raises(InputError, match="has a line break; an argument must be one line"):
        _instances.argument_text(["--a", "b\nc"])


def test_targets():
    targets = _instances.ready_targets(PLAN)
    assert [(t["name"], t["port"], t["unit"], t["expected"]) for t in targets] == [
        ("gpu0", 8001, "vllm@gpu0.service", {"kv_cache_tokens": 1000}),
        ("gpu1", 8002, "vllm@gpu1.service", {"kv_cache_tokens": 1000}),
    ]


def test_a_rehearsal_expects_what_the_processor_holds():
    prediction = {"kv_cache_tokens": 1000, "rehearsal": {"kv_cache_tokens": 64, "num_gpu_blocks": 4, "block_size": 16}}
    targets = _instances.ready_targets({**PLAN, "device": "cpu", "rehearsal": True, "prediction": prediction})
    assert targets[0]["expected"] == {"kv_cache_tokens": 64, "num_gpu_blocks": 4}


@pytest.mark.parametrize(
    ("door", "where"),
    [("", None), ("8000", ("127.0.0.1", 8000)), ("10.0.0.5:80", ("10.0.0.5", 80)), ("[::]:8000", ("127.0.0.1", 8000))],
)
def test_the_door_is_asked_too(door, where):
    found = [(t["host"], t["port"]) for t in _instances.ready_targets(PLAN, door) if t.get("gateway")]
    assert found == ([where] if where else [])


def test_each_target_names_the_file_with_its_key():
    targets = _instances.ready_targets(PLAN, "8000", door_tls=True)
    assert [t["api_key_file"] for t in targets] == ["/etc/gpuserve/engine.key"] * 2 + ["/etc/gpuserve/gateway/clients"]
    assert (targets[-1]["scheme"], targets[-1]["validate_certs"]) == ("https", False)
    assert "scheme" not in _instances.ready_targets(PLAN, "8000")[-1]
