# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What vLLM needs beside weights and KV cache: activations, sampler, graphs. Estimated, since vLLM profiles it."""

from __future__ import annotations

from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

GIB = 1024**3
MIB = 1024**2
# Forward pass: hidden-sized copies alive at its peak. Agrees with H200 profiles of four dense models within 0.15 GiB.
HIDDEN_COPIES = 8
# The same a routed token in the fused MoE's workspaces: known from one model only, hence the wider margin for MoE.
MOE_HIDDEN_COPIES = 10
NON_TORCH = 64 * MIB


def activation_bytes(model: Model, tp: int, tokens: int) -> int:
    hidden, elem = model.width, model.element_bytes
    inner = 3 * model.intermediate_size / tp
    if model.experts:
        top = max(model.experts_per_token, 1)
        inner = top * (4 * (model.moe_intermediate_size or model.intermediate_size) / tp + MOE_HIDDEN_COPIES * hidden)
    return int(tokens * elem * (inner + HIDDEN_COPIES * hidden))


def sampling_bytes(model: Model, release: Release, max_num_seqs: int) -> int:
    """Transient bytes of one sampling step at ``max_num_seqs`` sequences; the vocabulary is not sharded."""
    if "generate" not in model.tasks:
        return 0
    each = release.sampler_bytes
    if model.config.get("final_logit_softcapping"):
        each += model.element_bytes  # capping the logits keeps one more copy of them
    return max_num_seqs * model.vocab_size * each


def persistent_bytes(model: Model, release: Release, max_num_seqs: int) -> int:
    if "generate" not in model.tasks:
        return 0
    return int(max_num_seqs * model.vocab_size * release.persistent_sampler_bytes)


def graph_bytes(model: Model, enforce_eager: bool) -> int:
    return 0 if enforce_eager else int((0.2 + 0.022 * model.layers) * GIB)
