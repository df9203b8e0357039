# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a long step is, shown while it runs: by a thread beside the module, over a copy of its connection."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.gpuserve.inference.plugins.plugin_utils import _tell_progress
from ansible_collections.gpuserve.inference.plugins.plugin_utils._tell_progress import TellProgress, pauses, printable


class Connection:
    """Answers ``cat`` from a list, the last item for ever; an exception is raised."""

    become = "sudo"

    def __init__(self, *answers) -> None:
        self.answers, self.asked = list(answers), []

    def exec_command(self, command, in_data=None, sudoable=True):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.asked.append((command, sudoable, self.become))
        if isinstance(answer, Exception):
            raise answer
        return (0, answer.encode(), b"") if answer else (1, b"", b"No such file")


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(
        _tell_progress,
        "Display",
        lambda: SimpleNamespace(display=lines.append, vvv=lambda line, host: lines.append("vvv " + line)),
    )
    monkeypatch.setattr(_tell_progress, "FIRST", 0.01)
    monkeypatch.setattr(_tell_progress, "EVERY", 0.01)
    monkeypatch.setattr(_tell_progress, "LONGEST", 0.01)
    return lines


def action(connection, seconds, check_mode=False, args=None):
    """The action plugin around a module that takes so long; what the module was given goes to ``given``."""
    plugin = object.__new__(TellProgress)
    plugin.MODULE = "gpuserve.inference.python_env"
    plugin._connection = connection
    plugin._task = SimpleNamespace(args=dict(args or {}), check_mode=check_mode, no_log=False)
    plugin._templar = SimpleNamespace(template=lambda value: value)
    plugin.given = {}

    def execute(module_name, module_args, task_vars):
        plugin.given.update(module_args)
        threading.Event().wait(seconds)
        return {"changed": True}

    plugin._execute_module = execute
    return plugin


@pytest.fixture(autouse=True)
def base(monkeypatch):
    monkeypatch.setattr(_tell_progress.ActionBase, "run", lambda self, tmp, task_vars: {})


HOST = {"inventory_hostname": "gpu7", "ansible_play_batch": []}


def test_lines_come_while_the_module_runs(shown):
    connection = Connection("0:05  half\n", "0:15  nearly\n")
    plugin = action(connection, 0.3, args={"path": "/x"})
    assert plugin.run(None, HOST) == {"changed": True}
    assert shown[:2] == ["gpu7: 0:05  half", "gpu7: 0:15  nearly"]
    assert plugin.given["path"] == "/x"
    # as the user who logged in, with nothing in the command that the host or the operator chose
    assert connection.asked[0] == (f"cat {plugin.given['progress']}", False, None)
    assert connection.become == "sudo"  # the task's own connection is as it was
    count = len(connection.asked)
    threading.Event().wait(0.05)
    assert len(connection.asked) == count  # it is over


def test_a_quick_module_costs_nothing(shown, monkeypatch):
    monkeypatch.setattr(_tell_progress, "FIRST", 60.0)
    connection = Connection("x")
    action(connection, 0).run(None, HOST)
    assert connection.asked == [] and shown == []


@pytest.mark.parametrize(("variables", "check_mode"), [(HOST, True), ({**HOST, "gpuserve_progress": "false"}, False)])
def test_it_can_be_quiet(shown, variables, check_mode):
    connection = Connection("x")
    plugin = action(connection, 0.05, check_mode)
    assert plugin.run(None, variables) == {"changed": True}
    assert connection.asked == [] and "progress" not in plugin.given


def test_a_connection_that_fails_harms_only_the_telling(shown):
    plugin = action(Connection(OSError("the session was refused")), 0.1)
    assert plugin.run(None, HOST) == {"changed": True}
    assert shown == ["vvv no progress is shown: the session was refused"]


def test_no_file_yet_is_no_line(shown):
    action(Connection("", "0:05  now\n"), 0.2).run(None, HOST)
    assert shown[0] == "gpu7: 0:05  now"


def test_a_module_that_fails_ends_the_telling(shown):
    plugin = action(Connection("x"), 0)

    def execute(**_more):
        raise RuntimeError("connection lost")

    plugin._execute_module = execute
    with pytest.raises(RuntimeError):
        plugin.run(None, HOST)
    tellers = [thread for thread in threading.enumerate() if "Thread" in thread.name and "run" in thread.name]
    for teller in tellers:  # the plugin itself waits no longer than FIRST, which is short here
        teller.join(timeout=30)
    assert not any(teller.is_alive() for teller in tellers)


def test_lines_get_rarer():
    seconds = list(itertools.islice(pauses(1), 40))
    assert seconds[:3] == [5.0, 10.0, 12.5] and seconds[-1] == 60.0
    assert sum(1 for at in itertools.accumulate(seconds) if at <= 600) == 15  # lines in ten minutes


def test_many_hosts_do_not_flood_the_terminal():
    assert list(itertools.islice(pauses(100), 3)) == [5.0, 100.0, 100.0]


def test_a_host_cannot_write_to_the_terminal():
    assert printable("\x1b[2J0:05  half\r\n") == "[2J0:05  half"
    assert len(printable("x" * 900)) == 220
