# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules as Ansible packs them for hosts, kept from run to run.

For each module that a run uses, Ansible reads and parses all that it imports and packs it: 0.15 to 0.4 s, a fifth of a
converged run. It keeps the result for the length of the run only, in a directory of its temporary ones. Here those of
this collection are laid there before the first is needed, and what was packed anew is taken from there at the end.

What is kept stands below Ansible's home, in a directory named by all that goes in: the files of this collection, the
releases of Ansible and Python. Where Ansible keeps its own elsewhere, there is nothing to lay down or take.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Sequence

OURS = "ansible_collections.gpuserve.inference.plugins.modules."
KEPT = 3  # checkouts, or releases of Ansible, between which somebody goes back and forth


def key_of(root: Path, release: str) -> str:
    """What a packed module depends on, in one word. ``root`` is the collection's directory."""
    digest = hashlib.sha256(repr((str(root), release, sys.version_info[:3])).encode())
    for path in sorted((root / "plugins").glob("module*/**/*.py")):
        found = path.stat()
        digest.update(repr((str(path), found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def own(path: Path) -> bool:
    """Whether it is a directory that nobody else can write to: what lies there runs on hosts."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return path.is_dir() and not path.is_symlink() and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def packed(folder: Path) -> list[Path]:
    """Whole ones of this collection."""
    return [path for path in folder.glob(f"{OURS}*") if not path.name.endswith((".lock", "-part"))]


def lay(source: Path, target: Path) -> None:
    """Each file of ``source`` that ``target`` lacks."""
    for path in packed(source):
        there = target / path.name
        if there.exists():
            continue
        try:
            os.link(path, there)
        except OSError:  # another file system
            part = there.with_name(f".{there.name}-{os.getpid()}")
            shutil.copyfile(path, part)
            part.rename(there)


def keep(used: Path, store: Path, key: str) -> None:
    """Takes what was packed in this run, and lets go what nobody came back to."""
    if not packed(used):
        return
    for folder in (store.parent, store, store / key):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not own(store) or not own(store / key):
        return
    lay(used, store / key)
    os.utime(store / key)
    known = sorted((path for path in store.iterdir() if own(path)), key=lambda path: path.stat().st_mtime)
    for path in known[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def attach(root: Path, release: str, home: Path, used: Path, others: Sequence[str] = ()) -> None:
    """``used``: where Ansible keeps them in this run. ``others``: where it looks for files in place of its own ones."""
    if any(os.path.isdir(path) and os.listdir(path) for path in others):
        return
    store = home / "gpuserve" / "payloads"
    try:
        key = key_of(root, release)
        if own(store) and own(store / key):
            used.mkdir(mode=0o700, exist_ok=True)
            lay(store / key, used)
    except OSError:
        return

    def at_the_end() -> None:
        try:
            keep(used, store, key)
        except OSError:
            pass  # the next run packs them again

    atexit.register(at_the_end)
