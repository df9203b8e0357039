# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner's KV cache against the real CPU engine: block counts and logged tokens from pinned bytes, exactly.

    PYTHONPATH=.venv/collections ENVIRONMENT/bin/python tests/engine/kv_blocks.py [NAME ...]

ENVIRONMENT is one that the role ``vllm`` installs for ``vllm_device: cpu``. Each model is a config of a few layers with
random weights; the engine starts for it, sizes its cache and is asked what it came to. Exit status 1 on a difference.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

from ansible_collections.gpuserve.inference.plugins.module_utils._host import cpu_flags
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import release_for

MIB = 1024**2
COMMON = {
    "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 32, "max_position_embeddings": 4096, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "full": {**COMMON, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 3},
    "sliding": {
        **COMMON, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "num_hidden_layers": 8,
        "sliding_window": 96, "sliding_window_pattern": 6, "query_pre_attn_scalar": 32,
        "layer_types": [*["sliding_attention"] * 5, "full_attention", *["sliding_attention"] * 2],
    },
    "only sliding": {
        **COMMON, "architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_hidden_layers": 2,
        "sliding_window": 100,
    },
    "mla": {
        **COMMON, "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "num_hidden_layers": 2,
        "num_key_value_heads": 4, "kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128, "head_dim": 64, "n_routed_experts": 4, "num_experts_per_tok": 2,
        "first_k_dense_replace": 2, "moe_intermediate_size": 128, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
        "moe_layer_freq": 1, "rope_theta": 10000,
    },
    "mamba 2": {
        **COMMON, "architectures": ["GraniteMoeHybridForCausalLM"], "model_type": "granitemoehybrid",
        "num_hidden_layers": 4, "layer_types": ["mamba", "mamba", "mamba", "attention"], "mamba_n_heads": 8,
        "mamba_d_head": 32, "mamba_n_groups": 1, "mamba_d_state": 64, "mamba_d_conv": 4, "mamba_expand": 2,
        "mamba_chunk_size": 64, "num_local_experts": 0, "num_experts_per_tok": 0, "shared_intermediate_size": 256,
        "position_embedding_type": "nope", "embedding_multiplier": 1.0, "logits_scaling": 1.0,
        "residual_multiplier": 1.0, "attention_multiplier": 0.1,
    },
    "short convolution": {
        **COMMON, "architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "num_hidden_layers": 4,
        "layer_types": ["conv", "conv", "full_attention", "conv"], "conv_L_cache": 3, "conv_bias": False,
        "block_dim": 128, "block_ff_dim": 256, "block_auto_adjust_ff_dim": False, "norm_eps": 1e-5, "conv_dim": 128,
        "conv_dim_out": 128,
    },
}  # fmt: skip
# (KV cache bytes, max_model_len, max_num_batched_tokens)
SIZES = [(24 * MIB + 12345, 2048, 512), (61 * MIB, 1500, 2048)]
TWICE = ("sliding",)  # one size is enough where nothing depends on what is in flight


def engine(directory: str, kv_bytes: int, length: int, batched: int) -> tuple[int, int, float]:
    """Blocks, tokens and concurrency as a real engine reports them."""
    from vllm import LLM

    gc.freeze()
    llm = LLM(
        directory, skip_tokenizer_init=True, load_format="dummy", enforce_eager=True, max_model_len=length,
        max_num_seqs=8, max_num_batched_tokens=batched, kv_cache_memory_bytes=kv_bytes, disable_log_stats=True,
    )  # fmt: skip
    cache = llm.llm_engine.vllm_config.cache_config
    core = llm.llm_engine.engine_core.engine_core
    blocks = core.vllm_config.cache_config.num_gpu_blocks
    found = int(blocks), int(cache.kv_cache_size_tokens), float(cache.kv_cache_max_concurrency)
    gc.freeze()  # or each of the ten collections of a shutdown walks all that vLLM imported
    core.shutdown()
    return found


def planner(directory: str, version: str, kv_bytes: int, length: int, batched: int) -> tuple[int, int, float]:
    release, _note = release_for(version)
    model = read_model(directory)
    kv = kv_plan(model, 1, release, "auto", batched, device="cpu", avx512_bf16="avx512_bf16" in cpu_flags())
    return kv.blocks(kv_bytes), kv.tokens(kv_bytes, length), kv.concurrency(kv_bytes, length)


def main(names: list[str]) -> int:
    logging.disable(logging.WARNING)
    import vllm
    from vllm.model_executor.models import registry

    # vLLM asks each model class what it can in a process of its own, which imports everything again
    if hasattr(registry, "_run_in_subprocess"):
        registry._run_in_subprocess = lambda ask: ask()

    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in names or list(MODELS):
            directory = Path(scratch) / name.replace(" ", "-")
            directory.mkdir()
            (directory / "config.json").write_text(json.dumps(MODELS[name]))
            for kv_bytes, length, batched in SIZES if name in TWICE else SIZES[:1]:
                started = time.monotonic()
                said = engine(str(directory), kv_bytes, length, batched)
                planned = planner(str(directory), vllm.__version__, kv_bytes, length, batched)
                same = said == planned
                wrong += not same
                took = time.monotonic() - started
                print(
                    f"{'same' if same else 'DIFFERENT':9} {name}: {kv_bytes} bytes, length {length}, batch {batched}: "
                    f"engine {said}, planner {planned} ({took:.1f} s)",
                    flush=True,
                )
    print(f"vLLM {vllm.__version__}: {wrong or 'no'} difference{'' if wrong == 1 else 's'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
