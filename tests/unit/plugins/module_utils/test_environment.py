# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _environment
from ansible_collections.gpuserve.inference.plugins.module_utils._environment import EnvironmentRequest, Sources
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InstallError

LOCK = "six==1.0 --hash=sha256:00\n"


class Installer:
    """Stands for venv, uv and pip: makes the directory, keeps the commands, fails where told to."""

    def __init__(self, fail="", pip_config=""):
        self.commands, self.fail, self.pip_config = [], fail, pip_config

    def __call__(self, command):
        if command[-2:] == ["config", "list"]:
            return 0, self.pip_config, ""
        if command[0] == "sh":
            with open(command[4], "a", encoding="utf-8") as handle:
                handle.write("+ words\nUsing Python\n" + self.fail + "\n")
            command = command[5:]
        self.commands.append(" ".join(command))
        if "venv" in command:
            os.makedirs(f"{command[-1]}/lib/python3.11/site-packages")
        return (1 if self.fail and "install" in command else 0), "", self.fail


def _request(tmp_path, **over):
    return EnvironmentRequest(**{"path": str(tmp_path / "engines" / "v1"), "lock": LOCK, **over})


def test_build_once(tmp_path):
    link = tmp_path / "engines" / "current"
    request = _request(tmp_path, link=str(link), uv="/t/bin/uv", aliases=({"name": "vllm", "version": "1+cpu"},))
    run = Installer()
    assert _environment.build(request, run, check=True) is True
    assert run.commands == [] and not os.path.exists(request.path)
    assert _environment.build(request, run) is True
    assert os.path.realpath(link) == request.path
    assert "--require-hashes" in run.commands[1] and "--no-deps" in run.commands[1]
    metadata = f"{request.path}/lib/python3.11/site-packages/vllm-1+cpu.dist-info/METADATA"
    with open(metadata, encoding="utf-8") as handle:
        assert handle.read().splitlines()[1:] == ["Name: vllm", "Version: 1+cpu"]
    count = len(run.commands)
    assert _environment.build(request, run) is False
    assert len(run.commands) == count


def test_a_new_lock_builds_anew_and_a_lost_link_comes_back(tmp_path):
    link = str(tmp_path / "engines" / "current")
    _environment.build(_request(tmp_path, link=link), Installer())
    os.unlink(link)
    run = Installer()
    assert _environment.build(_request(tmp_path, link=link), run) is True
    assert run.commands == [] and os.path.islink(link)
    run = Installer()
    assert _environment.build(_request(tmp_path, link=link, lock=LOCK + "#"), run) is True
    assert len(run.commands) == 2


def test_half_built_is_built_anew(tmp_path):
    request = _request(tmp_path)
    with pytest.raises(InstallError):
        _environment.build(request, Installer(fail="error: no"))
    assert not _environment.is_current(request)
    assert _environment.build(request, Installer()) is True
    assert _environment.is_current(request)


@pytest.mark.parametrize("log", [False, True])
def test_a_failure_is_one_line(tmp_path, log):
    request = _request(tmp_path, log=str(tmp_path / "log" / "install.log") if log else "")
    with pytest.raises(InstallError) as info:
        _environment.build(request, Installer(fail="  × Failed to fetch: six\n  ╰─▶ cause: hash mismatch"))
    assert "\n" not in str(info.value)
    assert f"building {request.path} failed: Failed to fetch: six; cause: hash mismatch" in str(info.value)
    assert ("install.log" in str(info.value)) is log


def test_a_failure_names_its_root(tmp_path):
    words = "error: Failed to fetch: six\n  cause: error sending request\n  cause: invalid peer certificate"
    with pytest.raises(InstallError, match="Failed to fetch: six; cause: invalid peer certificate"):
        _environment.build(_request(tmp_path), Installer(fail=words))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "error: Failed to fetch: six\n  cause: error sending request for url (http://127.0.0.1:1/simple/six/)",
            "index",
        ),
        ("ERROR: No matching distribution found for idna==3.20", "index"),
        ("error: No solution found\n  cause: Because idna was not found in the provided package locations", "index"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "locked one"),
        ("error: Failed to fetch: six\n  cause: Hash mismatch for six", "locked one"),
        ("error: failed to write to file\n  cause: No space left on device (os error 28)", "free some space"),
        (
            "error: No interpreter found for Python 3.99 in managed installations or search path",
            "install such a Python",
        ),
        ("error: something new", "mend that and run again"),
    ],
)
def test_a_failure_says_what_to_do(tmp_path, said, advice):
    with pytest.raises(InstallError, match=advice):
        _environment.build(_request(tmp_path), Installer(fail=said))


def test_too_little_space(tmp_path):
    with pytest.raises(
        InstallError, match=r"needs 1024.0 TiB|needs \d+\.\d GiB free on .*, .* GiB are; free some space"
    ):
        _environment.build(_request(tmp_path, min_free_bytes=2**60), Installer())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("sources", "pip_config", "words"),
    [
        (Sources(), "", []),
        (Sources(index_url="I"), "global.find-links='/w'", ["--index-url", "I"]),
        (Sources(), "global.find-links='/w'\nglobal.cert='/c'", ["--find-links", "/w"]),
        (Sources(), ":env:.find-links='/env'\nglobal.find-links='/w'", ["--find-links", "/env"]),
        (
            Sources(),
            "global.extra-index-url='a b'",
            ["--extra-index-url", "a", "--extra-index-url", "b", "--index-strategy", "unsafe-best-match"],
        ),
        (Sources(torch_backend="cpu"), "", ["--torch-backend", "cpu"]),
        (Sources(torch_backend="cpu"), "global.find-links='/w'", ["--find-links", "/w"]),
        (
            Sources(find_links=("/a", "/b"), no_index=True),
            "",
            ["--no-index", "--find-links", "/a", "--find-links", "/b"],
        ),
        (Sources(index_url="I", no_index=True), "", ["--no-index"]),
    ],
)
def test_sources_of_uv(tmp_path, sources, pip_config, words):
    run = Installer(pip_config=pip_config)
    _environment.build(_request(tmp_path, uv="/t/bin/uv", sources=sources), run)
    given = run.commands[1].split("--require-hashes ")[1].split(" -r ")
    assert (given[0].split() if len(given) == 2 else []) == words


@pytest.mark.parametrize("compiled", [True, False])
def test_bytecode(tmp_path, compiled):
    run = Installer()
    _environment.build(_request(tmp_path, uv="/t/bin/uv", compile_bytecode=compiled), run)
    assert ("--compile-bytecode" in run.commands[1]) is compiled


def test_pip_reads_its_own_configuration(tmp_path):
    run = Installer(pip_config="global.find-links='/w'")
    _environment.build(_request(tmp_path), run)
    assert "--find-links" not in run.commands[1]
