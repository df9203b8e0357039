# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Python environments built from a lock file with hashes, by pip (the small tools) or by uv (the engine)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InstallError
from ansible_collections.gpuserve.inference.plugins.module_utils._host import MARKER, disk, environment_marker
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run


@dataclass(frozen=True)
class Sources:
    """Where packages come from. All empty means: as the host's pip is configured, else the installer's default."""

    index_url: str = ""
    extra_index_urls: tuple[Any, ...] = ()
    find_links: tuple[Any, ...] = ()
    no_index: bool = False
    torch_backend: str = ""  # uv's own name for a PyTorch build, used only where no other source is known

    @property
    def given(self) -> bool:
        return bool(self.index_url or self.extra_index_urls or self.find_links or self.no_index)


@dataclass(frozen=True)
class EnvironmentRequest:
    """One environment: where, from which lock, with what.

    ``lock`` is the text of a requirements file in which every line is pinned and hashed. ``aliases`` are
    distributions ({"name", "version"}) recorded as present although another wheel provides them.
    """

    path: str
    lock: str
    python: str = "python3"
    uv: str = ""  # path of uv; empty builds with pip
    sources: Sources = field(default_factory=Sources)
    cache_dir: str = ""
    aliases: tuple[Any, ...] = ()
    compile_bytecode: bool = True
    min_free_bytes: int = 0
    link: str = ""
    log: str = ""

    @property
    def lock_sha256(self) -> str:
        return hashlib.sha256(self.lock.encode()).hexdigest()

    @property
    def packages(self) -> int:
        return sum("==" in line and not line.startswith(("#", " ")) for line in self.lock.splitlines())


def pip_sources(run: Run, python: str) -> Sources:
    """The sources that the host's pip is configured with; uv does not read pip's files."""
    code, out, _err = run([python, "-m", "pip", "config", "list"])
    values: dict[str, str] = {}
    for line in out.splitlines() if code == 0 else []:
        key, equals, value = line.partition("=")
        if equals:
            # an environment variable outranks pip.conf's sections, and pip prints it first
            values.setdefault(key.split(".", 1)[-1].strip("."), value.strip("'\""))
    return Sources(
        index_url=values.get("index-url", ""),
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        no_index=values.get("no-index", "").lower() in ("1", "true", "yes"),
    )


def source_words(sources: Sources, uv: bool) -> list[str]:
    """Command line words for pip or uv."""
    words = ["--no-index"] if sources.no_index else []
    if sources.index_url and not sources.no_index:
        words += ["--index-url", sources.index_url]
    for url in sources.extra_index_urls if not sources.no_index else ():
        words += ["--extra-index-url", url]
    for place in sources.find_links:
        words += ["--find-links", place]
    if uv and sources.extra_index_urls:
        # the hashes decide which file is right, so every index may be asked for it
        words += ["--index-strategy", "unsafe-best-match"]
    if uv and sources.torch_backend and not (sources.find_links or sources.extra_index_urls or sources.no_index):
        words += ["--torch-backend", sources.torch_backend]
    return words


def is_current(request: EnvironmentRequest) -> bool:
    """Whether the environment was finished from this very lock, and is linked as asked."""
    done = environment_marker(request.path).get("lock_sha256") == request.lock_sha256
    return done and (not request.link or _link_target(request.link) == request.path)


def _link_target(link: str) -> Optional[str]:
    try:
        return os.path.join(os.path.dirname(link), os.readlink(link))
    except OSError:
        return None


def build(request: EnvironmentRequest, run: Run, check: bool = False) -> bool:
    """Build the environment unless it is there already; returns whether anything changed.

    What an interrupted run left behind is removed first. The marker is written last, and the link switched after it,
    so a half-built environment is never taken for a whole one.
    """
    if is_current(request):
        return False
    if check:
        return True
    if environment_marker(request.path).get("lock_sha256") != request.lock_sha256:
        space = disk(request.path)
        if space["free_bytes"] < request.min_free_bytes:
            raise InstallError(
                f"{request.path} needs {request.min_free_bytes / 2**30:.1f} GiB free on {space['measured_at']}, "
                f"{space['free_bytes'] / 2**30:.1f} GiB are; free some space or set another directory"
            )
        _build(request, run)
    if request.link:
        temporary = request.link + ".new"
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(os.path.relpath(request.path, os.path.dirname(request.link)), temporary)
        os.replace(temporary, request.link)
    return True


