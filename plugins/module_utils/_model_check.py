# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Refuses a config.json whose fields no model can have, naming the field, before anything is computed from it.

What vLLM or Transformers would refuse when they start is refused here; what they ignore is left alone.
"""

from __future__ import annotations

import math
import re
from typing import Any, Iterator, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError

Range = tuple[int, int]
ANY: Range = (0, 1 << 31)
LONGEST = 1 << 30  # tokens
MOST_BYTES = 1 << 50  # of weights
DEEPEST = 40  # levels of a config; real ones have five

# Far beyond any published model, so that sums stay small and loops short.
_RANGES = {
    (1, 4096): "num_hidden_layers n_layer num_layers n_layers depth encoder_layers conf_num_hidden_layers",
    (1, 1 << 20): "hidden_size n_embd d_model embed_dim width word_embed_proj_dim embedding_size",
    (0, 1 << 16): (
        "head_dim attention_head_dim hidden_size_per_head "
        "num_attention_heads n_head n_heads num_key_value_heads num_kv_heads n_head_kv multi_query_group_num "
        "num_attention_groups num_global_key_value_heads swa_num_key_value_heads global_head_dim v_head_dim "
        "qk_nope_head_dim qk_rope_head_dim kv_lora_rank q_lora_rank swa_head_dim swa_v_head_dim "
        "num_experts moe_num_experts n_routed_experts num_local_experts num_experts_per_tok num_experts_per_token "
        "top_k_experts moe_topk moe_top_k moe_k n_shared_experts moe_num_shared_experts num_shared_experts "
        "mamba_num_heads mamba_n_heads n_mamba_heads mamba_head_dim mamba_d_head mamba_headdim num_heads "
        "n_groups mamba_n_groups mamba_ngroups conv_kernel mamba_d_conv conv_L_cache linear_conv_kernel_dim "
        "linear_num_key_heads linear_num_value_heads linear_key_head_dim linear_value_head_dim expand mamba_expand "
        "ssm_state_size mamba_d_state state_size altup_num_inputs laurel_rank hidden_size_per_layer_input"
    ),
    (0, 1 << 24): (
        "intermediate_size n_inner ffn_dim ffn_hidden_size block_ff_dim block_multiple_of intermediate_size_mlp "
        "moe_intermediate_size expert_ffn_hidden_size shared_expert_intermediate_size shared_intermediate_size "
        "moe_shared_expert_intermediate_size mamba_d_ssm conv_dim encoder_ffn_dim out_hidden_size projection_dim"
    ),
    (1, 1 << 26): "vocab_size n_vocab vocab_size_per_layer_input",
    (1, LONGEST): (
        "max_position_embeddings n_positions n_ctx max_seq_len seq_length max_target_positions max_sequence_length "
        "max_seq_length seq_len original_max_position_embeddings"
    ),
    (0, LONGEST): "sliding_window sliding_window_size attention_chunk_size type_vocab_size",
    (0, 4096): (
        "num_kv_shared_layers first_k_dense_replace num_dense_layers moe_layer_start_index max_window_layers "
        "num_nextn_predict_layers attn_layer_offset expert_layer_offset"
    ),
    (1, 4097): (
        "attn_layer_period expert_layer_period decoder_sparse_step moe_layer_interval interleave_moe_layer_step "
        "full_attention_interval no_rope_layer_interval"
    ),
}
RANGES: dict[str, Range] = {name: span for span, names in _RANGES.items() for name in names.split()}
# One number for the whole model; other fields may hold one a layer.
SINGLE = frozenset(
    "num_hidden_layers n_layer num_layers n_layers hidden_size n_embd d_model vocab_size n_vocab num_kv_shared_layers "
    "num_attention_heads n_head n_heads head_dim kv_lora_rank q_lora_rank qk_rope_head_dim qk_nope_head_dim v_head_dim "
    "max_position_embeddings original_max_position_embeddings first_k_dense_replace".split()
)
TOWER_FIELDS = (
    "hidden_size embed_dim d_model width num_hidden_layers depth encoder_layers layers intermediate_size "
    "encoder_ffn_dim conf_num_hidden_layers out_hidden_size projection_dim"
).split()
# Lists with one entry a layer, and those of layer numbers.
PER_LAYER = ("layer_types", "layers_block_type", "hybrid_layer_pattern", "attn_type_list", "no_rope_layers")
INDEXES = ("attn_layer_indices", "full_attn_idxs", "moe_layers", "mlp_only_layers")
# Words of Transformers' ALLOWED_LAYER_TYPES (configuration_utils.py) and of older configs.
LAYER_WORDS = frozenset(
    "full_attention sliding_attention chunked_attention window_attention indexed_attention linear_attention conv moe "
    "compressed_sparse_attention heavily_compressed_attention minimax_m3_sparse deepseek_sparse_attention mamba "
    "qwen_sparse_attention hybrid hybrid_sliding sparse dense attention full global sliding_window mamba2 gdn kda "
    "mlp".split()
)
PATTERN_LETTERS = "M*-E"
# torch's names; vLLM serves the first three and converts the rest
DTYPE_WORDS = frozenset(
    "bfloat16 float16 float32 half float float64 double float8_e4m3fn float8_e5m2 float8_e4m3fnuz uint8 int8".split()
)


def short(value: Any) -> str:
    """A value for a message: on one line, and cut where it is long."""
    text = repr(value) if not isinstance(value, (list, dict)) or len(value) < 20 else f"{type(value).__name__} of many"
    return text if len(text) <= 60 else text[:57] + "..."


def is_whole(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value) and value == int(value))


def whole(value: Any, where: str, span: Optional[Range] = None) -> int:
    """The number, or ModelError that says where it stands and what is allowed."""
    low, high = span or ANY
    if not is_whole(value):
        raise ModelError(f"{where} must be a whole number, got {short(value)}; {_advice(where)}")
    if not low <= value <= high:
        raise ModelError(f"{where} is {short(value)}, allowed are {low} to {high}; {_advice(where)}")
    return int(value)


def positive(value: Any, where: str, most: float = 1e6) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        raise ModelError(f"{where} must be a number above 0 and up to {most:g}, got {short(value)}; {_advice(where)}")
    return float(value)


def _advice(where: str) -> str:
    return "correct it" if where.startswith("quant") else "the file is damaged or not a model's: download it again"


def check_number(name: str, value: Any, prefix: str = "config.json: ") -> None:
    """A field that may hold a number, one number a layer, or null."""
    if value is None:
        return
    span = RANGES.get(name, ANY)
    if not isinstance(value, list) or name in SINGLE:
        whole(value, prefix + name, span)
        return
    for entry in value:
        whole(entry, f"{prefix}{name}: each entry", span)


def check_shape(config: Any, where: str) -> None:
    """A config is an object, not nested beyond reason."""
    if not isinstance(config, dict):
        raise ModelError(f"{where}: must be a JSON object, got {type(config).__name__}; download the file again")
    level: list[Any] = [config]
    for _depth in range(DEEPEST):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    raise ModelError(f"{where}: nested more than {DEEPEST} levels deep, which no model's is; download the file again")


def _children(value: Any) -> Iterator[Any]:
    items = value.values() if isinstance(value, dict) else value
    return (item for item in items if isinstance(item, (dict, list)))


def check_text(text: Mapping[str, Any], layers: int, part: str = "") -> None:
    """Every field of the language model's part that the planner may read; ``layers`` 0 where that is not known."""
    prefix = f"config.json: {part}." if part else "config.json: "
    for name in text:
        if name in RANGES:
            check_number(name, text[name], prefix)
    _check_words(text, prefix)
    _check_rope(text, prefix)
    if layers:
        _check_layer_lists(text, layers, prefix)
    _check_inner(text, prefix)


