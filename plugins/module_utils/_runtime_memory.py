# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What vLLM takes beside weights and KV cache: activations, sampler, buffers, graphs. vLLM profiles these at its start.

The laws were read from the peaks that vLLM 0.26.0 reported on an H200 (tests/truth/memory). They describe a first
start: while torch.compile works, Inductor times kernels on copies of their inputs, and the largest of those is the
embedding table. A start from the compile cache may find more room.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_layout
from ansible_collections.gpuserve.inference.plugins.module_utils._model_formula import PLAIN_MLP
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

GIB = 1024**3
MIB = 1024**2
WORKSPACE = 32 * MIB  # cuBLAS on Hopper, allocated through torch; other cards take less
TIMING_BUFFER = 60 * MIB  # Inductor clears the L2 cache between timed runs: H200's is 60 MiB
NON_TORCH = 230 * MIB  # cuBLAS and kernels loaded while profiling: 230 to 232 MiB with the second model runner ...
NON_TORCH_FIRST = 238 * MIB  # ... and 232 to 258 with the first
FIRST_RUNNER_SAMPLER = 14.55  # bytes a logit: float32 copies for top-k, top-p and the seeded path
SECOND_RUNNER_STATE = 4.125  # bytes a sequence and vocabulary entry held for good: counts, and a bit mask
GRAPH_SIZES_MAX = 512  # the largest batch that is captured
GRAPH_SIZES_WIDE, WIDE_GRAPHS = 1024, ("GptOssForCausalLM",)  # model_executor/models/config.py
WIDER_GRAPHS = 1024  # what a dense model on an H200 was measured to gain from (docs/measurements.md)
GRAPHS_UNSURE = 1.5  # the first runner's estimate was up to so much above the law's, with Mamba-1 and MLA
MOE_COPIES = 6  # hidden-sized copies beside the experts' workspaces
ENCODER_COPIES = 8  # activations of a vision tower, in rows of its own width: not measured


@dataclass(frozen=True)
class Runtime:
    """Bytes of a rank beside weights and KV cache. What is outside the budget must be free beyond the utilisation."""

    activations: int
    persistent: int
    graphs: int
    non_torch: int
    persistent_in_budget: bool
    graphs_in_budget: bool
    graphs_unsure: int = 0


def second_runner(model: Model, release: Release) -> bool:
    """Does this release run the model with its newer model runner (``config/vllm.py: use_v2_model_runner``)?"""
    if release.second_runner is None:
        return True
    listed = model.architecture in release.second_runner
    recurrent = any(g.kind == "mamba" for g in kv_layout(model))
    if "generate" not in model.tasks or (recurrent and not (listed and release.minor > 26)):
        return False
    return listed or not model.experts


def runtime_memory(
    model: Model,
    release: Release,
    tp: int,
    *,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    max_model_len: int = 0,
    enforce_eager: bool = False,
    max_cudagraph_capture_size: int = 0,
    generation: int = 9,
) -> Runtime:
    """``generation`` is the card's compute capability before the point; the laws are Hopper's (9).

    ``max_cudagraph_capture_size`` is in tokens; 0 is the release's own.
    """
    second = second_runner(model, release)
    encoder = (
        encoder_bytes(model, max_num_batched_tokens) if not second or release.second_runner_profiles_encoder else 0
    )
    wide = wide_graphs(model, release, generation)
    sizes = graph_sizes(max_num_seqs, max_num_batched_tokens, max_cudagraph_capture_size, wide)
    graphs = 0 if enforce_eager else graph_bytes(model, tp, sizes, second)
    return Runtime(
        activations=max(
            forward_bytes(model, tp, max_num_batched_tokens, enforce_eager, generation),
            sampling_bytes(model, tp, max_num_batched_tokens, max_num_seqs, second, generation),
            encoder,
        ),
        persistent=persistent_bytes(model, max_num_seqs, max_num_batched_tokens, max_model_len, second),
        graphs=graphs,
        non_torch=NON_TORCH if second else NON_TORCH_FIRST,
        persistent_in_budget=release.persistent_in_budget,
        graphs_in_budget=not second or release.second_runner_profiles_graphs,
        graphs_unsure=0 if second else int(GRAPHS_UNSURE * graphs),
    )


def _mlp_copies(model: Model) -> int:
    """Matrices of the MLP whose output is alive at once: gate, up and their product, or one and its activation."""
    return 2 if str(model.config.get("model_type") or "") in PLAIN_MLP else 3


def expert_workspace(model: Model, tp: int, tokens: int, generation: int) -> int:
    """The two workspaces of a fused MoE layer; they stay allocated (``fused_moe/modular_kernel.py``).

    MXFP4 experts go through a kernel that needs none on Hopper; elsewhere that was not measured.
    """
    if not model.experts or (model.quantization == "mxfp4" and generation == 9):
        return 0
    inner = (model.moe_intermediate_size or model.intermediate_size) / tp
    rows = tokens * max(model.experts_per_token, 1)
    copies = max(2 * inner, model.width) + max(inner, model.width)
    if model.quantization in ("fp8", "compressed-tensors", "modelopt"):
        copies += model.width  # seen on one model only: the rows once more before they are quantized
    return int(rows * copies * model.element_bytes)


