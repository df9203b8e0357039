# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A model directory compared with its record: at once by names, sizes and times, or by the content of every file."""

from __future__ import annotations

import glob
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_manifest import (
    MANIFEST,
    WORKERS,
    Progress,
    Record,
    Tree,
    entries_of,
    hash_files,
    look_through,
    read_record,
    read_sums,
    write_manifest,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Follow

MODES = ("quick", "full")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state")
NS = 10**9


@dataclass
class Report:
    """``touched`` are files of the right size whose time is another one, or was never written down: whether they are
    the right ones only their content says."""

    path: str
    mode: str
    record: str = "none"
    files: int = 0
    size_bytes: int = 0
    hashed_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        return self.record != "none" and not self.problems and not self.touched

    @property
    def complaint(self) -> str:
        """The first problem, and how many more there are."""
        more = len(self.problems) - 1
        return "" if more < 0 else self.problems[0] + (f" (and {more} more such problems)" if more else "")

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "verified": self.verified, "complaint": self.complaint}


def look_at(directory: str) -> Report:
    """The quick comparison alone: no file is opened but the record, so it takes milliseconds."""
    report, _tree, _record = _compared(Path(directory), "quick")
    return report


def model_reports(patterns: list[str]) -> dict[str, dict[str, Any]]:
    """Every model directory that a path or a shell pattern names, compared with its record; no file is read."""
    found = {path for pattern in patterns for path in ([pattern] if os.path.isdir(pattern) else glob.glob(pattern))}
    reports = {}
    for path in sorted(found):
        try:
            reports[path] = look_at(path).to_dict()
        except ModelError:  # no directory; model_info says so of the one that is asked for
            continue
    return reports


def verify(
    directory: str,
    mode: str = "quick",
    *,
    allow_pickle: bool = False,
    workers: int = WORKERS,
    log: str = "",
    follow: Follow = lambda look: None,
) -> Report:
    """The comparison, in which the content decides: of touched files with ``quick``, of all with ``full``."""
    if mode not in MODES:
        raise InputError(f"mode is {mode!r}; allowed are {', '.join(MODES)}")
    path = Path(directory)
    report, tree, record = _compared(path, mode)
    report.problems += code_problems(tree, path, allow_pickle)
    report.warnings += code_warnings(tree, path)
    if record.kind == "none":
        if mode == "full" and not report.problems:
            report.problems.append(
                f"{path}: has neither a record nor a SHA256SUMS file to be compared with; put one there, or take its "
                "record once with model_verify and state: taken"
            )
        return report
    names = report.touched
    if mode == "full":
        names = [name for name in record.files if name in tree.files and _same_size(record, tree, name)]
    _hash_and_compare(report, path, tree, record, names, workers, log, follow)
    return report


def take(
    directory: str,
    *,
    force: bool = False,
    check_mode: bool = False,
    workers: int = WORKERS,
    log: str = "",
    follow: Follow = lambda look: None,
) -> tuple[bool, Report]:
    """Write down the files as they are. What an earlier record or SHA256SUMS says otherwise stops it, except that
    ``force`` replaces an earlier record. Whether anything was (or would be) written, and what was found."""
    path = Path(directory)
    tree = look_through(path)
    try:
        record = read_record(path)
    except ModelError:
        if not force or not (path / MANIFEST).exists():
            raise
        record = Record("none")
    report = _start(path, "full", tree, record)
    if "config.json" not in tree.files:
        raise ModelError(f"{path}: holds no config.json, so it is not a model vLLM can serve; give a model's directory")
    known = record.kind in ("download", "taken")
    if known and not force:
        _compare_names(report, path, tree, record)
        if report.problems or not report.touched:
            return False, report
    report.problems = [_line(path, name, what, REMEDY["taking"]) for name, what in tree.problems.items()]
    if report.problems:
        return False, report
    names = list(report.touched if known and not force else tree.files)
    progress = _begun(path, tree, names, log, follow)
    sums = {name: entry.sha256 for name, entry in record.files.items() if known and not force}
    found = hash_files(path, names, progress, workers)
    report.hashed_bytes, report.touched = progress.done, []
    for name in sorted(names):
        if not found[name]:
            report.problems.append(_line(path, name, "cannot be read", "run as a user who may read it"))
        elif sums.get(name, found[name]) != found[name]:
            report.problems.append(_line(path, name, _differs(found[name], sums[name]), REMEDY[record.kind]))
    sums.update(found)
    report.problems += _against_sums(path, sums)
    if report.problems:
        return False, report
    manifest: dict[str, Any] = {"files": entries_of(path, sums)}
    if known and not force:  # only the times were refreshed: it is still what the hub gave
        manifest = {**record.raw, **manifest}
    changed = manifest["files"] != record.raw.get("files")
    if changed and not check_mode:
        write_manifest(path, manifest)
    if changed or not known:
        report.record = "download" if manifest.get("repo") else "taken"
    return changed, report