def _check_words(text: Mapping[str, Any], prefix: str) -> None:
    kind = text.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise ModelError(f"{prefix}model_type must be text such as 'llama', got {short(kind)}; download the file again")
    for name in ("dtype", "torch_dtype"):
        value = text.get(name)
        if value is None or isinstance(value, dict):  # newer configs: one for each part
            continue
        if not isinstance(value, str) or value.replace("torch.", "").lower() not in DTYPE_WORDS:
            raise ModelError(
                f"{prefix}{name} {short(value)} is unknown; allowed are bfloat16, float16 and float32, correct it"
            )
    tied = text.get("tie_word_embeddings")
    if tied is not None and not isinstance(tied, bool):
        raise ModelError(f"{prefix}tie_word_embeddings must be true or false, got {short(tied)}; correct it")


def _check_rope(text: Mapping[str, Any], prefix: str) -> None:
    for name in ("rope_scaling", "rope_parameters"):
        rope = text.get(name)
        if rope is None:
            continue
        if not isinstance(rope, dict):
            raise ModelError(f"{prefix}{name} must be an object or null, got {short(rope)}; correct it")
        for part in [rope, *(v for v in rope.values() if isinstance(v, dict))]:
            for key in ("rope_type", "type"):
                if part.get(key) is not None and not isinstance(part[key], str):
                    raise ModelError(
                        f"{prefix}{name}.{key} must be text such as 'linear' or 'yarn', got {short(part[key])}; "
                        "correct it"
                    )
            if part.get("factor") is not None:
                positive(part["factor"], f"{prefix}{name}.factor", 1 << 20)
            if part.get("original_max_position_embeddings") is not None:
                whole(
                    part["original_max_position_embeddings"],
                    f"{prefix}{name}.original_max_position_embeddings",
                    (1, LONGEST),
                )


