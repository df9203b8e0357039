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
import time
from typing import Callable, Container, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
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
        self._unread = f"{run_dir}/nginx.unread"  # a program that was killed in between leaves it to the next one
        self._sleep = sleep

    def hold(self, files: list[WantedFile], read: Container[str], check: bool = False) -> list[Change]:
        """Make files true and, where nginx ``read``s one of those that change, have it read them before returning.

        Files that it refuses are taken back. On a host without nginx they are just written.
        """
        changes = apply_files(files, check=True)
        unread = os.path.exists(self._unread)
        if check or not (changes or unread):
            return changes
        concerned = any(change.path in read for change in changes)
        if concerned and not unread:
            write_text(self._unread, "")
        try:
            apply_files(files, judge=self._judge if concerned else lambda: "")
        except InputError:
            if concerned and not unread:
                os.unlink(self._unread)
            raise
        if concerned or unread:
            self.reload()
        return changes

    def _judge(self) -> str:
        executable = program()
        problem = verdict(self._run, executable) if executable else ""
        return f"nginx -t refuses the new files, the old ones are back: {problem}" if problem else ""

    def reload(self, timeout: float = 30.0) -> None:
        """Reload, and wait until no worker with the old configuration accepts anything.

        ``nginx -s reload`` returns at once, while the old workers still take requests; NginxError where they do so for
        ``timeout`` seconds. An nginx that does not run reads the new configuration when it is started.
        """
        state = show(self._run, UNIT, "ActiveState", "MainPID")
        if state.get("ActiveState") in ("active", "reloading") and not self._reloaded(int(state["MainPID"]), timeout):
            raise NginxError("nginx was told to reload, but its workers go on as before; see: systemctl status nginx")
        if os.path.exists(self._unread):
            os.unlink(self._unread)

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
