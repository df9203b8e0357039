# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the reliability figures are judged and shown; taking them needs a machine."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks" / "reliability"))
import figures
import host as hosts
from load import Asked


def asked(kind: str, outcome: str, **over: Any) -> Asked:
    return Asked(**{"kind": kind, "path": "/", "wanted": 8, "start": 0.0, "outcome": outcome, "end": 1.0, **over})


def test_every_way_of_losing_is_counted() -> None:
    run = figures.judged(
        [
            asked("plain", "ok"), asked("plain", "lost"), asked("plain", "truncated_silently"), asked("stream", "ok"),
            asked("stream", "lost"), asked("stream", "broken_visibly"), asked("stream", "hung"),
            asked("stream", "truncated_silently"),
        ],
        0.0,
    )  # fmt: skip
    counts = ("requests", "lost_plain", "streams_lost", "streams_broken_visibly", "streams_wrong")
    assert [run[name] for name in counts] == [8, 2, 1, 1, 2]
    assert len(run["failures"]) == 6


def test_table_shows_the_bar_and_the_spread() -> None:
    runs = [{"good": not errors, "errors": errors, "latency_p99_s": 0.5} for errors in (0, 7, 0)]
    text = figures.table({"reload": runs})
    assert "reload          3     2  0 errors" in text
    assert "errors 0 (0..7)  latency_p99_s 0.5" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "there is no figure 'nothing'; give any of kill_main"),
        (["roll"], "roll needs --roll-command"),
    ],
)
def test_wrong_arguments(words: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        figures.arguments([*words, "--url", "http://h:1", "--reach", "ssh h"])
    assert said in capsys.readouterr().err


def test_all_figures_without_a_roll_command() -> None:
    args = figures.arguments(["--url", "http://h:1/v1", "--reach", "ssh h"])
    assert args.figure == [name for name in figures.FIGURES if name != "roll"]
    assert args.url == "http://h:1"


def test_moments_are_found_among_the_looks() -> None:
    async def look_back() -> tuple[float, float]:
        host = hosts.Host([])
        host.looks = [{"at": at, "replicas": {"a": {"main": pid}}} for at, pid in ((1.0, 7), (2.0, 0), (3.0, 9))]
        old = {"main": 7}
        found = await host.wait(lambda look: figures.new(look, "a", old), 1)
        return found, await host.wait(lambda look: False, 0.2)

    found, never = asyncio.run(look_back())
    assert found == 3.0
    assert math.isnan(never)


def test_the_eyes_are_a_program(tmp_path: Path) -> None:
    compile(hosts.EYES, "eyes", "exec")
    assert json.dumps(hosts.EYES)