def _check_layer_lists(text: Mapping[str, Any], layers: int, prefix: str) -> None:
    ahead = text.get("num_nextn_predict_layers")
    most = layers + (ahead if isinstance(ahead, int) else 0)  # some lists go on over the layers for speculation
    for name in (*PER_LAYER, "moe_layer_freq", "block_configs"):
        entries = text.get(name)
        if entries is None or (name == "moe_layer_freq" and not isinstance(entries, list)):
            continue
        if not isinstance(entries, list):
            raise ModelError(f"{prefix}{name} must be a list with one entry a layer, got {short(entries)}; correct it")
        if entries and not layers <= len(entries) <= most:
            raise ModelError(
                f"{prefix}{name} has {len(entries)} entries for {layers} layers; one a layer is needed, correct it"
            )
        for entry in entries:
            if name in ("layer_types", "layers_block_type"):
                if not isinstance(entry, str) or entry not in LAYER_WORDS:
                    raise ModelError(
                        f"{prefix}{name}: {short(entry)} is no kind of layer that vLLM knows (full_attention, "
                        "sliding_attention, chunked_attention, linear_attention, mamba, conv, ...); correct it"
                    )
            elif name == "block_configs":
                if not isinstance(entry, dict):
                    raise ModelError(f"{prefix}{name}: each entry must be an object, got {short(entry)}; correct it")
            elif not isinstance(entry, bool):
                whole(entry, f"{prefix}{name}: each entry")
    pattern = text.get("hybrid_override_pattern")
    if pattern is None:
        return
    if not isinstance(pattern, str) or set(pattern) - set(PATTERN_LETTERS):
        raise ModelError(
            f"{prefix}hybrid_override_pattern {short(pattern)} must be made of the letters {PATTERN_LETTERS}; "
            "correct it"
        )
    if pattern and len(pattern) != layers:
        raise ModelError(
            f"{prefix}hybrid_override_pattern has {len(pattern)} letters for {layers} layers; one a layer is needed, "
            "correct it"
        )


def _check_inner(text: Mapping[str, Any], prefix: str) -> None:
    """Lists of layer numbers, and objects that hold dimensions of their own."""
    for name in INDEXES:
        entries = text.get(name)
        if entries is None:
            continue
        if not isinstance(entries, list):
            raise ModelError(f"{prefix}{name} must be a list of layer numbers, got {short(entries)}; correct it")
        for entry in entries:
            whole(entry, f"{prefix}{name}: each entry", (0, 4096))
    for name in ("sliding_window_pattern", "_sliding_window_pattern"):
        pattern = text.get(name)
        if isinstance(pattern, str):
            if set(pattern) - {"L", "G"}:  # EXAONE 4
                raise ModelError(f"{prefix}{name} {short(pattern)} must be made of the letters L and G; correct it")
        elif pattern is not None:
            whole(pattern, prefix + name, (1, 4096))
    freq = text.get("moe_layer_freq")
    if freq is not None and not isinstance(freq, list):
        whole(freq, prefix + "moe_layer_freq", (0, 4096))
    if text.get("block_ffn_dim_multiplier") is not None:
        positive(text["block_ffn_dim_multiplier"], prefix + "block_ffn_dim_multiplier", 1000)
    for name, keys in (
        ("attn_config", ("kv_n_heads",)),
        ("linear_attn_config", ("num_heads", "head_dim", "short_conv_kernel_size")),
    ):
        inner = text.get(name)
        if inner is None:
            continue
        if not isinstance(inner, dict):
            raise ModelError(f"{prefix}{name} must be an object, got {short(inner)}; correct it")
        for key in keys:
            if inner.get(key) is not None:
                whole(inner[key], f"{prefix}{name}.{key}", (1, 1 << 16))
        listed = inner.get("full_attn_layers")
        if listed is not None and not isinstance(listed, list):
            raise ModelError(
                f"{prefix}{name}.full_attn_layers must be a list of layer numbers, got {short(listed)}; correct it"
            )


def check_tower(tower: Mapping[str, Any], name: str) -> None:
    """A vision or audio part: only plain numbers are read there, so only they are judged."""
    prefix = f"config.json: {name}."
    for key in TOWER_FIELDS:
        value = tower.get(key)
        if isinstance(value, (bool, int, float)):
            whole(value, prefix + key, (0, RANGES.get(key, (0, 4096))[1]))
    if tower.get("mlp_ratio") is not None:
        positive(tower["mlp_ratio"], prefix + "mlp_ratio", 1000)
    tag = re.search(r"_(\d+)m(_|$)", str(tower.get("architecture") or ""))
    if tag and len(tag.group(1)) > 6:
        raise ModelError(f"{prefix}architecture {short(tower['architecture'])} names an absurd size; correct it")
