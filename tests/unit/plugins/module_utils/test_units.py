# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _units
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError


class Systemctl:
    """systemctl of a machine with the given units: name -> (ActiveState, MainPID). Keeps the orders it got."""

    def __init__(self, units, fail=""):
        self.units, self.fail, self.orders = dict(units), fail, []

    def __call__(self, command):
        words = [word for word in command[1:] if word != "--quiet"]
        if words[0] == self.fail:
            return 1, "", f"Failed to {self.fail}: no"
        if words[0] == "list-units":
            rows = [f"{unit} loaded {state[0]} x vLLM" for unit, state in self.units.items()]
            return 0, "\n".join(rows), ""
        if words[0] == "show":
            state, pid = self.units.get(words[1], ("inactive", 0))
            return 0, f"ActiveState={state}\nMainPID={pid}\n", ""
        self.orders.append(" ".join(words))
        return 0, "", ""


@pytest.fixture
def proc(tmp_path):
    for pid, digest in ((10, "d0"), (11, "d1")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "environ").write_bytes(f"PATH=/bin\0GPUSERVE_DIGEST={digest}\0X=1\0".encode())
    return str(tmp_path)


RUNNING = {"vllm@gpu0.service": ("active", 10), "vllm@gpu1.service": ("active", 11)}

CASES = [
    ("nothing there", {}, {"gpu0": "d0"}, [("gpu0", "start")]),
    ("as wanted", RUNNING, {"gpu0": "d0", "gpu1": "d1"}, []),
    ("one changed", RUNNING, {"gpu0": "d0", "gpu1": "new"}, [("gpu1", "restart")]),
    ("to one over both", RUNNING, {"gpu0-1": "t"}, [("gpu0", "stop"), ("gpu1", "stop"), ("gpu0-1", "start")]),
    ("failed", {"vllm@gpu0.service": ("failed", 0)}, {"gpu0": "d0"}, [("gpu0", "start")]),
    ("between two starts", {"vllm@gpu0.service": ("activating", 0)}, {"gpu0": "d0"}, [("gpu0", "restart")]),
    ("nothing wanted", RUNNING, {}, [("gpu0", "stop"), ("gpu1", "stop")]),
]


@pytest.mark.parametrize(("units", "wanted", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("check", [True, False])
def test_changes(proc, tmp_path, units, wanted, expected, check):
    run = Systemctl(units)
    changes = _units.converge_units(run, wanted, check=check, proc=proc, unit_dir=str(tmp_path))
    assert [(c.unit, c.action) for c in changes] == [(f"vllm@{name}.service", action) for name, action in expected]
    if check or not expected:
        assert run.orders == []


def test_every_stop_comes_before_the_first_start(proc, tmp_path):
    run = Systemctl(RUNNING)
    _units.converge_units(run, {"gpu1": "new", "gpu2": "x"}, proc=proc, unit_dir=str(tmp_path))
    stop = run.orders.index("stop vllm@gpu0.service vllm@gpu1.service")
    start = run.orders.index("start vllm@gpu1.service vllm@gpu2.service")
    assert stop < run.orders.index("daemon-reload") < start
    assert run.orders[0] == "disable vllm@gpu0.service"


def test_an_enabled_unit_that_is_not_loaded_is_retired(proc, tmp_path):
    (tmp_path / "multi-user.target.wants").mkdir()
    (tmp_path / "multi-user.target.wants" / "vllm@gpu7.service").touch()
    changes = _units.converge_units(Systemctl({}), {}, check=True, proc=proc, unit_dir=str(tmp_path))
    assert [(c.unit, c.action) for c in changes] == [("vllm@gpu7.service", "stop")]


def test_systemctl_failure_is_one_line(proc, tmp_path):
    with pytest.raises(EngineError, match=r"^systemctl start vllm@gpu0.service failed: Failed to start: no$"):
        _units.converge_units(Systemctl({}, fail="start"), {"gpu0": "d"}, proc=proc, unit_dir=str(tmp_path))


def test_digest_of_a_process_that_is_gone():
    assert _units.running_digest(4194305) == ""