def forward_bytes(model: Model, tp: int, tokens: int, enforce_eager: bool, generation: int = 9) -> int:
    hidden, elem = model.width, model.element_bytes
    row = tokens * elem
    inner = model.intermediate_size or model.moe_intermediate_size
    peak = row * (_mlp_copies(model) * inner / tp + 3 * hidden)
    if model.experts:
        peak = max(peak if model.config.get("first_k_dense_replace") else 0, row * MOE_COPIES * hidden)
        peak += expert_workspace(model, tp, tokens, generation)
    peak += WORKSPACE
    if enforce_eager:
        return int(peak)
    table = 0 if model.multimodal else model.vocab_size * hidden * elem / tp
    return int(
        max(peak + TIMING_BUFFER, table + (2 if tp == 1 else 1) * row * hidden + (0 if tp == 1 else TIMING_BUFFER))
    )


def sampling_bytes(model: Model, tp: int, tokens: int, seqs: int, second: bool, generation: int = 9) -> int:
    """Peak of sampling ``seqs`` sequences, on top of what the forward pass leaves; logits are not sharded."""
    if "generate" not in model.tasks:
        return 0
    elem = model.element_bytes
    held = (tokens + seqs) * model.width * elem + WORKSPACE + expert_workspace(model, tp, tokens, generation)
    if not second:
        return int(held + seqs * model.vocab_size * FIRST_RUNNER_SAMPLER)
    each = elem * (1.0 if tp == 1 else 2.0 + 1.0 / tp)  # a shard, the gathered shards, and those in one piece
    if tp == 1 and model.config.get("final_logit_softcapping"):
        each += elem  # capping keeps one more copy
    return int(held + seqs * model.vocab_size * each)


def persistent_bytes(model: Model, seqs: int, tokens: int, max_model_len: int, second: bool) -> int:
    """Buffers that the model runner keeps: token counts of the penalties, and the block table."""
    if "generate" not in model.tasks:
        return 0
    length = max_model_len or model.max_position_embeddings
    table = seqs * 4 * -(-length // 16)
    if second:
        return int(seqs * model.vocab_size * SECOND_RUNNER_STATE) + table
    return tokens * model.width * model.element_bytes + table


def wide_graphs(model: Model, release: Release, generation: int) -> bool:
    """Does the release capture up to 1024 tokens of its own accord, for this model or on such a card?"""
    return model.architecture in WIDE_GRAPHS or generation in release.wide_graphs


def graph_sizes(seqs: int, tokens: int, wish: int = 0, wide: bool = False) -> tuple[int, ...]:
    """Batch sizes that are captured (``config/vllm.py``): 1, 2, 4, by 8 to 256, by 16 beyond, and a whole batch.

    ``wish`` is ``--max-cudagraph-capture-size``, 0 where it is not given; ``wide`` is what ``wide_graphs`` says.
    """
    top = min(wish or min(GRAPH_SIZES_WIDE if wide else GRAPH_SIZES_MAX, 2 * seqs), tokens)
    steps = {n for n in (1, 2, 4, *range(8, 256, 8), *range(256, top + 1, 16)) if n <= top}
    return tuple(sorted(steps | ({tokens} if tokens <= top else set())))


def wider_graphs_pay(model: Model, release: Release, capability: str) -> bool:
    """Was such a model measured with larger graphs on such a card, and has the release none of its own accord?"""
    measured = capability.partition(".")[0] == "9" and plain_decoder(model) and second_runner(model, release)
    return measured and not wide_graphs(model, release, 9)


def plain_decoder(model: Model) -> bool:
    """Neither experts, nor other senses, nor states or latent vectors in place of keys and values."""
    return not (model.experts or model.multimodal or any(g.kind in ("mamba", "mla") for g in kv_layout(model)))


def graph_bytes(model: Model, tp: int, sizes: tuple[int, ...], second: bool) -> int:
    """CUDA graphs, full and piecewise: vLLM's own estimate for the first runner, what capture took for the second."""
    if second:
        return int((0.2 + 0.022 * model.layers * len(sizes) / 51) * GIB)
    pieces = sum(g.layers for g in kv_layout(model))
    each = max(1.0, 0.08 * pieces)  # vLLM counts at least 1 MiB a graph
    first = 130 * MIB + expert_workspace(model, tp, min(GRAPH_SIZES_MAX, sizes[-1]), 9)
    return int(first + 2 * (len(sizes) - 1) * each * MIB)


def encoder_bytes(model: Model, tokens: int) -> int:
    """A vision tower's pass over as many patches as fill one batch: an upper estimate, not measured."""
    vision = model.config.get("vision_config")
    if not model.multimodal or not isinstance(vision, dict):
        return 0
    width = vision.get("hidden_size") or vision.get("embed_dim") or 1024
    merge = vision.get("spatial_merge_size") or 2
    if not isinstance(width, int) or not isinstance(merge, int):
        return 0
    return int(tokens * merge * merge * width * ENCODER_COPIES * model.element_bytes)
