# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts what a playbook executes on its hosts: modules, and commands of any kind, each with its seconds.

REMOTE_CALLS_OUT gets one line of JSON a playbook, appended when it has ended. Workers are forks of the controller, so
what is wrapped here is wrapped there too; each appends to a file of its own run, which is read at the end.
What runs on the controller through the connection `local` is no remote call.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import tempfile
import time
from collections import Counter
from typing import Any, Callable

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: remote_calls
type: aggregate
short_description: Counts remote calls and their seconds
description: For tests and benchmarks.
"""


def counted(kind: str, inner: Callable[..., Any], path: str) -> Callable[..., Any]:
    """The same method of an action, which notes each call."""

    @functools.wraps(inner)
    def outer(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return inner(self, *args, **kwargs)
        finally:
            if self._connection.transport != "local":
                variables = kwargs.get("task_vars") or {}
                row = {
                    "kind": kind,
                    "host": variables.get("inventory_hostname") or self._play_context.remote_addr,
                    "task": self._task.get_name(),
                    "module": kwargs.get("module_name")
                    or (args[0] if args and kind == "module" else "")
                    or self._task.action,
                    "seconds": round(time.monotonic() - began, 4),
                }
                # one write of a short line is not torn by other workers
                with open(path, "a", encoding="utf-8") as handle:
                    handle.write(json.dumps(row) + "\n")

    return outer


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "remote_calls"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()
        self.playbook = ""
        self.tasks = 0
        handle, self.path = tempfile.mkstemp(prefix="remote-calls-")
        os.close(handle)
        ActionBase._execute_module = counted("module", ActionBase._execute_module, self.path)
        ActionBase._low_level_execute_command = counted("command", ActionBase._low_level_execute_command, self.path)

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self.playbook = os.path.basename(playbook._file_name)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self.tasks += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        with open(self.path, encoding="utf-8") as handle:
            rows = [json.loads(line) for line in handle]
        os.unlink(self.path)
        modules = [row for row in rows if row["kind"] == "module"]
        me, forks = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        record = {
            "playbook": self.playbook,
            "seconds": round(time.monotonic() - self.began, 3),
            "tasks": self.tasks,
            "changed": sum(stats.changed.values()),
            "failed": sum(stats.failures.values()) + sum(stats.dark.values()),
            "hosts": dict(Counter(row["host"] for row in modules)),
            "commands": len(rows) - len(modules),
            "controller_peak_mb": round(max(me.ru_maxrss, forks.ru_maxrss) / 1024),
            "controller_cpu_seconds": round(me.ru_utime + me.ru_stime + forks.ru_utime + forks.ru_stime, 2),
            "calls": modules,
        }
        out = os.environ.get("REMOTE_CALLS_OUT")
        if out:
            with open(out, "a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        most = max(record["hosts"].values(), default=0)
        self._display.display(f"remote calls: at most {most} modules a host, {record['commands']} commands in all")
