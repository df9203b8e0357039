# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models on a hub, through the real huggingface_hub against a hub on the loopback address."""

from __future__ import annotations

import builtins
import json
import socket
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_hub import HubMissing, HubModel, read_hub_model
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import (
    LLAMA,
    config,
    safetensors,
    tiny_model,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_hub_server import Hub, Repo

pytest.importorskip("huggingface_hub")

COMMIT = "c0ffee" + "0" * 34
INDEX = "model.safetensors.index.json"
SHARD = safetensors({"model.layers.0.mlp.up_proj.weight": ("BF16", (128, 64))})
# many tensors: its header is longer than the 100 kB that are asked for first
LONG = safetensors({f"model.layers.{i % 2}.mlp.experts.{i}.up_proj.weight": ("BF16", (8, 8)) for i in range(1500)})


def files_of(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    real = files_of(tiny)
    conf = json.dumps(LLAMA).encode()
    served = Hub(
        {
            "org/tiny": Repo(
                {**real, "README.md": b"# x", "modeling_x.py": b"raise SystemExit"}, branches=("main", "v1")
            ),
            "org/gated": Repo(real, gated=True),
            "org/private": Repo(real, private=True),
            "org/pickled": Repo({"config.json": conf, "pytorch_model.bin": bytes(5000), "training_args.bin": b"x"}),
            "org/gguf": Repo({"model-Q4.gguf": b"GGUF"}),
            "org/mistral": Repo({"params.json": b"{}", "consolidated.safetensors": SHARD}),
            "org/sharded": Repo(
                {
                    "config.json": conf,
                    "model-1.safetensors": SHARD,
                    "model-2.safetensors": LONG,
                    "consolidated.safetensors": SHARD,
                    INDEX: json.dumps(
                        {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
                    ).encode(),
                }
            ),
            "org/partial": Repo(
                {"config.json": conf, INDEX: json.dumps({"weight_map": {"a": "gone.safetensors"}}).encode()}
            ),
            "org/damaged": Repo({"config.json": conf, "model.safetensors": b"\xff" * 200}),
            "org/config-only": Repo({"config.json": conf}),
        }
    )
    yield served
    served.close()


def ask(hub: Hub, repo: str, tmp_path: Path, **more: Any) -> HubModel:
    return HubModel(repo, endpoint=hub.endpoint, cache_dir=str(tmp_path / "cache"), **more)


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT])
def test_online(hub: Hub, tiny: Path, tmp_path: Path, revision: str) -> None:
    m = read_hub_model(ask(hub, "org/tiny", tmp_path, revision=revision))
    local = read_model(str(tiny))
    assert (m.name, m.revision, m.path) == ("org/tiny", COMMIT, "")
    assert (m.weight_bytes, m.weight_bytes_source, m.has_weights) == (local.weight_bytes, "safetensors", True)
    assert (m.weight_groups, m.max_position_embeddings) == (local.weight_groups, 2048)


def test_only_what_is_needed_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    read_hub_model(ask(hub, "org/tiny", tmp_path))
    assert hub.bytes_sent("model.safetensors") <= 100_001
    assert len(hub.repos["org/tiny"].files["model.safetensors"]) > 800_000
    asked = {path.rsplit("/", 1)[1] for _m, path, _r, _n in hub.requests}
    assert not {"modeling_x.py", "README.md", "tokenizer.json"} & asked


def test_shards_by_the_index_and_long_headers(hub: Hub, tmp_path: Path) -> None:
    m = read_hub_model(ask(hub, "org/sharded", tmp_path))
    assert m.weight_bytes == 128 * 64 * 2 + 1500 * 8 * 8 * 2
    assert hub.bytes_sent("consolidated.safetensors") == 0
    assert sum(1 for _m, path, r, _n in hub.requests if path.endswith("model-2.safetensors") and r) == 2


def test_offline_from_the_cache(hub: Hub, tmp_path: Path) -> None:
    online = read_hub_model(ask(hub, "org/tiny", tmp_path))
    asked = len(hub.requests)
    for revision in ("main", COMMIT):
        m = read_hub_model(ask(hub, "org/tiny", tmp_path, offline=True, revision=revision))
        assert (m.revision, m.architecture, m.layers) == (COMMIT, online.architecture, online.layers)
        # the weights were never downloaded, so their size is computed
        assert (m.weight_bytes, m.weight_bytes_source) == (online.weight_bytes, "config")
    assert len(hub.requests) == asked


def test_offline_with_the_weights_in_the_cache(hub: Hub, tmp_path: Path) -> None:
    import huggingface_hub

    huggingface_hub.snapshot_download("org/tiny", cache_dir=tmp_path / "cache", endpoint=hub.endpoint)
    m = read_hub_model(ask(hub, "org/tiny", tmp_path, offline=True))
    assert (m.weight_bytes_source, m.revision) == ("safetensors", COMMIT)


def test_gated_and_private_with_the_right_token(hub: Hub, tmp_path: Path) -> None:
    for repo in ("org/gated", "org/private"):
        assert read_hub_model(ask(hub, repo, tmp_path, token="hf_right")).layers == 2


def test_pickled_weights_of_a_hub(hub: Hub, tmp_path: Path) -> None:
    m = read_hub_model(ask(hub, "org/pickled", tmp_path), allow_pickle=True)
    assert (m.weight_bytes, m.weight_bytes_source) == (5000, "pickle")
    assert hub.bytes_sent("pytorch_model.bin") == 0


def test_a_config_alone(hub: Hub, tmp_path: Path) -> None:
    assert read_hub_model(ask(hub, "org/config-only", tmp_path)).has_weights is False
    with pytest.raises(ModelError, match=r"no \*\.safetensors"):
        read_hub_model(ask(hub, "org/config-only", tmp_path), trust_config_only=False)


REFUSED = {
    "no repository": ("org/nowhere", {}, ["org/nowhere@main", "no such repository", "token"]),
    "private": ("org/private", {}, ["no such repository", "private"]),
    "gated": ("org/gated", {}, ["gated", "licence", "token"]),
    "no revision": ("org/tiny", {"revision": "v9"}, ["org/tiny@v9", "no such revision"]),
    "no name": ("not a name", {}, ["ORGANISATION/NAME"]),
    "offline, never seen": ("org/tiny", {"offline": True}, ["not in the cache", "cache"]),
    "pickled": ("org/pickled", {}, ["pytorch_model.bin", "allow_pickle"]),
    "gguf": ("org/gguf", {}, ["no config.json", "GGUF"]),
    "mistral": ("org/mistral", {}, ["params.json"]),
    "incomplete": ("org/partial", {}, ["incomplete", "gone.safetensors"]),
    "damaged": ("org/damaged", {}, ["damaged"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(hub: Hub, tmp_path: Path, case: str) -> None:
    repo, more, words = REFUSED[case]
    with pytest.raises(ModelError) as caught:
        read_hub_model(ask(hub, repo, tmp_path, **more))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_wrong_token(hub: Hub, tmp_path: Path) -> None:
    hub.status = 401
    with pytest.raises(ModelError, match="token"):
        read_hub_model(ask(hub, "org/tiny", tmp_path, token="hf_wrong"))


def test_broken_hub(hub: Hub, tmp_path: Path) -> None:
    hub.status = 418
    with pytest.raises(ModelError, match=r"answered HTTP 418"):
        read_hub_model(ask(hub, "org/tiny", tmp_path))


def test_unreachable_hub(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and never listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ModelError, match="cannot be reached"):
            read_hub_model(HubModel("org/tiny", endpoint=endpoint, cache_dir=str(tmp_path)))


def test_unknown_architecture_on_a_hub(hub: Hub, tmp_path: Path) -> None:
    hub.repos["org/tiny"].files["config.json"] = json.dumps(config(architectures=["StrangeForCausalLM"])).encode()
    with pytest.raises(ModelError, match="StrangeForCausalLM"):
        read_hub_model(ask(hub, "org/tiny", tmp_path))


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError("No module named 'huggingface_hub'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(HubMissing, match="huggingface_hub cannot be imported"):
        read_hub_model(HubModel("org/tiny"))
