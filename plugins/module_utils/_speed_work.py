# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What a model asks of a card: bytes read and operations done for a token, from its dimensions alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._cards import CardData
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_layout
from ansible_collections.gpuserve.inference.plugins.module_utils._types import KvGroup, Model

MXFP4_BYTES = 0.53125  # four bits a parameter, and an eight-bit scale for 32 of them


@dataclass(frozen=True)
class ModelWork:
    """Of the whole model; a rank of tensor parallel does 1/tp of the bytes and operations."""

    dense_bytes: float  # read in every step, whatever the batch
    expert_bytes: float  # all routed experts together
    routed: float  # the share of the experts that one token goes to
    dense_params: float  # a token passes these between the tables,
    expert_params: float  # these in the experts it is routed to,
    head_params: float  # and these only where it is sampled
    layers: int
    moe_layers: int
    quantized_activations: bool  # each layer's input is brought to 8 or 4 bits while serving
    width_bytes: int  # one token's activation: what an all-reduce carries for it
    groups: tuple[KvGroup, ...]
    heads: int
    head_dim: int
    kv_element_bytes: int
    latent: int  # kv_lora_rank of MLA, the width of its values

    def weight_bytes(self, tokens: float) -> float:
        """Read for a batch of ``tokens``: of the experts, those that at least one token is expected to go to."""
        touched = 1.0 - (1.0 - self.routed) ** tokens if self.expert_bytes else 0.0
        return self.dense_bytes + self.expert_bytes * touched

    def kv_bytes(self, context: float, tp: int) -> float:
        """One sequence's cache and states as a rank reads them for one token."""
        total = 0.0
        for group in self.groups:
            layers = group.layers - group.shared_layers
            if group.kind == "mamba":
                total += 2.0 * layers * group.state_bytes / tp  # read and written back
                continue
            # a layer that shares another's cache still reads it
            seen = min(context, group.window) if group.window else context
            if group.kind == "mla":
                total += group.layers * group.rank * self.kv_element_bytes * seen
            else:
                heads = max(1, group.kv_heads // tp)
                total += group.layers * heads * (group.head_dim + group.v_head_dim) * self.kv_element_bytes * seen
        return total

    def attention_flops(self, context: float, absorbed: bool) -> float:
        """For one token that looks back on ``context``. Decoding, MLA works on the latent vectors (``absorbed``)."""
        total = 0.0
        for group in self.groups:
            if group.kind == "mamba":
                continue
            seen = min(context, group.window) if group.window else context
            if group.kind == "mla":
                wide = group.rank + self.latent if absorbed else self.head_dim * 2
            else:
                wide = group.head_dim + group.v_head_dim
            total += 2.0 * group.layers * self.heads * wide * seen
        return total


def model_work(model: Model, kv_element_bytes: int = 0) -> ModelWork:
    groups: Mapping[str, Any] = model.weight_groups
    width, elem = model.width, model.element_bytes
    table = float(model.vocab_size * width * elem)
    total = float(model.weight_bytes)
    head = float(groups.get("lm_head") or 0.0) or table
    if groups:
        unread = float(groups.get("embedding") or 0.0)
        if model.multimodal:
            unread += float(groups.get("other") or 0.0)  # vision and audio towers
        experts = float(groups.get("experts") or 0.0)
        body = max(total - unread - (0.0 if model.tie_word_embeddings else head), 0.0)
    else:  # an index names no tensors' sizes: all but the tables
        body = max(total - head - (0.0 if model.tie_word_embeddings else table), 0.0)
        experts = _expert_share(model) * body
    routed = min(max(model.experts_per_token, 1) / model.experts, 1.0) if experts and model.experts else 1.0
    scale = _bytes_a_parameter(model, body)
    expert_scale = MXFP4_BYTES if model.quantization == "mxfp4" else scale
    dense_scale = float(elem) if model.quantization == "mxfp4" else scale
    one_layer = 3.0 * model.experts * width * (model.moe_intermediate_size or model.intermediate_size)
    moe_layers = min(max(round(experts / expert_scale / one_layer), 1), model.layers) if experts and one_layer else 0
    latent = model.config.get("kv_lora_rank")
    return ModelWork(
        dense_bytes=body - experts + head,
        expert_bytes=experts,
        routed=routed,
        dense_params=(body - experts) / dense_scale,
        expert_params=experts * routed / expert_scale,
        head_params=head / elem,
        layers=model.layers,
        moe_layers=moe_layers,
        quantized_activations=activations(model) != "fp16",
        width_bytes=width * elem,
        groups=kv_layout(model),
        heads=model.heads,
        head_dim=model.head_dim,
        kv_element_bytes=kv_element_bytes or elem,
        latent=latent if isinstance(latent, int) else 0,
    )


def _expert_share(model: Model) -> float:
    """Of the weights between the tables, by the dimensions; some of the first layers may be dense."""
    if not model.experts:
        return 0.0
    size = 3.0 * model.layers * model.experts * model.width * (model.moe_intermediate_size or model.intermediate_size)
    tables = model.vocab_size * model.width * (1 if model.tie_word_embeddings else 2)
    return min(size / max(model.parameters - tables, 1), 0.97) if model.parameters else 0.95


def _bytes_a_parameter(model: Model, body: float) -> float:
    if not model.quantization or not model.parameters:
        return float(model.element_bytes)
    tables = model.vocab_size * model.width * (1 if model.tie_word_embeddings else 2)
    if model.multimodal:
        tables += int(float(model.weight_groups.get("other") or 0.0)) // model.element_bytes
    params = model.parameters - tables
    return min(max(body / params, 0.5), float(model.element_bytes)) if params > 0 else float(model.element_bytes)


def activations(model: Model) -> str:
    """What linear layers multiply in, where the card can: fp16, or less where not only the weights are quantized."""
    method = str(model.quantization or "").lower()
    if method in ("fp8", "fbgemm_fp8", "ptpc_fp8", "modelopt"):
        return "fp8"
    if method in ("nvfp4", "modelopt_fp4"):
        return "fp4"
    return _activations(model.quantization_config) if method == "compressed-tensors" else "fp16"


def tflops(model: Model, card: CardData) -> float:
    """The rate of the units that the model's linear layers run on."""
    rates = {"fp8": card.fp8_tflops, "fp4": card.fp4_tflops, "int8": card.int8_tflops}
    return rates.get(activations(model)) or card.fp16_tflops


def _activations(config: Mapping[str, Any]) -> str:
    groups = config.get("config_groups")
    first = next((g for g in groups.values() if isinstance(g, dict)), {}) if isinstance(groups, dict) else {}
    inputs = first.get("input_activations")
    if not isinstance(inputs, dict):
        return "fp16"
    kind = "int" if inputs.get("type") == "int" else "fp"
    return {8: f"{kind}8", 4: "fp4" if kind == "fp" else "fp16"}.get(inputs.get("num_bits", 8), "fp16")