REMEDY = {
    "download": "remove {manifest} and run again, then what is missing or damaged is downloaded anew",
    "taken": "put the right file back, or if the change is meant take the record again (model_verify with state: taken "
    "and force: true)",
    "sums": "put the right file back, or correct SHA256SUMS",
    "taking": "put the file itself there, readable",
    "none": "put the file itself there, readable",
}


def _line(path: Path, name: str, what: str, remedy: str) -> str:
    return f"{path / name}: {what}; {remedy.format(manifest=path / MANIFEST)}"


def _differs(found: str, expected: str) -> str:
    return f"is not the recorded file (SHA-256 {found[:12]} instead of {expected[:12]})"


def _start(path: Path, mode: str, tree: Tree, record: Record) -> Report:
    size = sum(info.st_size for info in tree.files.values())
    return Report(str(path), mode, record.kind, len(tree.files), size, warnings=access_warnings(path, tree))


def _compared(path: Path, mode: str) -> tuple[Report, Tree, Record]:
    tree = look_through(path)
    try:
        record = read_record(path)
    except ModelError as exc:
        report = _start(path, mode, tree, Record("none"))
        report.problems.append(str(exc))
        return report, tree, Record("none")
    report = _start(path, mode, tree, record)
    if record.kind != "none":
        _compare_names(report, path, tree, record)
    return report, tree, record


def _compare_names(report: Report, path: Path, tree: Tree, record: Record) -> None:
    remedy, found = REMEDY[record.kind], dict(tree.problems)
    missing = [name for name in record.files if name not in tree.files and name not in found]
    extra = [name for name in tree.files if name not in record.files]
    if record.kind == "sums":
        if extra:  # such files often name the weights only
            report.warnings.append(f"{path}: {record.source} does not name {_some(extra)}, so nobody checks it")
        extra = []
    for name in missing:
        size = record.files[name].size
        alike = [other for other in extra if tree.files[other].st_size == size]
        hint = f"{alike[0]} has its size, was it renamed?" if alike else f"the record has it with {size} bytes"
        found[name] = "is missing" + ("" if size < 0 else f" ({hint})")
    for name, entry in record.files.items():
        if name not in tree.files:
            continue
        info = tree.files[name]
        if not _same_size(record, tree, name):
            found[name] = f"has {info.st_size} bytes instead of {entry.size}"
        elif not _same_time(info.st_mtime_ns, entry.mtime_ns):
            report.touched.append(name)
    report.problems += [_line(path, name, what, remedy) for name, what in sorted(found.items())]
    report.problems += [
        _line(path, name, "is not in the record", f"remove it, or {_accept(record)}") for name in sorted(extra)
    ]
    report.touched.sort()


def _accept(record: Record) -> str:
    if record.kind == "download":
        return "keep your own files in another directory"
    return "take the record again (model_verify with state: taken and force: true)"


def _same_size(record: Record, tree: Tree, name: str) -> bool:
    return record.files[name].size in (-1, tree.files[name].st_size)


