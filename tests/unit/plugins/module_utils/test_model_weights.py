# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weight bytes: from headers, from the index, from the config; and the files that are refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_weights import group_of
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import (
    MODELS,
    config,
    fixture_config,
    model_dir,
    safetensors,
    tiny_model,
)

GIB = 1024**3
INDEX = "model.safetensors.index.json"

# Parameters counted by Transformers 5.23 itself (model built on the meta device from the same config).
COUNTED = {
    "bge-base-en": 109482240,
    "command-r-35b": 34980831232,
    "command-r7b": 8028033024,
    "deepseek-v2-lite": 15706484224,
    "deepseek-v3": 671026419200,
    "falcon-h1-7b": 7585513568,
    "gemma-2-9b": 9241705984,
    "gemma-2b": 2506172416,
    "gemma-3-1b": 999885952,
    "gemma-3-27b": 27432406640,
    "gemma-3-4b": 4300079472,
    "glm-4-9b-0414": 9400094720,
    "glm-4.5-air": 106852251264,
    "gpt-oss-120b": 116829156672,
    "gpt-oss-20b": 20914757184,
    "gpt2": 124439808,
    "granite-4.0-h-tiny": 6939037248,
    "jamba-v0.1": 51570323328,
    "lfm2-1.2b": 1170340608,
    "llama-3.1-8b": 8030261248,
    "llama-3.2-1b": 1235814400,
    "llama-3.3-70b": 70553706496,
    "llama-4-scout": 108641793536,
    "llava-1.5-7b": 7063427072,
    "mamba-2.8b": 2768345600,
    "mistral-7b-v0.1": 7241732096,
    "mistral-7b-v0.3": 7248023552,
    "mixtral-8x7b": 46702792704,
    "nemotron-h-8b": 8100852736,
    "olmo-2-7b": 7298617344,
    "opt-125m": 125239296,
    "phi-2": 2779683840,
    "phi-3-mini-4k": 3821079552,
    "phi-4": 14659507200,
    "qwen1.5-moe-a2.7b": 14315784192,
    "qwen2.5-0.5b": 494032768,
    "qwen2.5-7b": 7615616512,
    "qwen2.5-vl-7b": 8292166656,
    "qwen3-0.6b": 596049920,
    "qwen3-235b-a22b": 235093634560,
    "qwen3-30b-a3b": 30532122624,
    "qwen3-8b": 8190735360,
    "qwen3-next-80b-a3b": 79674391296,
    "qwen3-vl-8b": 8767123696,
    "smollm2-1.7b": 1711376384,
    "starcoder2-15b": 15655899136,
}


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_from_the_config(name: str) -> None:
    m = read_model(str(MODELS / name))
    assert m.weight_bytes_source == "config"
    # vision towers are estimated; everything else is exact but for a bias here and there
    assert m.parameters == pytest.approx(COUNTED[name], rel=0.005 if m.multimodal else 0.0001)
    if m.quantization is None:
        assert m.weight_bytes == 2 * m.parameters
    assert sum(m.weight_groups.values()) == m.weight_bytes


# GiB as vLLM 0.26 logged them on one H200. What it logs holds the rotary table (16 to 32 MiB where contexts are long)
# and the CUDA allocator's rounding as well: the weights themselves are up to 1 % less, never more.
LOGGED = {
    "qwen2.5-7b": 14.29,
    "llama-3.1-8b": 15.00,
    "gemma-2-9b": 17.22,
    "qwen3-30b-a3b": 56.88,
    "llama-3.2-1b": 2.32,
}


@pytest.mark.parametrize("name", LOGGED)
def test_weights_as_vllm_logged_them(name: str) -> None:
    computed = read_model(str(MODELS / name)).weight_bytes / GIB
    assert LOGGED[name] * 0.99 <= computed <= LOGGED[name] + 0.005


