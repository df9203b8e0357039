# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What each layer keeps of past tokens, as vLLM would group it (vllm/v1/kv_cache_interface.py and the model files)."""

from __future__ import annotations

from typing import Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._types import KvGroup

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "fp32": 4, "half": 2}
ATTENTION_FREE = frozenset({"mamba", "mamba2", "falcon_mamba"})
# Encoders see the whole text at once and keep no cache.
ENCODERS = frozenset(
    {
        "bert",
        "roberta",
        "xlm-roberta",
        "modernbert",
        "nomic_bert",
        "new",
        "gte",
        "camembert",
        "distilbert",
        "clip",
        "siglip",
    }
)
BIDIRECTIONAL = ("LlamaBidirectional", "LlamaNemotronVLModel", "DeepseekV3Bidirectional", "VoyageQwen3Bidirectional")
# Architectures whose code in vLLM lays out caches of its own: a guess would be far off.
UNMODELLED = {
    "DeepseekV4": "compressed and sliding latent caches packed together",
    "Dots3Note": "sliding latent caches",
    "Glm5Next": "pooled indexers with a tail of their own",
    "Inkling": "convolution states beside sliding attention",
    "KimiK3": "recurrent states with checkpoints in the prefill",
    "MiniMaxM3Sparse": "block-sparse attention with indexers",
    "Qwen4Exp": "recurrent states of several sizes",
    "UnlimitedOCR": "windows that keep the prompt",
}
# vLLM unpacks the latent vectors of these before it caches them, values padded to the width of keys.
UNPACKED_LATENTS = frozenset({"minicpm3"})
# One full-attention layer closes every run of so many layers, where the config has no list of its own.
SLIDING_PERIOD = {
    "gemma3_text": 6,
    "gemma3": 6,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "cohere2": 4,
    "olmo3": 4,
    "exaone4": 4,
}
WORDS = {
    "full_attention": "full", "attention": "full", "full": "full", "global": "full", "sliding_attention": "sliding",
    "sliding_window": "sliding", "chunked_attention": "chunked", "linear_attention": "mamba", "mamba": "mamba",
    "mamba2": "mamba", "conv": "mamba", "gdn": "mamba", "kda": "mamba", "hybrid": "full+mamba", "mlp": "", "moe": "",
}  # fmt: skip
PATTERN = {"M": "mamba", "*": "full", "-": "", "E": ""}  # Nemotron-H's alphabet


def layer_kinds(f: Fields) -> list[str]:
    """One word a layer: full, sliding, chunked, mamba, full+mamba, or nothing for a layer without state."""
    n = f.layers
    if f.model_type in ENCODERS or f.architecture.startswith(BIDIRECTIONAL):
        return [""] * n
    if f.model_type in ATTENTION_FREE:
        return ["mamba"] * n
    if f.model_type == "falcon_h1":  # attention and Mamba side by side in every layer
        return ["full+mamba"] * n
    kinds = _listed(f, n) or _by_rule(f, n)
    window = f.num("sliding_window", "sliding_window_size")
    if not window:
        kinds = ["full" if k == "sliding" else k for k in kinds]
    if not f.num("attention_chunk_size"):
        kinds = ["full" if k == "chunked" else k for k in kinds]
    return kinds


def _listed(f: Fields, n: int) -> Optional[list[str]]:
    """Kinds from a list in the config itself."""
    text = f.text
    pattern = text.get("hybrid_override_pattern")
    if isinstance(pattern, str) and pattern:
        return [PATTERN.get(c, "full") for c in pattern][:n]
    for key in ("layers_block_type", "layer_types"):
        words = text.get(key)
        if isinstance(words, list) and words:
            kinds = [WORDS.get(str(w), "full") for w in words][:n]
            if f.model_type == "zamba2":  # every layer has Mamba; some share an attention block as well
                kinds = ["full+mamba" if k == "full+mamba" else "mamba" for k in kinds]
            return kinds
    blocks = text.get("hybrid_layer_pattern")  # MiMo-V2: 1 is sliding
    if isinstance(blocks, list) and blocks:
        return ["sliding" if b else "full" for b in blocks][:n]
    types = text.get("attn_type_list")  # MiniMax: 0 is linear
    if isinstance(types, list) and types:
        return ["full" if t else "mamba" for t in types][:n]
    noop = text.get("block_configs")  # Nemotron-NAS: some layers have no attention
    if isinstance(noop, list) and noop and all(isinstance(b, dict) for b in noop):
        return ["" if (b.get("attention") or {}).get("no_op") else "full" for b in noop][:n]
    return None