def _same_time(found: int, recorded: int) -> bool:
    # archives and some file systems keep whole seconds
    return found == recorded or (recorded >= 0 and found == recorded // NS * NS)


def _hash_and_compare(
    report: Report, path: Path, tree: Tree, record: Record, names: list[str], workers: int, log: str, follow: Follow
) -> None:
    progress = _begun(path, tree, names, log, follow)
    sums = hash_files(path, names, progress, workers)
    report.hashed_bytes = progress.done
    for name in sorted(names):
        if not sums[name]:
            report.problems.append(_line(path, name, "cannot be read", "run as a user who may read it"))
        elif sums[name] != record.files[name].sha256:
            what = _differs(sums[name], record.files[name].sha256)
            report.problems.append(_line(path, name, what, REMEDY[record.kind]))
    if report.touched and not report.problems:
        what = "has no times in its record" if record.kind == "sums" else "was touched after its record was written"
        report.warnings.append(
            f"{path}: {_some(report.touched)} {what}, so its content was read to see that it is the right one; take "
            "the record once more (model_verify with state: taken) to have this quick"
        )
    report.touched = []


def _begun(path: Path, tree: Tree, names: list[str], log: str, follow: Follow) -> Progress:
    progress = Progress(log, sum(tree.files[name].st_size for name in names), f"{path}: hashed")
    if names:
        progress.say(f"{path}: hashing {len(names)} files, {progress.total / 1e9:.1f} GB")
    return progress.followed(follow, f"reading {path.name}")


def _against_sums(path: Path, sums: Mapping[str, str]) -> list[str]:
    known = read_sums(path)
    if known is None:
        return []
    lines = []
    for name, digest in sorted(known[1].items()):
        if name not in sums and not (path / name).is_file():  # a hidden file at the top may stand in it too
            lines.append(_line(path, name, "is missing", REMEDY["sums"]))
        elif name in sums and sums[name] != digest:
            lines.append(_line(path, name, _differs(sums[name], digest), REMEDY["sums"]))
    return lines


def _some(names: list[str]) -> str:
    names = sorted(names)
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def access_warnings(path: Path, tree: Tree, me: Optional[int] = None) -> list[str]:
    """Who else could change what is served."""
    trusted = {0, os.geteuid() if me is None else me}
    everything = {**tree.directories, **tree.files}
    owned = [name for name, info in everything.items() if info.st_uid not in trusted]
    shared = [
        name
        for name, info in everything.items()
        if info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and info.st_gid not in (0, os.getegid()))
    ]
    lines = []
    if owned:
        owner = everything[sorted(owned)[0]].st_uid
        lines.append(
            f"{path}: {_some(owned)} belongs to user {owner}, who can change what is served; chown -R root: {path}"
        )
    if shared:
        lines.append(f"{path}: {_some(shared)} can be written by others than its owner; chmod -R go-w {path}")
    return lines


def code_problems(tree: Tree, path: Path, allow_pickle: bool) -> list[str]:
    pickles = [name for name in sorted(tree.files) if name.endswith(PICKLES) and "/" not in name]
    weights = [
        name for name in pickles if not name.startswith(("training_args", "optimizer", "scheduler", "rng_state"))
    ]
    if not weights or allow_pickle or any(name.endswith(".safetensors") for name in tree.files):
        return []
    return [
        f"{path / weights[0]}: the weights are pickled only, and loading a pickle can run code; choose a safetensors "
        "version of the model, or set allow_pickle (vllm_allow_pickle) if you trust their source"
    ]


def code_warnings(tree: Tree, path: Path) -> list[str]:
    """What in the directory is code, or asks for some. vLLM runs none of it unless it is told to."""
    lines = []
    scripts = [name for name in tree.files if name.endswith((".py", ".so"))]
    if scripts:
        lines.append(f"{path}: {_some(scripts)} is code; it runs only with vllm_trust_remote_code")
    pickles = [name for name in tree.files if name.endswith(PICKLES)]
    if pickles:
        lines.append(
            f"{path}: {_some(pickles)} is a pickle, and loading one can run code; remove it if it is not needed"
        )
    for name in ("config.json", "tokenizer_config.json"):
        try:
            content = json.loads((path / name).read_text(encoding="utf-8")) if name in tree.files else None
        except (OSError, ValueError):
            continue  # model_info says what is wrong with it
        if isinstance(content, dict) and content.get("auto_map"):
            lines.append(
                f"{path / name}: names code of its own (auto_map), which vLLM runs only with vllm_trust_remote_code"
            )
    return lines
