# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Published sizing formulas that are small enough to write down, for tools that cannot be installed on their own.

Each says where its authors publish it; the arithmetic here is ours. Sizes are bytes.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Optional

GIB = 1024**3


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    part = config.get("text_config")
    return part if isinstance(part, dict) and part.get("hidden_size") else config


def head_dim(config: Mapping[str, Any]) -> int:
    heads = int(config.get("num_attention_heads") or 0)
    return int(config.get("head_dim") or (int(config["hidden_size"]) // heads if heads else 0))


def full_attention_token_bytes(config: Mapping[str, Any], element: int = 2) -> Optional[int]:
    """KV bytes a token if every layer were full attention; None where the config names no heads."""
    text = text_part(config)
    heads = int(text.get("num_attention_heads") or 0)
    if not heads or not text.get("hidden_size"):
        return None
    kv_heads = int(text.get("num_key_value_heads") or heads)
    return 2 * int(text["num_hidden_layers"]) * kv_heads * head_dim(text) * element


# ---------------------------------------------------------------- weights x 1.2, the rest is KV cache


class RuleOfThumb:
    """The rule in many guides: weights and a fifth more, all other usable memory is KV cache of full attention."""

    @staticmethod
    def kv_bytes(weights: float, memory: int, utilization: float, tp: int) -> float:
        return memory * utilization - 1.2 * weights / tp

    @classmethod
    def tokens(cls, weights: float, token_bytes: int, memory: int, utilization: float, tp: int) -> int:
        return max(int(cls.kv_bytes(weights, memory, utilization, tp) // (token_bytes / tp)), 0)


# ---------------------------------------------------------------- GPUStack


class GpuStack:
    """gpustack/gpustack 47277d79, gpustack/policies/utils.py (estimate_model_vram): weights x 1.2 + 2 GiB.

    gpustack/policies/candidate_selectors/vllm_resource_fit_selector.py compares that with the cards' memory times
    gpu_memory_utilization, 0.9 unless given. It names no KV cache size.
    """

    @staticmethod
    def claim(weights: float) -> int:
        return int(weights * 1.2) + 2 * GIB

    @classmethod
    def fits(cls, weights: float, memory: int, utilization: float, tp: int) -> bool:
        return memory * tp * utilization >= cls.claim(weights)


# ---------------------------------------------------------------- KAITO


class Kaito:
    """kaito-project/kaito 056b8280b, pkg/workspace/estimator/nodesestimator/estimator.go and its worked example in
    website/docs/memory-estimator.md; bytes a token as presets/workspace/generator/generator.go counts them.

    KAITO starts vLLM with gpu_memory_utilization 0.84 and says that its estimate must use vLLM's value; so the
    utilisation is an argument here.
    """

    GROWTH = 1.02  # weights as loaded, against their files
    BASE = 2.3 * GIB
    SHARE = 0.05  # of a card's weights

    @staticmethod
    def token_bytes(config: Mapping[str, Any]) -> Optional[int]:
        text = text_part(config)
        rank = text.get("kv_lora_rank")
        if rank:
            return int(text["num_hidden_layers"]) * (int(rank) + int(text.get("qk_rope_head_dim") or 0)) * 2
        return full_attention_token_bytes(config)

    @classmethod
    def cards_needed(
        cls, files: float, token_bytes: int, length: int, memory: int, utilization: float, cards: int
    ) -> Optional[int]:
        """Cards that hold the weights; None where not even the reserve fits."""
        left = memory * utilization - cls.BASE - length * token_bytes / cards
        if left <= 0:
            return None
        return int(files * cls.GROWTH / (left / (1 + cls.SHARE))) + 1

    @classmethod
    def kv_bytes(cls, files: float, memory: int, utilization: float, cards: int) -> float:
        weights = files * cls.GROWTH / cards
        return memory * utilization - weights - cls.BASE - cls.SHARE * weights

    @classmethod
    def tokens(cls, files: float, token_bytes: int, memory: int, utilization: float, cards: int, latent: bool) -> int:
        adjusted = token_bytes if latent else token_bytes / cards  # a latent cache is copied to every card
        return max(math.floor(cls.kv_bytes(files, memory, utilization, cards) / adjusted), 0)
