# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Weight bytes and parameters computed from the config alone, for models whose files are not here yet.

A model is written down as the list of its matrices; each is then priced in the model's dtype or in its quantization's,
whole or as a tensor parallel rank holds it. Shapes follow the published model definitions, sharding vLLM's
``model_executor/models``. Towers for pictures and sound are in ``_model_towers``.
"""

from __future__ import annotations

from typing import Iterator

from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_kv import layer_kinds
from ansible_collections.gpuserve.inference.plugins.module_utils._model_mixers import recurrent
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import (
    COLUMN,
    COPY,
    HEADS,
    ROW,
    VOCAB,
    Part,
    vector,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._releases_models import (
    MODERNBERT_COPIED_BEFORE,
    UNUSED_KV_BEFORE,
)

# Two matrices instead of three: no gate.
PLAIN_MLP = frozenset(
    "starcoder2 phi gpt2 gpt_neox gptj gpt_bigcode opt bloom falcon mpt nemotron nemotron_h arcee apertus bert roberta "
    "xlm-roberta codegen gpt_j".split()
)
# Every linear layer carries a bias.
ALL_BIAS = frozenset("phi gpt2 gpt_neox gpt_bigcode opt bloom bert roberta xlm-roberta".split())
MLP_BIAS = frozenset("starcoder2 gptj".split())  # unless use_bias is false
QKV_BIAS = frozenset(
    "qwen2 qwen2_moe qwen2_vl qwen2_5_vl qwen2_vl_text qwen2_5_vl_text qwen2_5_omni_text chatglm".split()
)
QKV_BIAS_ONLY = frozenset("glm glm4 glm4_moe seed_oss".split())  # attention_bias does not mean the output
NORM_BIAS = ALL_BIAS | {"starcoder2", "nemotron", "falcon", "gptj", "stablelm", "phimoe", "nomic_bert"}
HEAD_BIAS = frozenset("phi gptj".split())
POSITIONS = frozenset("gpt2 opt bert roberta xlm-roberta gpt_bigcode".split())  # learned, one row a position
FOUR_NORMS = frozenset("gemma2 gemma3 gemma3_text gemma3n_text gemma4_text glm4".split())
ONE_NORM = frozenset("cohere cohere2 phi gptj falcon".split())
HEAD_NORMS = frozenset(
    "qwen3 qwen3_moe qwen3_vl_text qwen3_vl_moe_text qwen3_omni_moe_text qwen3_next qwen3_5_text qwen3_5_moe_text "
    "gemma3 gemma3_text gemma3n_text gemma4_text exaone4 lfm2 lfm2_moe hunyuan_v1_dense hunyuan_v1_moe".split()
)
WIDE_NORMS = frozenset("olmo2 olmo3 olmoe minimax_m2".split())  # over all heads at once
OUTPUT_GATE = ("qwen3_next", "qwen3_5")  # q_proj carries a gate of its own size
# What checkpoints call a recurrent layer; lists of what is not quantized name it.
MIXERS = {
    "jamba": "mamba", "bamba": "mamba", "falcon_h1": "mamba", "granitemoehybrid": "mamba", "lfm2": "conv",
    "lfm2_moe": "conv", "kimi_linear": "self_attn",
}  # fmt: skip
ROUTER_FLOAT32 = frozenset({"glm4_moe", "ernie4_5_moe"})  # vLLM keeps their router in float32


def parts(f: Fields, tied: bool) -> Iterator[Part]:
    h, vocab = f.hidden, f.num("vocab_size", "n_vocab")
    embed = f.num("word_embed_proj_dim", "embedding_size", default=h)
    yield Part("model.embed_tokens", "embedding", vocab, embed, linear=False, shard=VOCAB)
    if f.model_type in POSITIONS:
        positions = f.num("max_position_embeddings", "n_positions", "n_ctx") + (2 if f.model_type == "opt" else 0)
        shard = VOCAB if f.model_type in ("bert", "roberta", "xlm-roberta") else COPY
        yield Part("model.embed_positions", "embedding", positions, h, linear=False, shard=shard)
    if f.num("type_vocab_size"):
        yield Part("model.embed_types", "embedding", f.num("type_vocab_size"), h, linear=False, shard=VOCAB)
    if embed != h:
        yield Part("model.project_in_out", "other", 2 * embed, h)
    encoder = not any(layer_kinds(f))
    if not tied and not (f.architecture.endswith("Model") and encoder):
        # an embedding model's files have no head; vLLM serves decoders as their ForCausalLM and makes one
        yield Part("lm_head", "lm_head", vocab, embed, shard=VOCAB, extra=f.architecture.endswith("Model"))
        if f.model_type in HEAD_BIAS or f.flag("lm_head_bias"):
            yield vector("lm_head.bias", "lm_head", vocab, VOCAB)
    per_layer = f.num("hidden_size_per_layer_input")
    if per_layer:  # Gemma 3n and 4: an embedding for every layer
        rows = f.num("vocab_size_per_layer_input", default=vocab)
        yield Part("model.embed_tokens_per_layer", "embedding", rows, f.layers * per_layer, linear=False, shard=VOCAB)
        yield Part("model.per_layer_model_projection", "other", f.layers * per_layer, h, shard=COLUMN)
        yield vector("model.per_layer_projection_norm", "norm", per_layer)
    kinds = layer_kinds(f)
    shared_from = f.layers - f.num("num_kv_shared_layers")
    pattern = str(f.get("hybrid_override_pattern") or "")
    mixer = "linear_attn" if f.num("linear_num_value_heads") else MIXERS.get(f.model_type, "mixer")
    for i, kind in enumerate(kinds):
        base = f"model.layers.{i}"
        words = ["full"] if encoder else [w for w in kind.split("+") if w]
        for word in words:
            if word == "mamba":
                yield from recurrent(f, f"{base}.{mixer}")
            elif f.is_mla:
                yield from _mla(f, f"{base}.self_attn")
            else:
                yield from _attention(f, f"{base}.self_attn", word, i >= shared_from)
        if pattern:  # Nemotron-H: one thing a layer
            if pattern[i] == "-":
                yield from _mlp(f, f"{base}.mixer", f.intermediate, "mlp")
            elif pattern[i] == "E":
                yield from _moe(f, f"{base}.mixer")
            yield vector(f"{base}.norm", "norm", h)
            continue
        if f.model_type not in ("mamba", "mamba2", "falcon_mamba"):
            if _is_moe(f, i):
                yield from _moe(f, f"{base}.mlp")
                if f.flag("enable_moe_block"):  # Gemma 4: a dense block beside the experts, and norms for both
                    yield from _mlp(f, f"{base}.mlp", f.intermediate, "mlp")
            elif f.intermediate:
                yield from _mlp(f, f"{base}.mlp", _layer_width(f, i), "mlp")
        norms = 1 if kind == "mamba" and f.model_type in ("mamba", "mamba2", "falcon_mamba") else 2
        norms = 4 if f.model_type in FOUR_NORMS else 1 if f.model_type in ONE_NORM else norms
        if f.flag("use_parallel_residual") and f.model_type == "stablelm":
            norms = 1
        if f.model_type == "falcon" and (f.num("num_ln_in_parallel_attn") or f.flag("new_decoder_architecture")):
            norms = 2
        yield vector(f"{base}.norm", "norm", norms * h * (2 if f.model_type in NORM_BIAS else 1))
        if per_layer:
            yield Part(f"{base}.per_layer", "other", 2, h * per_layer)
            yield vector(f"{base}.post_per_layer_input_norm", "norm", h)
        if f.model_type == "gemma3n_text":
            yield from _altup(f, base)
    if f.model_type == "gemma3n_text":
        inputs = f.num("altup_num_inputs", default=4) - 1
        yield Part("model.altup_projections", "other", h, h, 2 * inputs, shard=COLUMN)
    if f.model_type in ("bert", "roberta", "xlm-roberta"):
        yield vector("model.embeddings.norm", "norm", 2 * h)
        if "Classification" in f.architecture or not f.architecture.endswith("Model"):
            yield from _head(f)
        else:  # in the files; vLLM pools by itself and does not load it
            yield Part("pooler.dense", "other", h + 1, h, unloaded=True)
        return
    if f.model_type in ("bloom", "nomic_bert", "modernbert"):
        yield vector("model.embeddings.norm", "norm", (1 if f.model_type == "modernbert" else 2) * h)
    if f.model_type == "nomic_bert":
        return
    yield vector("model.norm", "norm", (2 if f.model_type in NORM_BIAS else 1) * h)


def _head(f: Fields) -> Iterator[Part]:
    """Pooler and classifier of a BERT that scores."""
    yield Part("pooler.dense", "other", f.hidden + 1, f.hidden)


def _layer_width(f: Fields, i: int) -> int:
    widths = f.text.get("intermediate_size")
    width = int(widths[i]) if isinstance(widths, list) and i < len(widths) else f.intermediate
    if f.num("intermediate_size_mlp"):  # Llama 4's dense layers are wider than its experts
        width = f.num("intermediate_size_mlp")
    if f.flag("use_double_wide_mlp") and i >= f.layers - f.num("num_kv_shared_layers"):
        width *= 2
    return width


def _attention(f: Fields, base: str, kind: str, shares: bool) -> Iterator[Part]:
    h, d, heads, kv = f.hidden, f.head_dim, f.heads, f.kv_heads
    k_eq_v = False
    v_dim = f.num("v_head_dim", default=d)
    if kind == "full" and f.num("global_head_dim"):
        d = v_dim = f.num("global_head_dim")
        k_eq_v = f.flag("attention_k_eq_v")
        kv = f.num("num_global_key_value_heads", default=kv) if k_eq_v else kv
    if kind == "sliding" and f.num("swa_num_key_value_heads"):
        kv, d = f.num("swa_num_key_value_heads"), f.num("swa_head_dim", default=d)
        v_dim = f.num("swa_v_head_dim", default=v_dim)
    gate = 2 if f.model_type.startswith(OUTPUT_GATE) else 1
    outs = [("q_proj", heads * d * gate, heads)]
    # older vLLM builds k and v of Gemma 3n's sharing layers as well; their weights stay unused
    unused = shares and f.model_type == "gemma3n_text"
    if not shares or unused:
        outs.append(("k_proj", kv * d, kv))
        if not k_eq_v:
            outs.append(("v_proj", kv * v_dim, kv))
    for name, out, pieces in outs:
        extra = unused and name != "q_proj"
        before = UNUSED_KV_BEFORE if extra else 0
        yield Part(f"{base}.{name}", "attention", out, h, shard=HEADS, pieces=pieces, fuse="qkv_proj", extra=extra,
                   before=before)  # fmt: skip
    yield Part(f"{base}.o_proj", "attention", h, heads * v_dim, shard=ROW)
    everywhere = (
        f.model_type in ALL_BIAS or (f.model_type == "starcoder2" and f.flag("use_bias", True)) or f.flag("bias")
    )
    if (
        everywhere
        or f.flag("attention_bias")
        or f.model_type in QKV_BIAS
        or f.flag("qkv_bias")
        or f.flag("use_qkv_bias")
    ):
        for name, out, pieces in outs:
            yield vector(f"{base}.{name}.bias", "attention", out, HEADS, pieces)
    if everywhere or (f.flag("attention_bias") and f.model_type not in QKV_BIAS_ONLY):
        yield vector(f"{base}.o_proj.bias", "attention", h)
    if f.model_type == "gpt_oss":
        yield vector(f"{base}.sinks", "attention", heads, COLUMN)
    if f.model_type == "stablelm" and f.flag("qk_layernorm"):
        yield vector(f"{base}.qk_norm", "norm", (heads + kv) * d, COPY)
    elif f.model_type in HEAD_NORMS or (f.flag("use_qk_norm") and f.model_type not in (*WIDE_NORMS, "llama4_text")):
        yield vector(f"{base}.qk_norm", "norm", d if shares and not unused else 2 * d)
    elif f.model_type in WIDE_NORMS:
        shard = COLUMN if f.model_type == "minimax_m2" else COPY
        yield vector(f"{base}.q_norm", "norm", heads * d, shard)
        yield vector(f"{base}.k_norm", "norm", kv * d, HEADS if shard == COLUMN else COPY, kv)


def _mla(f: Fields, base: str) -> Iterator[Part]:
    h, heads, rank, rope = f.hidden, f.heads, f.num("kv_lora_rank"), f.num("qk_rope_head_dim")
    nope, v_dim = f.num("qk_nope_head_dim"), f.num("v_head_dim")
    q_rank = f.num("q_lora_rank") if f.get("q_lora_rank") is not None else 0
    if q_rank:
        yield Part(f"{base}.q_a_proj", "attention", q_rank, h, fuse="fused_qkv_a_proj")
        yield Part(f"{base}.q_b_proj", "attention", heads * (nope + rope), q_rank, shard=HEADS, pieces=heads)
    else:
        yield Part(f"{base}.q_proj", "attention", heads * (nope + rope), h, shard=HEADS, pieces=heads)
    fuse = "fused_qkv_a_proj" if q_rank else ""
    yield Part(f"{base}.kv_a_proj_with_mqa", "attention", rank + rope, h, fuse=fuse)
    yield Part(f"{base}.kv_b_proj", "attention", heads * (nope + v_dim), rank, shard=HEADS, pieces=heads)
    yield Part(f"{base}.o_proj", "attention", h, heads * v_dim, shard=ROW)
    yield vector(f"{base}.a_norms", "norm", q_rank + rank)
    if f.model_type != "minicpm3":  # views of kv_b_proj, or unpacked copies (layers/attention/mla_attention.py)
        for name, dim in (("W_UK", nope), ("W_UV", v_dim)):
            yield Part(f"{base}.{name}", "attention", heads * dim, rank, linear=False, shard=HEADS, pieces=heads,
                       extra=True, unpacked=f"{base}.kv_b_proj")  # fmt: skip


def _mlp(f: Fields, base: str, width: int, group: str, count: int = 1) -> Iterator[Part]:
    h = f.hidden
    names = ["up_proj"] if f.model_type in PLAIN_MLP else ["gate_proj", "up_proj"]
    copied = MODERNBERT_COPIED_BEFORE if f.model_type == "modernbert" else 0
    for name in names:
        yield Part(
            f"{base}.{name}",
            group,
            width,
            h,
            count,
            shard=COLUMN,
            copied_before=copied,
            fuse="gate_up_proj" if len(names) > 1 else "",
        )
    yield Part(f"{base}.down_proj", group, h, width, count, shard=ROW)
    if f.model_type in ALL_BIAS or f.flag("mlp_bias") or (f.model_type in MLP_BIAS and f.flag("use_bias", True)):
        yield vector(f"{base}.up_proj.bias", group, len(names) * width, COLUMN)
        yield vector(f"{base}.down_proj.bias", group, h)


def _is_moe(f: Fields, i: int) -> bool:
    if not experts_of(f):
        return False
    text = f.text
    layers = text.get("moe_layers")
    if isinstance(layers, list) and layers:  # Llama 4
        return i in layers
    freq = text.get("moe_layer_freq")
    if isinstance(freq, list):
        return bool(i < len(freq) and freq[i])
    if i in (text.get("mlp_only_layers") or []):
        return False
    if f.model_type == "jamba":
        return i % f.num("expert_layer_period", default=2) == f.num("expert_layer_offset", default=1)
    if f.num("interleave_moe_layer_step") > 1:
        return (i + 1) % f.num("interleave_moe_layer_step") == 0
    if i < f.num("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"):
        return False
    step = f.num("decoder_sparse_step", "moe_layer_interval", default=1) or 1
    return (i + 1) % step == 0 and i % max(int(freq or 1), 1) == 0


def experts_of(f: Fields) -> int:
    ffn = f.get("ffn_config")
    if isinstance(ffn, dict) and isinstance(ffn.get("moe_num_experts"), int):  # DBRX
        return int(ffn["moe_num_experts"])
    return f.experts


def moe_width(f: Fields) -> int:
    ffn = f.get("ffn_config")
    if isinstance(ffn, dict) and isinstance(ffn.get("ffn_hidden_size"), int):  # DBRX
        return int(ffn["ffn_hidden_size"])
    return f.num("moe_intermediate_size", "expert_ffn_hidden_size", default=f.intermediate)


def _moe(f: Fields, base: str) -> Iterator[Part]:
    h, count, width = f.hidden, experts_of(f), moe_width(f)
    wide = 4 if f.model_type in ROUTER_FLOAT32 else 0
    yield Part(f"{base}.gate", "mlp", count, h, linear=False, element=wide)
    if (
        f.get("scoring_func") == "sigmoid"
        or f.get("topk_method") == "noaux_tc"
        or f.model_type in ("gpt_oss", "deepseek_v3", "glm4_moe", "nemotron_h")
        or f.flag("moe_use_aux_free")
    ):
        yield vector(f"{base}.gate.bias", "mlp", count, element=0 if f.model_type == "gpt_oss" else 4)
    yield from _mlp(f, f"{base}.experts", width, "experts", count)
    if f.model_type == "gpt_oss":
        yield Part(f"{base}.experts.up_bias", "experts", 1, 2 * width, count, linear=False, shard=COLUMN)
        yield Part(f"{base}.experts.down_bias", "experts", 1, h, count, linear=False)
    shared = f.num("shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size")
    number = f.num("n_shared_experts", "moe_num_shared_experts", "num_shared_experts")
    if f.model_type.startswith("llama4"):
        shared = f.intermediate
    if shared or number:
        yield from _mlp(f, f"{base}.shared_expert", shared or number * width, "mlp")
    if f.model_type.startswith(("qwen2_moe", "qwen3_next", "qwen3_5_moe")):
        yield Part(f"{base}.shared_expert_gate", "mlp", 1, h, linear=False)


def _altup(f: Fields, base: str) -> Iterator[Part]:
    """Gemma 3n's small extras of each layer (alternating updates, learned augmented residuals)."""
    h, inputs, rank = f.hidden, f.num("altup_num_inputs", default=4), f.num("laurel_rank", default=64)
    yield Part(f"{base}.laurel.linear_left", "other", rank, h, shard=COLUMN)
    yield Part(f"{base}.laurel.linear_right", "other", h, rank, shard=ROW)
    yield vector(f"{base}.laurel.norm", "norm", h)
    yield Part(f"{base}.altup", "other", inputs, h + inputs * inputs + inputs, linear=False)
