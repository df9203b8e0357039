# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What differs between vLLM releases in how models are built, as data (``model_executor/models/registry.py``)."""

from __future__ import annotations

# Architecture -> the 0.x release since which vLLM runs it through Transformers' own classes. Those compute the rotary
# angles as they go, where vLLM's keep a table of them.
THROUGH_TRANSFORMERS = {
    "GPTBigCodeForCausalLM": 26,
    "Olmo2ForCausalLM": 26,
    "OlmoForCausalLM": 26,
    "SmolLM3ForCausalLM": 26,
    "Starcoder2ForCausalLM": 26,
    "VaultGemmaForCausalLM": 27,
    "FlexOlmoForCausalLM": 29,
    "HunYuanDenseV1ForCausalLM": 29,
    "HunYuanMoEV1ForCausalLM": 29,
    "Olmo3ForCausalLM": 29,
    "NanbeigeForCausalLM": 30,
    "ArceeForCausalLM": 32,
    "CwmForCausalLM": 32,
    "GPTNeoXForCausalLM": 32,
    "GlmForCausalLM": 32,
    "Jais2ForCausalLM": 32,
    "MellumForCausalLM": 32,
    "PhiForCausalLM": 32,
    "SeedOssForCausalLM": 32,
}
# Of these, without a plan for tensor parallelism: every rank holds all but the embedding
WITHOUT_TENSOR_PARALLEL_PLAN = frozenset({"GPTBigCodeForCausalLM"})

# Before this release Gemma 3n's layers that share a KV cache have K and V matrices all the same (models/gemma3n.py).
UNUSED_KV_BEFORE = 30

# Tables for mrope hold four times the positions, for videos; from this release on model types that begin so need that
# only with video pruning, which is off by default (models/qwen3_vl.py, mrope_positions_factor)
MROPE_ONCE_SINCE = 32
MROPE_ONCE = ("qwen3_vl", "qwen3_5")

# From this release on GPTQ checkpoints with desc_act are refused (quantization/utils/gptq_utils.py)
NO_ACT_ORDER_SINCE = 30

# Before this release every rank had all of ModernBERT's first feed-forward matrices (models/modernbert.py)
MODERNBERT_COPIED_BEFORE = 29
