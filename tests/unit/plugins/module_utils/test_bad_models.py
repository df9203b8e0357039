# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models that cannot be: every one is a ModelError of one line that names the file, the field and what to do."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check_quant import check_quantization
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import (
    config,
    fixture_config,
    model_dir,
    safetensors,
)


def refusal(path: Path, **rules: Any) -> str:
    with pytest.raises(ModelError) as caught:
        read_model(str(path), **rules)
    message = str(caught.value)
    assert message.isprintable()
    assert "; " in message  # what to do
    assert len(message) < 600
    return message


# ---------------------------------------------------------------- config.json, field by field

WRONG: dict[str, Any] = {
    "zero": 0,
    "negative": -1,
    "1e18": 10**18,
    "2**63": 2**63,
    "float": 1.5,
    "1e300": 1e300,
    "a word": "big",
    "digits": "64",
    "true": True,
    "false": False,
    "a list": [[1]],
    "an object": {"a": 1},
    "NaN": float("nan"),
    "Infinity": float("inf"),
}
FIELDS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size", "intermediate_size",
    "max_position_embeddings", "head_dim",
)  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_no_size(tmp_path: Path, field: str, wrong: str) -> None:
    message = refusal(model_dir(tmp_path, config(**{field: WRONG[wrong]})), allow_unknown=True)
    assert message.startswith("config.json: ")
    assert field in message


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
@pytest.mark.parametrize("value", [None, ...])
def test_a_field_that_is_missing(tmp_path: Path, field: str, value: Any) -> None:
    content = config(model_type="unheard", **{field: value})  # no class whose defaults could stand in
    assert f"config.json: {field} is missing" in refusal(model_dir(tmp_path, content))


def test_a_nested_field_is_named_with_its_part(tmp_path: Path) -> None:
    content = fixture_config("qwen3-vl-8b")
    content["text_config"]["num_attention_heads"] = -8
    assert "config.json: text_config.num_attention_heads is -8" in refusal(model_dir(tmp_path, content))


