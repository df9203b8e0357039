# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Downloading a model: what is fetched, what is checked, and what a second run does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import MANIFEST, read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_fetch import Fetched, fetch_model, hand_over
from ansible_collections.gpuserve.inference.plugins.module_utils._model_hub import HubModel
from ansible_collections.gpuserve.inference.plugins.module_utils._model_verify import verify
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import LLAMA, safetensors
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_hub_server import Hub, Repo

pytest.importorskip("huggingface_hub")

COMMIT = "c0ffee" + "0" * 34
NEXT = "decade" + "0" * 34
WEIGHTS = safetensors({"model.layers.0.mlp.up_proj.weight": ("BF16", (512, 512))})
CONFIG = json.dumps(LLAMA).encode()
KEPT = {
    "config.json": CONFIG,
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"model_max_length": 512}',
    "tokenizer.model": b"spm",
    "merges.txt": b"a b",
    "chat_template.jinja": b"{{ messages }}",
    "1_Pooling/config.json": b"{}",
    "2_Dense/model.safetensors": WEIGHTS,
}
WEIGHT_FILES = {name for name in KEPT if name.endswith(".safetensors")}
LEFT = {
    "README.md": b"# x",
    "modeling_x.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "consolidated.safetensors": WEIGHTS,
    "original/params.json": b"{}",
    "onnx/model.safetensors": WEIGHTS,
    "extra/model.safetensors": WEIGHTS,
    ".gitattributes": b"",
    "image.png": b"",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    served = Hub(
        {
            "org/model": Repo({**KEPT, **LEFT}),
            "org/pickled": Repo({"config.json": CONFIG, "pytorch_model.bin": bytes(900), "training_args.bin": b"x"}),
            "org/no-weights": Repo({"config.json": CONFIG}),
            "org/no-config": Repo({"model.safetensors": WEIGHTS}),
            "org/gated": Repo({**KEPT}, gated=True),
        }
    )
    yield served
    served.close()


def fetch(hub: Hub, dest: Path, repo: str = "org/model", revision: str = "main", **more: Any) -> Fetched:
    model = HubModel(repo, revision, None, more.pop("token", None), hub.endpoint, more.pop("offline", False))
    return fetch_model(model, str(dest), **more)


def test_a_directory_for_each_commit(hub: Hub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path)
    assert done == Fetched(
        str(tmp_path / "org--model@c0ffee000000"), COMMIT, True, sum(map(len, KEPT.values())), sorted(KEPT)
    )
    found = {str(p.relative_to(done.path)): p.read_bytes() for p in Path(done.path).rglob("*") if p.is_file()}
    manifest = json.loads(found.pop(MANIFEST))
    assert found == KEPT
    assert (manifest["repo"], manifest["revision"], manifest["requested"]) == ("org/model", COMMIT, "main")
    entries = manifest["files"]
    times = {name: entry.pop("mtime_ns") for name, entry in entries.items()}
    assert times == {name: Path(done.path, name).stat().st_mtime_ns for name in KEPT}
    assert entries == {n: {"size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in KEPT.items()}
    m = read_model(done.path)
    assert (m.name, m.revision) == ("org/model", COMMIT)
    for name in LEFT:
        assert hub.bytes_sent(name) == 0 or name in ("onnx/model.safetensors", "extra/model.safetensors")


def test_second_run_downloads_nothing(hub: Hub, tmp_path: Path) -> None:
    first = fetch(hub, tmp_path)
    hub.requests.clear()
    second = fetch(hub, tmp_path)
    assert (second.changed, second.path, second.files) == (False, first.path, first.files)
    assert all("/resolve/" not in path for _m, path, _r, _n in hub.requests)


def test_a_commit_that_is_there_needs_no_network(hub: Hub, tmp_path: Path) -> None:
    fetch(hub, tmp_path)
    hub.requests.clear()
    done = fetch(hub, tmp_path, revision=COMMIT)
    assert (done.changed, done.revision) == (False, COMMIT)
    assert hub.requests == []


def test_offline(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"org/model@main: not under .*, and offline"):
        fetch(hub, tmp_path, offline=True)
    fetch(hub, tmp_path)
    hub.requests.clear()
    for revision in ("main", COMMIT):
        assert fetch(hub, tmp_path, revision=revision, offline=True).changed is False
    assert hub.requests == []
    with pytest.raises(ModelError, match="org/model@v2: not under"):
        fetch(hub, tmp_path, revision="v2", offline=True)


def test_a_new_commit_stands_beside_the_old_one(hub: Hub, tmp_path: Path) -> None:
    first = fetch(hub, tmp_path)
    hub.repos["org/model"].commit = NEXT
    second = fetch(hub, tmp_path)
    assert (second.changed, Path(second.path).name) == (True, "org--model@decade000000")
    assert Path(first.path, MANIFEST).exists()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "2_Dense/model.safetensors"])
def test_a_damaged_file_is_refused_and_the_remedy_brings_it_back(hub: Hub, tmp_path: Path, name: str) -> None:
    directory = Path(fetch(hub, tmp_path).path)
    assert verify(str(directory)).verified
    assert verify(str(directory)).hashed_bytes == 0
    path = directory / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, 0))
    (refusal,) = verify(str(directory)).problems
    assert refusal.startswith(f"{path}: is not the recorded file")
    assert f"remove {directory / MANIFEST} and run again" in refusal
    assert fetch(hub, tmp_path).changed is False  # size and name are right, so nothing is repaired unasked
    (directory / MANIFEST).unlink()
    hub.requests.clear()
    assert fetch(hub, tmp_path).changed is True
    assert path.read_bytes() == KEPT[name]
    sent = {path for method, path, _range, count in hub.requests if count and path.endswith(".safetensors")}
    assert {path.split("/resolve/")[1].split("/", 1)[1] for path in sent} == {name} & WEIGHT_FILES
    assert verify(str(directory), "full").verified


