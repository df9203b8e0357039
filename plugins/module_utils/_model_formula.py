# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Weight bytes and parameters computed from the config alone, for models whose files are not here yet.

A model is written down as the list of its matrices; each is then priced in the model's dtype or in its quantization's.
Shapes follow the published model definitions. Vision and audio towers are only estimated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import OTHER_SENSES, Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_kv import layer_kinds, mamba_shape

# Two matrices instead of three: no gate.
PLAIN_MLP = frozenset(
    "starcoder2 phi gpt2 gpt_neox gptj gpt_bigcode opt bloom falcon mpt nemotron nemotron_h arcee apertus bert roberta "
    "xlm-roberta codegen gpt_j".split()
)
# Every linear layer carries a bias.
ALL_BIAS = frozenset("phi gpt2 gpt_neox gpt_bigcode opt bloom bert roberta xlm-roberta".split())
QKV_BIAS = frozenset(
    "qwen2 qwen2_moe qwen2_vl qwen2_5_vl qwen2_vl_text qwen2_5_vl_text qwen2_5_omni_text chatglm".split()
)
FOUR_NORMS = frozenset("gemma2 gemma3 gemma3_text gemma3n_text gemma4_text glm4".split())
ONE_NORM = frozenset("cohere cohere2 phi gptj falcon".split())
HEAD_NORMS = frozenset(
    "qwen3 qwen3_moe qwen3_vl_text qwen3_vl_moe_text qwen3_omni_moe_text qwen3_next qwen3_5_text qwen3_5_moe_text "
    "gemma3 gemma3_text gemma3n_text gemma4_text exaone4 lfm2 lfm2_moe hunyuan_v1_dense hunyuan_v1_moe".split()
)
WIDE_NORMS = frozenset("olmo2 olmo3 olmoe minimax_m2".split())  # over all heads at once
OUTPUT_GATE = ("qwen3_next", "qwen3_5")  # q_proj carries a gate of its own size


@dataclass(frozen=True)
class Part:
    """``count`` equal matrices of ``rows`` x ``cols`` (or vectors, rows 1). Only linear ones can be quantized."""

    name: str
    group: str
    rows: int
    cols: int
    count: int = 1
    linear: bool = True

    @property
    def size(self) -> int:
        return self.rows * self.cols * self.count


def parts(f: Fields, tied: bool) -> Iterator[Part]:
    h, vocab = f.hidden, f.num("vocab_size", "n_vocab")
    embed = f.num("word_embed_proj_dim", "embedding_size", default=h)
    yield Part("model.embed_tokens", "embedding", vocab, embed, linear=False)
    if f.model_type in ("gpt2", "opt", "bert", "roberta", "xlm-roberta", "gpt_bigcode"):
        positions = f.num("max_position_embeddings", "n_positions", "n_ctx") + (2 if f.model_type == "opt" else 0)
        positions += f.num("type_vocab_size")
        yield Part("model.embed_positions", "embedding", positions, h, linear=False)
    if not tied and not f.architecture.endswith("Model"):
        yield Part("lm_head", "lm_head", vocab, embed)
    per_layer = f.num("hidden_size_per_layer_input")
    if per_layer:  # Gemma 3n and 4: an embedding for every layer
        yield Part(
            "model.embed_tokens_per_layer",
            "embedding",
            f.num("vocab_size_per_layer_input", default=vocab),
            f.layers * per_layer,
            linear=False,
        )
        yield Part("model.per_layer_model_projection", "other", f.layers * per_layer, h)
    kinds = layer_kinds(f)
    shared_from = f.layers - f.num("num_kv_shared_layers")
    encoder = not any(kinds)
    pattern = str(f.get("hybrid_override_pattern") or "")
    for i, kind in enumerate(kinds):
        base = f"model.layers.{i}"
        words = ["full"] if encoder else [w for w in kind.split("+") if w]
        for word in words:
            if word == "mamba":
                yield from _recurrent(f, f"{base}.mixer")
            elif f.is_mla:
                yield from _mla(f, f"{base}.self_attn")
            else:
                yield from _attention(f, f"{base}.self_attn", word, i >= shared_from)
        if pattern:  # Nemotron-H: one thing a layer
            if pattern[i] == "-":
                yield from _mlp(f, f"{base}.mixer", f.intermediate, "mlp")
            elif pattern[i] == "E":
                yield from _moe(f, f"{base}.mixer")
            yield Part(f"{base}.norm", "norm", 1, h, linear=False)
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
        bias = 2 if f.model_type in ALL_BIAS | {"starcoder2", "nemotron", "falcon"} else 1
        yield Part(f"{base}.norm", "norm", norms * bias, h, linear=False)
        if per_layer:
            yield Part(f"{base}.per_layer", "other", 2, h * per_layer)
        if f.model_type == "gemma3n_text":
            yield from _altup(f, base)
    if f.model_type == "gemma3n_text":
        yield Part("model.altup", "other", 2 * (f.num("altup_num_inputs", default=4) - 1) * h, h)
    if f.model_type in ALL_BIAS and not tied:
        yield Part("lm_head.bias", "lm_head", 1, vocab if f.model_type == "phi" else 0, linear=False)
    if f.model_type in ("bert", "roberta", "xlm-roberta"):
        yield Part("pooler.dense", "other", h + 1, h)
    yield Part("model.norm", "norm", 2 if f.model_type in ALL_BIAS else 1, h, linear=False)


