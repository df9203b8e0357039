# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""config.json -> facts: dimensions, dtype, length, ties, quantization, tasks, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _model_architectures as known
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import (
    MODELS,
    config,
    fixture_config,
    model_dir,
    safetensors,
    tiny_model,
)

# name: architecture, layers, heads, kv_heads, head_dim, vocab_size, longest context, tied, multimodal
DIMENSIONS = {
    "llama-3.1-8b": ("LlamaForCausalLM", 32, 32, 8, 128, 128256, 131072, False, False),
    "gemma-2-9b": ("Gemma2ForCausalLM", 42, 16, 8, 256, 256000, 8192, True, False),
    "gemma-2b": ("GemmaForCausalLM", 18, 8, 1, 256, 256000, 8192, True, False),  # tied by its class only
    "gemma-3-4b": (
        "Gemma3ForConditionalGeneration",
        34,
        8,
        4,
        256,
        262208,
        131072,
        True,
        True,
    ),  # mostly class defaults
    "gemma-3n-e4b": ("Gemma3nForConditionalGeneration", 35, 8, 2, 256, 262400, 32768, True, True),
    "qwen2.5-vl-7b": ("Qwen2_5_VLForConditionalGeneration", 28, 28, 4, 128, 152064, 128000, False, True),  # flat
    "qwen3-vl-8b": ("Qwen3VLForConditionalGeneration", 36, 32, 8, 128, 151936, 262144, False, True),
    "llama-4-scout": ("Llama4ForConditionalGeneration", 48, 40, 8, 128, 202048, 10485760, False, True),
    "mistral-small-3.1-24b": ("Mistral3ForConditionalGeneration", 40, 32, 8, 128, 131072, 131072, True, True),
    "llava-1.5-7b": ("LlavaForConditionalGeneration", 32, 32, 32, 128, 32064, 4096, False, True),
    "deepseek-v3": ("DeepseekV3ForCausalLM", 61, 128, 128, 192, 129280, 163840, False, False),
    "gpt-oss-20b": ("GptOssForCausalLM", 24, 64, 8, 64, 201088, 131072, False, False),
    "command-r-35b": ("CohereForCausalLM", 40, 64, 64, 128, 256000, 131072, True, False),  # model_max_length wins
    "gpt2": ("GPT2LMHeadModel", 12, 12, 12, 64, 50257, 1024, True, False),  # n_layer, n_embd, ...
    "mamba-2.8b": ("MambaForCausalLM", 64, 0, 0, 0, 50280, 2048, True, False),
}


@pytest.mark.parametrize("name", DIMENSIONS)
def test_dimensions(name: str) -> None:
    m = read_model(str(MODELS / name))
    found = (
        m.architecture, m.layers, m.heads, m.kv_heads, m.head_dim, m.vocab_size, m.max_position_embeddings,
        m.tie_word_embeddings, m.multimodal,
    )  # fmt: skip
    assert found == DIMENSIONS[name]
    assert m.known_architecture
    assert m.name == name
    assert m.has_weights is False


EXPERTS = {
    "qwen3-30b-a3b": (128, 8, 768),
    "mixtral-8x7b": (8, 2, 14336),
    "deepseek-v3": (256, 8, 2048),
    "gpt-oss-120b": (128, 4, 2880),
    "llama-4-scout": (16, 1, 8192),
    "qwen3-8b": (0, 0, 0),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts(name: str) -> None:
    m = read_model(str(MODELS / name))
    assert (m.experts, m.experts_per_token, m.moe_intermediate_size) == EXPERTS[name]


def test_dict_round_trip() -> None:
    m = read_model(str(MODELS / "gemma-3n-e4b"))
    assert type(m).from_dict(m.to_dict()) == m


DTYPES = [
    ({"torch_dtype": "bfloat16"}, "bfloat16"),
    ({"torch_dtype": "float16"}, "float16"),
    ({"torch_dtype": ..., "dtype": "float16"}, "float16"),
    ({"torch_dtype": "torch.float16"}, "float16"),
    ({"torch_dtype": "float32"}, "bfloat16"),  # served in half the size
    ({"torch_dtype": ...}, "bfloat16"),  # unnamed counts as float32
    ({"torch_dtype": None}, "bfloat16"),
    ({"torch_dtype": "float16", "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"]}, "bfloat16"),
    ({"torch_dtype": "float32", "architectures": ["LlamaModel"]}, "float16"),  # pooling models prefer float16
    ({"torch_dtype": "bfloat16", "architectures": ["LlamaModel"]}, "bfloat16"),
]


