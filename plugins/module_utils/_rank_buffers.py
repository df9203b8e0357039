# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What a rank's model holds beside its parameters: tables of rotary angles, and inputs kept for later layers.

The tables follow ``model_executor/layers/rotary_embedding`` in vLLM: one for each distinct rotary embedding, a row for
each position it can reach, a copy on every rank. With long contexts that is no small matter: 2.5 GiB for Llama 4
Scout.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_kv import layer_kinds
from ansible_collections.gpuserve.inference.plugins.module_utils._releases_models import (
    MROPE_ONCE,
    MROPE_ONCE_SINCE,
    THROUGH_TRANSFORMERS,
)

# Positions are learned, added, or left to recurrent layers.
NO_ROTARY = frozenset(
    "gpt2 opt bloom gpt_bigcode bert roberta xlm-roberta mpt mamba mamba2 falcon_mamba jamba nemotron_h whisper".split()
)
TWO_THETAS = frozenset("gemma3 gemma3_text gemma3n_text gemma4_text modernbert".split())  # one local, one global
MROPE_POSITIONS = 4  # rotary_embedding/mrope.py keeps four times the positions, for videos
# Keys under which an older config nests nothing: rope_scaling then holds for every layer
YARN = frozenset({"yarn", "deepseek_yarn", "deepseek_llama_scaling"})


def _ropes(f: Fields) -> list[Mapping[str, Any]]:
    """The distinct rotary embeddings of the model's layers, each as its parameters."""
    found = f.get("rope_parameters")
    if isinstance(found, dict) and any(isinstance(v, dict) for v in found.values()):
        kinds = [v for v in found.values() if isinstance(v, dict)]
        return [v for n, v in enumerate(kinds) if v not in kinds[:n]]
    rope = found if isinstance(found, dict) else f.get("rope_scaling")
    rope = rope if isinstance(rope, dict) else {}
    if f.model_type in TWO_THETAS:
        return [rope, {}]
    if f.model_type == "olmo3" and rope:  # YaRN on full layers only (models/olmo2.py)
        return [rope, {}]
    return [rope]


def _positions(f: Fields, rope: Mapping[str, Any], minor: int) -> int:
    reach = f.num("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", default=8192)
    if f.model_type == "cohere":  # models/commandr.py
        reach = f.num("model_max_length", default=reach)
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    factor = rope.get("factor")
    factor = float(factor) if isinstance(factor, (int, float)) and not isinstance(factor, bool) else 1.0
    original = rope.get("original_max_position_embeddings") or f.get("original_max_position_embeddings")
    original = original if isinstance(original, int) else reach
    if kind in YARN:
        reach = int(original * factor)
    elif kind in ("linear", "dynamic") and factor > 1:
        reach = int(reach * factor)
    elif kind in ("longrope", "su"):
        reach += original  # the short and the long table
    if rope.get("mrope_section") and not (minor >= MROPE_ONCE_SINCE and f.model_type.startswith(MROPE_ONCE)):
        reach *= MROPE_POSITIONS
    return reach


def rotary_dim(f: Fields, rope: Mapping[str, Any]) -> int:
    if f.is_mla:
        return f.num("qk_rope_head_dim")
    explicit = f.num("rotary_dim")
    if explicit:
        return explicit
    dim = f.head_dim
    for source in (rope.get("partial_rotary_factor"), f.get("partial_rotary_factor"), f.get("rotary_pct"),
                   f.get("rope_pct")):  # fmt: skip
        if isinstance(source, (int, float)) and not isinstance(source, bool):
            return int(dim * source)
    return dim


def rotary_tables(f: Fields, element: int, minor: int) -> list[int]:
    """Bytes of each table of cosines and sines, in vLLM 0.``minor``."""
    if f.model_type in NO_ROTARY or f.get("position_embedding_type") == "nope":
        return []
    if minor >= THROUGH_TRANSFORMERS.get(f.architecture, minor + 1):
        return []
    kinds = [kind for kind in layer_kinds(f) if kind]  # encoders have none
    if f.flag("alibi") or (kinds and not any(word in k for k in kinds for word in ("full", "sliding", "chunked"))):
        return []
    wide = 4 if f.model_type == "gpt_oss" else element  # models/gpt_oss.py asks for float32
    return [_positions(f, rope, minor) * rotary_dim(f, rope) * wide for rope in _ropes(f)]


def kept_inputs(f: Fields, vision: Mapping[str, Any], element: int, max_num_batched_tokens: int) -> int:
    """Buffers for a whole batch that the model itself owns, so that vLLM counts them with the weights."""
    levels = vision.get("deepstack_visual_indexes")
    deep = len(levels) if isinstance(levels, list) else 0  # models/qwen3_vl.py
    layered = f.num("hidden_size_per_layer_input") * f.layers  # models/gemma3n_mm.py
    return max_num_batched_tokens * (deep * f.hidden + layered) * element
