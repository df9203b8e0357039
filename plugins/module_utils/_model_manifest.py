# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The record of a model directory: name, size, time and SHA-256 of every file, as downloaded or as taken once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Follow, Pace

MANIFEST = ".gpuserve-model.json"  # what model_fetch writes when a download is complete
SUMS = ("SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt")
MIB = 1024**2
CHUNK = 8 * MIB
WORKERS = 4  # enough for one NVMe disk, and a slow disk is not made to seek between dozens of files
REPORT_SECONDS = 10.0

_GNU = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_BSD = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Entry:
    """What is known of one file; size and time are -1 where nobody wrote them down."""

    sha256: str
    size: int = -1
    mtime_ns: int = -1


@dataclass(frozen=True)
class Record:
    """``kind`` is ``download`` (compared with the hub's checksums), ``taken`` (from the files as they were),
    ``sums`` (a SHA256SUMS file and nothing else) or ``none``."""

    kind: str
    files: Mapping[str, Entry] = field(default_factory=dict)
    source: str = ""  # the file it was read from
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Tree:
    """The files of a directory, and what in it is not a file that could be served from it."""

    files: dict[str, os.stat_result] = field(default_factory=dict)
    directories: dict[str, os.stat_result] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def read_record(directory: Path) -> Record:
    """The manifest where there is one, else a SHA256SUMS file; ModelError where it cannot be understood."""
    manifest = directory / MANIFEST
    if manifest.exists():
        return _read_manifest(manifest)
    sums = read_sums(directory)
    if sums is None:
        return Record("none")
    return Record("sums", {name: Entry(digest) for name, digest in sums[1].items()}, sums[0])


def _read_manifest(path: Path) -> Record:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        files = {
            inside(name): Entry(_digest(info["sha256"]), int(info["size"]), int(info.get("mtime_ns", -1)))
            for name, info in raw["files"].items()
        }
    except OSError as exc:
        raise ModelError(f"{path}: cannot be read ({exc.strerror}); run as a user who may read it") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(f"{path}: is damaged; remove it and fetch the model again, or take its record again") from exc
    return Record("download" if raw.get("repo") else "taken", files, path.name, raw)