@pytest.mark.parametrize(("changes", "dtype"), DTYPES)
def test_dtype(tmp_path: Path, changes: dict[str, Any], dtype: str) -> None:
    assert read_model(str(model_dir(tmp_path, config(**changes)))).dtype == dtype


@pytest.mark.parametrize(
    ("stored", "dtype"), [(("BF16", "BF16"), "bfloat16"), (("F16", "F16"), "float16"), (("F16", "BF16"), "bfloat16")]
)
def test_dtype_from_the_weights(tmp_path: Path, stored: tuple[str, str], dtype: str) -> None:
    tensors = {f"t{i}.weight": (d, (4, 4)) for i, d in enumerate(stored)}
    path = model_dir(tmp_path, config(torch_dtype=...), {"model.safetensors": safetensors(tensors)})
    assert read_model(str(path)).dtype == dtype


def rope(kind: str, factor: Any = 4.0, **more: Any) -> dict[str, Any]:
    return {"rope_scaling": {"rope_type": kind, "factor": factor, **more}}


LENGTHS = [
    ({}, {}, 1024),
    (rope("linear"), {}, 4096),
    (rope("dynamic"), {}, 4096),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}}, {}, 2048),  # the old spelling
    ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, {}, 2048),  # the new one
    ({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}}}, {}, 8192),
    (rope("linear", None), {}, 1024),
    (rope("yarn"), {}, 1024),
    (rope("llama3", 8.0), {}, 1024),
    (rope("longrope"), {}, 1024),
    (rope("mrope"), {}, 1024),
    ({**rope("linear", 8.0), "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]}, {}, 1024),
    ({"max_position_embeddings": 1024, "seq_length": 512}, {}, 512),  # the smallest that is said
    ({"model_max_length": 4000}, {}, 4000),
    ({}, {"tokenizer_config.json": {"model_max_length": 512}}, 512),
    ({}, {"tokenizer_config.json": {"model_max_length": 1e30}}, 1024),
    (rope("linear"), {"tokenizer_config.json": {"model_max_length": 512}}, 2048),
    ({"max_position_embeddings": ..., "model_type": "unheard"}, {}, 2048),
    ({"architectures": ["LlamaModel"]}, {"sentence_bert_config.json": {"max_seq_length": 384}}, 384),
]


@pytest.mark.parametrize(("changes", "files", "length"), LENGTHS)
def test_longest_context(tmp_path: Path, changes: dict[str, Any], files: dict[str, Any], length: int) -> None:
    assert read_model(str(model_dir(tmp_path, config(**changes), files))).max_position_embeddings == length


def test_longrope_says_what_vllm_serves_by_itself(tmp_path: Path) -> None:
    changes = config(original_max_position_embeddings=256, **rope("longrope"))
    (warning,) = read_model(str(model_dir(tmp_path, changes))).warnings
    assert "256" in warning
    assert "1024" in warning


TIES = [
    ({}, False),
    ({"tie_word_embeddings": True}, True),
    ({"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"]}, True),
    ({"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "tie_word_embeddings": False}, False),
    ({"model_type": "opt", "architectures": ["OPTForCausalLM"]}, True),
    ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, False),
]


@pytest.mark.parametrize(("changes", "tied"), TIES)
def test_ties(tmp_path: Path, changes: dict[str, Any], tied: bool) -> None:
    assert read_model(str(model_dir(tmp_path, config(**changes)))).tie_word_embeddings is tied


def test_ties_of_a_multimodal_model_are_the_outer_parts(tmp_path: Path) -> None:
    content = fixture_config("qwen3-vl-8b")
    content["tie_word_embeddings"] = True
    content["text_config"]["tie_word_embeddings"] = False
    assert read_model(str(model_dir(tmp_path, content))).tie_word_embeddings is True


def test_a_checkpoint_with_an_output_head_outweighs_a_tie_by_default(tmp_path: Path) -> None:
    weights = {"model.embed_tokens.weight": ("BF16", (256, 64)), "lm_head.weight": ("BF16", (256, 64))}
    content = config(model_type="gemma2", architectures=["Gemma2ForCausalLM"])
    path = model_dir(tmp_path, content, {"model.safetensors": safetensors(weights)})
    assert read_model(str(path)).tie_word_embeddings is False


QUANTIZATIONS = [
    ({}, {}, None),
    ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, {}, "fp8"),
    ({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}, {}, "awq"),
    ({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}, {}, "gptq"),
    ({"quantization_config": {"quant_method": "mxfp4"}}, {}, "mxfp4"),
    ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, {}, "bitsandbytes"),
    ({"quantization_config": {"quant_method": "compressed_tensors"}}, {}, "compressed-tensors"),
    ({"compression_config": {"quant_method": "compressed-tensors"}}, {}, "compressed-tensors"),
    ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, {}, "modelopt_fp4"),
    ({}, {"hf_quant_config.json": {"quantization": {"quant_algo": "FP8"}}}, "modelopt"),
    ({}, {"quantize_config.json": {"bits": 4, "group_size": 128}}, "gptq"),
    ({}, {"quant_config.json": {"w_bit": 4, "q_group_size": 128}}, "awq"),
]


