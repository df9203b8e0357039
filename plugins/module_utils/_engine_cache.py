# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What replicas compile: a directory for each, and a sealed copy that root keeps for those that start after the first.

vLLM loads what it finds there without checking it, and some of it is code. So no replica ever reads what another one
can write. Root copies the cache of a replica that was begun with an empty directory and that no client's request has
reached yet, keeps the SHA-256 of each file with it, and gives copies of that copy to replicas that have nothing.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError

VARIABLE = "GPUSERVE_CACHE"  # in an instance's environment: which directory of its own it works in
CARDS = "CUDA_VISIBLE_DEVICES"
# What decides what is compiled (vllm/config/*.py, compute_hash). Other words leave the key as it is, so a replica that
# is restarted with them goes on with its own cache; should one matter all the same, vLLM's own key sees to it.
FLAGS = (
    "--dtype", "--quantization", "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens", "--kv-cache-dtype",
    "--tensor-parallel-size", "--pipeline-parallel-size", "--enable-expert-parallel", "--enforce-eager",
    "--compilation-config", "--optimization-level", "--attention-backend", "--speculative-config", "--enable-lora",
    "--max-loras", "--max-lora-rank", "--block-size",
)  # fmt: skip
SHORT = ("-O", "-cc", "-tp", "-pp", "-q")
VARIABLES = ("VLLM_", "TORCH", "TRITON_", "FLASHINFER_")
OTHER_VARIABLES = ("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "VLLM_CPU_KVCACHE_SPACE", "VLLM_LOGGING_LEVEL", "VLLM_API_KEY")
# a list of what the key was made of, in older releases with the engine's key; and memory as it was on another card
LEFT_OUT = ("cache_key_factors.json", "startup_plan")
# Triton writes down where the files of a kernel lie, and asks for no others (triton/runtime/cache.py, put_group)
GROUP = "__grp__"
MANIFEST = "manifest.json"
FILES = "files"

_KEY = re.compile(r"[0-9a-f]{12}\Z")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 2**20


class CacheError(GpuserveError):
    """A cache that cannot be used; the replica then compiles for itself."""


@dataclass(frozen=True)
class Places:
    """Where things lie; tests give their own."""

    root: str = "/var/cache/gpuserve"  # root's own, with systemd's links to the replicas' directories
    private: str = "/var/cache/private/gpuserve"  # a directory for each replica, where systemd puts it
    cards: str = "/proc/driver/nvidia/gpus"

    @property
    def seeds(self) -> str:
        return f"{self.root}/seeds"

    @property
    def state(self) -> str:
        return f"{self.root}/state"

    def seed(self, name: str) -> str:
        return f"{self.seeds}/{name}"

    def own(self, instance: str, key: str = "") -> str:
        return f"{self.private}/{instance}/{key}" if key else f"{self.private}/{instance}"

    def aside(self, instance: str, key: str = "*") -> str:
        """Where one that is not in use now lies, and its replica cannot write it."""
        return f"{self.private}/.aside/{instance}/{key}"


# ---- names


def cache_key(command: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits: the same for replicas that compile the same. ``command``: engine, ``serve``, model."""
    kept, keep = [], False
    for word in arguments:
        flag = word.partition("=")[0]
        if flag.startswith("--"):
            keep = flag.replace("_", "-") in FLAGS
        elif word.startswith("-") and not word[1:2].isdigit():
            keep = word.startswith(SHORT)
        if keep:
            kept.append(word)
    variables = [
        f"{name}={value}"
        for name, value in sorted(environment.items())
        if name.startswith(VARIABLES) and name not in OTHER_VARIABLES
    ]
    return hashlib.sha256("\0".join([*command, "", *kept, "", *variables]).encode()).hexdigest()[:12]


def key_in(text: str) -> str:
    """The key in an instance's environment file; empty where it has none."""
    found = re.search(rf'^{VARIABLE}="?([0-9a-f]+)"?$', text, re.MULTILINE)
    return found.group(1) if found and _KEY.match(found.group(1)) else ""


def card_kind(visible: str, cards: str) -> Optional[str]:
    """Which cards the engine compiles for: vLLM's own key does not say. None where that cannot be told."""
    if not visible:
        return ""
    models: dict[str, str] = {}
    for path in glob.glob(f"{cards}/*/information"):
        try:
            with open(path, encoding="utf-8", errors="replace") as handle:
                told = dict(line.split(":", 1) for line in handle if ":" in line)
        except OSError:
            continue
        models[told.get("GPU UUID", path).strip()] = told.get("Model", "").strip()
    kinds = {models.get(name.strip(), "") for name in visible.split(",")}
    if kinds == {""}:  # indexes, or slices of cards
        kinds = set(models.values())
    return kinds.pop() or None if len(kinds) == 1 else None


def seed_name(key: str, kind: str) -> str:
    return f"{key}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"


# ---- copying


def _files_below(root_fd: int) -> Iterator[tuple[str, int, str]]:
    """Every regular file: its path below, and the descriptor of its directory with its name there. Follows no link."""
    for folder, folders, names, at in os.fwalk(".", dir_fd=root_fd, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted(names):
            if name not in LEFT_OUT and not name.endswith(".tmp"):
                yield os.path.normpath(os.path.join(folder, name)), at, name


def copy_tree(source: str, target: str, owner: tuple[int, int], most: int) -> dict[str, list[Any]]:
    """Copy what is a plain file to ``target``, a new directory in a place that only root can reach.

    Returns size and SHA-256 by path. What lies in ``source`` may change meanwhile, and by somebody who wishes us ill:
    nothing is followed, and no more than ``most`` bytes are taken.
    """
    found: dict[str, list[Any]] = {}
    left = most
    os.mkdir(target, 0o700)
    os.chown(target, *owner)
    top = os.open(source, _READ | os.O_DIRECTORY)
    try:
        for path, at, name in _files_below(top):
            try:
                reading = os.open(name, _READ, dir_fd=at)
            except OSError as exc:
                if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # gone, a link, a socket
                    continue
                raise
            with os.fdopen(reading, "rb") as handle:
                if not stat.S_ISREG(os.fstat(reading).st_mode):
                    continue
                made = _folder(target, os.path.dirname(path), owner)
                mode = 0o700 if os.fstat(reading).st_mode & stat.S_IXUSR else 0o600
                digest, size = hashlib.sha256(), 0
                writing = os.open(f"{made}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
                with os.fdopen(writing, "wb") as out:
                    os.fchown(writing, *owner)
                    for chunk in iter(lambda: handle.read(_CHUNK), b""):
                        left -= len(chunk)
                        if left < 0:
                            raise CacheError(f"it has more than {most / 2**30:.1f} GiB")
                        digest.update(chunk)
                        size += out.write(chunk)
                found[path] = [size, digest.hexdigest()]
    finally:
        os.close(top)
    return found


def _folder(target: str, below: str, owner: tuple[int, int]) -> str:
    path = target
    for part in below.split("/") if below else []:
        path = f"{path}/{part}"
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
            os.chown(path, *owner)
    return path


def room(path: str) -> int:
    """Half of what is free there: a cache must not fill the disk."""
    return shutil.disk_usage(path).free // 2


# ---- seeds


def seal(places: Places, instance: str, key: str, name: str) -> int:
    """Keep what a replica has compiled as the seed ``name``; returns its bytes."""
    os.makedirs(places.seeds, mode=0o700, exist_ok=True)
    os.chmod(places.seeds, 0o700)
    new = f"{places.seeds}/.{name}"
    shutil.rmtree(new, ignore_errors=True)
    try:
        os.mkdir(new, 0o700)
        found = copy_tree(places.own(instance, key), f"{new}/{FILES}", (os.geteuid(), os.getegid()), room(new))
        if not found:
            raise CacheError("there is nothing in it")
        with open(f"{new}/{MANIFEST}", "w", encoding="utf-8") as handle:
            json.dump(found, handle, sort_keys=True)
        os.rename(new, places.seed(name))
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return sum(size for size, _digest in found.values())


def plant(places: Places, name: str, instance: str, key: str) -> int:
    """Give a replica a copy of the seed ``name`` as its own cache; returns its bytes. CacheError: it is not whole."""
    try:
        with open(f"{places.seed(name)}/{MANIFEST}", encoding="utf-8") as handle:
            wanted = json.load(handle)
    except (OSError, ValueError) as exc:
        raise CacheError(f"its record cannot be read ({exc})") from exc
    with _Place(places, instance, key) as new:
        found = copy_tree(f"{places.seed(name)}/{FILES}", new.path, new.owner, room(places.private))
        if found != wanted:
            other = sorted(path for path in {*found, *wanted} if found.get(path) != wanted.get(path))
            raise CacheError(f"{other[0]} is not what was sealed")
        _tell_triton(new.path, f"{places.root}/{instance}/{key}")
        new.put()
    return sum(size for size, _digest in found.values())


def _tell_triton(top: str, seen: str) -> None:
    """That the kernels lie with this replica, which sees ``top`` at ``seen``. They are beside what names them."""
    for path in Path(top).rglob(f"{GROUP}*.json"):
        where = f"{seen}/{path.parent.relative_to(top)}"
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            children = {child: f"{where}/{child}" for child in told["child_paths"]}
        except (ValueError, KeyError, TypeError):
            continue  # Triton does not use it either
        path.write_text(json.dumps({**told, "child_paths": children}), encoding="utf-8")


def make_empty(places: Places, instance: str, key: str) -> None:
    """Give a replica an empty directory as its own cache."""
    with _Place(places, instance, key) as new:
        os.mkdir(new.path, 0o700)
        os.chown(new.path, *new.owner)
        new.put()


@dataclass
class _Place:
    """A directory in a place that only root can reach, put into the replica's in one step when it is whole."""

    places: Places
    instance: str
    key: str
    path: str = ""
    owner: tuple[int, int] = (0, 0)
    _aside: str = field(default="", repr=False)

    def __enter__(self) -> _Place:
        base = os.lstat(self.places.own(self.instance))
        self.owner = base.st_uid, base.st_gid
        self._aside = f"{self.places.private}/.{self.instance}.new"
        shutil.rmtree(self._aside, ignore_errors=True)
        os.mkdir(self._aside, 0o700)
        self.path = f"{self._aside}/{self.key}"
        return self

    def put(self) -> None:
        own = self.places.own(self.instance, self.key)
        remove(own)
        os.rename(self.path, own)

    def __exit__(self, *_what: object) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)


def put_aside(places: Places, instance: str, key: str) -> None:
    target = places.aside(instance, key)
    os.makedirs(f"{places.private}/.aside", mode=0o700, exist_ok=True)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    remove(target)
    os.rename(places.own(instance, key), target)


def take_back(places: Places, instance: str, key: str) -> None:
    """The user of a replica may have another number by now."""
    path, base = places.aside(instance, key), os.lstat(places.own(instance))
    if os.lstat(path).st_uid != base.st_uid:
        for _folder_path, folders, names, at in os.fwalk(path, follow_symlinks=False):
            for name in [".", *folders, *names]:
                os.chown(name, base.st_uid, base.st_gid, dir_fd=at, follow_symlinks=False)
    os.rename(path, places.own(instance, key))


def remove(path: str) -> None:
    """A file, link or directory; nothing is followed."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


# ---- what nothing needs any more


def prune(places: Places, kept: set[str], instances: Sequence[str]) -> list[str]:
    """Remove what belongs to none of the ``kept`` keys, and all of other instances that have nothing else."""
    seeds = sorted(glob.glob(f"{places.seeds}/*"))
    gone = [path for path in seeds if os.path.basename(path).partition("-")[0] not in kept]
    gone += [path for path in sorted(glob.glob(places.aside("*"))) if os.path.basename(path) not in kept]
    for base in sorted(glob.glob(f"{places.private}/*")):
        name = os.path.basename(base)
        if name not in instances and not kept & {
            *os.listdir(base),
            *map(os.path.basename, glob.glob(places.aside(name))),
        }:
            gone += [base, f"{places.root}/{name}", f"{places.state}/{name}.json", os.path.dirname(places.aside(name))]
    gone = [path for path in gone if os.path.lexists(path)]
    for path in gone:
        remove(path)
    return gone
