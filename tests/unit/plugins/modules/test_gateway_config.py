# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""gateway_config: what it returns, and that it does not go on where one of its three parts is refused."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.gpuserve.inference.plugins.modules import gateway_config
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call

SECRET = "a-key-nobody-may-see"
WISH = {
    "clients": {"alice": SECRET},
    "upstream": "engines",
    "upstreams": [{"name": "gpu0", "port": 8001}, {"name": "gpu1", "port": 8002}],
    "_ansible_diff": True,
}


def test_all_three_in_one_call(tmp_path):
    site = tmp_path / "site.conf"
    said = call(gateway_config, {**WISH, "files": [{"path": str(site), "content": "server {}\n"}]}, check_mode=True)
    assert set(yaml.safe_load(gateway_config.RETURN)) <= set(said)
    assert said["changed"]
    assert [row["name"] for row in said["clients"]] == ["alice"]
    assert said["in_rotation"] == ["gpu0", "gpu1"]
    assert str(site) in [row["path"] for row in said["files"]]
    assert not site.exists()
    shown = json.dumps(said)
    assert SECRET not in shown
    assert "server 127.0.0.1:8002" in shown and "+server {}" not in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clients": [SECRET, "short"]}, "key 2 of gateway_api_keys"),
        ({"upstreams": []}, "there are no upstreams: give at least one"),
        ({"upstreams": [{"name": "a b", "port": 1}]}, "'a b'"),
        ({"files": [{"path": "/x", "content": "", "mode": "rw"}]}, "/x: mode 'rw' is not octal"),
        ({"files": [{"path": "/x"}]}, "/x: give its text either as content or among the secrets"),
    ],
)
def test_bad_input_is_one_line(options, words):
    said = call(gateway_config, {**WISH, **options}, check_mode=True)
    assert said["failed"]
    assert words in said["msg"]
    assert "\n" not in said["msg"]
    assert SECRET not in said["msg"]
