# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _preflight

GIB = 2**30
PLAN = {"instances": [{"name": "gpu0", "port": 8001}]}


def _look(**over):
    look = {
        "systemd": {"booted": True, "version": 252},
        "listeners": [],
        "nginx": {"config_ok": True, "config_error": ""},
        "disks": {"/opt/gpuserve": {"free_bytes": 100 * GIB, "measured_at": "/"}},
        "paths": {"/m": {"exists": True, "readable_by_service": True, "blocked_at": ""}},
    }
    look.update(over)
    return look


def _listener(port, process="python3", unit="", pid=77):
    return {"listeners": [{"address": "0.0.0.0", "port": port, "pid": pid, "process": process, "unit": unit}]}


WISHES = {"gateway_listen": "8000", "model_path": "/m"}

GOOD = [
    (
        "an older revision of the model is damaged",
        {"models": {"/models/a@1": {"complaint": "x is missing"}, "/models/a@2": {"complaint": ""}}},
        {"model_directory": "/models/a@2"},
    ),
    ("the model is not there yet", {"models": {}}, {"model_directory": "/models/a@2"}),
    ("bare", {}, {}),
    ("our engine holds its port", _listener(8001, unit="vllm@gpu0.service"), {}),
    (
        "our gateway holds its port",
        {**_listener(8000, "nginx", "nginx.service"), "paths": {"/etc/nginx/conf.d/gpuserve.conf": {"exists": True}}},
        {"model_path": ""},
    ),
    ("another port", _listener(9000), {}),
    ("no gateway, its port is nobody's business", _listener(8000), {"gateway_listen": ""}),
    (
        "a broken file of our own is written anew",
        {"nginx": {"config_ok": False, "config_error": "x in /etc/nginx/conf.d/gpuserve.conf:3"}},
        {},
    ),
    (
        "engine there, disk full",
        {"disks": {"/opt/gpuserve": {"free_bytes": 0, "measured_at": "/"}}},
        {"engine_missing": False},
    ),
    (
        "cpu engine is small",
        {"disks": {"/opt/gpuserve": {"free_bytes": 5 * GIB, "measured_at": "/"}}},
        {"engine_flavour": "cpu"},
    ),
]

LOCK = "# vLLM 0.32.0 for CUDA: Linux x86_64 and aarch64, CPython 3.11 to 3.14"
CPU_LOCK = "# vLLM 0.32.0 for CPU: Linux x86_64, CPython 3.11"
GOOD += [
    (
        "a model that is there needs no room",
        {"disks": {"/models": {"free_bytes": 0, "measured_at": "/"}}, "models": {"/models/a@1": {"complaint": ""}}},
        {"model_directory": "/models/a@1", "model_bytes": 15 * GIB},
    ),
    ("python in the lock", {"python": {"version": "3.12.3"}}, {"lock_header": LOCK}),
    ("python of the operator's", {"python": {"version": "3.10.4"}}, {"lock_header": LOCK, "python": "3.12"}),
    ("old python, engine there", {"python": {"version": "3.10.4"}}, {"lock_header": LOCK, "engine_missing": False}),
    ("an interpreter by its version", {"commands": {"3.12": ""}}, {"programs": {"vllm_python": "3.12"}}),
    ("a program that is there", {"commands": {"py": "/usr/bin/py"}}, {"programs": {"vllm_python": "py"}}),
    ("an address of the host's", {"addresses": ["10.0.0.5"]}, {"gateway_listen": "10.0.0.5:8000"}),
    ("every address", {"addresses": ["10.0.0.5"]}, {"gateway_listen": "[::]:8000"}),
    ("its own address in other letters", {"addresses": ["fe80::a"]}, {"gateway_listen": "[FE80:0::A]:8000"}),
    ("an address that comes later", {"addresses": []}, {"gateway_listen": "10.0.0.9:8000"}),
    ("a lock of the operator's that does not say", {"python": {"version": "3.10.4"}}, {"lock_header": "torch==2"}),
]

