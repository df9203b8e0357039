# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

import pytest
from ansible_collections.gpuserve.inference.plugins.modules import vllm_bench
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.bench_fakes import fake_vllm
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call


@pytest.fixture
def args(tmp_path):
    return {
        "urls": ["http://127.0.0.1:8000/v1"], "served_model_name": "m", "tokenizer": str(tmp_path),
        "python": sys.executable, "environment": fake_vllm(tmp_path), "concurrencies": [1, 4], "repeats": 2,
    }  # fmt: skip


def test_measured(args):
    said = call(vllm_bench, args)
    assert (said.get("failed"), said["changed"]) == (None, False)
    assert [point["label"] for point in said["points"]] == ["1 at once", "4 at once"]
    assert said["points"][0]["figures"]["ttft_ms_p50"] == 100.0
    assert said["load"] == {"dataset": "random", "input_tokens": 512, "output_tokens": 128}


def test_requests_without_an_answer_fail_it_and_the_figures_come_along(args):
    said = call(vllm_bench, {**args, "served_model_name": "raise", "warmup_requests": 0, "concurrencies": [16],
                             "clients": 2})  # fmt: skip
    assert said["failed"]
    assert said["msg"].endswith("requests had no whole answer, with 16 at once first: ValueError: no such dataset")
    assert said["points"][0]["failed"] > 0


def test_check_mode_asks_nothing(args):
    said = call(vllm_bench, {**args, "python": "/no/such/python"}, check_mode=True)
    assert said.get("failed") is None and "points" not in said


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"preset": "chatty"}, "value of preset must be one of"),
        ({"concurrencies": [0]}, "concurrency 0 is out of range"),
        ({"repeats": 0}, "repeats 0 is out of range: give 1 or more"),
        ({"urls": ["here"]}, "url 'here' cannot be used"),
        ({"python": "/no/such/python"}, "/no/such/python cannot be run"),
    ],
)
def test_bad_input(args, given, text):
    said = call(vllm_bench, {**args, **given})
    assert said["failed"]
    assert text in said["msg"]
