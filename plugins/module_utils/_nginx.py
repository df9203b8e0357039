# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""nginx on this host: what it says of its configuration, and a reload that is over when it returns."""

from __future__ import annotations

import glob
import re
import shutil
from typing import Callable

from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import show, systemctl

UNIT = "nginx.service"
SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"
LEAVING = "shutting down"  # what a worker calls itself once it has closed its listening sockets


def complaint(run: Run) -> str:
    """What ``nginx -t`` has against the configuration, in one line; empty where it has nothing (or is not there)."""
    program = shutil.which("nginx") or shutil.which("nginx", path=SBIN)
    if program is None:
        return ""
    code, out, err = run([program, "-t"])
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


def reload(run: Run, proc: str, sleep: Callable[[float], None], timeout: float = 30.0) -> bool:
    """Reload, and wait until no worker with the old configuration accepts anything.

    ``nginx -s reload`` returns at once, while the old workers still take requests. False where they did so for
    ``timeout`` seconds. An nginx that does not run reads the new configuration when it is started.
    """
    state = show(run, UNIT, "ActiveState", "MainPID")
    if state.get("ActiveState") not in ("active", "reloading"):
        return True
    master = int(state.get("MainPID") or 0)
    old = set(workers(master, proc))
    systemctl(run, "reload", UNIT)
    pause, waited = 0.05, 0.0
    while True:
        now = workers(master, proc)
        fresh = [pid for pid in now if pid not in old]
        if fresh and all(LEAVING in title for pid, title in now.items() if pid in old):
            return True
        if not old and not now:  # its processes cannot be seen from here
            return True
        if waited >= timeout:
            return False
        sleep(pause)
        waited += pause
