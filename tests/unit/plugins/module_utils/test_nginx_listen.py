# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A door that moves from one address to all of them, or back: nginx has to let go of the old one first."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._files import WantedFile

HOME, ALL = ("127.0.0.1", 8000), ("0.0.0.0", 8000)
HOME6, ALL6 = ("::1", 8000), ("::", 8000)


@pytest.mark.parametrize(
    ("word", "address"),
    [
        ("8000", ALL), ("*:8000", ALL), ("0.0.0.0:8000", ALL), ("127.0.0.1:8000", HOME),
        ("127.0.0.1", ("127.0.0.1", 80)),
        ("[::]:8000", ALL6), ("[::1]:8000", HOME6), ("[0:0::1]:8000", HOME6), ("[::1]", ("::1", 80)),
        ("unix:/run/a.sock", None), ("localhost:8000", None), ("gpu1.example", None),
    ],
)  # fmt: skip
def test_what_listen_is_given(word: str, address: Any) -> None:
    assert _nginx.address_of(word) == address


@pytest.mark.parametrize(
    ("wanted", "held", "found"),
    [
        ({ALL}, {HOME}, {ALL}),
        ({HOME}, {ALL}, {HOME}),
        ({HOME}, {HOME}, set()),
        ({ALL}, set(), set()),
        ({("10.0.0.1", 8000)}, {HOME}, set()),  # both can be
        ({("0.0.0.0", 8443)}, {HOME}, set()),
        ({ALL6}, {HOME}, set()),  # another family
        ({ALL6}, {HOME6}, {ALL6}),
        ({ALL, ("127.0.0.1", 8080)}, {HOME, ("127.0.0.1", 8080)}, {ALL}),
        ({ALL, HOME}, {HOME}, set()),  # nginx knows that the one holds the other
    ],
)
def test_what_cannot_be_had_while_the_old_is_held(wanted: set[Any], held: set[Any], found: set[Any]) -> None:
    assert _nginx.blocked(wanted, held) == found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_where_a_process_listens(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with made:
        address = (host, made.getsockname()[1])
        assert address in _nginx.listened(os.getpid())
    assert address not in _nginx.listened(os.getpid())


CONF = """\
server {
    listen 0.0.0.0:8000 ssl;
    # listen to what it says
}
server {
    listen 127.0.0.1:8080;
}
"""


class Host:
    """An nginx whose sockets and reloads are told here, and what the file said at each reload."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: set[Any]) -> None:
        self.held, self.seen = held, list[str]()
        self.file = WantedFile(str(tmp_path / "gpuserve.conf"), CONF, owner="", group="")
        Path(self.file.path).write_text(CONF)
        self.nginx = _nginx.Nginx(self.run, run_dir=str(tmp_path / "run"))
        monkeypatch.setattr(_nginx, "listened", lambda pid, proc: self.held)
        monkeypatch.setattr(self.nginx, "reload", self.reload)

    def run(self, command: list[str]) -> tuple[int, str, str]:
        assert command[1] == "show"
        return 0, "ActiveState=active\nMainPID=7\n", ""

    def reload(self) -> None:
        self.seen.append(Path(self.file.path).read_text())


def test_the_old_address_is_let_go_of_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, {HOME, ("127.0.0.1", 8080)})
    host.nginx.follow([host.file])
    first, second = host.seen
    assert f"listen unix:{tmp_path}/run/nginx-aside.sock ssl;" in first and "listen 127.0.0.1:8080;" in first
    assert "8000" not in first.replace("127.0.0.1:8080", "") and second == CONF == Path(host.file.path).read_text()


def test_else_it_reloads_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, {ALL, ("127.0.0.1", 8080)})
    host.nginx.follow([host.file])
    assert host.seen == [CONF]


def test_the_file_is_as_wanted_where_nginx_does_not_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, {HOME})

    def refuse() -> None:
        raise _nginx.NginxError("its workers go on as before")

    monkeypatch.setattr(host.nginx, "reload", refuse)
    with pytest.raises(_nginx.NginxError):
        host.nginx.follow([host.file])
    assert Path(host.file.path).read_text() == CONF
