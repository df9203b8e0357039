# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Models from a directory instead of a hub: a tree of directories as model_fetch makes them, each with its record."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_manifest import (
    CHUNK,
    MANIFEST,
    Progress,
    hash_file,
    inside,
)

COMMIT = re.compile(r"[0-9a-f]{7,40}")
PART = ".gpuserve-part"


@dataclass(frozen=True)
class Mirrored:
    """One model of the mirror: its directory, its commit, and size and SHA-256 of each file by its record."""

    directory: Path
    commit: str
    files: Mapping[str, Mapping[str, Any]]


def find_mirrored(mirror: str, repo: str, revision: str) -> Mirrored:
    """The model at that revision: a commit, its beginning, or the branch that the record was made for."""
    label = f"{repo}@{revision}"
    if not Path(mirror).is_dir():
        raise ModelError(
            f"{label}: there is no directory {mirror} to take it from; mount it, or correct mirror (vllm_models_mirror)"
        )
    found, others = [], []
    for directory in sorted(Path(mirror).glob(f"{glob.escape(repo.replace('/', '--'))}@*")):
        record = _record(directory)
        if record is None or record.get("repo") != repo:
            continue
        commit = str(record["revision"])
        short = COMMIT.fullmatch(revision) is not None and commit.startswith(revision)
        if short or revision == record.get("requested"):
            found.append(Mirrored(directory, commit, record["files"]))
        else:
            others.append(commit[:12])
    if not found:
        has = (
            f"which has it at {', '.join(others)} only" if others else "copy its directory there, with the record in it"
        )
        raise ModelError(f"{label}: not in the mirror {mirror} with a record ({MANIFEST}): {has}")
    if len(found) > 1:
        raise ModelError(
            f"{label}: the mirror {mirror} has it more than once ({', '.join(one.commit[:12] for one in found)}); "
            "give the commit (vllm_model_revision)"
        )
    return found[0]


def _record(directory: Path) -> Optional[dict[str, Any]]:
    try:
        record = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        files, revision = record["files"], record["revision"]
        for name in files:
            inside(name)
        return record if re.fullmatch(r"[0-9a-f]{40}", revision) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def copy_file(source: Path, target: Path, name: str, sha256: str, progress: Progress) -> str:
    """One file, unless it is there already. What arrives is compared with the record before it gets its name."""
    if not (source / name).is_file():
        raise ModelError(f"{source / name}: is missing, but its record has it; copy it into the mirror again")
    there = target / name
    here = there.is_file() and there.stat().st_size == (source / name).stat().st_size
    if here and hash_file(there, progress, name)[0] == sha256:
        return sha256
    there.parent.mkdir(parents=True, exist_ok=True)
    part = there.with_name(there.name + PART)
    digest = hashlib.sha256()
    with open(source / name, "rb") as reader, open(part, "wb") as writer:
        while True:
            chunk = reader.read(CHUNK)
            if not chunk:
                break
            digest.update(chunk)
            writer.write(chunk)
            progress.add(len(chunk), name)
        writer.flush()
        os.fsync(writer.fileno())
    if digest.hexdigest() != sha256:
        part.unlink()
        raise ModelError(
            f"{source / name}: is not the recorded file (sha256 {digest.hexdigest()[:12]} instead of {sha256[:12]}); "
            "copy it into the mirror again"
        )
    os.replace(part, there)
    return sha256
