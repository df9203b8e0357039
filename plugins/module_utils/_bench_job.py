# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A benchmark that goes on in the background of a host, so that a lost connection does not end it.

Whoever started it looks at ``state.json`` now and then, and touches ``beat`` as he does. Where nobody does for long, it
ends by itself: a controller that was killed must not leave a host under load. There is one at a time, which ends with
the lock that it holds; whoever wants to begin another one ends it first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import threading
import time
from typing import Any, Callable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import write_text

ROOT_FOLDER = "/run/gpuserve/bench"
SILENCE_S = 600.0  # without a look: a reboot of the controller is shorter, and a host should not be loaded for nothing
END_S = 10.0


def folder() -> str:
    if os.geteuid() == 0:
        return ROOT_FOLDER
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR") or os.path.expanduser("~/.cache"), "gpuserve-bench")


class Job:
    """``where`` is a directory of its own, for its user alone."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def path(self, name: str) -> str:
        return os.path.join(self.where, name)

    # ---- from outside

    def running(self) -> int:
        """The process of the one that goes on; 0 where none does."""
        try:
            with open(self.path("lock"), "r+", encoding="ascii") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(handle.read() or 0)
        except (OSError, ValueError):
            pass
        return 0

    def stop(self, sleep: Callable[[float], None] = time.sleep) -> bool:
        """End the one that goes on with all of its clients; whether there was one."""
        process = self.running()
        if not process:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, number)
            for _tenth in range(int(END_S * 10)):
                if not self.running():
                    return True
                sleep(0.1)
        raise EngineError(
            f"the benchmark of process {process} on this host does not end; end it with kill -9 {process}"
        )

    def start(self, work: Callable[[Job], dict[str, Any]], silence: float = SILENCE_S) -> None:
        """Runs ``work`` in a process of its own; what it returns is kept as ``result``. Returns once that has begun."""
        os.makedirs(self.where, mode=0o700, exist_ok=True)
        self.stop()
        read, write = os.pipe()
        child = os.fork()
        if child:
            os.close(write)
            os.waitpid(child, 0)
            with open(read, encoding="ascii") as pipe:
                if pipe.read() != "begun":
                    raise EngineError(
                        f"the benchmark could not begin in the background; see that {self.where} can be written"
                    )
            return
        try:
            os.close(read)
            os.setsid()
            if os.fork():
                os._exit(0)
            self._run(work, write, silence)
        finally:
            os._exit(1)  # nothing of the module goes on in here

    # ---- inside

    def _run(self, work: Callable[[Job], dict[str, Any]], write: int, silence: float) -> None:
        with open(self.path("lock"), "a+", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            lock.write(str(os.getpgid(0)))
            lock.flush()
            self._tell(None)
            self._touch()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nowhere, number)
            os.write(write, b"begun")
            os.close(write)
            threading.Thread(target=self._watch, args=(silence,), daemon=True).start()
            try:
                result = work(self)
            except BaseException as exc:  # told to whoever looks; there is nobody else
                result = {"failed": True, "msg": f"{type(exc).__name__}: {exc}"}
            self._tell(result)
            os._exit(0)

    def say(self, line: str) -> None:
        self._lines.append(line)
        with contextlib.suppress(OSError):  # a line less is no reason to end
            self._tell(None)

    def _tell(self, result: Optional[dict[str, Any]]) -> None:
        with self._lock:
            write_text(self.path("state.json"), json.dumps({"lines": self._lines, "result": result}))

    def _touch(self) -> None:
        with open(self.path("beat"), "a", encoding="ascii"):
            os.utime(self.path("beat"))

    def _watch(self, silence: float) -> None:
        while True:
            time.sleep(min(5.0, silence / 4))
            try:
                still = time.time() - os.stat(self.path("beat")).st_mtime
            except OSError:  # all of the collection was removed from this host
                os.killpg(0, signal.SIGKILL)
                return
            if still > silence:
                self._tell({"failed": True, "msg": f"nobody looked at this benchmark for {silence:g} s, so it ended"})
                os.killpg(0, signal.SIGKILL)
