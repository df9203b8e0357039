# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_unit import (
    holder_text,
    journal,
    port_holder,
    unit_state,
)

UNIT = "vllm@gpu0.service"
SHOWN = """\
LoadState=loaded
ActiveState=activating
SubState=auto-restart
NRestarts=3
MainPID=0
Result=signal
ExecMainCode=2
ExecMainStatus=9
InvocationID=0123abcd
"""


def test_unit_state_reads_what_systemctl_shows():
    asked = []

    def run(words):
        asked.append(words)
        return 0, SHOWN, ""

    state = unit_state(run, UNIT)
    assert (state.active, state.sub, state.restarts, state.main_pid) == ("activating", "auto-restart", 3, 0)
    assert (state.result, state.killed, state.status, state.invocation) == ("signal", True, 9, "0123abcd")
    assert state.ended == ""  # systemd still tries
    assert asked[0][:3] == ["systemctl", "show", UNIT]


@pytest.mark.parametrize("code", ["0", "1", "", "[not set]"])
def test_an_exit_status_is_no_signal(code):
    state = unit_state(lambda _words: (0, f"ExecMainCode={code}\nExecMainStatus=9\nNRestarts=[not set]\n", ""), UNIT)
    assert (state.killed, state.restarts) == (False, 0)


def test_no_systemd_is_no_state():
    def missing(words):
        raise FileNotFoundError(words[0])

    assert unit_state(missing, UNIT) is None
    assert unit_state(lambda _w: (1, "", "System has not been booted with systemd as init system"), UNIT) is None
    assert journal(missing, UNIT, "x") == ""


@pytest.mark.parametrize(
    ("invocation", "grep", "asks"),
    [("x", "", 2), ("", "", 1), ("x", "KV", 1)],  # figures of another run would mislead, so no second try with grep
)
def test_journal_falls_back_to_the_whole_unit(invocation, grep, asks):
    asked = []

    def run(words):
        asked.append(words)
        return 0, "", ""

    assert journal(run, UNIT, invocation, grep) == ""
    assert len(asked) == asks
    assert all(f"--unit={UNIT}" in words and "--output=cat" in words for words in asked)
    assert ("_SYSTEMD_INVOCATION_ID=x" in asked[0]) == bool(invocation)


def row(address, pid=1, port=8001, unit=""):
    return {"address": address, "port": port, "pid": pid, "process": f"p{pid}", "unit": unit}


@pytest.mark.parametrize(
    ("rows", "host", "pid"),
    [
        ([row("127.0.0.1", 5)], "127.0.0.1", 5),
        ([row("0.0.0.0", 5), row("127.0.0.1", 6)], "127.0.0.1", 6),
        ([row("10.0.0.1", 5), row("::", 6)], "127.0.0.1", 6),
        ([row("10.0.0.1", 5)], "127.0.0.1", None),
        ([row("10.0.0.1", 5)], "localhost", 5),
        ([row("127.0.0.1", 5, port=8002)], "127.0.0.1", None),
        ([row("127.0.0.1", 0)], "127.0.0.1", None),  # somebody, but this user may not see who
        ([], "127.0.0.1", None),
    ],
)
def test_port_holder(rows, host, pid):
    found = port_holder(host, 8001, lambda: rows)
    assert (found and found["pid"]) == pid


def test_holder_text():
    assert holder_text(row("x", 5)) == "process 5 (p5)"
    assert holder_text(row("x", 5, unit="a.service")) == "process 5 (p5, a.service)"
