# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A model taken from a directory instead of a hub: nothing of huggingface_hub, nothing of a network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _model_fetch, _model_hub
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_fetch import fetch_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_hub import HubModel, read_hub_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_manifest import MANIFEST
from ansible_collections.gpuserve.inference.plugins.module_utils._model_verify import verify
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import LLAMA, safetensors

COMMIT = "c0ffee" + "0" * 34
NEXT = "decade" + "0" * 34
FILES = {
    "config.json": json.dumps(LLAMA).encode(),
    "model.safetensors": safetensors({"model.layers.0.mlp.up_proj.weight": ("BF16", (512, 512))}),
    "tokenizer.json": b"{}",
    "modeling_x.py": b"raise SystemExit",
}


def digest(content):
    return hashlib.sha256(content).hexdigest()


def put(mirror, commit=COMMIT, requested="main", repo="org/model", **more):
    """A model with its record, as model_fetch leaves it."""
    directory = Path(mirror) / f"{repo.replace('/', '--')}@{commit[:12]}"
    directory.mkdir(parents=True)
    for name, content in {**FILES, **more}.items():
        (directory / name).write_bytes(content)
    files = {name: {"size": len(content), "sha256": digest(content)} for name, content in {**FILES, **more}.items()}
    record = {"repo": repo, "revision": commit, "requested": requested, "files": files}
    (directory / MANIFEST).write_text(json.dumps(record))
    return directory


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    def never():
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(_model_hub, "hub_module", never)
    return tmp_path / "mirror"


def wish(mirror, revision="main"):
    return HubModel("org/model", revision, mirror=str(mirror))


@pytest.mark.parametrize("revision", ["main", COMMIT, COMMIT[:12]])
def test_read_and_fetched_without_a_hub(mirror, tmp_path, revision):
    put(mirror)
    model = read_hub_model(wish(mirror, revision))
    assert (model.revision, model.name) == (COMMIT, "org/model")
    done = fetch_model(wish(mirror, revision), str(tmp_path / "models"))
    assert done.changed and done.path == str(tmp_path / "models/org--model@c0ffee000000")
    assert done.files == ["config.json", "model.safetensors", "tokenizer.json"]  # no code
    assert verify(done.path, "full").verified
    assert not fetch_model(wish(mirror, revision), str(tmp_path / "models")).changed


def test_check_mode_copies_nothing(mirror, tmp_path):
    put(mirror)
    assert fetch_model(wish(mirror), str(tmp_path / "models"), check_mode=True).changed
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_one_flipped_byte_in_the_mirror_is_refused(mirror, tmp_path, name):
    path = put(mirror) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelError, match=rf"{name}: is not the recorded file .* copy it into the mirror again"):
        fetch_model(wish(mirror), str(tmp_path / "models"))
    target = tmp_path / "models/org--model@c0ffee000000"
    assert not (target / name).exists() and not (target / MANIFEST).exists()


def test_an_interrupted_copy_is_taken_up_and_a_damaged_rest_is_replaced(mirror, tmp_path):
    source = put(mirror)
    target = tmp_path / "models/org--model@c0ffee000000"
    target.mkdir(parents=True)
    shutil.copy(source / "model.safetensors", target)
    before = os.stat(target / "model.safetensors")
    (target / "config.json").write_bytes(b"x" * len(FILES["config.json"]))
    (target / "tokenizer.json.gpuserve-part").write_bytes(b"{")
    assert fetch_model(wish(mirror), str(tmp_path / "models")).changed
    assert os.stat(target / "model.safetensors").st_ino == before.st_ino
    assert verify(str(target), "full").verified and not list(target.glob("*part"))


def test_what_is_not_there(mirror, tmp_path):
    with pytest.raises(ModelError, match=r"there is no directory .* correct mirror"):
        read_hub_model(wish(mirror))
    put(mirror, requested="v1")
    with pytest.raises(ModelError, match=r"org/model@main: not in the mirror .* which has it at c0ffee000000 only"):
        fetch_model(wish(mirror), str(tmp_path / "models"))
    with pytest.raises(ModelError, match="copy its directory there, with the record in it"):
        read_hub_model(HubModel("org/other", mirror=str(mirror)))


def test_two_of_the_same_name(mirror):
    put(mirror)
    put(mirror, NEXT)
    with pytest.raises(ModelError, match=r"has it more than once \(c0ffee000000, decade000000\)"):
        read_hub_model(wish(mirror))
    assert read_hub_model(wish(mirror, NEXT)).revision == NEXT


def test_a_file_that_is_missing(mirror, tmp_path):
    (put(mirror) / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json: is missing, but its record has it"):
        fetch_model(wish(mirror), str(tmp_path / "models"))


@pytest.mark.parametrize("name", ["../x.json", "/etc/x.json"])
def test_a_record_that_leads_out_of_its_directory_is_none(mirror, name):
    directory = put(mirror)
    record = json.loads((directory / MANIFEST).read_text())
    record["files"][name] = {"size": 1, "sha256": "0" * 64}
    (directory / MANIFEST).write_text(json.dumps(record))
    with pytest.raises(ModelError, match="not in the mirror"):
        read_hub_model(wish(mirror))


@pytest.mark.parametrize("place", [(), ("/models/x",)])
def test_a_disk_that_is_full_while_it_copies(mirror, tmp_path, monkeypatch, place):
    """A write does not say to which file."""
    put(mirror)

    def full(*_args):
        raise OSError(28, "No space left on device", *place)

    with monkeypatch.context() as patch:
        patch.setattr(_model_fetch, "copy_file", full)
        with pytest.raises(ModelError) as info:
            fetch_model(wish(mirror), str(tmp_path / "models"))
    where = f"No space left on device{': /models/x' if place else ''}"
    assert f"({where}); check the directories' owners and the free space, and run again" in str(info.value)
    assert fetch_model(wish(mirror), str(tmp_path / "models")).changed