def read_sums(directory: Path) -> Optional[tuple[str, dict[str, str]]]:
    """Name and content of a SHA256SUMS file in the directory, as sha256sum and shasum write it."""
    name = next((n for n in SUMS if (directory / n).is_file()), None)
    if name is None:
        return None
    path, sums = directory / name, {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as exc:
        raise ModelError(f"{path}: cannot be read; write it with sha256sum, or remove it") from exc
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        gnu, bsd = _GNU.fullmatch(line.rstrip()), _BSD.fullmatch(line.rstrip())
        found, digest = (gnu.group(2), gnu.group(1)) if gnu else (bsd.group(1), bsd.group(2)) if bsd else ("", "")
        try:
            sums[inside(os.path.normpath(found) if found else "")] = digest.lower()
        except ValueError as exc:
            raise ModelError(
                f"{path}: line {number} is not a SHA-256 and the name of a file in this directory; "
                "write it with sha256sum, or remove it"
            ) from exc
    if not sums:
        raise ModelError(f"{path}: names no file; write it with sha256sum, or remove it")
    return name, sums


def inside(name: Any) -> str:
    """A file's name below the directory, as it is; ValueError where it would lead out of it."""
    if not isinstance(name, str) or not name or name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise ValueError(name)
    return name


def _digest(text: Any) -> str:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(text)
    return text


def look_through(directory: Path) -> Tree:
    """Every file below ``directory``. Hidden entries at the top are not the model's: records, caches, ``.git``."""
    tree, root = Tree(), os.path.realpath(directory)
    try:
        tree.directories["."] = os.stat(root)
        _descend(tree, root, root, "")
    except FileNotFoundError as exc:
        raise ModelError(f"{directory}: does not exist; give the directory of a model") from exc
    if not stat.S_ISDIR(tree.directories["."].st_mode):
        raise ModelError(f"{directory}: is not a directory; give the directory of a model")
    return tree


def _descend(tree: Tree, root: str, where: str, prefix: str) -> None:
    try:
        entries = sorted(os.scandir(where), key=lambda entry: entry.name)
    except (PermissionError, NotADirectoryError) as exc:
        tree.problems[prefix.rstrip("/") or "."] = f"cannot be listed ({exc.strerror})"
        return
    for entry in entries:
        name = prefix + entry.name
        if not prefix and (entry.name.startswith(".") or entry.name in SUMS or entry.name == "lost+found"):
            continue
        if entry.is_dir(follow_symlinks=False):
            tree.directories[name] = entry.stat(follow_symlinks=False)
            _descend(tree, root, entry.path, name + "/")
            continue
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not target.startswith(root + os.sep):
                tree.problems[name] = f"is a symlink that leads out of the directory, to {target}"
                continue
            if os.path.isdir(target):
                continue  # its files are seen where they are
        try:
            info = entry.stat()
        except OSError as exc:
            tree.problems[name] = (
                "is a symlink to nothing" if entry.is_symlink() else f"cannot be seen ({exc.strerror})"
            )
            continue
        if stat.S_ISREG(info.st_mode):
            tree.files[name] = info
        else:
            tree.problems[name] = "is not a plain file"


class Progress:
    """A line in a log every ten seconds, for whoever wonders what takes so long."""

    def __init__(self, log: str, total: int, verb: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.log, self.total, self.verb, self.clock = log, total, verb, clock
        self.done, self.started = 0, clock()
        self.next = self.started + REPORT_SECONDS
        self._lock = threading.Lock()

    def add(self, count: int, name: str) -> None:
        with self._lock:
            self.done += count
            now = self.clock()
            if now < self.next:
                return
            self.next = now + REPORT_SECONDS
            rate = self.done / max(now - self.started, 1e-9)
            self.say(
                f"{self.verb} {self.done / 1e9:.1f} of {self.total / 1e9:.1f} GB, {rate / 1e6:.0f} MB/s, at {name}"
            )

    def followed(self, follow: Follow, doing: str) -> Progress:
        """Itself; ``follow`` is given what tells how far it is."""
        pace = Pace(self.total, self.clock)
        follow(lambda: f"{doing}: {pace.text(self.done)}")
        return self

    def say(self, line: str) -> None:
        if not self.log:
            return
        os.makedirs(os.path.dirname(self.log) or ".", mode=0o755, exist_ok=True)
        with open(self.log, "a", encoding="utf-8") as handle:
            handle.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def hash_file(path: Path, progress: Optional[Progress] = None, name: str = "", blob: bool = False) -> tuple[str, str]:
    """SHA-256 of a file, and with ``blob`` also git's own name for it (the hub's checksum of a small file)."""
    sha256, buffer = hashlib.sha256(), bytearray(CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as handle:
        git = hashlib.sha1(f"blob {os.fstat(handle.fileno()).st_size}\0".encode(), usedforsecurity=False)
        while True:
            count = handle.readinto(buffer)
            if not count:
                break
            sha256.update(view[:count])
            if blob:
                git.update(view[:count])
            if progress is not None:
                progress.add(count, name)
    return sha256.hexdigest(), git.hexdigest() if blob else ""


def gentle_pool(workers: int = WORKERS) -> ThreadPoolExecutor:
    """Threads that read and hash behind everybody else: on Linux niceness is a thread's own, and disk priority
    follows it."""
    return ThreadPoolExecutor(max_workers=max(1, min(workers, os.cpu_count() or 1)), initializer=_step_back)


def _step_back() -> None:
    try:
        os.nice(10)
    except OSError:
        pass


def hash_files(
    directory: Path, names: Iterable[str], progress: Optional[Progress] = None, workers: int = WORKERS
) -> dict[str, str]:
    """SHA-256 of each file, or an empty text for one that cannot be read."""

    def one(name: str) -> str:
        try:
            return hash_file(directory / name, progress, name)[0]
        except OSError:
            return ""

    wanted = list(names)
    with gentle_pool(workers) as pool:
        return dict(zip(wanted, pool.map(one, wanted)))


def entries_of(directory: Path, sums: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The ``files`` of a manifest, from the files as they are and their checksums."""
    found = {}
    for name in sorted(sums):
        info = (directory / name).stat()
        found[name] = {"size": info.st_size, "mtime_ns": info.st_mtime_ns, "sha256": sums[name]}
    return found


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> None:
    partial = directory / (MANIFEST + ".part")
    try:
        with partial.open("w", encoding="utf-8") as handle:
            json.dump({"format": 1, **manifest}, handle, indent=1, sort_keys=True)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(directory / MANIFEST)
    except OSError as exc:
        raise ModelError(
            f"{directory / MANIFEST}: cannot be written ({exc.strerror}); check the directory's owner and free space"
        ) from exc
