# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other estimators' arithmetic, each against an example that its authors worked out."""

from __future__ import annotations

import json
import math

import pytest
from ansible_collections.gpuserve.inference.benchmarks.planner.drivers import (
    ask_accelerate,
    ask_aiconfigurator,
    ask_checkpoint,
)
from ansible_collections.gpuserve.inference.benchmarks.planner.formulas import (
    GIB,
    GpuStack,
    Kaito,
    RuleOfThumb,
    full_attention_token_bytes,
)
from ansible_collections.gpuserve.inference.benchmarks.planner.places import MODELS


def config(name):
    return json.loads((MODELS / name / "config.json").read_text(encoding="utf-8"))


# the docstring of estimate_model_vram, for Qwen2.5 in bf16: 0.5B, 3B, 7B and 72B
@pytest.mark.parametrize(
    ("parameters", "claimed"),
    [(494032768, 3.1), (3085938688, 8.9), (7615616512, 19.0), (72706203648, 164.5)],
)
def test_gpustack_claims_what_its_docstring_says(parameters, claimed):
    assert GpuStack.claim(parameters * 2) / GIB == pytest.approx(claimed, abs=0.06)


@pytest.mark.parametrize(("card", "cards", "fits"), [(24, 1, True), (21, 1, False), (11, 2, True), (10, 2, False)])
def test_gpustack_compares_the_claim_with_the_utilised_part_of_all_cards(card, cards, fits):
    assert GpuStack.fits(7615616512 * 2, card * GIB, 0.9, cards) is fits


PHI4_MINI = {"num_hidden_layers": 32, "num_attention_heads": 24, "num_key_value_heads": 8, "hidden_size": 3072}


def test_kaito_counts_the_bytes_of_its_worked_example():
    assert Kaito.token_bytes(PHI4_MINI) == 131072


# website/docs/memory-estimator.md: an A100 of 80 GiB, an A10 of 24 GiB, both at 0.84
@pytest.mark.parametrize(("card", "left", "tokens"), [(80, 57.25, 469000), (24, 10.21, 83640)])
def test_kaito_leaves_what_its_worked_example_leaves(card, left, tokens):
    assert Kaito.kv_bytes(7.15 * GIB, card * GIB, 0.84, 1) / GIB == pytest.approx(left, abs=0.02)
    assert Kaito.tokens(7.15 * GIB, 131072, card * GIB, 0.84, 1, latent=False) == pytest.approx(tokens, rel=2e-3)


@pytest.mark.parametrize(("weights", "cards"), [(7.29, 1), (61.5, 1), (61.6, 2), (123.2, 3)])
def test_kaito_holds_61_57_gib_of_weights_on_that_card(weights, cards):
    files = weights / Kaito.GROWTH * GIB
    assert Kaito.cards_needed(files, 131072, 2048, 80 * GIB, 0.84, 1) == cards


def test_kaito_has_no_answer_where_the_reserve_fills_the_card():
    assert Kaito.cards_needed(GIB, 131072, 2048, 3 * GIB, 0.84, 1) is None


def test_kaito_copies_a_latent_cache_to_every_card():
    deepseek = Kaito.token_bytes(config("deepseek-v3"))
    assert deepseek == 61 * (512 + 64) * 2
    split = Kaito.tokens(600 * GIB, deepseek, 140 * GIB, 0.9, 8, latent=False)
    assert split == pytest.approx(8 * Kaito.tokens(600 * GIB, deepseek, 140 * GIB, 0.9, 8, latent=True), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("llama-3.1-8b", 128 * 1024),  # 32 layers x 8 heads x 128 x 2 x 2 bytes
        ("qwen2.5-7b", 56 * 1024),
        ("gemma-2-9b", 2 * 42 * 8 * 256 * 2),  # head_dim is its own, not hidden / heads
        ("gemma-3-27b", 2 * 62 * 16 * 128 * 2),  # the text part of a multimodal config
        ("mamba-2.8b", None),
    ],
)
def test_bytes_a_token_of_full_attention(name, size):
    assert full_attention_token_bytes(config(name)) == size


