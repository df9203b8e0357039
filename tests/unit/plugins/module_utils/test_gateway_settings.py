# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway's settings: bad ones in one line each, and what follows from good ones."""

from __future__ import annotations

import re

import pytest
from ansible_collections.gpuserve.inference.plugins.filter.gateway_settings import gateway_settings
from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_settings

GOOD = {
    "enabled": True,
    "listen": "8000",
    "server_name": "_",
    "upstreams": [],
    "upstream_key": "",
    "upstream_tls": False,
    "upstream_ca": "",
    "upstream_server_name": "",
    "api_keys": [],
    "open": False,
    "keys_grace": 3600,
    "extra_paths": [],
    "tls": "none",
    "tls_certificate": "",
    "tls_key": "",
    "tls_hsts": 0,
    "status_listen": "",
    "status_networks": [],
    "rate_limit": "",
    "rate_burst": 20,
    "connection_limit": 0,
    "client_max_body_size": "64m",
    "client_keepalive": "auto",
    "read_timeout": 1800,
    "keepalive": 64,
    "balancing": "round_robin",
    "affinity": "none",
    "affinity_header": "X-Session-Id",
    "affinity_prompt_bytes": 512,
    "affinity_prompt_min_bytes": 4096,
    "affinity_bound": 0,
}
SECRET = "a-key-nobody-may-see"


def test_the_defaults_are_good():
    assert _gateway_settings.problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"listen": "http"}, ['gateway_listen "http" is not PORT or ADDRESS:PORT']),
        ({"listen": "0"}, ["gateway_listen"]),
        ({"listen": "8000; return 200"}, ["gateway_listen"]),
        ({"server_name": "a b"}, ["gateway_server_name 'a b'"]),
        ({"server_name": "x; }"}, ["gateway_server_name"]),
        ({"status_listen": "elsewhere"}, ["gateway_status_listen 'elsewhere'"]),
        ({"status_listen": "127.0.0.1:8000"}, ["gateway_status_listen", "another port", "8000"]),
        ({"status_networks": ["10.0.0.0/33"]}, ["gateway_status_networks '10.0.0.0/33'"]),
        ({"status_networks": ["all"]}, ["gateway_status_networks 'all'"]),
        ({"affinity": "cookie"}, ["gateway_affinity 'cookie'", "none, header, client, prompt"]),
        ({"affinity_header": "a b"}, ["gateway_affinity_header 'a b'"]),
        ({"affinity_header": "x;}"}, ["gateway_affinity_header"]),
        ({"affinity_header": "Cookie"}, ["gateway_affinity_header 'Cookie'", "not one with secrets"]),
        ({"affinity_prompt_bytes": 8193}, ["gateway_affinity_prompt_bytes '8193'", "1 to 8192"]),
        ({"affinity_prompt_min_bytes": -1}, ["gateway_affinity_prompt_min_bytes '-1'", "0 to 1048576"]),
        ({"affinity_bound": "many"}, ["gateway_affinity_bound 'many'", "0 to 65535"]),
        ({"extra_paths": ["v1/rerank"]}, ["gateway_extra_paths 'v1/rerank'", "/v1/rerank"]),
        ({"extra_paths": ["/v1/*"]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["/"]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["/a/../metrics"]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["/a/."]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["//metrics"]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["/%6d"]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["/a { }"]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["/$uri"]}, ["gateway_extra_paths"]),
        ({"extra_paths": ["DELETE /v1/models"]}, ["gateway_extra_paths"]),
        ({"api_keys": [SECRET, "short"]}, ["key 2 of gateway_api_keys"]),
        ({"api_keys": SECRET}, ["neither a list of keys nor a dictionary"]),
        ({"api_keys": [SECRET], "open": True}, ["gateway_api_keys", "gateway_open"]),
        ({"api_keys": [SECRET], "enabled": False}, ["gateway_enabled is false"]),
        ({"keys_grace": -1}, ["gateway_keys_grace '-1'"]),
        ({"keys_grace": "soon"}, ["gateway_keys_grace 'soon'"]),
        ({"rate_limit": "10"}, ["gateway_rate_limit '10'", "10r/s"]),
        ({"rate_limit": "0r/s"}, ["gateway_rate_limit"]),
        ({"rate_burst": "many"}, ["gateway_rate_burst 'many'"]),
        ({"connection_limit": -4}, ["gateway_connection_limit '-4'"]),
        ({"client_max_body_size": "lots"}, ["gateway_client_max_body_size 'lots'", "64m"]),
        ({"read_timeout": 0}, ["gateway_read_timeout '0'"]),
        ({"keepalive": 0}, ["gateway_keepalive '0'"]),
        ({"tls": "files"}, ["gateway_tls_certificate must be"]),
        ({"tls": "files", "tls_certificate": "/a.pem", "tls_key": "key.pem"}, ["gateway_tls_key must be", "'key.pem'"]),
        ({"tls_certificate": "/a.pem"}, ["gateway_tls is not files"]),
        ({"tls_hsts": "yes"}, ["gateway_tls_hsts 'yes'"]),
        ({"upstreams": [{"port": 70000}]}, ["gateway_upstreams: port 70000"]),
        ({"upstreams": [{"host": "a;b", "port": 1}]}, ["gateway_upstreams: upstream host 'a;b'"]),
        ({"upstreams": [{"port": 1}, {"port": 1}]}, ["given twice"]),
        ({"upstream_key": SECRET}, ["gateway_upstream_key is for gateway_upstreams"]),
        ({"upstreams": [{"port": 1}], "upstream_key": "a b"}, ["gateway_upstream_key cannot be used"]),
        ({"upstream_tls": True}, ["gateway_upstream_tls is for gateway_upstreams"]),
        ({"upstreams": [{"port": 1}], "upstream_ca": "ca.pem"}, ["gateway_upstream_ca 'ca.pem'"]),
    ],
)
def test_a_bad_setting_is_named_in_one_line(change, words):
    found = _gateway_settings.problems({**GOOD, **change})
    assert found
    for word in words:
        assert word in found[0]
    assert all("\n" not in line and SECRET not in line for line in found)
    assert gateway_settings({**GOOD, **change})["problems"] == found