QUANTIZED = [
    ("gpt-oss-20b", 13761264768, 0.0),  # total_size of the published index
    ("gpt-oss-120b", 65248815744, 0.0),  # likewise
    # per layer and matrix of the 8B Llama: half a byte a weight, 2.5 bytes a group of 128; the rest in float16
    ("llama-3.1-8b-awq", 6979321856 // 2 + 6979321856 // 128 * 5 // 2 + 2 * (8030261248 - 6979321856), 0.0),
    # one byte a weight; the per-tensor scales are not worth counting
    ("llama-3.1-8b-fp8", 6979321856 + 2 * (8030261248 - 6979321856), 0.0001),
    # the same, and 4 bytes a block of 128 x 128
    ("qwen3-8b-fp8", 6945767424 + 6945767424 // 128 // 128 * 4 + 2 * (8190735360 - 6945767424), 0.0001),
]


@pytest.mark.parametrize(("name", "expected", "tolerance"), QUANTIZED)
def test_quantized_weights_from_the_config(name: str, expected: int, tolerance: float) -> None:
    m = read_model(str(MODELS / name))
    assert m.weight_bytes == pytest.approx(expected, rel=tolerance or 1e-12)


def test_gptq_adds_an_index_for_every_input_channel() -> None:
    awq, gptq = (read_model(str(MODELS / f"llama-3.1-8b-{q}")) for q in ("awq", "gptq"))
    channels = 32 * (6 * 4096 + 14336)
    assert gptq.weight_bytes - awq.weight_bytes == channels * 4


IGNORED = ["model.layers.0.self_attn.q_proj", "re:model.layers.0.self_attn.q.*", "model.layers.0.self_attn.q*"]


@pytest.mark.parametrize("entry", IGNORED)
def test_ignored_matrices_stay_as_they_are(tmp_path: Path, entry: str) -> None:
    def size(ignore: list[str]) -> int:
        content = fixture_config("llama-3.1-8b-fp8")
        content["quantization_config"]["ignore"] = ignore
        return read_model(str(model_dir(tmp_path, content))).weight_bytes

    assert size(["lm_head", entry]) - size(["lm_head"]) == 4096 * 4096


NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
W4A16 = {
    "quant_method": "compressed-tensors",
    "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}}},
}
CHANNEL = {
    "quant_method": "compressed-tensors",
    "config_groups": {"g": {"weights": {"num_bits": 8, "strategy": "channel"}}},
}
METHODS = [
    ({"quant_method": "fp8"}, 1.0),
    (NVFP4, 0.5625),
    (W4A16, 0.5 + 2 / 128),
    (CHANNEL, 1.0 + 2 / 4096),
    ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 0.5 + 1 / 64),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 1.0 + 4 / 4096),
    ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 1.0),
]


@pytest.mark.parametrize(("quantization", "bytes_a_weight"), METHODS)
def test_bytes_a_weight(tmp_path: Path, quantization: dict[str, Any], bytes_a_weight: float) -> None:
    plain = fixture_config("llama-3.1-8b")
    linear = 6979321856
    m = read_model(str(model_dir(tmp_path, {**plain, "quantization_config": quantization})))
    assert (m.weight_bytes - 2 * (8030261248 - linear)) / linear == pytest.approx(bytes_a_weight, rel=0.002)


def test_unknown_quantization_is_said(tmp_path: Path) -> None:
    path = str(model_dir(tmp_path, config(quantization_config={"quant_method": "squeeze"})))
    with pytest.raises(ModelError, match=r"quantization_config\.quant_method 'squeeze'.*allow_unknown"):
        read_model(path)
    m = read_model(path, allow_unknown=True)
    assert any("'squeeze'" in w for w in m.warnings)


# ---------------------------------------------------------------- files


def test_headers_agree_with_the_config(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "tiny")
    exact = read_model(str(path))
    (path / "model.safetensors").unlink()
    computed = read_model(str(path))
    assert (exact.weight_bytes_source, computed.weight_bytes_source) == ("safetensors", "config")
    assert (exact.has_weights, computed.has_weights) == (True, False)
    assert exact.weight_bytes == computed.weight_bytes == exact.checkpoint_bytes == 2 * 426624
    assert exact.parameters == computed.parameters == 426624
    assert exact.weight_groups == computed.weight_groups