def _layer_width(f: Fields, i: int) -> int:
    widths = f.text.get("intermediate_size")
    width = int(widths[i]) if isinstance(widths, list) and i < len(widths) else f.intermediate
    if f.num("intermediate_size_mlp"):  # Llama 4's dense layers are wider than its experts
        width = f.num("intermediate_size_mlp")
    if f.flag("use_double_wide_mlp") and i >= f.layers - f.num("num_kv_shared_layers"):
        width *= 2
    return width


def _bias(name: str, group: str, size: int) -> Part:
    return Part(f"{name}.bias", group, 1, size, linear=False)


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
    outs = [("q_proj", heads * d * gate)]
    if not shares:
        outs.append(("k_proj", kv * d))
        if not k_eq_v:
            outs.append(("v_proj", kv * v_dim))
    for name, out in outs:
        yield Part(f"{base}.{name}", "attention", out, h)
    yield Part(f"{base}.o_proj", "attention", h, heads * v_dim)
    everywhere = (
        f.model_type in ALL_BIAS or (f.model_type == "starcoder2" and f.flag("use_bias", True)) or f.flag("bias")
    )
    if everywhere or f.flag("attention_bias") or f.model_type in QKV_BIAS or f.flag("qkv_bias"):
        yield _bias(base, "attention", sum(out for _n, out in outs))
    if everywhere or (f.flag("attention_bias") and f.model_type not in ("glm", "glm4", "glm4_moe", "seed_oss")):
        yield _bias(f"{base}.o_proj", "attention", h)
    if f.model_type == "gpt_oss":
        yield _bias(f"{base}.sinks", "attention", heads)
    if f.model_type in HEAD_NORMS or f.flag("use_qk_norm"):
        yield Part(f"{base}.qk_norm", "norm", 1, d if shares else 2 * d, linear=False)
    elif f.model_type in WIDE_NORMS:
        yield Part(f"{base}.qk_norm", "norm", 1, (heads + kv) * d, linear=False)


def _mla(f: Fields, base: str) -> Iterator[Part]:
    h, heads, rank, rope = f.hidden, f.heads, f.num("kv_lora_rank"), f.num("qk_rope_head_dim")
    nope, v_dim = f.num("qk_nope_head_dim"), f.num("v_head_dim")
    q_rank = f.num("q_lora_rank") if f.get("q_lora_rank") is not None else 0
    if q_rank:
        yield Part(f"{base}.q_a_proj", "attention", q_rank, h)
        yield Part(f"{base}.q_b_proj", "attention", heads * (nope + rope), q_rank)
    else:
        yield Part(f"{base}.q_proj", "attention", heads * (nope + rope), h)
    yield Part(f"{base}.kv_a_proj_with_mqa", "attention", rank + rope, h)
    yield Part(f"{base}.kv_b_proj", "attention", heads * (nope + v_dim), rank)
    yield Part(f"{base}.o_proj", "attention", h, heads * v_dim)
    yield Part(f"{base}.a_norms", "norm", 1, q_rank + rank, linear=False)