def test_without_a_gateway_its_settings_do_not_matter():
    assert _gateway_settings.problems({**GOOD, "enabled": False, "listen": "http"}) == []


@pytest.mark.parametrize(
    ("tasks", "extra", "paths"),
    [
        (["generate"], [], {"/v1/models": "GET", "/v1/chat/completions": "POST", "/v1/completions": "POST"}),
        (["embed"], [], {"/v1/embeddings": "POST"}),
        ([], [], {"/v1/embeddings": "POST"}),
        (["generate"], ["/v1/rerank", "GET /version"], {"/v1/rerank": "POST", "/version": "GET"}),
    ],
)
def test_routes(tasks, extra, paths):
    found = {route["path"]: route["method"] for route in _gateway_settings.routes(tasks, extra)}
    assert paths.items() <= found.items()
    assert ("/v1/embeddings" in found) == (tasks != ["generate"])


@pytest.mark.parametrize(
    ("version", "auto", "on"),
    [
        ("", "off", "on"),
        ("1.22.1", "off", "on"),
        ("1.27.3", "off", "on"),
        ("1.27.4", "safe", "safe"),
        ("1.31.5", "safe", "safe"),
    ],
)
def test_idle_connections_of_clients_are_kept_where_a_reload_does_not_cut_them(version, auto, on):
    assert _gateway_settings.client_keepalive("auto", version) == auto
    assert _gateway_settings.client_keepalive("on", version) == on
    assert _gateway_settings.client_keepalive("off", version) == "off"
    assert _gateway_settings.client_keepalive(str(False), version) == "off"  # what YAML makes of off without quotes


@pytest.mark.parametrize(
    ("listen", "wish", "where", "beyond"),
    [
        ("8000", "", "127.0.0.1:8090", True),
        ("127.0.0.1:65500", "", "127.0.0.1:55", False),
        ("[::1]:443", "9100", "9100", False),
        ("192.0.2.1:443", "none", "", True),
        ("[::]:443", "", "127.0.0.1:533", True),
    ],
)
def test_where_it_listens(listen, wish, where, beyond):
    assert _gateway_settings.status_listen(listen, wish) == where
    assert _gateway_settings.beyond_loopback(listen) == beyond


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({}, ""),
        ({"affinity": "header"}, "$http_x_session_id"),
        ({"affinity": "header", "affinity_header": "Conversation"}, "$http_conversation"),
        ({"affinity": "client"}, "$gpuserve_client"),
        ({"affinity": "client", "open": True}, "$binary_remote_addr"),
        ({"affinity": "prompt"}, "$request_body"),
        ({"affinity": "header", "affinity_header": "x;}"}, ""),  # what cannot be used gets nowhere
    ],
)
def test_what_goes_to_one_replica(change, key):
    assert gateway_settings({**GOOD, **change})["affinity_key"] == key


@pytest.mark.parametrize(
    ("change", "short"),
    [
        ({}, ""),
        ({"affinity": "header"}, ""),
        ({"affinity": "prompt"}, "[0-9]|[1-9][0-9]{1}|[1-9][0-9]{2}|[1-3][0-9]{3}|40[0-8][0-9]{1}|409[0-5]"),
        ({"affinity": "prompt", "affinity_prompt_min_bytes": 0}, ""),
        ({"affinity": "prompt", "affinity_prompt_min_bytes": "x"}, ""),  # what cannot be used gets nowhere
    ],
)
def test_what_is_too_short_to_be_kept_together(change, short):
    assert gateway_settings({**GOOD, **change})["affinity_short"] == short


@pytest.mark.parametrize("limit", [0, 1, 2, 9, 10, 11, 100, 101, 999, 4096, 5000, 9010])
def test_numbers_below_are_those_and_no_others(limit):
    pattern = re.compile(f"^({_gateway_settings.numbers_below(limit)})$")
    assert [n for n in range(12000) if pattern.match(str(n))] == list(range(limit))
    assert not pattern.match("007") and (not pattern.match("") or limit == 0)
