# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sizing guide's table is what the planner says, and the example inventories are planned as they claim.

To renew the table, take the rows from the failing test's message.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_table import render_plan
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import (
    GIB,
    cards,
    links,
    plan,
    qwen3_32b_w4a16,
    real,
)
from ansible_collections.gpuserve.inference.tests.unit.test_collection.test_examples import host_variables

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs/docsite/rst/guide_sizing.rst"
# model, its name in the table, kind of card, how many
CASES = [
    ("llama-3.1-8b-fp8", "Llama-3.1-8B, FP8", "5080", 2),
    ("llama-3.1-8b", "Llama-3.1-8B", "5080", 2),
    ("llama-3.1-8b", "Llama-3.1-8B", "5090", 1),
    ("llama-3.1-8b", "Llama-3.1-8B", "5090", 2),
    ("qwen3-8b", "Qwen3-8B", "4090", 2),
    ("mistral-small-3.1-24b", "Mistral-Small-3.1-24B", "5090", 4),
    ("qwen3-30b-a3b", "Qwen3-30B-A3B", "l40s", 2),
    ("gpt-oss-120b", "gpt-oss-120b (MXFP4)", "h100", 2),
    ("llama-3.3-70b", "Llama-3.3-70B", "h100", 4),
    ("llama-3.3-70b", "Llama-3.3-70B", "h100", 8),
    ("llama-3.3-70b", "Llama-3.3-70B", "h200", 8),
    ("qwen3-235b-a22b", "Qwen3-235B-A22B", "h200", 8),
    ("deepseek-v3", "DeepSeek-V3 (FP8)", "h200", 8),
]
TOPOLOGIES = {"data_parallel": "data parallel", "tensor_parallel": "tensor parallel", "hybrid": "hybrid"}


def planned(kind, count, model, **options):
    gpus = cards(*[kind] * count)
    joined = links(count, nvlink=18 if kind.startswith("h") else 0)
    return plan(gpus, links=joined, model=model, **options)


def row(fixture, name, kind, count):
    found = planned(kind, count, real(fixture))
    said = found["prediction"]
    cells = [
        name,
        f"{count} x {cards(kind)[0]['name'].removeprefix('NVIDIA ').removeprefix('GeForce ')}",
        f"{TOPOLOGIES[found['topology']]}, {found['replicas']} x TP{found['tensor_parallel_size']}",
        f"{said['weight_bytes_per_gpu'] / GIB:.1f}",
        f"{found['max_model_len']:,}",
        f"{said['kv_cache_tokens']:,}",
        f"{said['max_concurrency']:.1f}",
    ]
    return "   * - " + "\n     - ".join(cells) + "\n"


def table():
    return "".join(row(*case) for case in CASES)


def test_the_table_is_what_the_planner_says():
    assert table() in GUIDE.read_text(encoding="utf-8"), "the guide should have these rows:\n" + table()


# inventory, host, cards, the model as the fixtures know it, replicas x cards of each
INVENTORIES = [
    ("one-card.ini", "gpu1.example.com", ("5090", 1), real("qwen3-8b"), (1, 1)),
    ("two-cards.ini", "gpu1.example.com", ("5090", 2), real("llama-3.1-8b"), (2, 1)),
    ("two-cards.ini", "gpu1.example.com", ("5080", 2), real("llama-3.1-8b"), (1, 2)),
    ("four-cards.ini", "gpu4.example.com", ("5090", 4), qwen3_32b_w4a16(), (1, 2)),
    ("eight-cards.ini", "gpu8-1.example.com", ("h100", 8), real("llama-3.3-70b"), (2, 4)),
    ("mixed-fleet.yml", "chat1.example.com", ("5090", 2), real("qwen3-8b"), (2, 1)),
    ("mixed-fleet.yml", "chat4.example.com", ("5090", 2), real("qwen3-8b"), (1, 1)),
    ("mixed-fleet.yml", "batch1.example.com", ("h100", 8), real("llama-3.3-70b"), (2, 4)),
]
OPTIONS = {
    "vllm_workload": "workload",
    "vllm_topology": "topology",
    "vllm_replicas": "replicas",
    "vllm_tensor_parallel_size": "tensor_parallel_size",
    "vllm_max_model_len": "max_model_len",
    "vllm_gpus": "gpu_ids",
    "vllm_extra_args": "extra_args",
}


@pytest.mark.parametrize(("inventory", "host", "server", "model", "shape"), INVENTORIES)
def test_an_example_inventory_is_planned_as_it_says(inventory, host, server, model, shape):
    settings = host_variables(ROOT / "examples" / inventory)[host]
    options = {OPTIONS[name]: value for name, value in settings.items() if name in OPTIONS}
    found = planned(*server, model, **options)
    assert (found["replicas"], found["tensor_parallel_size"]) == shape
    used = {gpu["index"] if isinstance(gpu, dict) else gpu for one in found["instances"] for gpu in one["gpus"]}
    wanted = settings.get("vllm_gpus", list(range(server[1])))
    assert used <= set(wanted) and len(used) == shape[0] * shape[1]


def test_each_example_inventory_is_planned():
    held = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".ini", ".yml")}
    assert {case[0] for case in INVENTORIES} == held


def test_readme_shows_what_the_planner_says_of_two_rtx_5090():
    """Cards as the profile rtx5090x2 of the fake NVML has them: no peer-to-peer."""
    card = {"memory_total_bytes": 34190917632, "memory_reserved_bytes": 513736704, "compute_capability": "12.0"}
    gpus = cards("5090", "5090", memory_free_bytes=34190917632 - 513736704, **card)
    planned = plan(gpus, links=links(2, p2p=False), model=real("llama-3.1-8b"))
    planned["model"]["served_model_name"] = "meta-llama/Llama-3.1-8B-Instruct"
    said = render_plan(planned)
    shown = said[: said.index("Why\n")] + said[said.index("Reason\n") : said.index("Advice\n")]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```text\n{shown.rstrip()}\n```" in readme
