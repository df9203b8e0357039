# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""nginx on this host: what it says of its configuration, and a reload that is over when it returns."""

from __future__ import annotations

import glob
import os
import re
import shutil
import socket
import struct
import time
from dataclasses import replace
from typing import Callable, Collection, Container, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError, WriteError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import (
    Change,
    WantedFile,
    apply_files,
    write_text,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import show, systemctl

UNIT = "nginx.service"
SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"
LEAVING = "shutting down"  # what a worker calls itself once it has closed its listening sockets


def program() -> Optional[str]:
    return shutil.which("nginx") or shutil.which("nginx", path=SBIN)


def verdict(run: Run, executable: str) -> str:
    """What ``nginx -t`` has against the configuration, in one line; empty where it has nothing."""
    code, out, err = run([executable, "-t"])
    if code == 0:
        return ""
    lines = [line.strip() for line in (err + "\n" + out).splitlines() if line.strip()]
    marked = [line for line in lines if "[emerg]" in line]
    return re.sub(r"^.*\[emerg\] (\d+#\d+: )?", "", (marked or lines or [f"exit status {code}"])[0])


def workers(master: int, proc: str = "/proc") -> dict[int, str]:
    """PID and title of the worker processes of a master."""
    found = {}
    for path in glob.glob(f"{proc}/[0-9]*/stat"):
        pid = path.split("/")[-2]
        try:
            with open(path, encoding="ascii", errors="replace") as handle:
                parent = int(handle.read().rsplit(")", 1)[1].split()[1])
            if parent != master:
                continue
            with open(f"{proc}/{pid}/cmdline", encoding="utf-8", errors="replace") as handle:
                title = handle.read().replace("\0", " ").strip()
        except (OSError, ValueError, IndexError):
            continue  # gone meanwhile
        if "worker process" in title:
            found[int(pid)] = title
    return found


Address = tuple[str, int]  # an IP address as text, and a port
_LISTEN = re.compile(r"(?m)^([ \t]*listen[ \t]+)([^\s;]+)([^;\n]*;)")
_EVERY = ("0.0.0.0", "::")
_LISTENING = "0A"  # in /proc/net/tcp


def address_of(word: str) -> Optional[Address]:
    """What ``listen`` is given; None for a path or a host's name."""
    if word.isdigit():
        return "0.0.0.0", int(word)
    host, _colon, port = word.rpartition(":") if re.search(r":\d+$", word) else (word, "", "80")
    host = "0.0.0.0" if host == "*" else host.strip("[]")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, host)), int(port)
        except OSError:
            continue
    return None


def listened(pid: int, proc: str = "/proc") -> set[Address]:
    """Where a process listens."""
    inodes = set()
    for path in glob.glob(f"{proc}/{pid}/fd/*"):
        try:
            link = os.readlink(path)
        except OSError:
            continue  # closed meanwhile
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    found: set[Address] = set()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            with open(f"{proc}/{pid}/net/{name}", encoding="ascii") as handle:
                rows = [line.split() for line in handle.readlines()[1:]]
        except OSError:
            continue
        for row in rows:
            if len(row) > 9 and row[3] == _LISTENING and row[9] in inodes:
                host, _colon, port = row[1].partition(":")
                # four bytes each, in the processor's own order
                packed = b"".join(struct.pack("=I", int(host[at : at + 8], 16)) for at in range(0, len(host), 8))
                found.add((socket.inet_ntop(family, packed), int(port, 16)))
    return found


def blocked(wanted: Collection[Address], held: Collection[Address]) -> set[Address]:
    """Those of ``wanted`` that cannot be listened on while those of ``held`` that are no longer wanted still are.

    The kernel lets nobody listen on all addresses beside one of them on the same port, and nginx closes what it no
    longer needs only after it has opened all that is new.
    """
    return {
        (host, port)
        for host, port in wanted
        for other, number in held
        if (host, port) not in held
        and (other, number) not in wanted
        and number == port
        and (":" in host) == (":" in other)
        and (host in _EVERY or other in _EVERY)
    }


def aside(content: str, moving: Container[Address], place: str) -> str:
    """The configuration with its servers in a place where nobody asks, instead of listening on ``moving``."""

    def put(match: re.Match[str]) -> str:
        if address_of(match[2]) not in moving:
            return match[0]
        return f"{match[1]}unix:{place}{match[3]}"

    return _LISTEN.sub(put, content)


class NginxError(GpuserveError):
    """nginx goes on with its old configuration."""


