# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spoiled models: what read_model answers is a model that holds together, or a ModelError of one line."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import (  # noqa: E402
    InputError,
    ModelError,
    PlanError,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model  # noqa: E402
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options  # noqa: E402
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.fuzzing import (  # noqa: E402
    anything,
    check_line,
    check_model,
    fuzz,
    spoiled,
    st,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import (  # noqa: E402
    LLAMA,
    MODELS,
    SIZES,
    fixture_config,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards  # noqa: E402

NAMES = sorted(p.name for p in MODELS.iterdir() if (p / "config.json").is_file())
real_configs = st.sampled_from([fixture_config(name) for name in NAMES])
rules = st.fixed_dictionaries({"allow_unknown": st.booleans(), "allow_pickle": st.booleans()})


def read(directory: Path, files: dict[str, Any], **how: bool) -> None:
    """Reads a directory of these files; the model, if it is one, must be one the planner can work with."""
    for old in directory.iterdir():
        old.unlink()
    for name, data in files.items():
        (directory / name).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    try:
        model = read_model(str(directory), **how)
    except ModelError as error:
        check_line(error)
        return
    check_model(model)
    try:
        plan_from_options({"gpus": cards("h200", "h200"), "model": model.to_dict()})
    except PlanError as error:
        check_line(error)
    except InputError as error:
        pytest.fail(f"read_model let through what the planner refuses: {error}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.mark.parametrize("name", NAMES)
def test_whole_configs_are_read(name: str, folder: Path) -> None:
    read(folder, {"config.json": fixture_config(name)})
    check_model(read_model(str(MODELS / name)))


@fuzz(600)
@hypothesis.given(config=spoiled(real_configs), how=rules)
def test_spoiled_configs(folder: Path, config: Any, how: dict[str, bool]) -> None:
    read(folder, {"config.json": config}, **how)


@fuzz(150)
@hypothesis.given(
    config=anything,
    extra=st.dictionaries(
        st.sampled_from(
            ["tokenizer_config.json", "quantize_config.json", "hf_quant_config.json", "sentence_bert_config.json",
             "model.safetensors.index.json", "modules.json", ".gpuserve-model.json"]
        ), anything, max_size=3,
    ),
    whole=st.booleans(),
)  # fmt: skip
def test_any_json(folder: Path, config: Any, extra: dict[str, Any], whole: bool) -> None:
    if whole:  # real fields with anything beside them
        config = {**(config if isinstance(config, dict) else {"x": config}), **LLAMA}
    read(folder, {"config.json": config, **extra}, allow_unknown=True)


@fuzz(150)
@hypothesis.given(config=st.dictionaries(st.sampled_from(sorted(LLAMA)), anything), data=st.data())
def test_llama_with_any_values(folder: Path, config: dict[str, Any], data: Any) -> None:
    keep = data.draw(st.sets(st.sampled_from(sorted(LLAMA)), min_size=len(LLAMA) - 2))
    read(folder, {"config.json": {**config, **{k: LLAMA[k] for k in keep}}}, allow_unknown=True)


# ---------------------------------------------------------------- files


def header_of(shapes: list[tuple[str, tuple[int, ...]]]) -> dict[str, Any]:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for number, (dtype, shape) in enumerate(shapes):
        size = SIZES[dtype]
        for n in shape:
            size *= n
        names = {0: "model.embed_tokens.weight", 1: "lm_head.weight"}
        name = names.get(number, f"model.layers.{number % 2}.self_attn.{number}.weight")
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    return header


headers = st.builds(
    header_of,
    st.lists(
        st.tuples(st.sampled_from(sorted(SIZES)), st.lists(st.integers(0, 5), max_size=3).map(tuple)),
        min_size=1,
        max_size=5,
    ),
)


def as_file(header: Any, data: int) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data)


def data_size(header: dict[str, Any]) -> int:
    return max((info["data_offsets"][1] for name, info in header.items() if name != "__metadata__"), default=0)


@fuzz(60)
@hypothesis.given(header=headers)
def test_whole_headers_are_read(folder: Path, header: dict[str, Any]) -> None:
    for old in folder.iterdir():
        old.unlink()
    (folder / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(as_file(header, data_size(header)))
    if data_size(header):
        assert read_model(str(folder)).checkpoint_bytes == data_size(header)


@fuzz(250)
@hypothesis.given(header=headers, data=st.data())
def test_spoiled_headers(folder: Path, header: dict[str, Any], data: Any) -> None:
    broken = data.draw(spoiled(st.just(header), 2))
    read(folder, {"config.json": LLAMA, "model.safetensors": as_file(broken, data_size(header))})


@fuzz(150)
@hypothesis.given(header=headers, data=st.data())
def test_spoiled_bytes(folder: Path, header: dict[str, Any], data: Any) -> None:
    raw = bytearray(as_file(header, data_size(header)))
    for _turn in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    read(folder, {"config.json": LLAMA, "model.safetensors": bytes(raw[:cut] if cut % 2 else raw)})


@fuzz(150)
@hypothesis.given(
    index=spoiled(
        st.just({"metadata": {"total_size": 64}, "weight_map": {"a.weight": "a.safetensors", "b": "b.safetensors"}})
    ),
    present=st.sets(st.sampled_from(["a.safetensors", "b.safetensors", "consolidated.safetensors"])),
)
def test_spoiled_indexes(folder: Path, index: Any, present: set[str]) -> None:
    one = as_file({"a.weight": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]}}, 32)
    shards = dict.fromkeys(sorted(present), one)
    read(folder, {"config.json": LLAMA, "model.safetensors.index.json": index, **shards})