MLA = {"kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}


def quant(**changes: Any) -> dict[str, Any]:
    return {"quantization_config": {**GPTQ, **changes}}


# changes to a small config, and words the line must hold
FIELDS_AT_ODDS: list[tuple[dict[str, Any], list[str]]] = [
    ({"hidden_size": 65}, ["hidden_size 65", "num_attention_heads 4", "head_dim"]),
    ({"num_key_value_heads": 8}, ["num_key_value_heads 8", "num_attention_heads 4", "divisors"]),
    ({"num_key_value_heads": 3}, ["num_key_value_heads 3", "num_attention_heads 4"]),
    ({"num_hidden_layers": 10**6}, ["num_hidden_layers", "1 to 4096"]),
    ({"hidden_size": 1 << 20, "num_hidden_layers": 4096}, ["parameters", "more than any model has"]),
    # experts
    ({"num_experts": 4, "num_experts_per_tok": 8}, ["num_experts_per_tok 8", "num_experts 4"]),
    ({"num_experts": 4, "num_experts_per_tok": 0}, ["num_experts_per_tok is 0", "1 to 4"]),
    ({"num_experts": -4}, ["num_experts is -4"]),
    ({"num_local_experts": "eight"}, ["num_local_experts", "'eight'"]),
    ({"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": -1}, ["moe_intermediate_size is -1"]),
    # windows and layers of several kinds
    ({"sliding_window": -1}, ["sliding_window is -1", "0 to"]),
    ({"sliding_window": "4k"}, ["sliding_window", "'4k'"]),
    ({"attention_chunk_size": -5}, ["attention_chunk_size is -5"]),
    ({"layer_types": ["full_attention"]}, ["layer_types has 1 entries for 2 layers"]),
    ({"layer_types": ["full_attention"] * 3}, ["layer_types has 3 entries for 2 layers"]),
    ({"layer_types": ["full_attention", "hyper_attention"]}, ["layer_types", "'hyper_attention'", "full_attention"]),
    ({"layer_types": ["full_attention", 7]}, ["layer_types", "7"]),
    ({"layer_types": "full_attention"}, ["layer_types must be a list"]),
    ({"layers_block_type": ["mamba", "no"]}, ["layers_block_type", "'no'"]),
    ({"hybrid_override_pattern": "MX"}, ["hybrid_override_pattern 'MX'", "M*-E"]),
    ({"hybrid_override_pattern": "M-*"}, ["hybrid_override_pattern has 3 letters for 2 layers"]),
    ({"sliding_window_pattern": "LLXG"}, ["sliding_window_pattern 'LLXG'"]),
    ({"sliding_window_pattern": 0}, ["sliding_window_pattern is 0"]),
    ({"no_rope_layers": [1]}, ["no_rope_layers has 1 entries"]),
    ({"attn_layer_indices": [-1]}, ["attn_layer_indices: each entry is -1"]),
    ({"block_configs": [1, 2]}, ["block_configs: each entry must be an object"]),
    ({"intermediate_size": [128, None]}, ["intermediate_size: each entry", "None"]),
    ({"num_kv_shared_layers": -2}, ["num_kv_shared_layers is -2"]),
    # multi-head latent attention
    ({**MLA, "kv_lora_rank": -1}, ["kv_lora_rank is -1"]),
    ({**MLA, "qk_rope_head_dim": ...}, ["qk_rope_head_dim is missing"]),
    ({**MLA, "qk_nope_head_dim": ...}, ["qk_nope_head_dim is missing"]),
    ({**MLA, "v_head_dim": None}, ["v_head_dim is missing"]),
    ({**MLA, "q_lora_rank": "none"}, ["q_lora_rank", "'none'"]),
    (
        {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": None},
        ["kv_lora_rank is missing"],
    ),
    # recurrent layers
    ({"layer_types": ["linear_attention", "full_attention"]}, ["recurrent", "mamba_d_state"]),
    ({"attn_layer_indices": [1]}, ["recurrent", "mamba_d_state"]),
    ({"linear_num_value_heads": 4, "linear_num_key_heads": 4}, ["linear_key_head_dim is missing"]),
    ({"mamba_d_state": -16}, ["mamba_d_state is -16"]),
    ({"linear_attn_config": [1]}, ["linear_attn_config must be an object"]),
    ({"linear_attn_config": {"num_heads": 0}}, ["linear_attn_config.num_heads is 0"]),
    # positions
    ({"rope_scaling": "linear"}, ["rope_scaling must be an object or null"]),
    ({"rope_scaling": {"type": 4}}, ["rope_scaling.type must be text"]),
    ({"rope_scaling": {"rope_type": "linear", "factor": "4x"}}, ["rope_scaling.factor", "'4x'"]),
    ({"rope_scaling": {"rope_type": "linear", "factor": -4.0}}, ["rope_scaling.factor", "-4.0"]),
    ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, ["rope_scaling.factor", "above 0"]),
    ({"rope_scaling": {"rope_type": "linear", "factor": float("nan")}}, ["rope_scaling.factor", "NaN"]),
    ({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": []}}}, ["rope_parameters.factor"]),
    ({"rope_scaling": {"rope_type": "linear", "factor": 1e9}}, ["rope_scaling.factor"]),
    (
        {"max_position_embeddings": 1 << 30, "rope_scaling": {"rope_type": "linear", "factor": 8}},
        ["rope factor", "max_position_embeddings"],
    ),
    ({"original_max_position_embeddings": 0}, ["original_max_position_embeddings is 0"]),
    # words
    ({"torch_dtype": "bfloat17"}, ["torch_dtype 'bfloat17'", "bfloat16, float16 and float32"]),
    ({"dtype": 16}, ["dtype 16"]),
    ({"model_type": 3}, ["model_type must be text"]),
    ({"tie_word_embeddings": "yes"}, ["tie_word_embeddings must be true or false", "'yes'"]),
    ({"attention_bias": "none"}, ["attention_bias must be true or false", "'none'"]),
    ({"architectures": "LlamaForCausalLM"}, ["architectures must be a list"]),
    ({"architectures": [None]}, ["architectures must be a list", "None"]),
    ({"architectures": ["Llama\n\x1b[2JForCausalLM"]}, ["architectures must be a list"]),
    ({"vision_config": {"hidden_size": -1}}, ["vision_config.hidden_size is -1"]),
    ({"vision_config": {"mlp_ratio": "4:1"}}, ["vision_config.mlp_ratio", "'4:1'"]),
    # quantization
    ({"quantization_config": "fp8"}, ["quantization_config must be an object"]),
    ({"quantization_config": {"bits": 4}}, ["quantization_config names no quant_method", "allow_unknown"]),
    (quant(quant_method="squeeze"), ["quantization_config.quant_method 'squeeze'", "allow_unknown"]),
    (quant(quant_method="gptq4"), ["'gptq4'", "did you mean gptq"]),
    (quant(quant_method=4), ["quant_method '4'"]),
    (quant(bits=3), ["quantization_config.bits is 3", "4 and 8"]),
    (quant(bits=-4), ["quantization_config.bits is -4"]),
    (quant(bits="four"), ["quantization_config.bits", "'four'"]),
    (quant(quant_method="awq", bits=8), ["quantization_config.bits is 8", "4 for awq"]),
    (quant(sym=False), ["quantization_config.sym", "symmetric"]),
    (quant(group_size=0), ["quantization_config.group_size is 0", "-1 (a whole row)"]),
    (quant(group_size=-128), ["quantization_config.group_size is -128"]),
    (quant(group_size=10**9), ["quantization_config.group_size"]),
    (quant(group_size=True), ["quantization_config.group_size", "True"]),
    (quant(quant_method="fp8", weight_block_size=128), ["weight_block_size", "[128, 128]"]),
    (quant(quant_method="fp8", weight_block_size=[128]), ["weight_block_size", "two numbers"]),
    (quant(quant_method="fp8", weight_block_size=[0, 128]), ["weight_block_size is 0"]),
    (quant(quant_method="fp8", weight_block_size=["a", "b"]), ["weight_block_size", "'a'"]),
    (quant(ignore="lm_head"), ["quantization_config.ignore must be a list"]),
    (quant(modules_to_not_convert=[1]), ["modules_to_not_convert must be a list of names"]),
    (quant(ignore=["re:(a+)+$"]), ["quantization_config.ignore: 're:(a+)+$'", "for ever"]),
    (quant(ignore=["re:(?:(x|.*y)*z)"]), ["for ever"]),
    (quant(ignore=["re:.*a.*b.*c.*d.*e.*f.*g"]), ["for ever"]),
    (quant(ignore=["re:(unclosed"]), ["no regular expression"]),
    (quant(ignore=["re:" + "(" * 400]), ["no regular expression"]),
    (quant(ignore=["*a" * 20]), ["no name of a layer"]),
    (quant(ignore=["lm_head"] * 300_000), ["quantization_config.ignore has 300000 entries"]),
    (quant(quant_method="compressed-tensors", config_groups=[]), ["config_groups must be an object"]),
    (
        quant(quant_method="compressed-tensors", config_groups={"group_0": {"weights": {"num_bits": "four"}}}),
        ["config_groups.group_0.weights.num_bits", "'four'"],
    ),
    (
        quant(
            quant_method="compressed-tensors",
            config_groups={"group_0": {"weights": {"strategy": "block", "block_structure": [0]}}},
        ),
        ["config_groups.group_0.weights.block_structure"],
    ),
]


@pytest.mark.parametrize(("changes", "words"), FIELDS_AT_ODDS, ids=[str(n) for n in range(len(FIELDS_AT_ODDS))])
def test_fields_at_odds(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    message = refusal(model_dir(tmp_path, config(**changes)))
    assert message.startswith("config.json")
    for word in words:
        assert word in message


# what looks odd and is served all the same
ACCEPTED: list[dict[str, Any]] = [
    {"hidden_size": 64.0},
    {**MLA, "qk_rope_head_dim": 0, "head_dim": 0},  # GLM-5: latent attention without rotated positions
    {"head_dim": None, "num_key_value_heads": None, "sliding_window": None, "rope_scaling": None, "torch_dtype": None},
    {"hidden_size": 66, "head_dim": 16},
    {"intermediate_size": [128, 256]},
    {"time_step_limit": [0.0, float("inf")]},  # Mamba-2 configs as published
    {"layer_types": ["full_attention"] * 3, "num_nextn_predict_layers": 1},
    {"architectures": ["FooForCausalLM", "LlamaForCausalLM"]},
    {"torch_dtype": "float8_e4m3fn"},
    {"quantization_config": {}},
    {"quantization_config": {"quant_method": "gptq", "bits": 8, "group_size": -1, "sym": True}},
    {"rope_scaling": {}},
    {"quantization_config": {**GPTQ, "ignore": [r"re:.*self_attn\.(q|k|v)_proj.*", r"re:model\.layers\.\d+\.mlp.*"]}},
    {"quantization_config": {**GPTQ, "modules_to_not_convert": ["model.layers.*.self_attn*", "lm_head"]}},
    {"pad_token_id": -1, "unheard": {"of": [None]}},
]


@pytest.mark.parametrize("changes", ACCEPTED, ids=[str(n) for n in range(len(ACCEPTED))])
def test_accepted(tmp_path: Path, changes: dict[str, Any]) -> None:
    m = read_model(str(model_dir(tmp_path, config(**changes))))
    assert m.architecture == "LlamaForCausalLM"
    json.dumps(m.to_dict(), allow_nan=False)


def test_a_quantization_method_that_is_no_word() -> None:
    with pytest.raises(ModelError, match=r"quant_method \[\] is not one that vLLM knows"):
        check_quantization({"quant_method": []}, "config.json: quantization_config", allow_unknown=False)


def test_experts_without_a_count_are_said(tmp_path: Path) -> None:
    m = read_model(str(model_dir(tmp_path, config(num_experts=4))))
    assert any("4 experts" in w for w in m.warnings)


# ---------------------------------------------------------------- config.json, the file

PLAIN = json.dumps(config())


def deep(levels: int) -> str:
    return PLAIN[:-1] + ', "x": ' + "[" * levels + "]" * levels + "}"


def write(name: str, data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        (path / name).write_bytes(data)

    return make


def text(content: str) -> Callable[[Path], None]:
    return write("config.json", content.encode())


def directory(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        (path / name).mkdir()

    return make


def pipe(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        os.mkfifo(path / name)

    return make


def loop(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(name)

    return make


CONFIG_FILES: list[tuple[str, Callable[[Path], None], list[str]]] = [
    ("gone", lambda path: (path / "config.json").unlink(), ["no config.json here"]),
    ("empty", text(""), ["config.json: not valid JSON"]),
    ("cut", text(PLAIN[:40]), ["config.json: not valid JSON"]),
    ("a list", text("[1, 2]"), ["config.json: must be a JSON object, got list"]),
    ("null", text("null"), ["config.json: must be a JSON object, got NoneType"]),
    ("a number", text("1" * 5000), ["config.json: must be a JSON object, got str"]),
    ("bytes", write("config.json", b"\xff\xfe\x00"), ["config.json: not valid JSON"]),
    ("huge", text('{"x": "' + "y" * 16_000_000 + '"}'), ["config.json: larger than 16 MB"]),
    ("deep", text(deep(60)), ["nested more than 40 levels"]),
    ("very deep", text(deep(100_000)), ["config.json: not valid JSON (nested too deep)"]),
    ("twice", text(PLAIN[:-1] + ', "hidden_size": 128}'), ["key 'hidden_size' stands twice"]),
    ("a directory", directory("config.json"), ["config.json: cannot be read (it is a directory)"]),
    ("a pipe", pipe("config.json"), ["config.json: cannot be read (it is no plain file)"]),
    ("a loop", loop("config.json"), ["config.json: cannot be read (Too many levels"]),
    ("digits", text(PLAIN[:-1] + ', "n_embd": ' + "9" * 100_000 + "}"), ["config.json: n_embd", "whole number"]),
    ("1e999", text(PLAIN.replace("256", "1e999")), ["config.json: vocab_size", "1e999"]),
    (
        "tokenizer",
        write("tokenizer_config.json", b'{"model_max_length": -5}'),
        ["tokenizer_config.json: model_max_length", "-5"],
    ),
    ("tokenizer pipe", pipe("tokenizer_config.json"), ["tokenizer_config.json: cannot be read (it is no plain file)"]),
    (
        "encoder",
        write("sentence_bert_config.json", b'{"max_seq_length": "x"}'),
        ["sentence_bert_config.json: max_seq_length", "'x'"],
    ),
    ("quantization file", write("quantize_config.json", b"[4]"), ["quantize_config.json: must be a JSON object"]),
    (
        "quantization bits",
        write("quantize_config.json", b'{"bits": 3, "group_size": 128}'),
        ["quantize_config.json.bits is 3"],
    ),
]


@pytest.mark.parametrize(("make", "words"), [c[1:] for c in CONFIG_FILES], ids=[c[0] for c in CONFIG_FILES])
def test_files_that_are_no_config(tmp_path: Path, make: Callable[[Path], None], words: list[str]) -> None:
    path = model_dir(tmp_path)
    make(path)
    message = refusal(path)
    for word in words:
        assert word in message


def test_a_key_twice_with_one_value_is_harmless(tmp_path: Path) -> None:
    path = model_dir(tmp_path)
    text(PLAIN[:-1] + ', "hidden_size": 64}')(path)
    assert read_model(str(path)).hidden_size == 64


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "loop/model"])
def test_paths_that_lead_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    message = refusal(tmp_path / name)
    assert "cannot be read" in message or "no such directory" in message


def test_a_directory_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model_dir(tmp_path)
    real = os.stat

    def stat(target: Any, *args: Any, **options: Any) -> Any:  # tests may run as root, whom no mode stops
        if str(target).endswith("config.json"):
            raise PermissionError(13, "Permission denied", str(target))
        return real(target, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert "config.json: cannot be read (Permission denied); check its owner and mode" in refusal(path)


def test_a_message_is_one_printable_line(tmp_path: Path) -> None:
    assert "no such directory" in refusal(tmp_path / "a\nb\x1b[2J")
    assert len(str(GpuserveError("x" * 10**6))) < 5000


# ---------------------------------------------------------------- safetensors headers

TENSORS: dict[str, Any] = {
    "a.weight": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]},
    "b.weight": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [32, 64]},
}


def shard(header: Any, data: int = 64, length: int = -1) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length < 0 else length) + raw + bytes(data)


def changed(name: str, **changes: Any) -> bytes:
    return shard({**TENSORS, name: {**TENSORS[name], **changes}})


HEADERS: list[tuple[str, bytes, list[str]]] = [
    ("empty", b"", ["not a safetensors file, only 0 bytes long"]),
    ("cut in the length", b"\x10\0\0", ["only 3 bytes long"]),
    ("cut in the header", shard(TENSORS)[:50], ["truncated or not safetensors"]),
    ("cut in the data", shard(TENSORS)[:-1], ["truncated ("]),
    ("longer", shard(TENSORS) + b"\0", ["longer than its header says"]),
    ("length beyond the file", shard(TENSORS, length=10**6), ["truncated or not safetensors (header of 1000000 bytes"]),
    ("length of 2**60", shard(TENSORS, length=2**60), ["truncated or not safetensors"]),
    ("length of 2**64 - 1", b"\xff" * 8 + bytes(64), ["truncated or not safetensors"]),
    ("length in the middle", shard(TENSORS, length=40), ["header is damaged"]),
    ("nothing", shard({}, 0), ["hold no weights"]),
    ("no JSON", shard(b"x" * 20), ["header is damaged"]),
    ("no text", shard(b"\xff" * 20), ["header is damaged"]),
    ("a list", shard([1]), ["it must be an object, got list"]),
    ("deep", shard(b"[" * 100_000), ["nested too deep"]),
    ("git lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", ["git lfs pull"]),
    ("twice", shard(b'{"a":' + b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":1}'), ["key 'a' stands twice"]),
    ("metadata", shard({**TENSORS, "__metadata__": []}), ["__metadata__ must be an object"]),
    ("no object", shard({**TENSORS, "c": 1}), ["tensor 'c' must be an object"]),
    ("no offsets", shard({"a": {"dtype": "U8", "shape": [1]}}), ["tensor 'a': data_offsets", "None"]),
    ("unknown dtype", changed("a.weight", dtype="B17"), ["tensor 'a.weight' has dtype 'B17'", "BF16"]),
    ("no dtype", changed("a.weight", dtype=None), ["tensor 'a.weight' has dtype None"]),
    ("negative shape", changed("a.weight", shape=[-4, 4]), ["tensor 'a.weight': shape", "-4"]),
    ("zero shape", changed("a.weight", shape=[0, 4]), ["tensor 'a.weight': data_offsets hold 32 bytes", "need 0"]),
    ("absurd shape", changed("a.weight", shape=[10**18, 10**18]), ["tensor 'a.weight': data_offsets hold 32"]),
    ("many dimensions", changed("a.weight", shape=[2] * 10_000), ["tensor 'a.weight': shape", "16"]),
    ("words for a shape", changed("a.weight", shape=["4", 4]), ["tensor 'a.weight': shape"]),
    ("booleans for a shape", changed("a.weight", shape=[True, 16]), ["tensor 'a.weight': shape"]),
    ("text for a shape", changed("a.weight", shape="44"), ["tensor 'a.weight': shape", "'44'"]),
    ("negative offsets", changed("a.weight", data_offsets=[-32, 0]), ["tensor 'a.weight': data_offsets", "-32"]),
    ("falling offsets", changed("a.weight", data_offsets=[32, 0]), ["tensor 'a.weight': data_offsets", "rising"]),
    ("one offset", changed("a.weight", data_offsets=[0]), ["tensor 'a.weight': data_offsets"]),
    ("overlap", changed("b.weight", data_offsets=[16, 48]), ["tensor 'b.weight'", "overlap those of another tensor"]),
    ("gap", changed("b.weight", data_offsets=[40, 72]), ["tensor 'b.weight'", "leave a gap"]),
    ("beyond the end", changed("b.weight", shape=[8, 4], data_offsets=[32, 96]), ["truncated ("]),
    ("too large", changed("b.weight", shape=[2**60], data_offsets=[32, 32 + 2**61]), ["truncated ("]),
]


@pytest.mark.parametrize(("data", "words"), [h[1:] for h in HEADERS], ids=[h[0] for h in HEADERS])
def test_damaged_headers(tmp_path: Path, data: bytes, words: list[str]) -> None:
    message = refusal(model_dir(tmp_path, None, {"model.safetensors": data}))
    assert "model.safetensors" in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("make", [directory, pipe, loop], ids=["directory", "pipe", "loop"])
def test_weights_that_are_no_file(tmp_path: Path, make: Callable[[str], Callable[[Path], None]]) -> None:
    path = model_dir(tmp_path)
    make("model.safetensors")(path)
    assert "model.safetensors: cannot be read" in refusal(path)


def test_an_intact_header_is_read(tmp_path: Path) -> None:
    path = model_dir(tmp_path, None, {"model.safetensors": shard(TENSORS)})
    assert read_model(str(path)).weight_bytes == 64


# ---------------------------------------------------------------- the index

ONE = safetensors({"a.weight": ("BF16", (4, 4))})
INDEX = "model.safetensors.index.json"
INDEXES: list[tuple[str, Any, list[str]]] = [
    ("no JSON", b"{", ["not valid JSON"]),
    ("a list", [1], ["must be a JSON object, got list"]),
    ("no map", {"weight_map": ["a"]}, ["weight_map must be an object"]),
    ("no file", {"weight_map": {"a": 1}}, ["weight_map names 1 for 'a'"]),
    ("no name", {"weight_map": {"a": ""}}, ["weight_map names '' for 'a'"]),
    ("outside", {"weight_map": {"a": "../m.safetensors"}}, ["outside the model's directory", "../m.safetensors"]),
    ("absolute", {"weight_map": {"a": "/etc/m.safetensors"}}, ["outside the model's directory"]),
    ("dots", {"weight_map": {"a": ".."}}, ["outside the model's directory"]),
    ("no safetensors", {"weight_map": {"a": "config.json"}}, ["'config.json'", "not a *.safetensors file"]),
    (
        "a size of nonsense",
        {"weight_map": {"a": "gone.safetensors"}, "metadata": {"total_size": -5}},
        ["metadata.total_size", "-5"],
    ),
    (
        "a size of words",
        {"weight_map": {"a": "gone.safetensors"}, "metadata": {"total_size": "16 GB"}},
        ["metadata.total_size", "'16 GB'"],
    ),
]


@pytest.mark.parametrize(("index", "words"), [i[1:] for i in INDEXES], ids=[i[0] for i in INDEXES])
def test_damaged_indexes(tmp_path: Path, index: Any, words: list[str]) -> None:
    message = refusal(model_dir(tmp_path, None, {INDEX: index}))
    assert INDEX in message
    for word in words:
        assert word in message


def test_an_index_that_names_absent_shards(tmp_path: Path) -> None:
    index = {"weight_map": {"a.weight": "model-1.safetensors", "b.weight": "model-2.safetensors"}}
    path = model_dir(tmp_path, None, {INDEX: index, "model-1.safetensors": ONE})
    assert "names model-2.safetensors, not here; finish the download" in refusal(path, trust_config_only=False)
    assert any("model-2.safetensors" in w for w in read_model(str(path)).warnings)


def test_a_tensor_in_two_files(tmp_path: Path) -> None:
    path = model_dir(tmp_path, None, {"model-1.safetensors": ONE, "model-2.safetensors": ONE})
    message = refusal(path)
    assert "model-2.safetensors: tensor 'a.weight' is in model-1.safetensors too" in message