@pytest.mark.parametrize(("changes", "files", "method"), QUANTIZATIONS)
def test_quantization(tmp_path: Path, changes: dict[str, Any], files: dict[str, Any], method: Any) -> None:
    m = read_model(str(model_dir(tmp_path, config(**changes), files)))
    assert m.quantization == method
    assert bool(m.quantization_config) is (method is not None)
    for key, value in (changes.get("quantization_config") or {}).items():
        assert key == "quant_method" or m.quantization_config[key] == value


TASKS = [
    ("LlamaForCausalLM", {}, ("generate",)),
    ("BertModel", {}, ("embed",)),
    ("LlamaModel", {}, ("embed",)),
    ("BertForSequenceClassification", {}, ("classify",)),
    ("Qwen3ForCausalLM", {"modules.json": [{"type": "sentence_transformers.models.Pooling"}]}, ("embed",)),
]


@pytest.mark.parametrize(("architecture", "files", "tasks"), TASKS)
def test_tasks(tmp_path: Path, architecture: str, files: dict[str, Any], tasks: tuple[str, ...]) -> None:
    content = config(architectures=[architecture])
    assert read_model(str(model_dir(tmp_path, content, files))).tasks == tasks


def test_the_list_of_architectures_is_whole() -> None:
    assert len(known.GENERATE) > 100
    assert len(known.MULTIMODAL) > 100
    for name in ("LlamaForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM", "Qwen2_5_VLForConditionalGeneration"):
        assert name in known.KNOWN
    assert not known.KNOWN & set(known.REMOVED)
    assert not known.KNOWN & known.DRAFT


