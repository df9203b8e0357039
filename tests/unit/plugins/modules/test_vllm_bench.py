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
    load = said["load"]
    assert (load["requests"], load["input_tokens"], load["output_tokens"], load["longest"]) == ("random", 512, 128, 640)
    assert load["loads"][1] == {"concurrency": 4, "input_tokens": 512, "output_tokens": 128}
    assert [line.partition(", ")[0] for line in said["lines"]][1:3] == [
        "run 1 of 4: 1 at once",
        "run 2 of 4: 4 at once",
    ]
    assert said["times"]["runs"]["1 at once"] == {"seconds": 0.2, "asked": "8 x 512 + 128"}
    assert said["times"]["total_s"] >= said["times"]["client_s"] >= 0


def test_requests_without_an_answer_fail_it_and_the_figures_come_along(args):
    said = call(vllm_bench, {**args, "served_model_name": "raise", "warmup_requests": 0, "concurrencies": [16],
                             "clients": 2})  # fmt: skip
    assert said["failed"]
    assert said["msg"].endswith("requests had no whole answer, with 16 at once first: ValueError: no such dataset")
    assert said["points"][0]["failed"] > 0


def test_where_the_warm_up_has_no_answer_nothing_else_is_asked(args):
    said = call(vllm_bench, {**args, "served_model_name": "never"})
    assert said["msg"] == "no request of the warm-up had a whole answer: ValueError: no such model"
    assert "points" not in said


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


def test_checked_needs_no_endpoint(tmp_path):
    said = call(vllm_bench, {"state": "checked", "preset": "rag"})
    assert said["load"]["requests"] == "random" and "points" not in said
    path = tmp_path / "asked.jsonl"
    path.write_text('{"prompt": "word word word", "output_tokens": 9}\n', encoding="utf-8")
    said = call(vllm_bench, {"state": "checked", "dataset": "custom", "dataset_path": str(path)})
    assert (said["load"]["prompts"], said["load"]["output_tokens"], said["load"]["longest"]) == (1, 9.0, 0)
    said = call(vllm_bench, {"state": "checked", "dataset": "custom", "dataset_path": "/no/such.jsonl"})
    assert said["failed"] and said["msg"].startswith("dataset_path /no/such.jsonl cannot be read on this host (No such")


def test_measuring_needs_an_endpoint():
    assert "missing: urls, served_model_name, tokenizer" in call(vllm_bench, {})["msg"]