def _by_rule(f: Fields, n: int) -> list[str]:
    """Kinds from a period or a set of indexes."""
    text, kind = f.text, f.model_type
    if f.has("linear_attn_config"):  # Kimi Linear; its indexes count from 1
        full = (f.get("linear_attn_config") or {}).get("full_attn_layers") or []
        return ["full" if i + 1 in full else "mamba" for i in range(n)]
    if kind == "jamba":
        period, offset = f.num("attn_layer_period", default=8), f.num("attn_layer_offset", default=4)
        return ["full" if i % period == offset else "mamba" for i in range(n)]
    for key in ("attn_layer_indices", "full_attn_idxs"):  # Bamba, LFM2
        if isinstance(text.get(key), list):
            return ["full" if i in text[key] else "mamba" for i in range(n)]
    if f.num("linear_num_value_heads"):  # Qwen3-Next, Qwen3.5
        period = f.num("full_attention_interval", default=4)
        return ["mamba" if (i + 1) % period else "full" for i in range(n)]
    if kind in ("lfm2", "lfm2_moe", "granitemoehybrid") and not f.num("mamba_d_state"):
        return ["full"] * n
    if kind in ("llama4_text", "llama4"):
        nope = text.get("no_rope_layers")
        if isinstance(nope, list) and nope:  # 1 means rotary, and with it chunked
            return ["chunked" if r else "full" for r in nope][:n]
        step = f.num("no_rope_layer_interval", default=4)
        return ["chunked" if (i + 1) % step else "full" for i in range(n)]
    if kind in ("gemma2", "gpt_oss"):
        return ["full" if i % 2 else "sliding" for i in range(n)]
    pattern = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern")
    if isinstance(pattern, str) and pattern:  # EXAONE 4: "LLLG"
        return ["full" if pattern[i % len(pattern)] == "G" else "sliding" for i in range(n)]
    period = pattern if isinstance(pattern, int) else SLIDING_PERIOD.get(kind, 0)
    if period:
        return ["sliding" if (i + 1) % period else "full" for i in range(n)]
    if kind.startswith(("qwen2", "qwen3", "smollm3", "internlm3")):
        if not f.flag("use_sliding_window"):
            return ["full"] * n
        first = f.num("max_window_layers", default=28)
        return ["sliding" if i >= first else "full" for i in range(n)]
    return ["sliding" if f.num("sliding_window") else "full"] * n


def state_parts(f: Fields, dtype: str) -> dict[str, int]:
    """A layer's recurrent state, in parts (vllm/model_executor/layers/mamba/mamba_utils.py)."""
    size = DTYPE_BYTES.get(dtype, 2)
    named = f.get("mamba_ssm_dtype") or f.get("mamba_ssm_cache_dtype")
    if named is None and f.model_type.startswith("nemotron_h"):
        named = "float32"
    ssm = DTYPE_BYTES.get(str(named), size)
    kda = f.get("linear_attn_config")
    if isinstance(kda, dict):
        heads, dim = int(kda.get("num_heads") or f.heads), int(kda.get("head_dim") or f.head_dim)
        width = int(kda.get("short_conv_kernel_size") or 4) - 1
        return _parts(3 * heads * dim, width, size, heads * dim * dim, 4)
    if f.num("linear_num_value_heads"):
        k_heads, v_heads = f.num("linear_num_key_heads"), f.num("linear_num_value_heads")
        k_dim, v_dim = f.num("linear_key_head_dim"), f.num("linear_value_head_dim")
        width = f.num("linear_conv_kernel_dim", default=4) - 1
        return _parts(2 * k_heads * k_dim + v_heads * v_dim, width, size, v_heads * v_dim * k_dim, ssm)
    if f.num("conv_L_cache"):  # LFM2's short convolution
        return _parts(f.num("conv_dim", default=f.hidden), f.num("conv_L_cache") - 1, size)
    shape = mamba_shape(f)
    if shape is None:  # lightning attention: MiniMax, Bailing
        return _parts(0, 0, 0, f.heads * f.head_dim * f.head_dim, size)
    inner, heads, head_dim, groups, state, kernel = shape
    if not heads:  # Mamba 1
        return _parts(inner, kernel - 1, size, inner * state, ssm)
    return _parts(inner + 2 * groups * state, kernel - 1, size, heads * head_dim * state, ssm, (groups, 2 * state))


def _parts(
    dim: int, width: int, size: int, recurrent: int = 0, recurrent_size: int = 0, groups: tuple[int, int] = (0, 0)
) -> dict[str, int]:
    return {
        "state_bytes": dim * width * size + recurrent * recurrent_size,
        "conv_dim": dim,
        "conv_width": width,
        "conv_bytes": size,
        "conv_groups": groups[0],
        "conv_group_dim": groups[1],
        "recurrent": recurrent,
        "recurrent_bytes": recurrent_size,
    }


