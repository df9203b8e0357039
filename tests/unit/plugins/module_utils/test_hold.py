# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nginx's own file: what nginx did not follow is not taken for done by the next run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _files, _hold, _nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, WriteError


class Host:
    """systemd and nginx; it follows a reload where it is not ``deaf``."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.deaf, self.active, self.refuses = False, True, False
        self.done: list[str] = []
        self.site, self.marks = tmp_path / "gpuserve.conf", tmp_path / "run"
        made = partial(_nginx.Nginx, proc=str(tmp_path / "proc"), run_dir=str(self.marks), sleep=lambda s: None)
        monkeypatch.setattr(_nginx, "Nginx", made)
        monkeypatch.setattr(_nginx, "workers", lambda master, proc: self.workers())

    def workers(self) -> dict[int, str]:
        """Each reload that is followed brings another worker."""
        return {7: "nginx: worker process"} if self.deaf else {8 + self.done.count("reload"): "nginx: worker process"}

    def run(self, command: list[str]) -> tuple[int, str, str]:
        if command == ["nginx", "-t"]:
            return (1, "", "nginx: [emerg] no") if self.refuses else (0, "", "")
        if command[1] == "show":
            return 0, f"ActiveState={'active' if self.active else 'inactive'}\nUnitFileState=enabled\nMainPID=5\n", ""
        self.done.append(command[1])
        return 0, "", ""

    def hold(self, content: str, check: bool = False) -> _hold.Held:
        params: dict[str, Any] = {name: option.get("default") for name, option in _hold.FILES_SPEC.items()}
        # as whoever runs the test
        wanted = _files.WantedFile(str(self.site), content, owner="", group="")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_hold, "_wanted", lambda entry, secrets: wanted)
            return _hold.hold(self.run, {**params, "files": [{}]}, check, ["nginx", "-t"], "nginx.service")

    def left(self) -> list[str]:
        return sorted(path.name for path in self.marks.iterdir()) if self.marks.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_what_was_read_is_done(host: Host) -> None:
    assert host.hold("a", check=True).unit_action == "reload" and host.left() == []
    assert host.hold("a").unit_action == "reload" and host.left() == []
    assert not host.hold("a").changed and host.done == ["reload"]


def test_an_nginx_that_does_not_follow_is_reloaded_by_the_next_run(host: Host) -> None:
    host.deaf = True
    with pytest.raises(_nginx.NginxError, match="its workers go on as before"):
        host.hold("a")
    assert host.site.read_text() == "a" and host.left() == ["nginx-site.unread"]
    host.deaf = False
    told = host.hold("a", check=True)
    assert told.changed and told.unit_action == "reload" and host.done == ["reload"]
    assert host.hold("a") == told and host.done == ["reload", "reload"]
    assert not host.hold("a").changed


def test_one_that_is_started_reads_everything(host: Host) -> None:
    host.active = False
    assert host.hold("a").unit_action == "start" and host.left() == []


def test_killed_between_the_file_and_the_reload(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_hold._systemd, "start_or_reload", killed)
        with pytest.raises(KeyboardInterrupt):
            host.hold("a")
    assert host.hold("a").unit_action == "reload"


def test_refused_files_leave_nothing_to_read(host: Host) -> None:
    host.refuses = True
    with pytest.raises(InputError, match="the old ones are back"):
        host.hold("a")
    assert host.left() == [] and not host.site.exists()


def test_nor_does_a_full_disk(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.hold("a")
    written: list[str] = []

    def full(path: str, state: Any) -> str:
        written.append(path)
        if path == str(host.site):
            raise _files.not_written(path, OSError(28, "No space left on device"))
        return real(path, state)

    real = _files._beside
    monkeypatch.setattr(_files, "_beside", full)
    with pytest.raises(WriteError, match=r"gpuserve\.conf cannot be written \(No space left on device"):
        host.hold("b")
    assert host.left() == [] and host.site.read_text() == "a"


def test_what_a_certificate_owes_is_paid_by_the_next_run(host: Host) -> None:
    host.hold("a")
    nginx, host.deaf = _nginx.Nginx(host.run), True
    nginx.owe()
    with pytest.raises(_nginx.NginxError):
        nginx.reload()
    host.deaf = False
    assert host.hold("a").unit_action == "reload" and host.left() == []
