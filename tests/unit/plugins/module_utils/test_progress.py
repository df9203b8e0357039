# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a long step says of itself while it runs: installing, downloading, loading."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_phase, _install_progress, _progress
from ansible_collections.gpuserve.inference.plugins.module_utils._environment import EnvironmentRequest


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (9.9, "0:09"), (75, "1:15"), (3599, "59:59"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_time(seconds, text):
    assert _progress.clock_text(seconds) == text


def test_pace_of_a_download():
    clock = Clock()
    pace = _progress.Pace(4_000_000_000, clock)
    assert pace.text(0) == "0.0 of 4.0 GB (0 %)"
    clock.now += 10
    assert pace.text(1_000_000_000) == "1.0 of 4.0 GB (25 %), 100 MB/s, about 0:30 left"
    clock.now += 40  # the pace is that of the last half minute, not that of the beginning
    assert pace.text(1_400_000_000) == "1.4 of 4.0 GB (35 %), 10 MB/s, about 4:20 left"
    clock.now += 1
    assert pace.text(4_000_000_000).startswith("4.0 of 4.0 GB (100 %)")
    assert "left" not in pace.text(4_000_000_000)


def test_what_is_there_already_is_no_pace():
    clock = Clock()
    pace = _progress.Pace(2_000_000, clock)
    pace.text(1_000_000)
    clock.now += 10
    assert pace.text(1_050_000) == "1.1 of 2.0 MB (52 %), 5 kB/s, about 3:10 left"


def test_small_files_at_the_beginning_are_no_pace():
    clock = Clock()
    pace = _progress.Pace(60_000_000, clock)
    pace.text(0)
    clock.now += 10
    assert pace.text(20_000) == "0.0 of 60.0 MB (0 %)"


def test_nothing_to_do_is_no_division():
    assert _progress.Pace(0, Clock()).text(0) == "0.0 of 0.0 MB (100 %)"


def test_the_file_follows_and_goes(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(_progress, "EVERY", 0.01)
    path = tmp_path / "step"
    with _progress.Beat(str(path)) as beat:
        assert path.read_text() == "\n"  # there at once, and says nothing yet
        beat.say("first")
        wait_for(path, "0:00  first\n")
        beat.follow(lambda: "second")
        wait_for(path, "0:00  second\n")
        assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == []


def wait_for(path: Path, text: str) -> None:
    end = time.monotonic() + 5
    while path.read_text() != text:
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.005)


def test_the_file_goes_where_the_step_fails(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), _progress.Beat(str(tmp_path / "step")):
        print(1 / 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", "/proc/nobody/writes/here"])
def test_what_cannot_be_written_is_no_error(path):
    with _progress.Beat(path) as beat:
        beat.say("x")


def test_a_look_that_fails_ends_the_telling_only(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(_progress, "EVERY", 0.01)

    def look() -> str:
        raise FileNotFoundError("gone")

    with _progress.Beat(str(tmp_path / "step"), look):
        time.sleep(0.05)


# ---------------------------------------------------------------- installing

BEGUN = "+ uv pip install\nUsing Python 3.11.2 environment at: /x\nResolved 147 packages in 1s\n"
HALF = BEGUN + "Downloading torch (800.0MiB)\nDownloading numpy (16.0MiB)\n Downloaded numpy\n"


@pytest.mark.parametrize(
    ("log", "start"),
    [
        ("", "installing 147 packages"),
        (BEGUN, "installing 147 packages"),
        (HALF, "downloading the large ones of 147 packages: 16.8 of 855.6 MB (1 %); waiting for torch"),
        (HALF + " Downloaded torch\nPrepared 147 packages in 9s\n", "147 packages are here, putting them in place"),
        (
            HALF + "Prepared 147 packages in 9s\nInstalled 147 packages in 2s\n",
            "147 packages are in place, compiling them to bytecode",
        ),
        (HALF + "Installed 147 packages in 2s\nBytecode compiled 20 files in 9s\n", "done, about to switch to it"),
    ],
)
def test_phases_of_an_installation(tmp_path: Path, log, start):
    file = tmp_path / "install.log"
    file.write_text("Downloading old (1.0GiB)\n")  # of an installation before this one
    look = _install_progress.InstallLook(str(tmp_path), str(file), 147, free=lambda path: 0)
    with file.open("a") as handle:
        handle.write(log)
    assert look() == start


def test_many_are_waited_for(tmp_path: Path):
    file = tmp_path / "install.log"
    look = _install_progress.InstallLook(str(tmp_path), str(file), 9, free=lambda path: 0)
    file.write_text("".join(f"Downloading p{size} ({size}.0MiB)\n" for size in (1, 5, 3, 4, 2)))
    assert look().endswith("; waiting for p5, p4, p3 and 2 more")


def test_what_is_written_to_disk_is_told(tmp_path: Path):
    free = iter([9_000_000_000, 6_900_000_000])
    look = _install_progress.InstallLook(str(tmp_path), "", 20, free=lambda path: next(free))
    assert look() == "installing 20 packages; 2.1 GB on disk so far"


def test_packages_of_a_lock():
    lock = "# vLLM == 0.32.0\na==1 \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:11\n"
    assert EnvironmentRequest("/x", lock).packages == 2


# ---------------------------------------------------------------- loading

PREFIX = "(EngineCore pid=42) INFO 11-30 04:37:07 [gpu_model_runner.py:5040] "
STARTING = PREFIX + "Starting to load model /srv/models/x...\n"
SHARD = "\rLoading safetensors checkpoint shards:  50% Completed | 2/4 [00:02<00:02,  1.31s/it]\n"


@pytest.mark.parametrize(
    ("journal", "phase"),
    [
        ("", "starting, it has said nothing yet"),
        ("Starting vllm@gpu0.service - vLLM replica gpu0...\n", "starting, it has said nothing yet"),
        ("(APIServer pid=1) INFO 11-30 04:36:07 [api_utils.py:286] non-default args: {}\n", "starting"),
        (PREFIX + "Initializing a V1 LLM engine (v0.32.0) with config: model='x'", "starting the engine's processes"),
        (STARTING, "loading weights"),
        (STARTING + SHARD, "loading weights, 2 of 4 files"),
        (STARTING + SHARD + PREFIX + "Loading weights took 2.10 seconds", "weights loaded, measuring memory"),
        (STARTING + PREFIX + "Dynamo bytecode transform time: 3.20 s", "compiling"),
        (STARTING + PREFIX + "GPU KV cache size: 94,848 tokens", "KV cache set up, warming up"),
        (STARTING + "Capturing CUDA graphs (decode, FULL):  14%|#   | 5/35", "capturing CUDA graphs"),
        (STARTING + "INFO:     Application startup complete.\n", "answering its first request"),
        (STARTING + PREFIX + "Using max model len 4096", "loading weights"),  # the last telling line, not the last
        ("something new\n", ""),
    ],
)
def test_phase_of_a_start(journal, phase):
    assert _engine_phase.phase(journal) == phase


def test_replicas_that_do_the_same_are_told_together():
    assert _engine_phase.told([("gpu0", "compiling"), ("gpu1", "starting"), ("gpu2", "compiling")]) == (
        "gpu0, gpu2: compiling; gpu1: starting"
    )


BEGIN, END = (
    "host systemd[1]: Started vllm@gpu0.service - vLLM replica gpu0.",
    "host python[1]: INFO: Application startup complete.",
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        (f"100.5 {BEGIN}\n190.0 {END}\n", 89.5),
        (f"100.5 {BEGIN}\n190.0 {END}\n300.0 {BEGIN}\n", 89.5),  # the start that is under way
        (f"100.0 {BEGIN}\n150.0 {BEGIN}\n190.0 {END}\n", 40.0),  # one that crashed before
        (f"190.0 {END}\n", None),
        (f"300.0 {BEGIN}\n190.0 {END}\n100.0 {BEGIN}\n", 90.0),  # as journalctl orders it
    ],
)
def test_how_long_the_last_start_took(text, seconds):
    assert _engine_phase.took(text) == seconds
    assert _engine_phase.last_start(lambda words: (0, text, ""), "vllm@gpu0.service") == seconds
