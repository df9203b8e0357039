# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is PRIVATE to the collection.
"""Runs a module that takes minutes and meanwhile shows, line by line, how far it is.

The module writes one line into a small file on its host. A thread here reads that file now and then over a copy of the
task's connection, with a plain C(cat) that costs no more than the round trip. A module that is through before the first
look costs nothing, and whatever goes wrong with the telling only ends the telling.
"""

from __future__ import annotations

import contextvars
import copy
import threading
import uuid
from typing import Any, Iterator

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

FIRST = 5.0  # seconds until the first line
EVERY = 10.0  # until the next; each pause is longer than the one before
GROWTH = 1.25
LONGEST = 60.0
WIDTH = 220


def pauses(hosts: int) -> Iterator[float]:
    """Seconds before each line. All hosts of a run together give about one a second at most."""
    yield FIRST
    pause = max(EVERY, float(hosts))
    longest = max(LONGEST, pause)
    while True:
        yield pause
        pause = min(pause * GROWTH, longest)


def printable(line: str) -> str:
    """What a host sent, as one line that cannot do anything to a terminal."""
    text = "".join(c if c.isprintable() else " " for c in line).strip()
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


class TellProgress(ActionBase):
    """Runs ``MODULE``, whose option ``progress`` names the file. ``gpuserve_progress: false`` keeps it quiet."""

    MODULE: str

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        args = dict(self._task.args)
        wanted = boolean(self._templar.template(variables.get("gpuserve_progress", True)), strict=False)
        if not wanted or self._task.check_mode or self._task.no_log or args.get("progress"):
            result.update(self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars))
            return result
        args["progress"] = f"/run/gpuserve-{uuid.uuid4().hex[:12]}.progress"
        name = str(variables.get("inventory_hostname") or "localhost")
        over = threading.Event()
        # output from a thread belongs to this task only in this task's context
        teller = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._tell, name, args["progress"], over, len(variables.get("ansible_play_batch") or ())),
            daemon=True,
        )
        teller.start()
        try:
            result.update(self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars))
        finally:
            over.set()
            teller.join(timeout=FIRST)  # it may be in the middle of a look
        return result

    def _tell(self, name: str, path: str, over: threading.Event, hosts: int) -> None:
        display = Display()
        try:
            for pause in pauses(hosts):
                if over.wait(pause):
                    return
                line = printable(self._read(path))
                if line and not over.is_set():
                    display.display(f"{name}: {line}")
        except Exception as exc:  # the step itself must not suffer
            display.vvv(f"no progress is shown: {exc}", host=name)

    def _read(self, path: str) -> str:
        """The file, over a connection with the settings of the task's, as the user who logged in."""
        twin = copy.copy(self._connection)
        twin.become = None
        code, out, _err = twin.exec_command(f"cat {path}", sudoable=False)
        return bytes(out).decode(errors="replace") if code == 0 else ""