def test_rule_of_thumb():
    # 24 GiB x 0.9 - 1.2 x 15 GiB = 3.6 GiB, at 128 KiB a token
    assert RuleOfThumb.tokens(15 * GIB, 128 * 1024, 24 * GIB, 0.9, 1) == 29491
    # two cards: 2 x 21.6 - 18 = 25.2 GiB together
    assert RuleOfThumb.tokens(15 * GIB, 128 * 1024, 24 * GIB, 0.9, 2) == 206438
    assert RuleOfThumb.tokens(30 * GIB, 128 * 1024, 24 * GIB, 0.9, 1) == 0


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("llama-3.1-8b", "float16"),
        ("olmo-2-7b", "float16"),
        ("llama-3.1-8b-fp8", "int8"),
        ("qwen3-8b-fp8", "int8"),
        ("llama-3.1-8b-awq", "int4"),
        ("gpt-oss-20b", "int4"),
    ],
)
def test_the_column_read_from_accelerate(name, column):
    assert ask_accelerate.dtype_of(config(name)) == column


@pytest.mark.parametrize("length", [1, 99, 100, 101, 5000])
def test_aiconfigurator_curve_is_inverted_exactly(length):
    def tokens_of(size):  # a window of 100 tokens at 7 bytes, then 3 bytes a token
        return size // 7 if size <= 700 else 100 + (size - 700) // 3

    found = ask_aiconfigurator.bytes_for(tokens_of, length)
    assert tokens_of(found) >= length > tokens_of(found - 1)


# shapes as published: an attention projection of Llama-3.1-8B, and the experts of gpt-oss-20b
@pytest.mark.parametrize(
    ("quant", "shape", "listed"),
    [
        (
            {"quant_method": "fp8", "weight_block_size": [128, 128]},
            [1024, 4096],
            [("F8_E4M3", [1024, 4096]), ("F32", [8, 32])],
        ),
        (
            {"quant_method": "awq", "bits": 4, "group_size": 128},
            [4096, 4096],
            [("I32", [4096 * 512]), ("I32", [32 * 512]), ("F16", [32, 4096])],
        ),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128},
            [1024, 4096],
            [("I32", [512 * 1024]), ("I32", [32 * 128]), ("F16", [32, 1024]), ("I32", [4096])],
        ),
        ({"quant_method": "mxfp4"}, [32, 5760, 2880], [("U8", [32, 5760, 90, 16]), ("U8", [32, 5760, 90])]),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "strategy": "channel"}}},
            },
            [1024, 4096],
            [("F8_E4M3", [1024, 4096]), ("BF16", [1024, 1])],
        ),
    ],
)
def test_checkpoint_layouts(quant, shape, listed):
    assert [(d, s) for _n, d, s in ask_checkpoint.packed("w", shape, "BF16", quant)] == listed


def test_four_bits_a_value():
    for method in ("awq", "gptq"):
        first = ask_checkpoint.packed("w", [1024, 4096], "F16", {"quant_method": method, "bits": 4, "group_size": 128})[
            0
        ]
        assert math.prod(first[2]) * 4 == 1024 * 4096 // 2


@pytest.mark.parametrize(
    ("module", "patterns", "kept"),
    [
        ("lm_head", ["lm_head"], True),
        ("model.layers.3.self_attn.q_proj", ["model.layers.*.self_attn"], True),
        ("model.layers.3.mlp.experts", ["model.layers.*.self_attn"], False),
        ("visual.blocks.0.attn.qkv", ["re:visual.*"], True),
        ("model.layers.0.mlp.gate", ["gate"], True),
        ("model.layers.0.mlp.gate_proj", ["gate"], False),
    ],
)
def test_modules_that_stay_as_they_are(module, patterns, kept):
    assert ask_checkpoint.ignored(module, patterns) is kept