def test_the_log_of_a_download(hub: Hub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path / "models", log=str(tmp_path / "log" / "models.log"))
    first, last = (tmp_path / "log" / "models.log").read_text(encoding="utf-8").splitlines()
    assert f"{done.path}: downloading {len(KEPT)} files" in first
    assert f"{done.path}: complete" in last


SPOILS = ["missing", "short", "no manifest", "garbage manifest"]


@pytest.mark.parametrize("spoil", SPOILS)
def test_an_incomplete_directory_is_completed(hub: Hub, tmp_path: Path, spoil: str) -> None:
    directory = Path(fetch(hub, tmp_path).path)
    if spoil == "missing":
        (directory / "tokenizer.json").unlink()
    elif spoil == "short":
        (directory / "model.safetensors").write_bytes(WEIGHTS[:100])
    elif spoil == "no manifest":
        (directory / MANIFEST).unlink()
    else:
        (directory / MANIFEST).write_text('{"files": 3}', encoding="ascii")
    assert fetch(hub, tmp_path).changed is True
    assert (directory / "model.safetensors").read_bytes() == WEIGHTS
    assert fetch(hub, tmp_path).changed is False


def test_an_interrupted_download_is_taken_up(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its attempts
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    hub.cut["model.safetensors"] = 200_000
    try:
        fetch(hub, tmp_path)
    except ModelError:  # older releases of huggingface_hub leave the rest to the next run
        assert not list(tmp_path.glob(f"*/{MANIFEST}"))
        fetch(hub, tmp_path)
    ranges = [r for _m, path, r, _n in hub.requests if path.endswith("/model.safetensors") and r]
    assert "bytes=200000-" in ranges
    assert (tmp_path / "org--model@c0ffee000000/model.safetensors").read_bytes() == WEIGHTS


def test_check_mode_writes_nothing(hub: Hub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path / "models", check_mode=True)
    assert (done.changed, done.revision) == (True, COMMIT)
    assert list(tmp_path.iterdir()) == []
    fetch(hub, tmp_path / "models")
    assert fetch(hub, tmp_path / "models", check_mode=True).changed is False


def test_content_is_compared_with_the_hubs_checksum(hub: Hub, tmp_path: Path) -> None:
    hub.repos["org/model"].wrong_sha256 = True
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged in transfer") as caught:
        fetch(hub, tmp_path)
    assert not list(tmp_path.glob(f"*/{MANIFEST}"))
    assert not Path(str(caught.value).split(": ", maxsplit=1)[0]).exists()
    hub.repos["org/model"].wrong_sha256 = False
    assert fetch(hub, tmp_path).changed is True


def test_disk_too_small(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(ModelError) as caught:
        fetch(hub, tmp_path / "models")
    message = str(caught.value)
    assert "\n" not in message
    for word in ("0.1 GB", "0.0 GB are free", str(tmp_path / "models")):
        assert word in message
    assert list(tmp_path.iterdir()) == []


def test_pickles_are_refused_unless_allowed(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*allow_pickle"):
        fetch(hub, tmp_path, "org/pickled")
    assert list(tmp_path.iterdir()) == []
    assert fetch(hub, tmp_path, "org/pickled", allow_pickle=True).files == ["config.json", "pytorch_model.bin"]


REFUSED = {
    "no weights": ("org/no-weights", {}, ["no safetensors weights"]),
    "no config": ("org/no-config", {}, ["no config.json"]),
    "no repository": ("org/nowhere", {}, ["no such repository"]),
    "no revision": ("org/model", {"revision": "v7"}, ["org/model@v7", "no such revision"]),
    "gated": ("org/gated", {}, ["gated", "licence"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(hub: Hub, tmp_path: Path, case: str) -> None:
    repo, more, words = REFUSED[case]
    with pytest.raises(ModelError) as caught:
        fetch(hub, tmp_path, repo, **more)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_gated_with_the_right_token(hub: Hub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path, "org/gated", token="hf_right").changed is True


def test_a_destination_that_is_a_file(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("", encoding="ascii")
    with pytest.raises(ModelError, match="cannot be written"):
        fetch(hub, tmp_path / "models")


def test_modes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir(mode=0o700)
    (tmp_path / "sub" / "f").write_text("", encoding="ascii")
    (tmp_path / "sub" / "f").chmod(0o600)
    assert hand_over(tmp_path, -1, -1, 0o640, 0o750, check_mode=True) is True
    assert stat.S_IMODE((tmp_path / "sub" / "f").stat().st_mode) == 0o600
    assert hand_over(tmp_path, os.getuid(), os.getgid(), 0o640, 0o750) is True
    assert stat.S_IMODE((tmp_path / "sub" / "f").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "sub").stat().st_mode) == 0o750
    assert hand_over(tmp_path, os.getuid(), os.getgid(), 0o640, 0o750) is False
