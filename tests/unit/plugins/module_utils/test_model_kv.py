# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which layers keep what of past tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import (
    MODELS,
    config,
    fixture_config,
    model_dir,
)

# kind: layers, kv_heads, head_dim, window, rank, state_bytes, shared_layers
LAYOUTS = {
    "llama-3.1-8b": {"full": (32, 8, 128, 0, 0, 0, 0)},
    "qwen2.5-7b": {"full": (28, 4, 128, 0, 0, 0, 0)},  # names a window and switches it off
    "gemma-2-9b": {"full": (21, 8, 256, 0, 0, 0, 0), "sliding": (21, 8, 256, 4096, 0, 0, 0)},
    "gemma-3-27b": {"full": (10, 16, 128, 0, 0, 0, 0), "sliding": (52, 16, 128, 1024, 0, 0, 0)},
    "gemma-3-1b": {"full": (4, 1, 256, 0, 0, 0, 0), "sliding": (22, 1, 256, 512, 0, 0, 0)},
    "gemma-3n-e4b": {"full": (7, 2, 256, 0, 0, 0, 3), "sliding": (28, 2, 256, 512, 0, 0, 12)},
    "gpt-oss-20b": {"full": (12, 8, 64, 0, 0, 0, 0), "sliding": (12, 8, 64, 128, 0, 0, 0)},
    "mistral-7b-v0.1": {"sliding": (32, 8, 128, 4096, 0, 0, 0)},
    "mistral-7b-v0.3": {"full": (32, 8, 128, 0, 0, 0, 0)},  # sliding_window: null hides the class's 4096
    "phi-3-mini-4k": {"sliding": (32, 32, 96, 2047, 0, 0, 0)},
    "command-r7b": {"full": (8, 8, 128, 0, 0, 0, 0), "sliding": (24, 8, 128, 4096, 0, 0, 0)},
    "llama-4-scout": {"full": (12, 8, 128, 0, 0, 0, 0), "chunked": (36, 8, 128, 8192, 0, 0, 0)},
    "deepseek-v3": {"mla": (61, 0, 0, 0, 576, 0, 0)},
    "deepseek-v2-lite": {"mla": (27, 0, 0, 0, 576, 0, 0)},
    # states: (2*16*128 + 32*128)*3 conv values and 32*128*128 recurrent ones, 2 bytes each
    "qwen3-next-80b-a3b": {"full": (12, 2, 256, 0, 0, 0, 0), "mamba": (36, 0, 0, 0, 0, 1097728, 0)},
    "jamba-v0.1": {"full": (4, 8, 128, 0, 0, 0, 0), "mamba": (28, 0, 0, 0, 0, 8192 * (3 + 16) * 2, 0)},
    # the recurrent state is float32 there
    "nemotron-h-8b": {
        "full": (4, 8, 128, 0, 0, 0, 0),
        "mamba": (24, 0, 0, 0, 0, 10240 * 3 * 2 + 128 * 64 * 128 * 4, 0),
    },
    # attention and Mamba in every layer
    "falcon-h1-7b": {
        "full": (44, 2, 128, 0, 0, 0, 0),
        "mamba": (44, 0, 0, 0, 0, 3584 * 3 * 2 + 24 * 128 * 256 * 2, 0),
    },
    "granite-4.0-h-tiny": {
        "full": (4, 4, 128, 0, 0, 0, 0),
        "mamba": (36, 0, 0, 0, 0, 3328 * 3 * 2 + 48 * 64 * 128 * 2, 0),
    },
    "mamba-2.8b": {"mamba": (64, 0, 0, 0, 0, 5120 * (3 + 16) * 2, 0)},
    "lfm2-1.2b": {"full": (6, 8, 64, 0, 0, 0, 0), "mamba": (10, 0, 0, 0, 0, 2048 * 2 * 2, 0)},
    "bge-base-en": {},  # an encoder keeps nothing
}


def layout(path: Path) -> dict[str, tuple[int, ...]]:
    groups = read_model(str(path)).kv_layout
    return {
        g.kind: (g.layers, g.kv_heads, g.head_dim, g.window, g.rank, g.state_bytes, g.shared_layers) for g in groups
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str) -> None:
    assert layout(MODELS / name) == LAYOUTS[name]


QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 8, "sliding_window": 512}
# changes to a Llama of 2 layers, and how many layers of each kind come out
RULES: list[tuple[dict[str, Any], dict[str, int]]] = [
    ({}, {"full": 2}),
    ({"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}, {"sliding": 1, "full": 1}),
    ({"layer_types": ["sliding_attention", "full_attention"], "sliding_window": None}, {"full": 2}),
    ({"sliding_window": 64}, {"sliding": 2}),
    ({"sliding_window": 0}, {"full": 2}),
    ({**QWEN2}, {"full": 8}),
    ({**QWEN2, "use_sliding_window": False}, {"full": 8}),
    ({**QWEN2, "use_sliding_window": True, "max_window_layers": 6}, {"full": 6, "sliding": 2}),
    ({"model_type": "exaone4", "sliding_window_pattern": "LLLG", "num_hidden_layers": 8}, {"sliding": 6, "full": 2}),
    ({"model_type": "llama4_text", "num_hidden_layers": 8}, {"chunked": 6, "full": 2}),
    ({"model_type": "llama4_text", "num_hidden_layers": 4, "no_rope_layers": [1, 0, 0, 1]}, {"chunked": 2, "full": 2}),
    ({"model_type": "llama4_text", "attention_chunk_size": None}, {"full": 2}),
    ({"model_type": "gemma2", "num_hidden_layers": 3}, {"sliding": 2, "full": 1}),  # sliding comes first
    ({"model_type": "gpt_oss", "num_hidden_layers": 3}, {"sliding": 2, "full": 1}),
    ({"model_type": "gemma3_text", "num_hidden_layers": 13, "sliding_window": 64}, {"sliding": 11, "full": 2}),
    ({"attn_type_list": [0, 1]}, {"mamba": 1, "full": 1}),
    ({"hybrid_layer_pattern": [0, 1], "sliding_window": 64}, {"full": 1, "sliding": 1}),
    ({"block_configs": [{"attention": {"no_op": True}}, {"attention": {}}]}, {"full": 1}),
    ({"attn_layer_indices": [1], "mamba_d_state": 16}, {"mamba": 1, "full": 1}),
    (
        {"linear_attn_config": {"full_attn_layers": [2], "num_heads": 4, "head_dim": 16}, "kv_lora_rank": 32,
         "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16},
        {"mamba": 1, "mla": 1},
    ),
    ({"architectures": ["LlamaBidirectionalModel"]}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "layers"), RULES)
def test_rules(tmp_path: Path, changes: dict[str, Any], layers: dict[str, int]) -> None:
    found = layout(model_dir(tmp_path, config(**changes)))
    assert {kind: values[0] for kind, values in found.items()} == layers


def test_value_heads_may_be_smaller(tmp_path: Path) -> None:
    content = config(layer_types=["sliding_attention", "full_attention"], sliding_window=64, head_dim=24, v_head_dim=16)
    content.update(swa_num_key_value_heads=4, swa_head_dim=32, swa_v_head_dim=8)
    groups = {g.kind: g for g in read_model(str(model_dir(tmp_path, content))).kv_layout}
    assert (groups["full"].kv_heads, groups["full"].head_dim, groups["full"].v_head_dim) == (2, 24, 16)
    assert (groups["sliding"].kv_heads, groups["sliding"].head_dim, groups["sliding"].v_head_dim) == (4, 32, 8)


def test_gemma_4_full_layers_have_their_own_heads(tmp_path: Path) -> None:
    content = config(model_type="gemma4_text", num_hidden_layers=6, head_dim=32, global_head_dim=64, sliding_window=64)
    content.update(attention_k_eq_v=True, num_global_key_value_heads=1)
    groups = {g.kind: g for g in read_model(str(model_dir(tmp_path, content))).kv_layout}
    assert (groups["full"].layers, groups["full"].kv_heads, groups["full"].head_dim) == (1, 1, 64)
    assert (groups["sliding"].layers, groups["sliding"].kv_heads, groups["sliding"].head_dim) == (5, 2, 32)


def test_layers_that_differ_by_a_list_of_layers(tmp_path: Path) -> None:
    content = config(model_type="gemma4_text", num_hidden_layers=6, head_dim=32, sliding_window=64)
    content.update(per_layer_config={"05": {"head_dim": 64}})
    groups = {g.kind: g for g in read_model(str(model_dir(tmp_path, content))).kv_layout}
    assert (groups["full"].head_dim, groups["sliding"].head_dim) == (64, 32)


@pytest.mark.parametrize(("named", "state"), [(None, 2), ("float32", 4), ("bfloat16", 2)])
def test_recurrent_states_in_the_dtype_the_config_names(tmp_path: Path, named: Any, state: int) -> None:
    content = fixture_config("qwen3-next-80b-a3b")
    content["mamba_ssm_dtype"] = named
    assert layout(model_dir(tmp_path, content))["mamba"][5] == 8192 * 3 * 2 + 32 * 128 * 128 * state


@pytest.mark.parametrize(
    "architecture", ["DeepseekV4ForCausalLM", "MiniMaxM3SparseForCausalLM", "KimiK3ForConditionalGeneration"]
)
def test_caches_that_are_not_modelled_are_refused_by_name(tmp_path: Path, architecture: str) -> None:
    with pytest.raises(ModelError, match=f"{architecture}: its KV cache .* is not modelled"):
        read_model(str(model_dir(tmp_path, config(architectures=[architecture]))))


def test_latent_vectors_that_vllm_unpacks_count_as_full_attention(tmp_path: Path) -> None:
    content = config(model_type="minicpm3", architectures=["MiniCPM3ForCausalLM"], kv_lora_rank=32)
    content.update(qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16)
    (group,) = read_model(str(model_dir(tmp_path, content))).kv_layout
    assert (group.kind, group.kv_heads, group.head_dim, group.v_head_dim) == (
        "full",
        content["num_attention_heads"],
        24,
        24,
    )


@pytest.mark.parametrize(
    ("changes", "layers"), [({}, 8), ({"index_topk_freq": 4}, 3), ({"index_topk_pattern": "FSSFSSFS"}, 3)]
)
def test_sparse_indexers(tmp_path: Path, changes: dict[str, Any], layers: int) -> None:
    content = config(model_type="deepseek_v32", architectures=["DeepseekV32ForCausalLM"], num_hidden_layers=8)
    content.update(kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128)
    content.update(index_topk=2048, index_head_dim=128, **changes)
    (group,) = read_model(str(model_dir(tmp_path, content))).kv_layout
    assert (group.kind, group.rank, group.index_layers, group.index_bytes) == ("mla", 576, layers, 132)
