# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.gpuserve.inference.plugins.filter.front_hosts import front_hosts

HOSTVARS = {
    "front1": {"gateway_upstreams": [{"name": "gpu7", "host": "10.0.0.7", "port": 8000}, {"host": "x", "port": 1}]},
    "front2": {"gateway_upstreams": [{"name": "gpu8", "host": "10.0.0.8", "port": 8000}]},
    "front3": {},
    "gpu7": {"gateway_upstreams": [{"name": "gpu7", "port": 1}]},
}


def test_those_that_name_the_host():
    assert front_hosts(["front1", "front2", "front3", "gpu7"], "gpu7", HOSTVARS) == ["front1"]
    assert front_hosts([], "gpu7", HOSTVARS) == []