ONE = safetensors({"model.embed_tokens.weight": ("BF16", (256, 64))})
TWO = safetensors({"model.layers.0.mlp.up_proj.weight": ("BF16", (128, 64))})
BYTES = 256 * 64 * 2 + 128 * 64 * 2
SHARDED = {
    "model-00001-of-00002.safetensors": ONE,
    "model-00002-of-00002.safetensors": TWO,
    INDEX: {
        "metadata": {"total_size": BYTES},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    },
}
DUPLICATES = [
    {"model.safetensors": ONE},
    {"model.safetensors": ONE, "consolidated.safetensors": ONE},
    {"model-00001-of-00001.safetensors": ONE, "consolidated.safetensors": ONE,
     INDEX: {"weight_map": {"a": "model-00001-of-00001.safetensors"}}},
    {"consolidated.safetensors": ONE},  # all there is
    {"model.safetensors": ONE, "pytorch_model.bin": b"x" * 99},
]  # fmt: skip


@pytest.mark.parametrize("files", DUPLICATES)
def test_each_weight_counts_once(tmp_path: Path, files: dict[str, Any]) -> None:
    m = read_model(str(model_dir(tmp_path, files=files)))
    assert (m.weight_bytes, m.weight_bytes_source) == (256 * 64 * 2, "safetensors")


def test_shards_are_summed(tmp_path: Path) -> None:
    m = read_model(str(model_dir(tmp_path, files=SHARDED)))
    assert (m.weight_bytes, m.weight_bytes_source) == (BYTES, "safetensors")
    assert m.weight_groups == {"embedding": 256 * 64 * 2, "mlp": 128 * 64 * 2}


def test_missing_shard(tmp_path: Path) -> None:
    files = {k: v for k, v in SHARDED.items() if not k.startswith("model-00002")}
    path = str(model_dir(tmp_path, files=files))
    m = read_model(path)
    assert (m.weight_bytes, m.weight_bytes_source) == (BYTES, "index")
    assert any("model-00002-of-00002.safetensors" in w for w in m.warnings)
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors, not here; finish the download"):
        read_model(path, trust_config_only=False)


def test_index_of_a_float32_checkpoint_is_halved(tmp_path: Path) -> None:
    path = model_dir(tmp_path, config(torch_dtype="float32"), {INDEX: SHARDED[INDEX]})
    m = read_model(str(path))
    assert (m.weight_bytes, m.checkpoint_bytes) == (BYTES // 2, BYTES)


def test_index_without_a_total_falls_back_to_the_config(tmp_path: Path) -> None:
    path = model_dir(tmp_path, files={INDEX: {"weight_map": {"a": "model-1.safetensors"}}})
    assert read_model(str(path)).weight_bytes_source == "config"


def test_float32_files_are_converted_when_loaded(tmp_path: Path) -> None:
    tensors = {
        "model.layers.0.mlp.up_proj.weight": ("F32", (128, 64)),
        "model.layers.0.mlp.up_proj.weight_scale": ("F32", (128,)),  # kept
    }
    m = read_model(str(model_dir(tmp_path, config(torch_dtype="float32"), {"model.safetensors": safetensors(tensors)})))
    assert m.dtype == "bfloat16"
    assert (m.weight_bytes, m.checkpoint_bytes) == (128 * 64 * 2 + 128 * 4, 128 * 64 * 4 + 128 * 4)
    assert m.parameters == 128 * 64


def test_packed_weights_count_as_the_parameters_they_hold(tmp_path: Path) -> None:
    base = "model.layers.0.mlp.up_proj."
    tensors = {
        base + "qweight": ("I32", (64, 16)),
        base + "qzeros": ("I32", (1, 16)),
        base + "scales": ("F16", (1, 128)),
        base + "g_idx": ("I32", (64,)),
    }
    content = config(torch_dtype="float16", quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 64})
    m = read_model(str(model_dir(tmp_path, content, {"model.safetensors": safetensors(tensors)})))
    assert m.parameters == 64 * 128
    assert m.weight_bytes == 64 * 16 * 4 + 16 * 4 + 128 * 2 + 64 * 4


DRAFTS = ["model.layers.2.mlp.up_proj.weight", "mtp.layers.0.mlp.up_proj.weight", "model.mtp.fc.weight"]


