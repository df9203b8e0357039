# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _files
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import (
    WantedFile,
    apply_files,
    make_keys,
    remove_trees,
    validator,
)


def refuses(command):
    return 1, "", 'nginx: [emerg] unknown directive "lisen" in x:1\ntest failed'


@pytest.fixture
def me():
    import grp
    import pwd

    return {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def _read(path):
    with open(path, encoding="utf-8") as handle:
        return handle.read()


@pytest.mark.parametrize(
    ("before", "mode", "content", "wanted_mode", "action"),
    [
        (None, None, "a\n", 0o644, "create"),
        ("a\n", 0o644, "b\n", 0o644, "update"),
        ("a\n", 0o644, "a\n", 0o600, "mode"),
        ("a\n", 0o600, "a\n", 0o600, None),
    ],
)
def test_one_file(tmp_path, me, before, mode, content, wanted_mode, action):
    path = tmp_path / "deep" / "file"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
        path.chmod(mode)
    wanted = [WantedFile(str(path), content, wanted_mode, **me)]
    preview = apply_files(wanted, check=True)
    assert [change.action for change in preview] == ([action] if action else [])
    assert (path.read_text() if path.exists() else None) == before
    assert apply_files(wanted) == preview
    assert path.read_text() == content
    assert path.stat().st_mode & 0o777 == wanted_mode
    assert apply_files(wanted) == []


def test_purge_removes_only_what_is_not_wanted(tmp_path, me):
    for name in ("a.env", "b.env", "c.args"):
        (tmp_path / name).write_text("x")
    changes = apply_files([WantedFile(str(tmp_path / "a.env"), "x", **me)], [f"{tmp_path}/*.env"])
    assert [(c.path, c.action) for c in changes] == [(str(tmp_path / "b.env"), "remove")]
    assert sorted(os.listdir(tmp_path)) == ["a.env", "c.args"]


def test_refused_files_are_taken_back(tmp_path, me):
    old, gone = tmp_path / "old", tmp_path / "gone"
    old.write_text("old")
    old.chmod(0o640)
    gone.write_text("gone")
    new = tmp_path / "new"
    wanted = [WantedFile(str(old), "changed", 0o644, **me), WantedFile(str(new), "new", **me)]
    with pytest.raises(InputError) as info:
        apply_files(wanted, [str(gone)], validator(refuses, ["nginx", "-t"]))
    assert 'nginx -t refused the new files, the old ones are back: nginx: [emerg] unknown directive "lisen"' in str(
        info.value
    )
    assert "\n" not in str(info.value)
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("old", 0o640)
    assert gone.read_text() == "gone"
    assert sorted(os.listdir(tmp_path)) == ["gone", "old"]


def test_a_secret_is_not_shown(tmp_path, me):
    changes = apply_files([WantedFile(str(tmp_path / "k"), "s3cret", 0o600, secret=True, **me)])
    assert "s3cret" not in str(changes)
    assert _read(tmp_path / "k") == "s3cret"


def test_a_program_is_shown_by_its_size_and_hash(tmp_path, me):
    path = tmp_path / "p.py"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    (change,) = apply_files([WantedFile(str(path), "new!", program=True, **me)])
    assert change.before.startswith("(3 bytes, sha256 ")
    assert change.after.startswith("(4 bytes, sha256 ")
    assert path.read_text(encoding="utf-8") == "new!"


@pytest.mark.parametrize("wanted", [[], ["plain now"]])
def test_what_was_a_secret_is_not_shown_either(tmp_path, me, wanted):
    path = tmp_path / "keys"
    path.write_text("s3cret")
    path.chmod(0o600)
    changes = apply_files([WantedFile(str(path), text, **me) for text in wanted], [str(path)])
    assert [change.action for change in changes] == ["update" if wanted else "remove"]
    assert "s3cret" not in str(changes)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a", "a"], "is given twice"),
        (["."], "is a directory where a file is to be"),
    ],
)
def test_bad_sets(tmp_path, me, files, message):
    wanted = [WantedFile(os.path.normpath(str(tmp_path / name)), "x", **me) for name in files]
    with pytest.raises(InputError, match=message):
        apply_files(wanted)


def test_unknown_owner(tmp_path):
    with pytest.raises(InputError, match="owner nobody-here:root does not exist"):
        apply_files([WantedFile(str(tmp_path / "a"), "x", owner="nobody-here")])
    assert os.listdir(tmp_path) == []


def test_trees_go_and_what_is_not_empty_stays(tmp_path):
    for path in ("prefix/engines/v1/bin", "prefix/cache", "other"):
        (tmp_path / path).mkdir(parents=True)
    absent, tidy = [f"{tmp_path}/prefix/engines", f"{tmp_path}/none"], [f"{tmp_path}/prefix", f"{tmp_path}/other"]
    preview = remove_trees(absent, tidy, check=True)
    assert [change.path for change in preview] == [f"{tmp_path}/prefix/engines"]
    assert (tmp_path / "prefix/engines/v1/bin").exists()
    changes = remove_trees(absent, tidy)
    assert [change.path for change in changes] == [f"{tmp_path}/prefix/engines", f"{tmp_path}/other"]
    assert os.listdir(tmp_path / "prefix") == ["cache"]
    assert remove_trees(absent, tidy) == []


def test_a_mount_point_is_emptied_but_stays(tmp_path, monkeypatch):
    mount = tmp_path / "cache"
    (mount / "deep").mkdir(parents=True)
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(mount))
    remove_trees([str(mount)], [str(mount)])
    assert os.listdir(tmp_path) == ["cache"] and os.listdir(mount) == []


def test_a_key_is_made_once_and_for_root_alone(tmp_path):
    path = tmp_path / "etc" / "engine.key"
    assert [change.action for change in make_keys([str(path)], check=True)] == ["create"]
    assert not path.exists()
    (change,) = make_keys([str(path)])
    key = path.read_text().strip()
    assert len(key) == 43 and key not in repr(change)
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_keys([str(path)]) == []
    assert path.read_text().strip() == key
    path.write_text("\n")  # an empty key would open the door
    assert len(make_keys([str(path)])) == 1


def test_a_new_file_is_compared_with_the_one_it_takes_over_from(tmp_path, me):
    (tmp_path / "old").write_text("a\n")
    wanted = [WantedFile(str(tmp_path / "new"), "b\n", replaces=str(tmp_path / "old"), **me)]
    assert [(c.action, c.before, c.after) for c in apply_files(wanted)] == [("create", "a\n", "b\n")]
    (tmp_path / "old").write_text("c\n")
    assert apply_files(wanted) == []


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    path.write_text("old", encoding="utf-8")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _files.write_text(str(path), "new")
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("record.json", "old")]


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "free some space on its file system"), (errno.EROFS, "mount its file system for writing")],
)
def test_of_several_files_all_are_written_or_none(tmp_path, me, monkeypatch, number, cure):
    """Also told in one line that names the file, for whoever catches either kind of error."""
    first, second, gone = tmp_path / "first", tmp_path / "second", tmp_path / "gone"
    for path in (first, second, gone):
        path.write_text("old")
    wanted = [WantedFile(str(path), "new", **me) for path in (first, second)]
    done = []

    def full(_handle):
        done.append(1)
        if len(done) == 2:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_files.os, "fsync", full)
    line = f"{second} cannot be written ({os.strerror(number)}); {cure}, and run again"
    with pytest.raises(GpuserveError) as info:
        apply_files(wanted, [str(gone)])
    assert str(info.value) == line and isinstance(info.value, OSError)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("first", "second", "gone"), "old"
    )
