# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway's secret files: what nginx reads in them, who can read them, and what happens where nginx refuses."""

from __future__ import annotations

import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_keys, _nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_clients import Client, Wish

NOW = 1_800_000_000.0


class Host:
    """An nginx that is not running, and may refuse what it reads."""

    def __init__(self, tmp_path):
        self.refuses = ""
        self.etc = tmp_path / "etc"
        (self.etc / "gateway").mkdir(parents=True)
        (self.etc / "engine.key").write_text("engine-key-1\n")
        self.keys = _gateway_keys.GatewayKeys(
            self,
            str(self.etc),
            run_dir=str(tmp_path / "run"),
            clock=lambda: NOW,
            sleep=lambda _s: None,
            new_key=lambda: "made-key-1",
        )

    def __call__(self, command):
        if command[-1] == "-t":
            return (1, "", f"nginx: [emerg] {self.refuses}") if self.refuses else (0, "", "ok")
        return 0, "ActiveState=inactive\nMainPID=0\n", ""

    def text(self, name):
        return (self.etc / "gateway" / name).read_text()


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(_nginx.shutil, "which", lambda *_a, **_k: "/usr/sbin/nginx")
    return Host(tmp_path)


def test_the_first_run_makes_a_key_and_the_second_changes_nothing(host):
    wish = Wish(given={}, default=True)
    first = host.keys.hold(wish, False, "engines")
    assert [client.name for client in first.clients] == ["default"]
    assert sorted(os.path.basename(change.path) for change in first.changes) == [
        "clients",
        "clients.conf",
        "engine-key.conf",
    ]
    assert host.keys.hold(wish, False, "engines").changes == []
    for name in ("clients", "clients.conf", "engine-key.conf"):
        assert (host.etc / "gateway" / name).stat().st_mode & 0o777 == 0o600
    assert 'if ($http_authorization = "Bearer made-key-1") { set $gpuserve_client "default"; }' in host.text(
        "clients.conf"
    )
    assert 'set $gpuserve_client "";' in host.text("clients.conf")
    assert host.text("engine-key.conf").endswith('proxy_set_header Authorization "Bearer engine-key-1";\n')
    assert all("made-key-1" not in change.before + change.after for change in first.changes)


def test_open_and_closed_again_keeps_the_clients(host):
    host.keys.hold(Wish(default=True), False, "engines")
    host.keys.hold(Wish(), True, "engines")
    assert 'set $gpuserve_client "open";' in host.text("clients.conf")
    host.keys.hold(Wish(add=["bob"]))  # a change of keys leaves that as it is
    assert 'set $gpuserve_client "open";' in host.text("clients.conf")
    host.keys.hold(Wish(), False)
    assert 'set $gpuserve_client "";' in host.text("clients.conf")
    assert [client.name for client in host.keys.look()] == ["default", "bob"]


def test_a_missing_engine_key_is_made(host):
    (host.etc / "engine.key").unlink()
    assert host.keys.hold(Wish(), False, "engines", check=True).changes[0].action == "create"
    assert not (host.etc / "engine.key").exists()
    host.keys.hold(Wish(), False, "engines")
    key = (host.etc / "engine.key").read_text().strip()
    assert len(key) == 43
    assert f'"Bearer {key}"' in host.text("engine-key.conf")


def test_other_gateways_get_their_key_or_the_clients_own(host):
    host.keys.hold(Wish(), True, "gateways")
    assert host.text("engine-key.conf").endswith("proxy_set_header Authorization $http_authorization;\n")
    host.keys.hold(Wish(), True, "gateways", "upstream-key-1")
    assert host.text("engine-key.conf").endswith('proxy_set_header Authorization "Bearer upstream-key-1";\n')


def test_check_mode_writes_nothing(host):
    assert len(host.keys.hold(Wish(default=True), False, "engines", check=True).changes) == 3
    assert sorted(path.name for path in (host.etc / "gateway").iterdir()) == []


def test_what_nginx_refuses_is_taken_back(host):
    host.keys.hold(Wish(default=True), False, "engines")
    before = host.text("clients.conf")
    host.refuses = "invalid condition in /etc/gpuserve/gateway/clients.conf:9"
    with pytest.raises(InputError, match="the old ones are back: invalid condition"):
        host.keys.hold(Wish(add=["bob"]))
    assert host.text("clients.conf") == before
    assert [client.name for client in host.keys.look()] == ["default"]


def test_old_keys_end_by_themselves(host):
    host.keys.hold(Wish(default=True), False, "engines")
    host.keys.hold(Wish(rotate=["default"], grace=60))
    assert host.text("clients.conf").count("if (") == 2
    assert host.keys.expire() == []
    later = _gateway_keys.GatewayKeys(host, str(host.etc), run_dir=str(host.etc), clock=lambda: NOW + 61)
    assert later.expire() == ["default"]
    assert host.text("clients.conf").count("if (") == 1
    assert later.expire() == []


def test_each_key_is_compared_letter_by_letter():
    text = _gateway_keys.check_conf([Client("a", "Key-One-1"), Client("a", "old-key-1", until=NOW)], False)
    assert text.count("if ($http_authorization = ") == 2
    assert "map" not in text
