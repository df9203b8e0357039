# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.filter.watched_hosts import watched_hosts


@pytest.mark.parametrize(
    ("host", "address", "scheme", "tls", "self_signed"),
    [
        ({"monitoring_metrics_listen": 8091}, "gpu1:8091", "http", {}, False),
        ({"monitoring_metrics_listen": "10.0.0.1:91", "ansible_host": "h"}, "h:91", "http", {}, False),
        # a wildcard says where it listens, not where it is reached
        (
            {"monitoring_metrics_listen": "0.0.0.0:91", "monitoring_address": "a", "ansible_host": "h"},
            *("a:91", "http", {}, False),
        ),
        (
            {"monitoring_metrics_listen": 91, "gateway_tls": "self_signed"},
            *("gpu1:91", "https", {"ca_file": "/tls/gpu1.pem"}, True),
        ),
        (
            {"monitoring_metrics_listen": 91, "gateway_tls": "files", "gateway_server_name": "llm.example.com"},
            *("gpu1:91", "https", {"ca_file": "/ca.pem", "server_name": "llm.example.com"}, False),
        ),
    ],
)
def test_how_a_host_is_reached(host, address, scheme, tls, self_signed):
    rows = watched_hosts(["gpu1"], {"gpu1": host}, "/tls", "/ca.pem")
    wanted = {"name": "gpu1", "address": address, "scheme": scheme, "tls": tls, "self_signed": self_signed}
    assert rows == [wanted]


def test_without_a_ca_the_system_vouches():
    host = {"monitoring_metrics_listen": 91, "gateway_tls": "files"}
    assert watched_hosts(["gpu1"], {"gpu1": host}, "/tls")[0]["tls"] == {}


def test_what_cannot_be_read_says_why():
    rows = watched_hosts(["gpu1", "gpu2", "gpu9"], {"gpu1": {}, "gpu2": {"monitoring_metrics_listen": ""}}, "/tls")
    assert [row["problem"] for row in rows] == [
        "gpu1 has no monitoring_metrics_listen",
        "gpu2 has no monitoring_metrics_listen",
        "gpu9 is not in the inventory",
    ]
