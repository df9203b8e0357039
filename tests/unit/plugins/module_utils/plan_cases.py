# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cards and models that the planner's tests share."""

from __future__ import annotations

import copy
import functools
import json
import os
from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options

ALL_FIXTURES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "fixtures")
FIXTURES = os.path.join(ALL_FIXTURES, "plans")
GIB = 1024**3
# name -> (card name, NVML total, reserved)
CARDS = {
    "5080": ("NVIDIA GeForce RTX 5080", 17094934528, 419430400),
    "5090": ("NVIDIA GeForce RTX 5090", 34190917632, 524288000),
    "4090": ("NVIDIA GeForce RTX 4090", 25757220864, 419430400),
    "3060": ("NVIDIA GeForce RTX 3060", 12884901888, 314572800),
    "3090": ("NVIDIA GeForce RTX 3090", 25769803776, 314572800),
    "l40s": ("NVIDIA L40S", 48305799168, 650117120),
    "a100": ("NVIDIA A100 80GB PCIe", 85899345920, 618659840),
    "a100-sxm": ("NVIDIA A100-SXM4-80GB", 85899345920, 618659840),
    "b200": ("NVIDIA B200", 192265846784, 838860800),
    "h200": ("NVIDIA H200", 150754820096, 644939776),
    "h100": ("NVIDIA H100 80GB HBM3", 85520809984, 629145600),
}


def load(name: str) -> Any:
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as handle:
        return json.load(handle)


def model(name: str, **changes: Any) -> dict[str, Any]:
    out: dict[str, Any] = copy.deepcopy(load("models.json")[name])
    out.update(changes)
    return out


@functools.cache
def _read_fixture(name: str) -> dict[str, Any]:
    return read_model(os.path.join(ALL_FIXTURES, "models", name), name=name).to_dict()


def real(name: str, **changes: Any) -> dict[str, Any]:
    """A model as its real config.json describes it, without weights."""
    out = copy.deepcopy(_read_fixture(name))
    out.update(changes)
    return out


def qwen3_32b_w4a16() -> dict[str, Any]:
    """Qwen3-32B with 4-bit weights in groups of 128: its config.json's numbers, the size its tensors add up to."""
    hidden, inner, layers, heads, kv_heads, dim, vocab = 5120, 25600, 64, 64, 8, 128, 151936
    linear = layers * hidden * (2 * heads * dim + 2 * kv_heads * dim + 3 * inner)
    size = int(linear * (4 + 20 / 128) / 8) + 2 * vocab * hidden * 2  # a scale of 16 and a zero point of 4 bits a group
    return {
        "name": "qwen3-32b-w4a16", "architecture": "Qwen3ForCausalLM", "dtype": "bfloat16", "weight_bytes": size,
        "layers": layers, "heads": heads, "kv_heads": kv_heads, "head_dim": dim, "vocab_size": vocab,
        "max_position_embeddings": 40960, "hidden_size": hidden, "intermediate_size": inner, "quantization": "awq",
        "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
        "config": {"model_type": "qwen3"},
    }  # fmt: skip


def thirds() -> dict[str, Any]:
    """A model of the size of Llama-3.1-8B that three and six cards can share as well."""
    layout = [{"kind": "full", "layers": 32, "kv_heads": 12, "head_dim": 128, "v_head_dim": 128}]
    sizes = {"heads": 36, "kv_heads": 12, "intermediate_size": 14208, "hidden_size": 4608}
    return {**model("llama-3.1-8b", kv_layout=layout, **sizes), "name": "thirds"}


def cards(*kinds: str, **changes: Any) -> list[dict[str, Any]]:
    out = []
    for index, kind in enumerate(kinds):
        name, total, reserved = CARDS[kind]
        gpu = {
            "index": index, "uuid": f"GPU-{index:04d}", "name": name, "memory_total_bytes": total,
            "memory_reserved_bytes": reserved, "memory_free_bytes": total - reserved, "compute_capability": "9.0",
        }  # fmt: skip
        gpu.update(changes)
        out.append(gpu)
    return out


def links(
    count: int, pairs: tuple = (), nvlink: int = 0, p2p: bool = True, path: str = "PHB"
) -> list[list[dict[str, Any]]]:
    """Every pair over ``path``; those in ``pairs`` (all if ``nvlink`` is given without pairs) over NVLink."""
    rows = []
    for i in range(count):
        row = []
        for j in range(count):
            joined = i != j and nvlink and (not pairs or (i, j) in pairs or (j, i) in pairs)
            row.append(
                {"nvlink_count": nvlink if joined else 0, "p2p": p2p or bool(joined), "path": "NVL" if joined else path}
            )
        rows.append(row)
    return rows


def plan(gpus: list[dict[str, Any]], model_name: str = "llama-3.1-8b", **options: Any) -> dict[str, Any]:
    options.setdefault("model", model(model_name))
    return plan_from_options({"gpus": gpus, **options})


def argument(instance: dict[str, Any], flag: str) -> str:
    args: list[str] = instance["args"]
    return args[args.index(flag) + 1]