def _recurrent(f: Fields, base: str) -> Iterator[Part]:
    h = f.hidden
    kda = f.get("linear_attn_config")
    if isinstance(kda, dict):
        inner = int(kda.get("num_heads") or f.heads) * int(kda.get("head_dim") or f.head_dim)
        dim = int(kda.get("head_dim") or f.head_dim)
        yield Part(f"{base}.qkvo_proj", "attention", 4 * inner, h)
        yield Part(f"{base}.gates", "attention", 2 * dim, h + inner)
        yield Part(f"{base}.b_proj", "attention", inner // dim, h)
        yield Part(f"{base}.conv", "attention", 3 * inner, int(kda.get("short_conv_kernel_size") or 4), linear=False)
        yield _bias(base, "attention", inner + inner // dim + dim)
    elif f.num("linear_num_value_heads"):
        keys = f.num("linear_num_key_heads") * f.num("linear_key_head_dim")
        v_heads = f.num("linear_num_value_heads")
        values = v_heads * f.num("linear_value_head_dim")
        yield Part(f"{base}.in_proj_qkvz", "attention", 2 * keys + 2 * values, h)
        yield Part(f"{base}.in_proj_ba", "attention", 2 * v_heads, h, linear=False)
        yield Part(
            f"{base}.conv1d", "attention", 2 * keys + values, f.num("linear_conv_kernel_dim", default=4), linear=False
        )
        yield Part(f"{base}.out_proj", "attention", h, values)
        yield _bias(base, "attention", 2 * v_heads + f.num("linear_value_head_dim"))
    elif f.num("conv_L_cache"):
        inner = f.num("conv_dim", default=h)
        yield Part(f"{base}.in_proj", "attention", 3 * inner, h)
        yield Part(f"{base}.conv", "attention", inner, f.num("conv_L_cache"), linear=False)
        yield Part(f"{base}.out_proj", "attention", h, inner)
    else:
        shape = mamba_shape(f)
        if shape is None:  # lightning attention
            width = f.heads * f.head_dim
            yield Part(f"{base}.qkv_proj", "attention", 3 * width, h)
            yield Part(f"{base}.gate_out", "attention", 2 * width, h)
            return
        inner, heads, _dim, groups, state, kernel = shape
        if heads:
            channels = inner + 2 * groups * state
            yield Part(f"{base}.in_proj", "attention", inner + channels + heads, h)
            yield Part(f"{base}.conv1d", "attention", channels, kernel + 1, linear=False)
            yield _bias(
                base, "attention", 3 * heads + (inner if f.flag("mamba_rms_norm", f.model_type != "falcon_h1") else 0)
            )
        else:
            rank = f.get("time_step_rank") or f.get("mamba_dt_rank")
            rank = rank if isinstance(rank, int) else -(-h // 16)
            yield Part(f"{base}.in_proj", "attention", 2 * inner, h)
            yield Part(f"{base}.conv1d", "attention", inner, kernel + 1, linear=False)
            yield Part(f"{base}.x_proj", "attention", rank + 2 * state, inner)
            yield Part(f"{base}.dt_proj", "attention", inner, rank + 1)
            yield Part(f"{base}.A_log", "attention", inner, state + 1, linear=False)
        yield Part(f"{base}.out_proj", "attention", h, inner)


def _mlp(f: Fields, base: str, width: int, group: str, count: int = 1) -> Iterator[Part]:
    h = f.hidden
    names = ["up_proj"] if f.model_type in PLAIN_MLP else ["gate_proj", "up_proj"]
    for name in names:
        yield Part(f"{base}.{name}", group, width, h, count)
    yield Part(f"{base}.down_proj", group, h, width, count)
    if f.model_type in ALL_BIAS or f.flag("mlp_bias") or (f.model_type == "starcoder2" and f.flag("use_bias", True)):
        yield _bias(base, group, len(names) * width + h)


def _is_moe(f: Fields, i: int) -> bool:
    if not f.experts:
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


def moe_width(f: Fields) -> int:
    return f.num("moe_intermediate_size", "expert_ffn_hidden_size", default=f.intermediate)


def _moe(f: Fields, base: str) -> Iterator[Part]:
    h, count, width = f.hidden, f.experts, moe_width(f)
    yield Part(f"{base}.gate", "mlp", count, h, linear=False)
    if (
        f.get("scoring_func") == "sigmoid"
        or f.get("topk_method") == "noaux_tc"
        or f.model_type in ("gpt_oss", "deepseek_v3")
    ):
        yield _bias(f"{base}.gate", "mlp", count)
    yield from _mlp(f, f"{base}.experts", width, "experts", count)
    if f.model_type == "gpt_oss":
        yield Part(f"{base}.experts.bias", "experts", 1, 2 * width + h, count, linear=False)
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
    yield Part(f"{base}.laurel", "other", 2 * rank, h)
    yield Part(f"{base}.altup", "other", inputs, h + inputs * inputs + inputs, linear=False)


def tower_parameters(config: Mapping[str, Any]) -> int:
    """A rough size of the vision and audio towers: transformer layers of the dimensions they state."""
    total = 0
    nested = config.get("thinker_config")
    for source in [config, nested if isinstance(nested, dict) else {}]:
        for key in OTHER_SENSES:
            tower = source.get(key)
            if not isinstance(tower, dict):
                continue
            named = re.search(r"_(\d+)m(_|$)", str(tower.get("architecture") or ""))
            if named:  # "mobilenetv5_300m_enc"
                total += int(named.group(1)) * 10**6
                continue
            h = _int(tower, "hidden_size", "embed_dim", "d_model", "width") or 1152
            layers = _int(tower, "num_hidden_layers", "depth", "encoder_layers", "layers") or 27
            width = _int(tower, "intermediate_size", "encoder_ffn_dim") or int(h * float(tower.get("mlp_ratio") or 4))
            gated = tower.get("hidden_act") == "silu" or tower.get("model_type") == "pixtral"
            conformer = _int(tower, "conf_num_hidden_layers")  # two feed-forwards, attention and convolutions a layer
            total += conformer * 24 * h * h if conformer else layers * (4 * h * h + (3 if gated else 2) * h * width)
            out = _int(tower, "out_hidden_size", "projection_dim")
            deep = tower.get("deepstack_visual_indexes")
            mergers = 1 + (len(deep) if isinstance(deep, list) else 0)
            total += mergers * (16 * h * h + 4 * h * out)  # merger or projector
    return total


def _int(source: Mapping[str, Any], *names: str) -> int:
    return next((int(source[n]) for n in names if isinstance(source.get(n), (int, float))), 0)
