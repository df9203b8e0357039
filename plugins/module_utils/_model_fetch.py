# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Downloading a model: one directory for each commit, complete when its manifest is there."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_hub import (
    HubModel,
    api_for,
    explained,
    hub_module,
    is_pickle,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._model_manifest import (
    MANIFEST,
    MIB,
    Progress,
    entries_of,
    gentle_pool,
    hash_file,
    write_manifest,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._model_mirror import copy_file, find_mirrored
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Follow, Pace

WANTED = (".safetensors", ".json", ".txt", ".jinja", ".model", ".tiktoken")
SKIPPED_DIRS = frozenset({"original", "onnx", "openvino", "gguf", "metal", "runs", "checkpoints"})
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass
class Fetched:
    path: str
    revision: str
    changed: bool
    size_bytes: int = 0
    files: list[str] = field(default_factory=list)


def directory_of(dest: str, repo: str, commit: str) -> Path:
    return Path(dest) / f"{repo.replace('/', '--')}@{commit[:12]}"


def read_manifest(directory: Path) -> Optional[dict[str, Any]]:
    """The manifest of a complete download, or None where there is none or a file is missing or of another size."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        for name, info in manifest["files"].items():
            if (directory / name).stat().st_size != info["size"]:
                return None
        return manifest if isinstance(manifest.get("revision"), str) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def fetch_model(
    model: HubModel,
    dest: str,
    *,
    allow_pickle: bool = False,
    check_mode: bool = False,
    workers: int = 8,
    log: str = "",
    follow: Follow = lambda look: None,
) -> Fetched:
    """The directory under ``dest`` that holds the model at that revision, downloaded where it is not there yet.

    ``follow`` is given what tells how far the step under way is.
    """
    have = _have(model, dest)
    if have is not None:
        return have
    if model.offline:
        raise ModelError(
            f"{model.label}: not under {dest}, and offline; copy it there, or allow the network for one run"
        )
    if model.mirror:
        return _from_mirror(model, dest, allow_pickle, check_mode, log, follow)
    with explained(model):
        info = api_for(model).model_info(model.repo, revision=model.revision, files_metadata=True)
    wanted = choose_files({s.rfilename: s for s in info.siblings or []}, model, allow_pickle)
    commit = str(info.sha)
    target = directory_of(dest, model.repo, commit)
    size = sum(int(s.size or 0) for s in wanted.values())
    done = Fetched(str(target), commit, True, size, sorted(wanted))
    manifest = read_manifest(target)
    if manifest is not None and set(wanted) <= set(manifest["files"]):
        done.changed = False
        if manifest.get("requested") != model.revision and not check_mode:
            write_manifest(target, {**manifest, "requested": model.revision})  # the branch now means this commit
        return done
    _check_space(target, size, model)
    if check_mode:
        return done
    try:
        target.mkdir(parents=True, exist_ok=True)
        progress = Progress(log, size, f"{target}: compared with the hub")
        progress.say(f"{target}: downloading {len(wanted)} files, {size / 1e9:.1f} GB")
        pace = Pace(size)
        follow(lambda: f"downloading {model.repo}: {pace.text(_present(target))}")
        with explained(model):
            hub_module().snapshot_download(
                model.repo,
                revision=commit,
                local_dir=str(target),
                allow_patterns=[glob.escape(name) for name in wanted],
                token=model.token,
                endpoint=model.endpoint,
                max_workers=workers,
            )
        progress.followed(follow, f"comparing {model.repo} with the hub's checksums")
        with gentle_pool() as pool:
            sums = dict(zip(wanted, pool.map(lambda name: _verified(target, name, wanted[name], progress), wanted)))
        shutil.rmtree(target / ".cache", ignore_errors=True)  # the downloader's notes for resuming
        write_manifest(
            target,
            {"repo": model.repo, "revision": commit, "requested": model.revision, "files": entries_of(target, sums)},
        )
        progress.say(f"{target}: complete, {size / 1e9:.1f} GB in {len(sums)} files")
    except OSError as exc:
        if exc.errno is None:
            raise
        raise ModelError(
            f"{target}: cannot be written ({exc.strerror}); check the directory's owner and free space, and run again: "
            "what arrived is kept"
        ) from exc
    return done


def _from_mirror(model: HubModel, dest: str, allow_pickle: bool, check_mode: bool, log: str, follow: Follow) -> Fetched:
    """Copied from a directory; what an interrupted run copied already is compared and kept."""
    found = find_mirrored(str(model.mirror), model.repo, model.revision)
    wanted = choose_files(dict(found.files), model, allow_pickle)
    target = directory_of(dest, model.repo, found.commit)
    size = sum(int(info["size"]) for info in wanted.values())
    done = Fetched(str(target), found.commit, True, size, sorted(wanted))
    manifest = read_manifest(target)
    if manifest is not None and set(wanted) <= set(manifest["files"]):
        done.changed = False
        return done
    _check_space(target, size, model)
    if check_mode:
        return done
    try:
        target.mkdir(parents=True, exist_ok=True)
        progress = Progress(log, size, f"{target}: copied").followed(follow, f"copying {model.repo}")
        progress.say(f"{target}: copying {len(wanted)} files from {found.directory}, {size / 1e9:.1f} GB")
        with gentle_pool() as pool:
            sums = dict(
                zip(
                    wanted,
                    pool.map(
                        lambda name: copy_file(found.directory, target, name, wanted[name]["sha256"], progress), wanted
                    ),
                )
            )
        write_manifest(
            target,
            {
                "repo": model.repo,
                "revision": found.commit,
                "requested": model.revision,
                "files": entries_of(target, sums),
            },
        )
        progress.say(f"{target}: complete, {size / 1e9:.1f} GB in {len(sums)} files")
    except OSError as exc:
        where = f": {exc.filename}" if exc.filename else ""
        raise ModelError(
            f"{target}: cannot be copied from {found.directory} ({exc.strerror}{where}); check the directories' owners "
            "and the free space, and run again"
        ) from exc
    return done


def _have(model: HubModel, dest: str) -> Optional[Fetched]:
    """What is here already and needs no question to the hub: a commit given by name, or anything when offline."""
    if COMMIT.fullmatch(model.revision):
        candidates = [directory_of(dest, model.repo, model.revision)]
    elif model.offline:
        candidates = sorted(Path(dest).glob(f"{glob.escape(model.repo.replace('/', '--'))}@*"))
    else:
        return None
    for directory in candidates:
        manifest = read_manifest(directory)
        if manifest is None or manifest.get("repo") != model.repo:
            continue
        if model.revision in (manifest["revision"], manifest.get("requested")):
            size = sum(int(f["size"]) for f in manifest["files"].values())
            return Fetched(str(directory), manifest["revision"], False, size, sorted(manifest["files"]))
    return None


def choose_files(siblings: dict[str, Any], model: HubModel, allow_pickle: bool) -> dict[str, Any]:
    """Weights once, in the safe format, and the small files around them. Code is never fetched."""
    names = set(siblings)
    wanted = {n for n in names if n.endswith(WANTED) and n.split("/")[0] not in SKIPPED_DIRS and _inside(n)}
    if any(re.fullmatch(r"model.*\.safetensors", n) for n in wanted):
        wanted = {
            n for n in wanted if not re.fullmatch(r"consolidated.*\.safetensors", n)
        }  # the same weights once more
    # in subdirectories only what sentence-transformers keeps there (2_Dense/model.safetensors)
    wanted = {n for n in wanted if "/" not in n or re.match(r"\d+_\w+/", n) or not n.endswith(".safetensors")}
    if not any(n.endswith(".safetensors") for n in wanted):
        pickled = sorted(n for n in names if is_pickle(n))
        if pickled and not allow_pickle:
            raise ModelError(
                f"{model.label}: weights are pickled only ({pickled[0]}), and loading a pickle can run code; choose a "
                "safetensors repository or revision, or set allow_pickle (vllm_allow_pickle) if you trust their source"
            )
        if not pickled:
            raise ModelError(f"{model.label}: holds no safetensors weights; choose the model's safetensors repository")
        wanted |= set(pickled)
    if "config.json" not in names:
        raise ModelError(f"{model.label}: has no config.json, so it is not a model vLLM can serve")
    return {n: siblings[n] for n in sorted(wanted)}


def _inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/") and not name.startswith(".")


def _check_space(target: Path, size: int, model: HubModel) -> None:
    parent = target
    while not parent.exists():
        parent = parent.parent
    present = _present(target)
    free = shutil.disk_usage(parent).free
    needed = max(size - present, 0) + 64 * MIB
    if needed > free:
        raise ModelError(
            f"{model.label}: needs {needed / 1e9:.1f} GB under {target.parent}, {free / 1e9:.1f} GB are free; "
            "make room or choose another directory (vllm_models_dir)"
        )


def _present(target: Path) -> int:
    """Bytes that are there already, of files that are not complete too; space that is only reserved does not count."""
    total = 0
    for path in target.rglob("*") if target.exists() else ():
        try:
            info = path.stat()
        except OSError:  # renamed in between
            continue
        total += min(info.st_size, info.st_blocks * 512) if path.is_file() else 0
    return total


def _verified(target: Path, name: str, sibling: Any, progress: Progress) -> str:
    """The file's sha256, after its content was compared with what the hub says of it."""
    path, lfs = target / name, getattr(sibling, "lfs", None)
    sha256, blob = hash_file(path, progress, name, blob=lfs is None)  # of a small file the hub has git's name for it
    expected = lfs.sha256 if lfs is not None else getattr(sibling, "blob_id", None)
    found = blob if lfs is None else sha256
    if expected and expected != found:
        path.unlink()
        raise ModelError(f"{path}: damaged in transfer (checksum {found[:12]} instead of {expected[:12]}); run again")
    return sha256


def hand_over(directory: Path, uid: int, gid: int, file_mode: int, dir_mode: int, check_mode: bool = False) -> bool:
    """Give every file and directory its owner and mode (-1 leaves the owner); whether anything had to change."""
    changed = False
    for path in [directory, *sorted(directory.rglob("*"))]:
        if path.is_symlink():
            continue
        stat = path.stat()
        mode = dir_mode if path.is_dir() else file_mode
        if (stat.st_mode & 0o7777) != mode:
            changed = True
            if not check_mode:
                path.chmod(mode)
        if (uid not in (-1, stat.st_uid)) or (gid not in (-1, stat.st_gid)):
            changed = True
            if not check_mode:
                os.chown(path, uid, gid)
    return changed