class Nginx:
    """The host's nginx. ``run_dir`` remembers what it has not read yet; tests give their own places."""

    def __init__(
        self,
        run: Run,
        proc: str = "/proc",
        run_dir: str = "/run/gpuserve",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._proc = proc
        self._aside = f"{run_dir}/nginx-aside.sock"
        # a program that was killed in between, or that nginx did not follow, leaves them to the next one
        self._unread = f"{run_dir}/nginx.unread"
        self._unread_site = f"{run_dir}/nginx-site.unread"
        self._sleep = sleep

    def hold(self, files: list[WantedFile], read: Container[str], check: bool = False) -> list[Change]:
        """Make files true and, where nginx ``read``s one of those that change, have it read them before returning.

        Files that it refuses are taken back. On a host without nginx they are just written.
        """
        changes, due = self.write(files, self._judge, read=read, check=check)
        if due and not check:
            self.reload()
        return changes

    def write(
        self,
        files: list[WantedFile],
        judge: Callable[[], str],
        purge: Sequence[str] = (),
        read: Optional[Container[str]] = None,
        check: bool = False,
    ) -> tuple[list[Change], bool]:
        """As apply_files, where nginx ``read``s some of the files (None: all). Reloading it is left to the caller.

        Returns the changes, and whether nginx has something to read: of them, or of a run that it did not follow. A
        mark says so until it has.
        """
        # apart, so that what wants one replica out does not try again what only settings that are mended can cure
        mark = self._unread_site if read is None else self._unread
        changes = apply_files(files, purge, check=True)
        unread = os.path.exists(mark)
        concerned = any(read is None or change.path in read for change in changes)
        if changes and not check:
            if concerned:
                write_text(mark, "")
            try:
                apply_files(files, purge, judge if concerned else lambda: "")
            except (InputError, WriteError):  # the old ones are back
                if concerned and not unread:
                    os.unlink(mark)
                raise
        return changes, concerned or unread

    def owe(self) -> None:
        """Something that it reads was changed: until a reload it is remembered, over a run that fails too."""
        write_text(self._unread_site, "")

    def has_read(self) -> None:
        for mark in (self._unread, self._unread_site):
            if os.path.exists(mark):
                os.unlink(mark)

    def _judge(self) -> str:
        executable = program()
        problem = verdict(self._run, executable) if executable else ""
        return f"nginx -t refuses the new files, the old ones are back: {problem}" if problem else ""

    def follow(self, files: Sequence[WantedFile]) -> None:
        """Have nginx read files that were written, and wait until it goes by them; as ``reload``.

        Where a server goes from one address to all of them, or back, on the same port, nginx would stay with its old
        configuration for good: then it first lets go of the old one, and opens the new one a moment later.
        """
        state = show(self._run, UNIT, "ActiveState", "MainPID")
        if state.get("ActiveState") in ("active", "reloading"):
            wanted = {address_of(match[2]) for item in files for match in _LISTEN.finditer(item.content)}
            moving = blocked({one for one in wanted if one}, listened(int(state["MainPID"]), self._proc))
            if moving:
                os.makedirs(os.path.dirname(self._aside), exist_ok=True)
                apply_files([replace(item, content=aside(item.content, moving, self._aside)) for item in files])
                try:
                    self.reload()
                finally:
                    apply_files(list(files))
        self.reload()
        if os.path.exists(self._aside):
            os.unlink(self._aside)

    def reload(self, timeout: float = 30.0) -> None:
        """Reload, and wait until no worker with the old configuration accepts anything.

        ``nginx -s reload`` returns at once, while the old workers still take requests; NginxError where they do so for
        ``timeout`` seconds. An nginx that does not run reads the new configuration when it is started.
        """
        state = show(self._run, UNIT, "ActiveState", "MainPID")
        if state.get("ActiveState") in ("active", "reloading") and not self._reloaded(int(state["MainPID"]), timeout):
            raise NginxError(
                "nginx was told to reload, but its workers go on as before; see the end of /var/log/nginx/error.log"
            )
        self.has_read()

    def _reloaded(self, master: int, timeout: float) -> bool:
        old = set(workers(master, self._proc))
        systemctl(self._run, "reload", UNIT)
        pause, waited = 0.05, 0.0
        while True:
            now = workers(master, self._proc)
            fresh = [pid for pid in now if pid not in old]
            if fresh and all(LEAVING in title for pid, title in now.items() if pid in old):
                return True
            if not old and not now:  # its processes cannot be seen from here
                return True
            if waited >= timeout:
                return False
            self._sleep(pause)
            waited += pause
