# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A model directory against its record: what quick finds, what only full finds, and what taking a record refuses."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _model_manifest, _model_verify
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_manifest import (
    MANIFEST,
    Progress,
    hash_file,
    look_through,
    read_record,
    write_manifest,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._model_verify import (
    access_warnings,
    look_at,
    take,
    verify,
)

FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b'{"version": "1.0"}',
    "model-00001-of-00002.safetensors": bytes(range(256)) * 40,
    "model-00002-of-00002.safetensors": bytes(range(255, -1, -1)) * 44,
    "1_Pooling/config.json": b"{}",
}
SHARD = "model-00002-of-00002.safetensors"


def sums_text(files: dict[str, bytes], mark: str = " ") -> str:
    return "".join(f"{hashlib.sha256(content).hexdigest()} {mark}{name}\n" for name, content in files.items())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory without a record."""
    directory = tmp_path / "model"
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    return directory


@pytest.fixture
def recorded(model: Path) -> Path:
    changed, report = take(str(model))
    assert (changed, report.problems, report.record) == (True, [], "taken")
    return model


def flip(path: Path, keep_time: bool = False) -> None:
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    moved = before.st_mtime_ns + (0 if keep_time else 1)
    os.utime(path, ns=(moved, moved))


def test_what_a_good_directory_says(recorded: Path) -> None:
    size = sum(map(len, FILES.values()))
    quick, full = verify(str(recorded)), verify(str(recorded), "full")
    assert (quick.verified, quick.files, quick.size_bytes, quick.hashed_bytes) == (True, len(FILES), size, 0)
    assert (full.verified, full.hashed_bytes, full.problems, full.warnings) == (True, size, [], [])


def linked_out(model: Path) -> None:
    outside = model.parent / "outside.safetensors"
    (model / SHARD).rename(outside)
    (model / SHARD).symlink_to(outside)


# name -> (what happens to the directory, the file that is named, words of the line)
SPOILS: dict[str, tuple[Callable[[Path], Any], str, list[str]]] = {
    "flipped in a shard": (lambda m: flip(m / SHARD), SHARD, ["is not the recorded file", "SHA-256", " instead of "]),
    "flipped in the tokenizer": (lambda m: flip(m / "tokenizer.json"), "tokenizer.json", ["is not the recorded file"]),
    "flipped below": (lambda m: flip(m / "1_Pooling/config.json"), "1_Pooling/config.json", ["is not the recorded"]),
    "truncated": (lambda m: os.truncate(m / SHARD, 100), SHARD, ["has 100 bytes instead of 11264"]),
    "longer": (lambda m: os.truncate(m / SHARD, 11265), SHARD, ["has 11265 bytes instead of 11264"]),
    "missing": (lambda m: (m / SHARD).unlink(), SHARD, ["is missing", "11264 bytes"]),
    "renamed": (
        lambda m: (m / SHARD).rename(m / "model.safetensors"), SHARD,
        ["is missing", "model.safetensors has its size, was it renamed?", "1 more"],
    ),
    "extra": (lambda m: (m / "extra.safetensors").write_bytes(b"x"), "extra.safetensors", ["is not in the record"]),
    "extra code": (lambda m: (m / "modeling_x.py").write_bytes(b"x"), "modeling_x.py", ["is not in the record"]),
    "link out": (linked_out, SHARD, ["is a symlink that leads out", "outside.safetensors"]),
    "link to nothing": (lambda m: (m / "x.json").symlink_to(m / "y.json"), "x.json", ["is a symlink to nothing"]),
    "a fifo": (lambda m: os.mkfifo(m / "chat_template.jinja"), "chat_template.jinja", ["is not a plain file"]),
    "no directory any more": (
        lambda m: (shutil.rmtree(m / "1_Pooling"), (m / "1_Pooling").write_bytes(b"")),
        "1_Pooling/config.json", ["is missing"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["quick", "full"])
@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoilt_directory_is_refused(recorded: Path, spoil: str, mode: str) -> None:
    change, name, words = SPOILS[spoil]
    change(recorded)
    report = verify(str(recorded), mode)
    assert not report.verified
    assert report.complaint.startswith(f"{recorded / name}: ")
    for word in [*words, "; "]:
        assert word in report.complaint
    assert "\n" not in report.complaint


def test_only_full_sees_a_change_that_kept_size_and_time(recorded: Path) -> None:
    flip(recorded / SHARD, keep_time=True)
    assert verify(str(recorded)).verified
    assert verify(str(recorded), "full").complaint.startswith(f"{recorded / SHARD}: is not the recorded file")


def test_touched_files_are_judged_by_their_content(recorded: Path) -> None:
    os.utime(recorded / SHARD, ns=(5, 5))
    assert look_at(str(recorded)).touched == [SHARD]
    assert not look_at(str(recorded)).verified
    report = verify(str(recorded))
    assert (report.verified, report.hashed_bytes) == (True, len(FILES[SHARD]))
    assert "was touched" in report.warnings[0]
    assert "state: taken" in report.warnings[0]
    changed, report = take(str(recorded))
    assert (changed, report.hashed_bytes) == (True, len(FILES[SHARD]))
    assert look_at(str(recorded)).verified


def test_times_in_whole_seconds_are_the_same_times(recorded: Path) -> None:
    os.utime(recorded / SHARD, ns=(0, 1_700_000_000_000_000_000))
    assert look_at(str(recorded)).verified
    os.utime(recorded / SHARD, ns=(0, 1_700_000_001_000_000_000))
    assert look_at(str(recorded)).touched == [SHARD]


def test_quick_opens_no_file_of_the_model(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_more: Any) -> None:
        raise AssertionError("a file was hashed")

    monkeypatch.setattr(_model_manifest, "hash_file", refuse)
    assert verify(str(recorded)).verified
    with pytest.raises(AssertionError):
        verify(str(recorded), "full")


def test_a_file_that_cannot_be_read(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = _model_manifest.hash_file

    def broken(path: Path, *args: Any) -> Any:  # as a failing disk, also for root
        if path.name == SHARD:
            raise OSError(5, "Input/output error")
        return real(path, *args)

    monkeypatch.setattr(_model_manifest, "hash_file", broken)
    assert verify(str(recorded), "full").complaint.startswith(f"{recorded / SHARD}: cannot be read")


def test_hidden_entries_are_nobodys(recorded: Path) -> None:
    (recorded / ".cache").mkdir()
    (recorded / ".cache" / "x.lock").write_bytes(b"")
    (recorded / "lost+found").mkdir()
    (recorded / ".gitattributes").write_bytes(b"")
    assert verify(str(recorded), "full").verified
    (recorded / "1_Pooling" / ".hidden").write_bytes(b"")
    assert not verify(str(recorded)).verified


def test_links_inside_are_files(model: Path) -> None:
    (model / "weights").mkdir()
    (model / SHARD).rename(model / "weights" / "a")
    (model / SHARD).symlink_to("weights/a")
    (model / "again").symlink_to("weights")
    take(str(model))
    assert set(read_record(model).files) == {*FILES, "weights/a"}
    flip(model / "weights" / "a")
    assert len(verify(str(model)).problems) == 2


def test_without_a_record(model: Path) -> None:
    report = verify(str(model))
    assert (report.record, report.verified, report.problems) == ("none", False, [])
    assert "neither a record nor a SHA256SUMS file" in verify(str(model), "full").complaint


DAMAGED = {
    "no json": "{",
    "a list": "[]",
    "no files": '{"repo": "a/b"}',
    "no digest": '{"files": {"config.json": {"size": 1}}}',
    "short digest": '{"files": {"config.json": {"size": 1, "sha256": "ab"}}}',
    "leads out": json.dumps({"files": {"../x": {"size": 1, "sha256": "0" * 64}}}),
    "absolute": json.dumps({"files": {"/etc/passwd": {"size": 1, "sha256": "0" * 64}}}),
    "size is a word": json.dumps({"files": {"x": {"size": "many", "sha256": "0" * 64}}}),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_is_refused(recorded: Path, damage: str) -> None:
    (recorded / MANIFEST).write_text(DAMAGED[damage], encoding="utf-8")
    for mode in ("quick", "full"):
        assert f"{recorded / MANIFEST}: is damaged" in verify(str(recorded), mode).complaint
    with pytest.raises(ModelError, match="is damaged"):
        take(str(recorded))
    assert take(str(recorded), force=True)[0] is True
    assert verify(str(recorded), "full").verified


@pytest.mark.parametrize("mark", [" ", "*"])
@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt"])
def test_sums_in_the_directory_are_honoured(model: Path, name: str, mark: str) -> None:
    (model / name).write_text("# by hand\n\n" + sums_text(FILES, mark), encoding="utf-8")
    assert set(look_at(str(model)).touched) == set(FILES)  # nobody wrote down sizes and times
    report = verify(str(model))
    assert (report.record, report.verified, report.files) == ("sums", True, len(FILES))
    flip(model / SHARD, keep_time=True)
    assert verify(str(model)).complaint.startswith(f"{model / SHARD}: is not the recorded file")
    assert "correct SHA256SUMS" in verify(str(model)).complaint
    changed, report = take(str(model), force=True)
    assert (changed, (model / MANIFEST).exists()) == (False, False)
    assert report.complaint.startswith(f"{model / SHARD}: is not the recorded file")


def test_sums_as_bsd_writes_them_and_with_dots(model: Path) -> None:
    lines = [f"SHA256 (./{name}) = {hashlib.sha256(content).hexdigest().upper()}" for name, content in FILES.items()]
    (model / "SHA256SUMS").write_text("\n".join(lines), encoding="utf-8")
    assert verify(str(model)).verified


def test_sums_that_name_the_weights_only(model: Path) -> None:
    weights = {name: content for name, content in FILES.items() if name.endswith(".safetensors")}
    (model / "SHA256SUMS").write_text(sums_text(weights), encoding="utf-8")
    report = verify(str(model))
    assert report.verified
    assert "does not name 1_Pooling/config.json and 2 more" in " ".join(report.warnings)
    (model / SHARD).unlink()
    assert verify(str(model)).complaint.startswith(f"{model / SHARD}: is missing")


@pytest.mark.parametrize("line", ["nonsense", "0" * 64, "0" * 63 + "  x", "0" * 64 + "  ../x", "0" * 64 + "  /x"])
def test_sums_that_cannot_be_understood(model: Path, line: str) -> None:
    (model / "SHA256SUMS").write_text(sums_text(FILES) + line + "\n", encoding="utf-8")
    assert f"SHA256SUMS: line {len(FILES) + 1} is not" in verify(str(model)).complaint
    with pytest.raises(ModelError, match="line 6 is not"):
        take(str(model), force=True)


def test_empty_sums(model: Path) -> None:
    (model / "SHA256SUMS").write_text("\n", encoding="utf-8")
    assert "names no file" in verify(str(model)).complaint


def test_taking_again_does_nothing(recorded: Path) -> None:
    before = (recorded / MANIFEST).stat().st_mtime_ns
    changed, report = take(str(recorded))
    assert (changed, report.problems, report.hashed_bytes, report.record) == (False, [], 0, "taken")
    assert (recorded / MANIFEST).stat().st_mtime_ns == before


@pytest.mark.parametrize("spoil", SPOILS)
def test_taking_does_not_cover_up_a_change(recorded: Path, spoil: str) -> None:
    before = (recorded / MANIFEST).read_bytes()
    SPOILS[spoil][0](recorded)
    changed, report = take(str(recorded))
    assert changed is False
    assert report.problems
    assert (recorded / MANIFEST).read_bytes() == before


def test_taking_by_force(recorded: Path) -> None:
    flip(recorded / SHARD)
    (recorded / "extra.json").write_bytes(b"{}")
    assert take(str(recorded), force=True, check_mode=True)[0] is True
    assert not verify(str(recorded)).verified
    assert take(str(recorded), force=True)[0] is True
    assert verify(str(recorded), "full").verified
    assert take(str(recorded), force=True)[0] is False


def test_new_times_of_a_download_keep_where_it_came_from(recorded: Path) -> None:
    raw = json.loads((recorded / MANIFEST).read_text(encoding="utf-8"))
    write_manifest(recorded, {**raw, "repo": "org/model", "revision": "c" * 40, "requested": "main"})
    os.utime(recorded / SHARD)
    assert take(str(recorded))[0] is True
    again = json.loads((recorded / MANIFEST).read_text(encoding="utf-8"))
    assert (again["repo"], again["revision"], again["requested"]) == ("org/model", "c" * 40, "main")
    flip(recorded / SHARD)
    assert take(str(recorded), force=True)[0] is True
    assert "repo" not in json.loads((recorded / MANIFEST).read_text(encoding="utf-8"))  # no longer what the hub gave


def test_check_mode_writes_no_record(model: Path) -> None:
    changed, report = take(str(model), check_mode=True)
    assert (changed, report.problems, (model / MANIFEST).exists()) == (True, [], False)


NO_MODELS: dict[str, Callable[[Path], Any]] = {
    "does not exist": shutil.rmtree,
    "is not a directory": lambda m: (shutil.rmtree(m), m.write_bytes(b"")),
    "holds no config.json": lambda m: (m / "config.json").unlink(),
}


@pytest.mark.parametrize("words", NO_MODELS)
def test_taking_what_is_no_model(model: Path, words: str) -> None:
    NO_MODELS[words](model)
    with pytest.raises(GpuserveError, match=words):
        take(str(model))


def test_code_in_the_directory(model: Path) -> None:
    (model / "modeling_x.py").write_bytes(b"raise SystemExit")
    (model / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    (model / "config.json").write_text('{"auto_map": {"AutoModel": "modeling_x.X"}}', encoding="utf-8")
    report = verify(str(model))
    assert report.problems == []
    for words in ("modeling_x.py is code", "pytorch_model.bin is a pickle", "config.json: names code of its own"):
        assert words in " ".join(report.warnings)
    for path in model.glob("*.safetensors"):
        path.unlink()
    assert "pickled only" in verify(str(model)).complaint
    assert verify(str(model), allow_pickle=True).problems == []


def test_who_else_could_write(recorded: Path) -> None:
    assert access_warnings(recorded, look_through(recorded)) == []
    me = os.geteuid()
    if me == 0:
        os.chown(recorded / "config.json", 12345, -1)
    else:  # root's run and that of another user: the owner is trusted by himself only
        me += 1
    (line,) = access_warnings(recorded, look_through(recorded), me=me)
    assert "belongs to user" in line
    assert f"chown -R root: {recorded}" in line
    os.chown(recorded / "config.json", os.geteuid(), -1)
    (recorded / SHARD).chmod(0o666)
    (line,) = look_at(str(recorded)).warnings
    assert f"{recorded}: {SHARD} can be written by others" in line
    (recorded / SHARD).chmod(0o644)
    recorded.chmod(0o777)
    assert ": . can be written by others" in look_at(str(recorded)).warnings[0]


def test_progress_is_told_every_ten_seconds(tmp_path: Path) -> None:
    now, log = [0.0], tmp_path / "log" / "verify.log"
    progress = Progress(str(log), 4 * 10**9, "/m: hashed", clock=lambda: now[0])
    for second in (1.0, 11.0, 12.0, 20.0, 22.0):
        now[0] = second
        progress.add(10**9 // 2, SHARD)
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        f"/m: hashed 1.0 of 4.0 GB, 91 MB/s, at {SHARD}",
        f"/m: hashed 2.5 of 4.0 GB, 114 MB/s, at {SHARD}",
    ]


def test_hashes_are_those_of_the_standard_tools(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"", b"abc", os.urandom(_model_manifest.CHUNK + 17)):
        path.write_bytes(content)
        blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
        assert hash_file(path, blob=True) == (hashlib.sha256(content).hexdigest(), blob)


def test_reading_gently_leaves_the_caller_as_it_was(recorded: Path) -> None:
    before = os.nice(0)
    verify(str(recorded), "full")
    assert os.nice(0) == before
    with _model_manifest.gentle_pool(2) as pool:
        assert pool.submit(os.nice, 0).result() == min(before + 10, 19)


def test_the_look_at_a_host_compares_models(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path / "org--model@1")
    (tmp_path / "org--model@1" / SHARD).unlink()
    (tmp_path / "org--model@2").mkdir()
    (tmp_path / "org--model@3").write_bytes(b"")
    looks = _model_verify.model_reports([str(recorded), str(tmp_path / "org--model@*"), str(tmp_path / "nowhere")])
    assert {Path(path).name: (r["record"], r["verified"]) for path, r in looks.items()} == {
        "model": ("taken", True), "org--model@1": ("taken", False), "org--model@2": ("none", False),
    }  # fmt: skip
    assert "is missing" in looks[str(tmp_path / "org--model@1")]["complaint"]
    json.dumps(looks)