@pytest.mark.parametrize("name", DRAFTS)
def test_layers_for_speculation_are_kept_apart(tmp_path: Path, name: str) -> None:
    weights = {"model.layers.1.mlp.up_proj.weight": ("BF16", (128, 64)), name: ("BF16", (64, 64))}
    m = read_model(str(model_dir(tmp_path, files={"model.safetensors": safetensors(weights)})))
    assert (m.weight_bytes, m.draft_weight_bytes) == (128 * 64 * 2, 64 * 64 * 2)


GROUPS = {
    "embedding": ["model.embed_tokens.weight", "transformer.wte.weight", "backbone.embeddings.weight"],
    "lm_head": ["lm_head.weight", "language_model.lm_head.weight", "output.weight"],
    "attention": [
        "model.layers.0.self_attn.q_proj.weight", "model.layers.0.linear_attn.in_proj_qkvz.weight",
        "model.layers.0.mamba.A_log", "backbone.layers.0.mixer.in_proj.weight",
    ],
    "mlp": [
        "model.layers.0.mlp.gate_proj.weight", "model.layers.3.mlp.gate.weight",
        "backbone.layers.1.mixer.up_proj.weight",
        "model.layers.0.mlp.shared_experts.up_proj.weight", "encoder.layer.0.output.dense.weight",
    ],
    "experts": ["model.layers.1.block_sparse_moe.experts.3.w1.weight", "model.layers.0.mlp.experts.gate_up_proj"],
    "norm": ["model.layers.0.input_layernorm.weight", "model.norm.weight", "embeddings.LayerNorm.weight"],
    "other": ["vision_tower.blocks.0.attn.qkv.weight", "multi_modal_projector.linear_1.weight"],
}  # fmt: skip


@pytest.mark.parametrize(("group", "name"), [(g, n) for g, names in GROUPS.items() for n in names])
def test_groups(group: str, name: str) -> None:
    assert group_of(name) == group


def with_header(header: Any, tail: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tail


TENSOR = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
DAMAGED = {
    "empty": (b"", "only 0 bytes"),
    "short": (b"\x10\0\0", "only 3 bytes"),
    "truncated data": (ONE[:-1], "truncated"),
    "truncated header": (ONE[:40], "truncated"),
    "longer": (ONE + b"x", "longer than its header"),
    "html": (b"<!DOCTYPE html><html>not found</html>", "not safetensors"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "header of garbage": (with_header(b"{]"), "header is damaged"),
    "header of a list": (with_header([1]), "header is damaged"),
    "tensor of nothing": (with_header({"a": 1}), "header is damaged"),
    "offsets backwards": (with_header({"a": {**TENSOR, "data_offsets": [4, 0]}}, b"1234"), "header is damaged"),
    "offsets against the shape": (with_header({"a": {**TENSOR, "shape": [3]}}, b"1234"), "header is damaged"),
    "negative shape": (with_header({"a": {**TENSOR, "shape": [-2]}}, b"1234"), "header is damaged"),
    "deep nesting": (with_header(b"[" * 200000), "header is damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files(tmp_path: Path, case: str) -> None:
    content, words = DAMAGED[case]
    path = model_dir(tmp_path, files={"model.safetensors": content})
    with pytest.raises(ModelError) as caught:
        read_model(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert "model.safetensors" in message
    assert words in message
    assert "again" in message or "pull" in message


def test_index_may_not_leave_the_directory(tmp_path: Path) -> None:
    path = model_dir(tmp_path, files={INDEX: {"weight_map": {"a": "../../secret.safetensors"}}})
    with pytest.raises(ModelError, match="outside the model's directory"):
        read_model(str(path))


PICKLES = ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "weights.pkl"]


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_are_refused_unless_allowed(tmp_path: Path, name: str) -> None:
    path = str(model_dir(tmp_path, files={name: b"\x80\x02" + bytes(998), "training_args.bin": b"x"}))
    with pytest.raises(ModelError) as caught:
        read_model(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (name, "safetensors", "allow_pickle"):
        assert word in message
    m = read_model(path, allow_pickle=True)
    assert (m.weight_bytes, m.weight_bytes_source, m.has_weights) == (1000, "pickle", True)
    assert any(name in w for w in m.warnings)


def test_a_config_alone_can_be_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \*\.safetensors files here"):
        read_model(str(model_dir(tmp_path)), trust_config_only=False)