def mamba_shape(f: Fields) -> Optional[tuple[int, int, int, int, int, int]]:
    """(inner size, heads, head size, groups, state size, convolution kernel); no heads for Mamba 1."""
    state = f.num("ssm_state_size", "mamba_d_state", "state_size")
    if not state:
        return None
    kernel = f.num("conv_kernel", "mamba_d_conv", default=4)
    heads = f.num("mamba_num_heads", "mamba_n_heads", "n_mamba_heads") or (
        f.num("num_heads") if f.model_type == "mamba2" else 0
    )
    head_dim = f.num("mamba_head_dim", "mamba_d_head", "mamba_headdim") or (
        f.head_dim if f.model_type == "mamba2" else 0
    )
    groups = f.num("n_groups", "mamba_n_groups", "mamba_ngroups", default=1)
    inner = f.num("mamba_d_ssm") or (heads * head_dim if heads and head_dim else 0)
    inner = inner or f.num("mamba_expand", "expand", default=2) * f.hidden
    if heads and not head_dim:
        head_dim = inner // heads
    return inner, heads, head_dim, groups, state, kernel


def kv_layout(f: Fields, dtype: str) -> tuple[KvGroup, ...]:
    """The model's layers in groups. ``layers`` counts all, ``shared_layers`` those that reuse another's cache."""
    for prefix, reason in UNMODELLED.items():
        if f.architecture.startswith(prefix):
            raise ModelError(
                f"architecture {f.architecture}: its KV cache ({reason}) is not modelled, so it cannot be planned: "
                "choose another model, or serve this one by hand"
            )
    kinds = layer_kinds(f)
    shared_from = len(kinds) - f.num("num_kv_shared_layers")
    own: dict[str, int] = {}
    shared: dict[str, int] = {}
    for i, words in enumerate(kinds):
        for word in filter(None, words.split("+")):
            count = own if i < shared_from or word == "mamba" else shared
            count[word] = count.get(word, 0) + 1
    return tuple(
        _group(_of_kind(f, kinds, word), word, own.get(word, 0) + shared.get(word, 0), shared.get(word, 0), dtype)
        for word in sorted({*own, *shared})
    )


def _of_kind(f: Fields, kinds: list[str], kind: str) -> Fields:
    """The fields as layers of one kind have them: newer configs list what differs by layer in ``per_layer_config``."""
    listed = f.get("per_layer_config")
    if not isinstance(listed, dict):
        return f
    for key, values in listed.items():
        if str(key).isdigit() and int(key) < len(kinds) and kinds[int(key)] == kind and isinstance(values, dict):
            return Fields({**f.text, **values}, f.model_type, f.architecture)
    return f


def sparse_indexers(f: Fields, layers: int) -> tuple[int, int]:
    """DeepSeek V3.2 and its kin: how many layers choose their own tokens, and the bytes a token that takes there."""
    if not f.has("index_topk"):
        return 0, 0
    pattern = f.get("index_topk_pattern")
    if isinstance(pattern, str) and pattern:
        own = sum(i >= len(pattern) or pattern[i] != "S" for i in range(layers))
    else:
        every, offset = f.num("index_topk_freq", default=1), f.num("index_skip_topk_offset", default=2)
        own = sum(max(i - offset + 1, 0) % max(every, 1) == 0 for i in range(layers))
    width = f.num("index_head_dim", default=128)
    return own, width + width // 128 * 4  # 8-bit keys, a scale for every 128 of them


def _group(f: Fields, kind: str, layers: int, shared: int, dtype: str) -> KvGroup:
    if kind == "mamba":
        return KvGroup("mamba", layers, shared_layers=shared, **state_parts(f, dtype))
    if f.is_mla and f.model_type not in UNPACKED_LATENTS:
        index_layers, index_bytes = sparse_indexers(f, layers)
        return KvGroup(
            "mla",
            layers,
            rank=f.num("kv_lora_rank") + f.num("qk_rope_head_dim"),
            shared_layers=shared,
            index_layers=index_layers,
            index_bytes=index_bytes,
        )
    heads, dim, v_dim = f.kv_heads, f.head_dim, f.num("v_head_dim")
    if f.model_type in UNPACKED_LATENTS:
        heads, dim, v_dim = f.heads, f.num("qk_nope_head_dim") + f.num("qk_rope_head_dim"), 0
    window = 0
    if kind == "full" and f.num("global_head_dim"):  # Gemma 4
        dim = f.num("global_head_dim")
        if f.flag("attention_k_eq_v"):
            heads = f.num("num_global_key_value_heads", default=heads)
    if kind == "sliding":
        window = f.num("sliding_window", "sliding_window_size")
        heads = f.num("swa_num_key_value_heads", default=heads)
        dim, v_dim = f.num("swa_head_dim", default=dim), f.num("swa_v_head_dim", default=v_dim)
    elif kind == "chunked":
        window = f.num("attention_chunk_size")
    return KvGroup(kind, layers, heads, dim, v_dim or dim, window, shared_layers=shared)
