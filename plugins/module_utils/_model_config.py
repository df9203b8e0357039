# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""config.json and its companions -> the facts the planner needs. Nothing here looks at weight files.

The rules are vLLM's own (0.33): ``transformers_utils/model_arch_config_convertor.py`` for the dimensions,
``config/model.py`` (``_get_and_verify_dtype``, ``_get_and_verify_max_len``, ``_get_default_runner_type``) for the rest.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _model_architectures as known
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check import (
    LONGEST,
    check_number,
    check_shape,
    check_text,
    check_tower,
    positive,
    short,
    whole,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._model_defaults import DEFAULTS
from ansible_collections.gpuserve.inference.plugins.module_utils._model_json import MOST_CONFIG_BYTES, read_json

# vLLM refuses float16 for these (config/model.py, _FLOAT16_NOT_SUPPORTED_MODELS).
NO_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
DTYPES = {"half": "float16", "float16": "float16", "float": "float32", "float32": "float32", "bfloat16": "bfloat16"}
TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder", "generator")
OTHER_SENSES = ("vision_config", "audio_config", "vision_encoder_config", "vit_config", "visual", "vision_tower_config")
LENGTH_KEYS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
# YaRN and its kin leave max_position_embeddings already scaled; Llama 3's and LongRoPE's factors do not lengthen it.
UNSCALED_ROPE = frozenset(
    {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default", "mrope"}
)


class Fields:
    """The text part of a config, with the defaults of its configuration class behind it.

    A key that is present with null is present: ``"sliding_window": null`` switches the window off.
    """

    def __init__(self, text: Mapping[str, Any], model_type: str, architecture: str = "") -> None:
        self.text = text
        self.model_type = model_type
        self.architecture = architecture
        self.defaults = DEFAULTS.get(model_type, {})

    def get(self, name: str, default: Any = None) -> Any:
        if name in self.text:
            return self.text[name]
        return self.defaults.get(name, default)

    def has(self, name: str) -> bool:
        return self.get(name) is not None

    def num(self, *names: str, default: int = 0) -> int:
        """The first of ``names`` that holds a number; what the config says, null too, hides its class's default."""
        for source in (self.text, self.defaults):
            for name in names:
                value = source.get(name)
                if value is None or (source is self.defaults and name in self.text):
                    continue
                check_number(name, value)
                if isinstance(value, list):  # one value a layer: Gemma-3n, Ernie-VL
                    value = max(value, default=None)
                if value is not None:
                    return int(value)
        return default

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool) and value not in (0, 1):
            raise ModelError(f"config.json: {name} must be true or false, got {short(value)}; correct it")
        return bool(value)

    @property
    def layers(self) -> int:
        if self.model_type == "longcat_flash":  # num_hidden_layers there counts two attentions a layer
            return self.num("num_layers")
        return self.num("num_hidden_layers", "n_layer", "num_layers", "n_layers")

    @property
    def hidden(self) -> int:
        return self.num("hidden_size", "n_embd", "d_model")

    @property
    def heads(self) -> int:
        return self.num("num_attention_heads", "n_head", "n_heads")

    @property
    def kv_heads(self) -> int:
        if self.model_type in ("mamba", "mamba2", "falcon_mamba"):
            return 0
        if self.model_type in ("falcon", "RefinedWeb", "RefinedWebModel"):
            new = self.flag("new_decoder_architecture")
            if not new and self.flag("multi_query", True):
                return 1
        if self.model_type == "gpt_bigcode" and self.flag("multi_query", True):
            return 1
        attn = self.get("attn_config")
        if isinstance(attn, dict) and attn.get("kv_n_heads"):  # DBRX
            return int(attn["kv_n_heads"])
        return self.num(
            "n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups",
            default=self.heads,
        )  # fmt: skip

    @property
    def head_dim(self) -> int:
        explicit = self.num("head_dim", "attention_head_dim", "hidden_size_per_head")
        if explicit > 0:
            return explicit
        return self.hidden // self.heads if self.heads else 0

    @property
    def intermediate(self) -> int:
        if self.num("block_ff_dim") and self.flag("block_auto_adjust_ff_dim", True):  # LFM2
            width = int(2 * self.num("block_ff_dim") / 3 * float(self.get("block_ffn_dim_multiplier") or 1.0))
            step = self.num("block_multiple_of", default=256)
            return -(-width // step) * step
        explicit = self.num("intermediate_size", "block_ff_dim", "n_inner", "ffn_dim", "ffn_hidden_size")
        if explicit or self.model_type in ("mamba", "mamba2", "falcon_mamba"):
            return explicit
        return 4 * self.hidden

    @property
    def experts(self) -> int:
        if "E" not in str(self.get("hybrid_override_pattern") or "E"):
            return 0  # Nemotron-H: the config class names experts, the pattern has no layer with any
        return self.num("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")

    @property
    def experts_per_token(self) -> int:
        if not self.experts:
            return 0
        names = (
            "num_experts_per_tok",
            "num_experts_per_token",
            "top_k_experts",
            "moe_topk",
            "moe_top_k",
            "top_k",
            "moe_k",
        )
        return self.num(*names)

    @property
    def is_mla(self) -> bool:
        return self.num("kv_lora_rank") > 0 and self.has("qk_rope_head_dim")


def load_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    if not path.is_file():
        if (directory / "params.json").is_file():
            raise ModelError(
                f"{directory}: holds params.json (Mistral's own format) but no config.json; "
                "use the repository's Hugging Face files (config.json, model*.safetensors)"
            )
        if any(directory.glob("*.gguf")):
            raise ModelError(
                f"{directory}: holds GGUF files only, which cannot be planned; use the model's safetensors repository"
            )
    config: dict[str, Any] = read_json(path, needed=True, most=MOST_CONFIG_BYTES)
    check_shape(config, str(path))
    return config


def text_part(config: Mapping[str, Any]) -> tuple[dict[str, Any], bool, str]:
    """The part of a config that describes the language model, whether there are other senses, and its name."""
    part: Mapping[str, Any] = config
    where: list[str] = []
    while True:
        inner = next((k for k in TEXT_PARTS if isinstance(part.get(k), dict) and part[k]), None)
        # an encoder-decoder's "decoder" says nothing when the outer part has the dimensions itself
        if inner is None or ("hidden_size" in part and "num_hidden_layers" in part):
            break
        part = part[inner]
        where.append(inner)
    senses = False
    for outer in (config, config.get("thinker_config")):
        for key in OTHER_SENSES:
            if isinstance(outer, dict) and isinstance(outer.get(key), dict):
                check_tower(outer[key], key)
                senses = True
    return dict(part), senses, ".".join(where)


def read_fields(config: Mapping[str, Any], architecture: str) -> tuple[Fields, bool]:
    """The language model's fields, every one of them checked, and whether the model has other senses too."""
    text, senses, where = text_part(config)
    check_text(config, 0)
    fields = Fields(text, str(text.get("model_type") or config.get("model_type") or ""), architecture)
    check_text(text, fields.layers, where)
    return fields, senses


def architecture_of(config: Mapping[str, Any]) -> str:
    """The architecture vLLM takes: the first it knows of those named, else the first (models/registry.py)."""
    names = config.get("architectures")
    if names is None or names == []:
        raise ModelError(
            "config.json names no architecture (key 'architectures'); so it is not the config of a whole model"
        )
    if not isinstance(names, list) or not all(isinstance(n, str) and n.isidentifier() for n in names):
        raise ModelError(
            f"config.json: architectures must be a list of class names such as ['LlamaForCausalLM'], got "
            f"{short(names)}; download the file again"
        )
    return next((n for n in names if n in known.KNOWN), str(names[0]))


def check_architecture(name: str, config: Mapping[str, Any], allow_unknown: bool) -> tuple[bool, list[str]]:
    """Whether vLLM knows the architecture, with warnings; ModelError where it does not and that is not allowed."""
    if name in known.KNOWN:
        return True, []
    if name in known.DRAFT:
        problem = f"architecture {name} is a draft head for speculative decoding, not a model that can be served alone"
        advice = "give the model it belongs to"
    elif name in known.REMOVED:
        problem = f"architecture {name} is no longer served by vLLM (last version: {known.REMOVED[name]})"
        advice = "choose another model, or set allow_unknown (vllm_allow_unknown_architecture) for that old version"
    else:
        problem = f"architecture {name} is not one that vLLM {known.VLLM_VERSION} serves"
        close = difflib.get_close_matches(name, known.KNOWN, n=1, cutoff=0.8)
        advice = f"did you mean {close[0]}? Otherwise " if close else ""
        advice += "set allow_unknown (vllm_allow_unknown_architecture) to plan it all the same; "
        advice += "vLLM may still run it through Transformers"
        if config.get("auto_map"):
            advice = (
                "its code is part of the repository and is never run here: set allow_unknown to plan it all the same, "
                "and set vllm_trust_remote_code only if you trust that code"
            )
    if not allow_unknown:
        raise ModelError(f"{problem}; {advice}")
    return False, [f"{problem}; planned from its dimensions only"]


def tasks_of(architecture: str, sentence_transformer: bool) -> tuple[str, ...]:
    if sentence_transformer or architecture in known.EMBED:
        return ("embed",)
    if architecture in known.CLASSIFY:
        return ("classify",)
    if architecture not in known.KNOWN:
        if architecture.endswith(("Model", "ForTextEncoding")) and not architecture.endswith("LMHeadModel"):
            return ("embed",)
        if architecture.endswith("Classification"):
            return ("classify",)
    return ("generate",)


def config_dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> Optional[str]:
    """The dtype the files name, or None. Configs say torch_dtype, newer ones dtype; the outer part goes first."""
    parts = [config, text, config.get("vision_config"), config.get("encoder_config")]
    for part in parts:
        if isinstance(part, dict):
            value = part.get("dtype") or part.get("torch_dtype")
            if isinstance(value, str):
                return DTYPES.get(value.replace("torch.", "").lower(), value)
    return None


def served_dtype(named: Optional[str], model_types: tuple[str, ...], pooling: bool) -> str:
    """What ``vllm serve --dtype auto`` uses on a card with bfloat16 (compute capability 8.0 or newer).

    float32 checkpoints (and unnamed ones, which count as float32) are served in half the size.
    """
    supported = ["bfloat16", "float16", "float32"]
    if NO_FLOAT16.intersection(model_types):
        supported.remove("float16")
    preferred = "float16" if pooling and "float16" in supported else supported[0]
    dtype = preferred if named in (None, "float32") else str(named)
    return dtype if dtype in supported else preferred


def quantization_of(
    config: Mapping[str, Any], text: Mapping[str, Any], directory: Optional[Path]
) -> tuple[dict[str, Any], str]:
    """The quantization part of the model's files and where it stands; its ``quant_method`` in vLLM's spelling."""
    found: Any = None
    where = ""
    for part in (config, text):
        for key in ("quantization_config", "compression_config"):
            block = part.get(key)
            if block is not None and not isinstance(block, dict):
                raise ModelError(f"config.json: {key} must be an object or null, got {short(block)}; correct it")
            if block is not None and found is None:
                found, where = block, f"config.json: {key}"
    if found is None and directory is not None:
        for name in ("hf_quant_config.json", "quantize_config.json", "quant_config.json"):
            extra = read_json(directory / name)
            if extra is not None:
                check_shape(extra, str(directory / name))
                found, where = dict(extra), name
                tool = name.split("_", maxsplit=1)[0]
                found.setdefault("quant_method", {"quant": "awq", "quantize": "gptq"}.get(tool, ""))
                break
    if not found:
        return {}, where
    out = dict(found)
    inner = out.get("quantization")
    algo = str((inner.get("quant_algo") if isinstance(inner, dict) else "") or out.get("quant_algo") or "").upper()
    method = str(out.get("quant_method") or "").lower().replace("compressed_tensors", "compressed-tensors")
    if algo and method in ("", "modelopt"):
        method = {"NVFP4": "modelopt_fp4", "MIXED_PRECISION": "modelopt_mixed"}.get(algo, "modelopt")
    out["quant_method"] = method or "unknown"
    return out, where


def _rope_parts(text: Mapping[str, Any]) -> list[dict[str, Any]]:
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(rope, dict):
        return []
    if any(isinstance(v, dict) for v in rope.values()):
        return [v for v in rope.values() if isinstance(v, dict)]
    return [rope]


def max_length(fields: Fields, config: Mapping[str, Any], directory: Optional[Path]) -> tuple[int, list[str]]:
    """The longest context vLLM derives for the model by itself."""
    text = fields.text
    found: list[float] = [
        v for k in LENGTH_KEYS if isinstance(v := text.get(k), (int, float)) and not isinstance(v, bool)
    ]
    if not found and isinstance(fields.defaults.get("max_position_embeddings"), int):
        found = [fields.defaults["max_position_embeddings"]]
    if text.get("model_max_length") is not None:  # Command-R
        found = [positive(text["model_max_length"], "config.json: model_max_length", 1e31)]
    tokenizer = read_json(directory / "tokenizer_config.json") if directory else None
    if isinstance(tokenizer, dict) and tokenizer.get("model_max_length") is not None:
        limit = positive(tokenizer["model_max_length"], "tokenizer_config.json: model_max_length", 1e31)
        found = [min([*found, limit])]
    # tokenizers without a limit write 1e30
    length = min(found, default=float("inf"))
    warnings = []
    if length > 1e15:
        length = 2048
        warnings.append("config.json does not say how long a context may be; vLLM assumes 2048 tokens")
    ropes = _rope_parts(text)
    types = {str(r.get("rope_type") or r.get("type") or "default") for r in ropes}
    if "gemma3" not in str(config.get("model_type")):
        factors = [
            r.get("factor") or 1.0
            for r in ropes
            if str(r.get("rope_type") or r.get("type") or "default") not in UNSCALED_ROPE
        ]
        length *= factors[-1] if factors else 1.0
    encoder = read_json(directory / "sentence_bert_config.json") if directory else None
    if isinstance(encoder, dict) and encoder.get("max_seq_length") is not None:
        length = whole(encoder["max_seq_length"], "sentence_bert_config.json: max_seq_length", (1, LONGEST))
    original = config.get("original_max_position_embeddings") or text.get("original_max_position_embeddings")
    if "longrope" in types and isinstance(original, int) and original < length:
        warnings.append(f"LongRoPE: vLLM serves {original} tokens unless max_model_len asks for up to {int(length)}")
    if not 1 <= length <= LONGEST:
        raise ModelError(
            f"config.json: max_position_embeddings and the rope factor make a context of {length:.3g} tokens, allowed "
            f"are 1 to {LONGEST}; correct it"
        )
    return int(length), warnings


def tied_embeddings(config: Mapping[str, Any], fields: Fields, multimodal: bool) -> bool:
    """Whether lm_head shares the embedding's memory. For multimodal models the outer part decides."""
    parts = [config, fields.text] if multimodal else [fields.text, config]
    for part in parts:
        if isinstance(part.get("tie_word_embeddings"), bool):
            return bool(part["tie_word_embeddings"])
    outer = DEFAULTS.get(str(config.get("model_type")), {}) if multimodal else {}
    for defaults in (outer, fields.defaults):
        if isinstance(defaults.get("tie_word_embeddings"), bool):
            return bool(defaults["tie_word_embeddings"])
    return False
