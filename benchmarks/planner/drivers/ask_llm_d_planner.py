# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""llm-d-planner's capacity planner: its own functions, with the hub's safetensors metadata answered from local files.

Its constants were calibrated on H100 cards with vLLM 0.19.0, as it says in vllm_memory_constants.json. The tokens here
are its allocatable memory over its KV memory of one request, times the request's length: its total_kv_cache_blocks
divides by the tensor parallel size once more than its max_concurrent_requests does, which would count twice.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import sys
import types

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
GIB = 1024**3


def main() -> None:
    from planner import capacity_planner as planner

    job = json.load(sys.stdin)
    counts: dict[str, dict[str, int]] = {}
    for model in job["models"].values():
        found: dict[str, int] = {}
        for _name, dtype, shape in model.get("tensors") or []:
            found[dtype] = found.get(dtype, 0) + math.prod(shape)
        counts[model["dir"]] = found

    def metadata(name: str, token=None):
        if not counts[name]:
            raise ValueError("no safetensors metadata for this model")
        return types.SimpleNamespace(parameter_count=counts[name])

    def config_of(where: str):
        # as its get_model_config_from_hf does, but with transformers' class where the file names code of the model
        return planner.AutoConfig.from_pretrained(where, trust_remote_code=False)

    planner.get_safetensors_metadata_from_hf = metadata
    configs: dict[str, object] = {}
    answers = {}
    for ask in job["asks"]:
        where, tp, memory = job["models"][ask["model"]]["dir"], ask["tp"], ask["memory"] / GIB
        try:
            if where not in configs:
                configs[where] = config_of(where)
            config = configs[where]
            if tp not in planner.find_possible_tp(config):
                answers[ask["id"]] = {"fits": False, "error": f"tensor parallel size {tp} is not possible"}
                continue
            left = planner.allocatable_kv_cache_memory(where, config, memory, ask["utilization"], tp=tp)
            one = planner.kv_cache_req(where, config, ask["length"])
            held = planner.max_concurrent_requests(where, config, ask["length"], memory, ask["utilization"], tp=tp)
            answers[ask["id"]] = {
                "weights": planner.per_gpu_model_memory_required(where, config, tp) * GIB,
                "tokens": left / one * ask["length"],
                "request": one * GIB / tp,
                "fits": held >= 1,
            }
        except Exception as error:
            answers[ask["id"]] = {"error": f"{type(error).__name__}: {error}"[:300]}
    json.dump(
        {"version": importlib.metadata.version("llm-d-planner"), "answers": {"llm-d-planner": answers}}, sys.stdout
    )


if __name__ == "__main__":
    main()