# what is wrong: the config or the files, and words the one line must hold
REFUSED = {
    "unknown": (config(architectures=["FrobnicateForCausalLM"]), {}, ["FrobnicateForCausalLM", "allow_unknown"]),
    "misspelt": (config(architectures=["LLamaForCausalLM"]), {}, ["LLamaForCausalLM", "did you mean LlamaForCausalLM"]),
    "own code": (
        config(architectures=["MyModelForCausalLM"], auto_map={"AutoModelForCausalLM": "modeling_my.My"}), {},
        ["MyModelForCausalLM", "vllm_trust_remote_code"],
    ),
    "dropped": (config(architectures=["MptForCausalLM"]), {}, ["MptForCausalLM", "0.28.0"]),
    "draft": (config(architectures=["EagleLlamaForCausalLM"]), {}, ["EagleLlamaForCausalLM", "speculative"]),
    "no architectures": (config(architectures=...), {}, ["architectures"]),
    "empty architectures": (config(architectures=[]), {}, ["architectures"]),
    "a list": ([1, 2], {}, ["config.json", "JSON object", "list"]),
    "no layers": (config(num_hidden_layers=...), {"x": b""}, None),
    "zero layers": (config(num_hidden_layers=0), {}, ["num_hidden_layers"]),
    "no hidden size": (config(model_type="unheard", hidden_size=...), {}, ["hidden_size", "missing"]),
    "a word for a number": (config(hidden_size="big"), {}, ["hidden_size", "'big'"]),
    "broken companion": (config(), {"tokenizer_config.json": b"{"}, ["tokenizer_config.json", "not valid JSON"]),
    "quantization of nonsense": (
        config(quantization_config={"quant_method": "awq", "bits": "four"}), {}, ["quantization_config.bits", "'four'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    content, files, words = REFUSED[case]
    path = str(model_dir(tmp_path, content, files))
    if words is None:  # the class's default stands in
        assert read_model(path).layers == 32
        return
    with pytest.raises(ModelError) as caught:
        read_model(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["FrobnicateForCausalLM", "MptForCausalLM"])
def test_allowed_unknown_is_planned_with_a_warning(tmp_path: Path, name: str) -> None:
    m = read_model(str(model_dir(tmp_path, config(architectures=[name]))), allow_unknown=True)
    assert m.known_architecture is False
    assert any(name in w for w in m.warnings)
    assert m.layers == 2


def make_missing(path: Path) -> Path:
    return path / "nowhere"


def make_empty(path: Path) -> Path:
    return path


def make_file(path: Path) -> Path:
    (path / "f").write_text("x", encoding="ascii")
    return path / "f"


def make_garbage(path: Path) -> Path:
    (path / "config.json").write_text('{"architectures": [', encoding="ascii")
    return path


def make_binary(path: Path) -> Path:
    (path / "config.json").write_bytes(b"\xff\xfe\x00")
    return path


def make_gguf(path: Path) -> Path:
    (path / "model-Q4_K_M.gguf").write_bytes(b"GGUF")
    return path


def make_mistral(path: Path) -> Path:
    (path / "params.json").write_text("{}", encoding="ascii")
    return path


DIRECTORIES = [
    (make_missing, ["no such directory", "config.json"]),
    (make_empty, ["no config.json"]),
    (make_file, ["not a directory"]),
    (make_garbage, ["config.json", "not valid JSON"]),
    (make_binary, ["config.json", "not valid JSON"]),
    (make_gguf, ["GGUF", "safetensors"]),
    (make_mistral, ["params.json", "Mistral"]),
]


@pytest.mark.parametrize(("make", "words"), DIRECTORIES)
def test_directories_that_hold_no_model(tmp_path: Path, make: Any, words: list[str]) -> None:
    path = make(tmp_path)
    with pytest.raises(ModelError) as caught:
        read_model(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


def test_code_of_the_model_is_never_run(tmp_path: Path) -> None:
    trap = b"import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
    content = config(auto_map={"AutoConfig": "configuration_x.X"})
    path = model_dir(tmp_path, content, {"configuration_x.py": trap, "__init__.py": trap, "json.py": trap})
    read_model(str(path))
    assert not (path / "ran").exists()


def test_tiny_model(tmp_path: Path) -> None:
    m = read_model(str(tiny_model(tmp_path / "tiny")))
    assert (m.architecture, m.layers, m.heads, m.kv_heads, m.vocab_size) == ("LlamaForCausalLM", 2, 4, 2, 512)
    assert (m.max_position_embeddings, m.weight_bytes_source, m.warnings) == (2048, "safetensors", ())