def _build(request: EnvironmentRequest, run: Run) -> None:
    shutil.rmtree(request.path, ignore_errors=True)
    os.makedirs(os.path.dirname(request.path), mode=0o755, exist_ok=True)
    lock_path = request.path + ".lock.txt"
    with open(lock_path, "w", encoding="utf-8") as handle:
        handle.write(request.lock)
    if request.uv:
        pip = [os.path.join(os.path.dirname(request.uv), "python"), "-m", "pip"]
        sources = request.sources
        if not sources.given:
            sources = replace(pip_sources(run, pip[0]), torch_backend=sources.torch_backend)
        _run(request, run, [request.uv, "venv", "--quiet", "--python", request.python, request.path])
        install = [request.uv, "pip", "install", "--python", f"{request.path}/bin/python", "--no-deps"]
        install += ["--system-certs"]  # as pip does: behind a company's proxy only the host's own store knows it
        install += ["--cache-dir", request.cache_dir] if request.cache_dir else []
        install += ["--compile-bytecode"] if request.compile_bytecode else []
    else:
        sources = request.sources
        _run(request, run, [request.python, "-m", "venv", request.path])
        install = [f"{request.path}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install += ["--no-deps"]
    _run(request, run, [*install, "--require-hashes", *source_words(sources, bool(request.uv)), "-r", lock_path])
    for alias in request.aliases:
        _alias(request.path, alias["name"], alias["version"])
    with open(os.path.join(request.path, MARKER), "w", encoding="utf-8") as handle:
        json.dump({"lock_sha256": request.lock_sha256, "installer": "uv" if request.uv else "pip"}, handle)


def _alias(path: str, name: str, version: str) -> None:
    """Record a distribution whose files another wheel brings: programs that ask for their version by name find it."""
    for lib in sorted(os.listdir(f"{path}/lib")):
        site = f"{path}/lib/{lib}/site-packages"
        if os.path.isdir(site):
            record = f"{site}/{name}-{version}.dist-info"
            os.makedirs(record, exist_ok=True)
            for file, text in (
                ("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
                ("INSTALLER", "gpuserve\n"),
                ("RECORD", ""),
            ):
                with open(f"{record}/{file}", "w", encoding="utf-8") as handle:
                    handle.write(text)


_ADVICE = (
    (
        r"hash mismatch|DO NOT MATCH THE HASHES",
        "the file is not the locked one: look where that index or mirror has it from",
    ),
    (r"No space left", "free some space, or set another directory"),
    (r"No interpreter found|Unable to create process|No such file or directory: '\S*python", "install such a Python"),
    (
        r"Failed to fetch|error sending request|dns error|[Cc]onnection|[Tt]imed? ?out|No matching distribution|"
        r"not found in the (package registry|provided package locations)|No solution found|only index|unavailable",
        "name an index or wheels that are reachable and have it (vllm_index_url and gpu_host_index_url, or find_links)",
    ),
)


def _advice(text: str) -> str:
    """What to do about a failed installation, from what the installer said."""
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, text, re.IGNORECASE))
    return next(found, "mend that and run again")


def _run(request: EnvironmentRequest, run: Run, command: list[str]) -> None:
    if request.log:
        os.makedirs(os.path.dirname(request.log), mode=0o755, exist_ok=True)
        with open(request.log, "a", encoding="utf-8") as handle:
            start = handle.tell()
        # straight into the file, so that an operator can watch a long install
        command = [
            "sh",
            "-c",
            'log=$1; shift; echo "+ $*" >>"$log"; exec "$@" >>"$log" 2>&1',
            "sh",
            request.log,
            *command,
        ]
    code, out, err = run(command)
    if code == 0:
        return
    text = out + "\n" + err
    if request.log:
        with open(request.log, encoding="utf-8", errors="replace") as handle:
            handle.seek(start)
            text = handle.read()
    lines = [line.strip(" ×╰─▶") for line in text.splitlines() if line.strip() and not line.startswith("+ ")]
    marked = [line for line in lines if line.lower().startswith(("error", "fatal", "failed", "cause"))]
    told = marked or lines[-1:] or [f"exit status {code}"]
    said = "; ".join(dict.fromkeys([told[0], told[-1]]))[:500]  # what failed, and the root of it
    raise InstallError(
        f"building {request.path} failed: {said}; {_advice(text)}"
        + (f" (all of it: {request.log})" if request.log else "")
    )
