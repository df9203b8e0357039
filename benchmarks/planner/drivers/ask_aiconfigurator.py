# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AIConfigurator twice: its KV cache estimate (its memory model, or its fallback) and its naive rule of 1.5 x weights.

Both through its own functions, offline, with the data it ships for the card's system and its current vLLM. Its token
count is that of one endless sequence; vLLM's is of requests of max_model_len, which differ where layers slide. So the
tokens here are its KV memory over its KV bytes of one such request, times the request's length.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys

SYSTEMS = {
    "NVIDIA H200": "h200_sxm",
    "NVIDIA H100 80GB HBM3": "h100_sxm",
    "NVIDIA L40S": "l40s",
    "NVIDIA L4": "l4",
    "NVIDIA A100-SXM4-80GB": "a100_sxm",
}


def bytes_for(tokens_of, length: int) -> int:
    """The least KV memory that its own curve says holds ``length`` tokens."""
    low, high = 0, 1
    while tokens_of(high) < length:
        low, high = high, high * 2
        if high > 1 << 62:
            raise ValueError("its curve never reaches that length")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tokens_of(middle) >= length else (middle, high)
    return high


def main() -> None:
    logging.disable(logging.CRITICAL)
    from aiconfigurator.generator import naive
    from aiconfigurator_core.sdk import memory

    job = json.load(sys.stdin)
    builders: dict[tuple, object] = {}
    weights: dict[str, object] = {}
    estimates, rules, sources = {}, {}, {}

    def builder(ask: dict):
        """The memory model does not depend on the card's size: one build for all sizes of one row."""
        where, tp = job["models"][ask["model"]]["dir"], ask["tp"]
        key = (where, tp, ask["batched"], ask["seqs"], ask["card"], ask["kv_cache_dtype"])
        # its own choice for 8-bit weights is an 8-bit cache; vLLM's is 16 bits unless told so or scales are there
        eight = ask["kv_cache_dtype"].startswith("fp8") or job["models"][ask["model"]].get("kv_scales")
        if key not in builders:
            try:
                builders[key] = memory.KVCacheEstimator.from_request(
                    where, SYSTEMS[ask["card"]], "vllm", "current", max_num_tokens=ask["batched"],
                    max_batch_size=ask["seqs"], tp_size=tp, moe_tp_size=tp, moe_ep_size=1,
                    kvcache_quant_mode="fp8" if eight else "bfloat16",
                )  # fmt: skip
            except Exception as error:
                builders[key] = error
        return builders[key]

    for ask in job["asks"]:
        where, tp = job["models"][ask["model"]]["dir"], ask["tp"]
        built = builder(ask)
        try:
            if isinstance(built, Exception):
                # what estimate_kv_cache(allow_naive_fallback=True) does where the model is not supported
                simple = memory.NaiveKVCacheEstimator.from_model_path(
                    where, tp_size=tp, pp_size=1, allow_hf_config_download=False, moe_ep_size=1, moe_tp_size=tp
                )
                size = simple.weight_bytes()
                found = simple.estimate(capacity=ask["memory"], naive_kv_reservation=0.8)
                one = float(bytes_for(simple.get_kvcache_max_tokens, ask["length"]))
            else:
                size = built.breakdown["weights_bytes"]
                model = built.breakdown["tokens_from_kv_bytes"].__self__
                one = float(model.get_kvcache_bytes_per_sequence(ask["length"]))
                found = built.estimate(
                    is_of_free=False, fraction=ask["utilization"], gpu_memory_capacity_bytes_override=ask["memory"]
                )
            tokens = found["total_kv_size_bytes"] / one * ask["length"]
            sources[ask["model"]] = found["source"]
            estimates[ask["id"]] = {
                "weights": size, "tokens": tokens, "request": one, "fits": tokens >= ask["length"],
            }  # fmt: skip
        except ValueError as error:
            no = "no KV budget" in str(error)
            estimates[ask["id"]] = {"fits": False if no else None, "error": str(error)[:300]}
            if no:
                estimates[ask["id"]].update(weights=size)
        except Exception as error:
            estimates[ask["id"]] = {"error": f"{type(error).__name__}: {error}"[:300]}
        if where not in weights:
            try:
                weights[where] = naive._estimate_model_weight_bytes(where)
            except Exception as error:
                weights[where] = f"{type(error).__name__}: {error}"[:300]
        if isinstance(weights[where], str):
            rules[ask["id"]] = {"error": weights[where]}
            continue
        _tp, _fits, needed = naive._calculate_min_tp(weights[where], ask["memory"], 8, 8)
        rules[ask["id"]] = {"weights": weights[where] / tp, "fits": needed <= tp}
    version = importlib.metadata.version("aiconfigurator")
    out = {"version": version, "answers": {"AIConfigurator": estimates, "AIConfigurator naive": rules}}
    json.dump({**out, "sources": sources}, sys.stdout)


if __name__ == "__main__":
    main()
