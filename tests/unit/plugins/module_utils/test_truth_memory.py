# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory model against what vLLM measured on a card (tests/truth/memory), each row from its config.json alone."""

from __future__ import annotations

import json
import statistics

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._memory import rank_memory
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import RELEASES
from ansible_collections.gpuserve.inference.plugins.module_utils._runtime_memory import (
    graph_sizes,
    second_runner,
    wide_graphs,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.truth_rows import (
    memory_rows,
    memory_truth,
    row_config,
)

TRUTH, ROWS = memory_truth(), memory_rows()
R26 = RELEASES[26]
CAPABILITY = TRUTH["gpu"]["compute_capability"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Every row once: the model as model_info reads it, and the rank as topology_plan sees it."""
    out = {}
    for row in ROWS:
        directory = tmp_path_factory.mktemp(row["model"])
        (directory / "config.json").write_text(json.dumps(row_config(row)), encoding="utf-8")
        model = read_model(str(directory))
        out[row["id"]] = model, rank_memory(
            model, R26, row["tp"], cuda_total=TRUTH["gpu"]["cuda_total_bytes"],
            utilization=row["args"]["gpu_memory_utilization"], max_num_seqs=row["max_num_seqs"],
            max_num_batched_tokens=row["max_num_batched_tokens"], max_model_len=row["max_model_len"],
            kv_cache_dtype=row["args"].get("kv_cache_dtype", "auto"), compute_capability=CAPABILITY,
            enforce_eager=row["args"].get("enforce_eager", False),
        )  # fmt: skip
    return out


def measured_kv_bytes(row):
    """KV cache bytes of a start alone on the card."""
    return row["kv_bytes"] - (0 if row["alone"] else TRUTH["beside_non_torch_bytes"])


each_row = pytest.mark.parametrize("row", ROWS, ids=lambda r: r["id"])


@each_row
def test_weights_within_one_percent(row, planned):
    assert planned[row["id"]][1].weights == pytest.approx(row["weights_logged_bytes"], rel=0.01)


@each_row
def test_tokens_of_the_measured_bytes_are_exact(row, planned):
    kv = planned[row["id"]][1].kv
    length = row["max_model_len"]
    assert kv.tokens(row["kv_bytes"], length) == row["kv_cache_size_tokens"]
    assert kv.concurrency(row["kv_bytes"], length) == pytest.approx(row["kv_cache_max_concurrency"], abs=1e-9)
    assert kv.blocks(row["kv_bytes"]) == row["num_gpu_blocks"]


@each_row
def test_tokens_of_the_utilisation_within_one_percent(row, planned):
    rank = planned[row["id"]][1]
    assert rank.kv_bytes == pytest.approx(measured_kv_bytes(row), rel=0.01)
    true = rank.kv.tokens(measured_kv_bytes(row), row["max_model_len"])
    assert rank.kv.tokens(rank.kv_bytes, row["max_model_len"]) == pytest.approx(true, rel=0.01)


@each_row
def test_what_is_sure_was_there(row, planned):
    assert planned[row["id"]][1].kv_bytes_sure <= measured_kv_bytes(row)


@each_row
def test_the_model_runner_and_its_graphs(row, planned):
    model, _rank = planned[row["id"]]
    assert ("v2" if second_runner(model, R26) else "v1") == row["runner"]
    if not row["args"].get("enforce_eager"):
        sizes = graph_sizes(row["max_num_seqs"], row["max_num_batched_tokens"], wide=wide_graphs(model, R26, 9))
        assert [len(sizes), sizes[-1]] == row["graphs"][1:]


@pytest.mark.parametrize("half", ["fitted", "held_out"])
def test_errors_of_each_half(half, planned):
    """Models divided by a hash of their name: no law may hold for one half only."""
    chosen = [r for r in ROWS if r["half"] == half]
    errors = [abs(planned[r["id"]][1].kv_bytes / measured_kv_bytes(r) - 1) for r in chosen]
    weights = [abs(planned[r["id"]][1].weights / r["weights_logged_bytes"] - 1) for r in chosen]
    assert len(chosen) >= 25
    assert statistics.median(errors) < 0.0005
    assert max(errors) < 0.01
    assert statistics.median(weights) < 0.0005
    assert max(weights) < 0.01


def test_longest_is_what_vllm_chose_itself(planned):
    """``max_model_len: auto`` on a card with little room, from the measured bytes: vLLM's own choice to the token."""
    auto = [r for r in ROWS if r["args"].get("max_model_len") == -1]
    assert auto
    for row in auto:
        model, rank = planned[row["id"]]
        kv = kv_plan(model, row["tp"], R26, "auto", row["max_num_batched_tokens"], compute_capability=CAPABILITY)
        assert kv.longest(row["kv_bytes"], model.max_position_embeddings) == row["max_model_len"]
        assert rank.kv.longest(rank.kv_bytes, model.max_position_embeddings) == pytest.approx(
            row["max_model_len"], rel=0.02
        )
