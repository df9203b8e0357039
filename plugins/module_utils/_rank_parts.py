# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A Model's matrices, from the config it carries; what the Model itself says comes first."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._memo import per_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_defaults import DEFAULTS
from ansible_collections.gpuserve.inference.plugins.module_utils._model_formula import parts
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import Part
from ansible_collections.gpuserve.inference.plugins.module_utils._model_quant import Scheme, scheme_of
from ansible_collections.gpuserve.inference.plugins.module_utils._model_towers import tower_parts
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

# Configs that name no model_type are given the plainest one
PLAIN = "llama"


def model_fields(model: Model) -> Fields:
    """The model's config with what the Model itself says put first."""
    model_type = str(model.config.get("model_type") or PLAIN)
    usual = DEFAULTS.get(model_type, {})  # read_model puts them in; they must not hide other spellings of a key
    text: dict[str, Any] = {k: v for k, v in model.config.items() if k == "model_type" or usual.get(k, ...) != v}
    said = {
        "num_hidden_layers": model.layers,
        "hidden_size": model.hidden_size,
        "num_attention_heads": model.heads,
        "vocab_size": model.vocab_size,
    }
    if model.intermediate_size and not isinstance(text.get("intermediate_size"), list) and "block_ff_dim" not in text:
        said["intermediate_size"] = model.intermediate_size
    if not any(k in text for k in ("multi_query", "attn_config")):
        said["num_key_value_heads"] = model.kv_heads
    if "kv_lora_rank" not in text and model.head_dim:
        said["head_dim"] = model.head_dim
    if model.experts and not Fields(text, model_type).experts:
        said["num_experts"] = model.experts
        said["moe_intermediate_size"] = model.moe_intermediate_size
    text.update({k: v for k, v in said.items() if v})
    return Fields(text, model_type, model.architecture)


def whole_config(model: Model) -> dict[str, Any]:
    return {**model.config, **model.outer_config}


@per_model
def model_parts(model: Model) -> tuple[Part, ...]:
    f = model_fields(model)
    listed = list(parts(f, model.tie_word_embeddings))
    if model.multimodal:
        listed += tower_parts(whole_config(model), f)
    return tuple(listed)


def scheme_for(model: Model) -> Optional[Scheme]:
    if not (model.quantization_config or model.quantization):
        return None
    return scheme_of({"quant_method": model.quantization, **model.quantization_config})
