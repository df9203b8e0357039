# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible packed is there again in the next run, while nothing that goes in has changed and nobody else
could put it there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable

import pytest
from ansible_collections.gpuserve.inference.plugins.plugin_utils import _payloads

NAME = f"{_payloads.OURS}host_info-ZIP_DEFLATED-none"


class Site:
    """A collection, a home, and runs of Ansible with a temporary directory each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.home, self._folder, self._runs = folder / "collection", folder / "home", folder, 0
        self.home.mkdir()
        for name in ("modules", "module_utils"):
            (self.root / "plugins" / name).mkdir(parents=True)
        self.module = self.root / "plugins" / "modules" / "host_info.py"
        self.module.write_text("one")
        self._ends: list[Callable[[], None]] = []
        monkeypatch.setattr(_payloads.atexit, "register", self._ends.append)

    def run(self, release: str = "2.19.1", packs: str = "packed", others: tuple[str, ...] = ()) -> str:
        """What the run found; where it found nothing it packs ``packs``."""
        self._runs += 1
        tmp = self._folder / f"run{self._runs}"
        tmp.mkdir()
        used = tmp / "ansiballz_cache"
        _payloads.attach(self.root, release, self.home, used, others)
        path = used / NAME
        found = path.read_text() if path.exists() else ""
        if not found and packs:
            used.mkdir(exist_ok=True)
            path.write_text(packs)
            (used / f"{NAME}.lock").write_text("")
            (used / "ansible.legacy.setup-ZIP_DEFLATED-none").write_text("another's")
        while self._ends:
            self._ends.pop()()
        return found

    @property
    def store(self) -> Path:
        return self.home / "gpuserve" / "payloads"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_the_second_run_finds_what_the_first_one_packed(site: Site) -> None:
    assert [site.run(), site.run()] == ["", "packed"]
    assert [path.name for path in site.store.glob("*/*")] == [NAME], "no lock, and no module of anybody else"
    assert all(path.stat().st_mode & 0o077 == 0 for path in (site.store, *site.store.iterdir()))


@pytest.mark.parametrize("change", ["file", "new file", "release"])
def test_it_is_packed_anew_where_something_changed(site: Site, change: str) -> None:
    site.run()
    if change == "file":
        site.module.write_text("two")
        os.utime(site.module, (1, 1))
    elif change == "new file":
        (site.root / "plugins" / "module_utils" / "_more.py").write_text("")
    assert site.run("2.19.2" if change == "release" else "2.19.1") == ""


def test_files_that_replace_ansibles_own_are_not_passed_over(site: Site, tmp_path: Path) -> None:
    mine = tmp_path / "module_utils"
    mine.mkdir()
    site.run()
    assert site.run(others=(str(mine), "/nonexistent")) == "packed"
    (mine / "basic.py").write_text("")
    assert site.run(others=(str(mine),)) == ""


@pytest.mark.parametrize("level", [0, 1])
def test_what_others_can_write_to_is_not_used(site: Site, level: int) -> None:
    site.run()
    (site.store, next(site.store.iterdir()))[level].chmod(0o777)
    assert site.run(packs="mine") == ""


def test_a_link_is_not_followed(site: Site, tmp_path: Path) -> None:
    site.run()
    folder = next(site.store.iterdir())
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert site.run() == ""


def test_old_ones_go(site: Site) -> None:
    for number in range(5):
        site.run(f"2.19.{number}")
        for age, path in enumerate(sorted(site.store.iterdir(), key=lambda path: path.stat().st_mtime)):
            os.utime(path, (time.time() - 100 + age,) * 2)
    assert len(list(site.store.iterdir())) == _payloads.KEPT
    assert site.run("2.19.4") == "packed"


def test_another_file_system_and_a_full_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_payloads.os, "link", refuse)
    assert [site.run(), site.run()] == ["", "packed"]
    monkeypatch.setattr(_payloads.shutil, "copyfile", refuse)
    assert site.run() == "", "the run goes on without"


def test_a_run_that_packed_nothing_leaves_nothing(site: Site) -> None:
    assert site.run(packs="") == "" and not site.store.exists()
