# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A set of files on a host made equal to what is given, as one step that either holds or is taken back."""

from __future__ import annotations

import errno
import glob
import grp
import hashlib
import os
import pwd
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, WriteError
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run


@dataclass(frozen=True)
class WantedFile:
    """One file to hold. ``secret`` keeps its content out of diffs, ``program`` shows only its size and sha256 there.

    ``replaces`` is the file whose part it takes. An empty owner and group are those of the running program.
    """

    path: str
    content: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    replaces: str = ""
    program: bool = False


@dataclass(frozen=True)
class _State:
    content: bytes
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Change:
    """What happens to one path: ``create``, ``update``, ``mode`` (content as it was) or ``remove``."""

    path: str
    action: str
    before: str
    after: str


def _state(path: str) -> Optional[_State]:
    try:
        with open(path, "rb") as handle:
            content = handle.read()
        info = os.stat(path)
    except FileNotFoundError:
        return None
    return _State(content, info.st_mode & 0o7777, info.st_uid, info.st_gid)


def _wanted_state(item: WantedFile) -> _State:
    try:
        uid = pwd.getpwnam(item.owner).pw_uid if item.owner else os.geteuid()
        gid = grp.getgrnam(item.group).gr_gid if item.group else os.getegid()
    except KeyError as exc:
        raise InputError(f"{item.path}: owner {item.owner}:{item.group} does not exist on this host") from exc
    return _State(item.content.encode(), item.mode, uid, gid)


def _shown(state: Optional[_State], secret: bool, program: bool = False) -> str:
    if state is None:
        return ""
    if program:
        return f"({len(state.content)} bytes, sha256 {hashlib.sha256(state.content).hexdigest()[:12]})\n"
    return "(hidden)\n" if secret else state.content.decode(errors="replace")


def _was(state: Optional[_State], secret: bool = False) -> str:
    """What was there. Nobody says any more whether it was secret, but its permissions do."""
    return _shown(state, secret or (state is not None and not state.mode & 0o004))


_CURES = {
    errno.ENOSPC: "free some space on its file system",
    errno.EDQUOT: "free some space, or raise the quota there",
    errno.EROFS: "mount its file system for writing",
}


def not_written(path: str, exc: OSError) -> WriteError:
    cure = _CURES.get(exc.errno or 0, "see who owns its directory, and what is mounted there")
    return WriteError(f"{path} cannot be written ({exc.strerror or exc}); {cure}, and run again")


def _beside(path: str, state: _State) -> str:
    """A whole file beside ``path``, which is to take its place; what it is called."""
    temporary = ""
    try:
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".gpuserve-", dir=folder)  # 0600 until its owner is set
        with os.fdopen(handle, "wb") as out:
            out.write(state.content)
            out.flush()
            os.fsync(out.fileno())
        os.chown(temporary, state.uid, state.gid)
        os.chmod(temporary, state.mode)
    except OSError as exc:  # such as a full disk: a part of it is of no use to anybody
        if temporary:
            os.unlink(temporary)
        raise not_written(path, exc) from exc
    return temporary


def _write(path: str, state: _State) -> None:
    _put({path: state})


def read_text(path: str) -> Optional[str]:
    """None where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except OSError:
        return None


def write_text(path: str, text: str, mode: int = 0o644) -> None:
    """Put a file of this user in place in one step, its directory made as needed."""
    _write(path, _State(text.encode(), mode, os.geteuid(), os.getegid()))


def apply_files(
    wanted: list[WantedFile],
    purge: Sequence[str] = (),
    judge: Callable[[], str] = lambda: "",
    check: bool = False,
) -> list[Change]:
    """Make ``wanted`` true and remove whatever else matches the ``purge`` globs.

    ``judge`` is asked after the change; where it has a complaint, every file is put back as it was and InputError has
    that text. With ``check`` nothing is touched.
    """
    paths = [item.path for item in wanted]
    double = sorted({path for path in paths if paths.count(path) > 1})
    if double:
        raise InputError(f"{double[0]} is given twice; name each file once")
    changes: list[Change] = []
    before: dict[str, Optional[_State]] = {}
    after: dict[str, Optional[_State]] = {}
    for item in wanted:
        if os.path.isdir(item.path):
            raise InputError(f"{item.path} is a directory where a file is to be; move it away")
        old, new = _state(item.path), _wanted_state(item)
        if old == new:
            continue
        action = "create" if old is None else ("mode" if old.content == new.content else "update")
        before[item.path], after[item.path] = old, new
        former = _state(item.replaces) if old is None and item.replaces else old
        was = _shown(former, False, True) if item.program else _was(former, item.secret)
        changes.append(Change(item.path, action, was, _shown(new, item.secret, item.program)))
    for path in sorted({found for pattern in purge for found in glob.glob(pattern)} - set(paths)):
        old = _state(path)
        before[path], after[path] = old, None
        changes.append(Change(path, "remove", _was(old), ""))
    if check or not changes:
        return changes
    _put(after)
    problem = judge()
    if problem:
        _put(before)
        raise InputError(problem)
    return changes


def _put(states: Mapping[str, Optional[_State]]) -> None:
    """All of them or, where one cannot be written, none."""
    ready: dict[str, str] = {}
    try:
        for path, state in states.items():
            if state is not None:
                ready[path] = _beside(path, state)
        for path, state in states.items():
            if state is None and os.path.lexists(path):
                os.unlink(path)
            elif path in ready:
                # made in the folder it belongs to, so it has that folder's security context already
                os.replace(ready[path], path)
                del ready[path]
    finally:
        for temporary in ready.values():
            os.unlink(temporary)


def validator(run: Run, words: list[str]) -> Callable[[], str]:
    """A ``judge`` of apply_files that asks a program; none is asked where there are no ``words``."""

    def judge() -> str:
        code, out, err = run(words) if words else (0, "", "")
        if code == 0:
            return ""
        lines = [line.strip() for line in (err + "\n" + out).splitlines() if line.strip()]
        marked = [line for line in lines if "[emerg]" in line or "error" in line.lower()]
        cause = (marked or lines or ["it said nothing"])[0]
        return f"{' '.join(words)} refused the new files, the old ones are back: {cause}"

    return judge


def make_keys(paths: list[str], check: bool = False) -> list[Change]:
    """A random key (256 bits, url-safe base64) in each file that is missing or empty; what is there stays."""
    changes = []
    for path in paths:
        old = _state(path)
        if old is not None and old.content.strip():
            continue
        changes.append(Change(path, "create", "", "(hidden)\n"))
        if not check:
            _write(path, _State(f"{secrets.token_urlsafe(32)}\n".encode(), 0o600, 0, 0))
    return changes


def remove_trees(absent: list[str], tidy: list[str], check: bool = False) -> list[Change]:
    """Remove whole directories (``absent``), then those of ``tidy`` that are empty.

    A mount point is emptied but stays, since it is not the collection's to unmount.
    """
    changes = []
    for path in absent:
        if not os.path.lexists(path):
            continue
        changes.append(Change(path, "remove", "", ""))
        if not check:
            _remove(path)
    for path in tidy:
        if not check and os.path.isdir(path) and not os.path.ismount(path) and not os.listdir(path):
            os.rmdir(path)
            changes.append(Change(path, "remove", "", ""))
    return changes


def _remove(path: str) -> None:
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
    elif os.path.ismount(path):
        for name in os.listdir(path):
            _remove(os.path.join(path, name))
    else:
        shutil.rmtree(path)
