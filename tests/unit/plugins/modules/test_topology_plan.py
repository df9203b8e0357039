# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module: run as Ansible runs it, and held against the core (as the filter is) and its documentation."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.gpuserve.inference.plugins.doc_fragments._topology_plan import ModuleDocFragment
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import OPTIONS, plan_from_options
from ansible_collections.gpuserve.inference.plugins.modules import topology_plan as module
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import GIB, cards, links, model
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call


@pytest.mark.parametrize(
    "options",
    [
        {"gpus": cards("5080", "5080"), "links": links(2, p2p=False)},
        {
            "gpus": cards("5090", "5090"),
            "max_model_len": 8192,
            "workload": {"input_tokens": 500, "output_tokens": 100, "concurrency": 64},
        },
        {
            "gpus": cards("5090", "5090"),
            "gpu_ids": ["1"],
            "gpu_memory_utilization": 0.8,
            "extra_args": ["--enable-prefix-caching"],
        },
        {"gpus": cards("5090", "5090"), "rehearsal": True, "host": {"cpus": [0, 1], "memory_bytes": 8 * GIB}},
    ],
    ids=["split", "numbers", "one-card", "rehearsal"],
)
def test_module_returns_what_the_core_plans(options):
    result = call(module, {**options, "model": model("llama-3.1-8b")})
    assert result["changed"] is False
    assert result["plan"] == plan_from_options({**options, "model": model("llama-3.1-8b")})


def test_refusal_is_one_line_with_candidates():
    result = call(module, {"gpus": cards("5080"), "model": model("qwen3-30b-a3b")})
    assert result["failed"] is True
    assert "does not fit this server" in result["msg"]
    assert "\n" not in result["msg"]
    assert result["candidates"][0]["fits"] is False
    result = call(module, {"gpus": cards("5080"), "model": model("llama-3.1-8b"), "topology": "tensor_paralel"})
    assert "did you mean 'tensor_parallel'" in result["msg"]


def test_options_are_documented_with_their_defaults():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    documented.update(yaml.safe_load(module.DOCUMENTATION)["options"])
    assert set(documented) == set(module.ARGUMENT_SPEC) == set(OPTIONS)
    for name, spec in module.ARGUMENT_SPEC.items():
        assert documented[name]["type"] == spec["type"], name
        assert str(documented[name].get("default")) == str(spec.get("default")), name
