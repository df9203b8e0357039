# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of the KV cache one by one. That they are vLLM's rules is shown by test_kv_truth.py."""

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import RELEASES
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

LLAMA_8B = {
    "architecture": "LlamaForCausalLM", "dtype": "bfloat16", "weight_bytes": 16_060_522_496, "layers": 32,
    "heads": 32, "kv_heads": 8, "head_dim": 128, "vocab_size": 128256, "max_position_embeddings": 131072,
    "hidden_size": 4096,
}  # fmt: skip
R26, R32 = RELEASES[26], RELEASES[32]


def make(**changes):
    return Model.from_dict({**LLAMA_8B, **changes})


GEMMA3_27B = [
    {"kind": "full", "layers": 10, "kv_heads": 16, "head_dim": 128},
    {"kind": "sliding", "layers": 52, "kv_heads": 16, "head_dim": 128, "window": 1024},
]
GPT_OSS = [
    {"kind": "full", "layers": 12, "kv_heads": 8, "head_dim": 64},
    {"kind": "sliding", "layers": 12, "kv_heads": 8, "head_dim": 64, "window": 128},
]


@pytest.mark.parametrize(
    ("layout", "tp", "batched", "length", "block_bytes", "blocks"),
    [
        # full attention: 32 layers x 16 tokens x 8 heads x (128 + 128) x 2 bytes
        ([{"kind": "full", "layers": 32, "kv_heads": 8, "head_dim": 128}], 1, 2048, 8192, 32 * 16 * 8 * 256 * 2, 512),
        ([{"kind": "full", "layers": 32, "kv_heads": 8, "head_dim": 128}], 2, 2048, 8192, 32 * 16 * 4 * 256 * 2, 512),
        # more ranks than KV heads: each keeps one
        ([{"kind": "full", "layers": 32, "kv_heads": 2, "head_dim": 128}], 4, 2048, 8192, 32 * 16 * 1 * 256 * 2, 512),
        # 12 + 12 layers: two groups of 12; the window holds 127 + 2 x 2048 tokens while batches are in flight
        (GPT_OSS, 1, 2048, 131072, 12 * 16 * 8 * 128 * 2, 8192 + 264 + 1),
        # 10 + 52 layers: one group of 10 and six for the sliding ones
        (GEMMA3_27B, 1, 2048, 131072, 10 * 16 * 16 * 256 * 2, 8192 + 6 * (320 + 1)),
        # chunked attention starts over: no block more
        (
            [{"kind": "chunked", "layers": 8, "kv_heads": 8, "head_dim": 128, "window": 8192}],
            1,
            2048,
            131072,
            8 * 16 * 8 * 256 * 2,
            768,
        ),
        # MLA: one latent vector on every rank; FlashAttention's MLA of Hopper takes blocks of 16
        ([{"kind": "mla", "layers": 61, "rank": 576}], 8, 8192, 65536, 61 * 16 * 576 * 2, 4096),
        # layers that read another layer's cache own none
        (
            [{"kind": "full", "layers": 30, "kv_heads": 8, "head_dim": 128, "shared_layers": 10}],
            1,
            2048,
            16,
            20 * 16 * 8 * 256 * 2,
            1,
        ),
    ],
)
def test_blocks(layout, tp, batched, length, block_bytes, blocks):
    kv = kv_plan(make(kv_layout=layout), tp, R32, "auto", batched)
    assert kv.bytes_per_block == block_bytes
    assert kv.blocks_per_request(length) == blocks