BAD = [
    (
        "nginx of the operator's own holds the gateway's port",
        _listener(8000, "nginx", "nginx.service"),
        {},
        "port 8000 for the gateway is taken by nginx (PID 77, nginx.service); stop it or set gateway_listen",
    ),
    (
        "old python",
        {"python": {"version": "3.10.4"}},
        {"lock_header": LOCK},
        "locked for Python 3.11 to 3.14, the host has 3.10.4; set vllm_python",
    ),
    (
        "new python",
        {"python": {"version": "3.12.1"}},
        {"lock_header": CPU_LOCK, "engine_flavour": "cpu"},
        "locked for Python 3.11, the host has 3.12.1",
    ),
    ("no systemd", {"systemd": {"booted": False, "version": 0}}, {}, "this host was not started by systemd"),
    ("old systemd", {"systemd": {"booted": True, "version": 239}}, {}, "systemd 239 is too old; the services need 247"),
    (
        "engine's port",
        _listener(8001),
        {},
        "port 8001 for gpu0 is taken by python3 (PID 77); stop it or set vllm_base_port",
    ),
    (
        "gateway's port",
        _listener(8000, "caddy", "caddy.service"),
        {},
        "port 8000 for the gateway is taken by caddy (PID 77, caddy.service); stop it or set gateway_listen",
    ),
    ("listen is no port", {}, {"gateway_listen": "http"}, "gateway_listen 'http' is not PORT or ADDRESS:PORT"),
    ("listen out of range", {}, {"gateway_listen": "70000"}, "with a port of 1 to 65535"),
    (
        "nginx of the user's own",
        {"nginx": {"config_ok": False, "config_error": 'unknown directive "x" in /etc/nginx/conf.d/a.conf:1'}},
        {},
        "nginx's present configuration does not parse, mend it first: unknown directive",
    ),
    (
        "disk",
        {"disks": {"/opt/gpuserve": {"free_bytes": 2 * GIB, "measured_at": "/opt"}}},
        {},
        "vLLM needs 12 GiB free below /opt/gpuserve, 2 GiB are; free some space or set vllm_prefix to a larger disk",
    ),
    (
        "no room for what engines compile",
        {"disks": {"/var/cache/gpuserve": {"free_bytes": GIB // 2, "measured_at": "/var"}}},
        {"engine_missing": False},
        "engines need 1 GiB free below /var/cache/gpuserve for what they compile, 0.5 GiB are; free some space at /var",
    ),
    (
        "no room for the model",
        {"disks": {"/models": {"free_bytes": 14 * GIB, "measured_at": "/data"}}},
        {"model_directory": "/models/a@1", "model_bytes": 15 * GIB, "engine_missing": False},
        "the model needs 15 GiB free below /models, 14 GiB are; free some space or set vllm_models_dir to a larger",
    ),
    (
        "no room for the model beside the engine",
        {"disks": {key: {"free_bytes": 20 * GIB, "measured_at": "/"} for key in ("/opt/gpuserve", "/models")}},
        {"model_directory": "/models/a@1", "model_bytes": 15 * GIB},
        "the model needs 15 GiB free below /models, 8 GiB are once the engine is there; free some space or set vllm_m",
    ),
    (
        "no room for the settings",
        {"disks": {"/etc/gpuserve": {"free_bytes": 5000, "measured_at": "/"}}},
        {},
        "the services' settings need 1 MiB free below /etc/gpuserve, 0 MiB are; free some space at /",
    ),
    (
        "model not readable",
        {"paths": {"/m": {"exists": True, "readable_by_service": False, "blocked_at": "/root"}}},
        {},
        "the service user cannot read /m because of the permissions of /root",
    ),
    (
        "model is not the recorded one",
        {"models": {"/models/a@1": {"complaint": "/models/a@1/config.json: is missing; put it back"}}},
        {"model_directory": "/models/a@1"},
        "/models/a@1/config.json: is missing; put it back",
    ),
    (
        "no such address",
        {"addresses": ["10.0.0.5", "127.0.0.1"]},
        {"gateway_listen": "10.0.0.9:8000"},
        "this host has no address 10.0.0.9, only 10.0.0.5, 127.0.0.1; give one of these, or the port alone",
    ),
    (
        "no such program",
        {"commands": {"python9": ""}},
        {"programs": {"vllm_python": "python9"}},
        "vllm_python is python9 but this host has no such program; install it or name another",
    ),
    (
        "no such directory",
        {"paths": {**_look()["paths"], "/wheels": {"exists": False}}},
        {"directories": {"vllm_find_links": ["/wheels"]}},
        "vllm_find_links holds /wheels but this host has no such directory; make it or name another",
    ),
    (
        "below a file",
        {"disks": {"/a/b": {"free_bytes": 100 * GIB, "measured_at": "/a", "usable": False}}},
        {},
        "/a/b cannot be made below /a, which is no directory that can be written to; name another place",
    ),
]


@pytest.mark.parametrize(("look", "wishes"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_nothing_in_the_way(look, wishes):
    assert _preflight.problems(PLAN, _look(**look), _preflight.Wishes(**{**WISHES, **wishes})) == []


@pytest.mark.parametrize(("look", "wishes", "line"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_one_line_each(look, wishes, line):
    found = _preflight.problems(PLAN, _look(**look), _preflight.Wishes(**{**WISHES, **wishes}))
    assert len(found) == 1
    assert line in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("8000", ("0.0.0.0", 8000)),
        (8000, ("0.0.0.0", 8000)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::]:443", ("[::]", 443)),
        ("0", None),
        ("65536", None),
        ("a:1", None),
        ("", None),
        ("8000;", None),
    ],
)
def test_listen(listen, expected):
    assert _preflight.parse_listen(listen) == expected