def test_mamba_states_enlarge_the_attention_block():
    layout = [
        {"kind": "full", "layers": 12, "kv_heads": 2, "head_dim": 256},
        {"kind": "mamba", "layers": 36, "state_bytes": 2_150_400},
    ]
    kv = kv_plan(make(kv_layout=layout), 1, R32, "auto", 8192)
    assert kv.block_size == 16 * -(-2_150_400 // (16 * 2 * 512 * 2))
    # 36 layers of state: three groups of 12, and with prefix caching two states each
    assert kv.blocks_per_request(kv.block_size * 10) == 10 + 3 * 2
    without = kv_plan(make(kv_layout=layout), 1, R32, "auto", 8192, prefix_caching=False)
    assert without.blocks_per_request(kv.block_size * 10) == 10 + 3


@pytest.mark.parametrize(
    ("changes", "dtype", "size"),
    [
        ({}, "auto", 2),
        ({}, "fp8", 1),
        ({"dtype": "float32"}, "auto", 4),
        ({"quantization": "fp8", "quantization_config": {"kv_cache_scheme": {"num_bits": 8}}}, "auto", 1),
        ({"quantization": "fp8", "quantization_config": {"kv_cache_scheme": {"num_bits": 8}}}, "bfloat16", 2),
    ],
)
def test_kv_cache_dtype(changes, dtype, size):
    assert kv_plan(make(**changes), 1, R32, dtype, 2048).bytes_per_block == 32 * 16 * 8 * 256 * size


def test_longest_request_is_the_edge():
    kv = kv_plan(make(), 1, R32, "auto", 2048)
    room = kv.bytes_for(1, 50_000)
    longest = kv.longest(room, 131072)
    assert longest >= 50_000
    assert kv.bytes_for(1, longest) <= room < kv.bytes_for(1, longest + 1)
    assert kv.longest(room, 4096) == 4096
    assert kv.longest(kv.bytes_per_block, 4096) == 0  # the null block alone


def test_the_null_block_is_set_aside_from_029_on():
    for minor, spare in ((26, 0), (28, 0), (29, 1), (33, 1)):
        kv = kv_plan(make(), 1, RELEASES[minor], "auto", 2048)
        assert kv.bytes_for(1, 1600) == (100 + spare) * kv.bytes_per_block
        assert kv.blocks(100 * kv.bytes_per_block) == 100


def test_without_the_hybrid_manager_windows_count_as_full():
    kv = kv_plan(make(kv_layout=GPT_OSS), 1, R32, "auto", 2048, hybrid_manager=False)
    assert kv.bytes_per_block == 24 * 16 * 8 * 128 * 2
    assert kv.blocks_per_request(131072) == 8192
    states = [
        {"kind": "full", "layers": 4, "kv_heads": 2, "head_dim": 128},
        {"kind": "mamba", "layers": 4, "state_bytes": 9},
    ]
    with pytest.raises(InputError, match="disable_hybrid_kv_cache_manager"):
        kv_plan(make(kv_layout=states), 1, R32, "auto", 2048, hybrid_manager=False)


def test_one_batch_in_flight_without_async_scheduling():
    two, one = (kv_plan(make(kv_layout=GPT_OSS), 1, R32, "auto", 2048, async_scheduling=a) for a in (None, False))
    assert two.blocks_per_request(131072) - one.blocks_per_request(131072) == 2048 // 16


def test_windows_keep_small_blocks_and_share_pages():
    # all layers slide: until 0.29 their block stays the kernel's, whatever block size is asked for
    only = [{"kind": "sliding", "layers": 4, "kv_heads": 8, "head_dim": 128, "window": 512}]
    assert kv_plan(make(kv_layout=only), 1, R26, "auto", 2048, 64).block_size == 16
    assert kv_plan(make(kv_layout=only), 1, R32, "auto", 2048, 64).block_size == 64
    # wider full layers: the window's pages grow to their size by holding more tokens
    both = [{"kind": "full", "layers": 4, "kv_heads": 8, "head_dim": 256}, *only]
    kv = kv_plan(make(kv_layout=both), 1, R32, "auto", 2048)
    assert {(g.kind, g.block_size) for g in kv.groups} == {("full", 16), ("sliding", 32)}
    assert kv.bytes_per_block == 4 * 16 * 8 * 512 * 2


@pytest.mark.parametrize(
    ("tp", "size"),
    [
        (1, (4096 + 2 * 128) * 3 * 2 + 4096 * 128 * 4),
        # one group of B and C: every further rank brings a copy of it
        (4, (4096 + 2 * 128 * 4) // 4 * 3 * 2 + 4096 // 4 * 128 * 4),
    ],
)
def test_states_of_a_rank(tp, size):
    parts = {"conv_dim": 4096 + 256, "conv_width": 3, "conv_bytes": 2, "conv_groups": 1, "conv_group_dim": 256}
    layout = [{"kind": "mamba", "layers": 8, "recurrent": 4096 * 128, "recurrent_bytes": 4, **parts}]
    kv = kv_plan(make(kv_layout=layout, architecture="Mamba2ForCausalLM"), tp, R32, "auto", 2048)
    assert kv.bytes_per_block == 8 * size
    assert kv.blocks_per_request(100_000) == 1


def test_a_model_without_cache():
    kv = kv_plan(make(kv_layout=[], tasks=["embed"]), 1, R32, "auto", 2048)
    assert (kv.groups, kv.blocks(1 << 30), kv.blocks_per_request(4096)) == ((), 1, 1)


FULL = {"kind": "full", "kv_heads": 2, "head_dim": 32}
MAMBA2 = {
    "kind": "mamba", "conv_dim": 384, "conv_width": 3, "conv_bytes": 2, "conv_groups": 1, "conv_group_dim": 128,
    "recurrent": 16384, "recurrent_bytes": 2,
}  # fmt: skip
SHORT_CONV = {"kind": "mamba", "conv_dim": 128, "conv_width": 2, "conv_bytes": 2}


@pytest.mark.parametrize(
    ("layout", "blocks", "tokens"),
    [
        ([{**FULL, "layers": 3}], 256, 32768),
        ([{**FULL, "layers": 1}, {**FULL, "kind": "sliding", "layers": 7, "window": 96}], 768, 27118),
        ([{**FULL, "kind": "sliding", "layers": 2, "window": 100}], 384, 131072),
        ([{"kind": "mla", "layers": 2, "rank": 576}], 683, 10928),
        ([{**FULL, "layers": 1}, {**MAMBA2, "layers": 3}], 256, 34952),  # states in float32 there
        ([{**FULL, "layers": 1}, {**SHORT_CONV, "layers": 3}], 768, 71493),
    ],
)
def test_what_the_real_cpu_engine_said(layout, blocks, tokens):
    """vLLM 0.32.0 with 25178169 bytes, max_model_len 2048, batches of 512; again by ``make engine``."""
    kv = kv_plan(make(kv_layout=layout), 1, R32, "auto", 512, device="cpu")
    assert (kv.blocks(25178169), kv.tokens(25178169, 2048)) == (blocks, tokens)


def test_states_on_processors_without_bfloat16():
    """The same start on such a machine: the engine leaves the states as the model has them."""
    layout = [{**FULL, "layers": 1}, {**MAMBA2, "layers": 3}]
    kv = kv_plan(make(kv_layout=layout), 1, R32, "auto", 512, device="cpu", avx512_bf16=False)
    assert (kv.blocks(25178169), kv.tokens(25178169, 2048)) == (384, 46260)
