# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import math

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_metrics import KvCache, parse

# the real line of 0.32.0, shortened; and one as older versions write it, without the token count
NEW = (
    'vllm:cache_config_info{_block_size_resolved="True",block_size="128",cache_dtype="auto",engine="0",'
    'gpu_memory_utilization="0.92",kv_cache_dtype_skip_layers="[]",kv_cache_max_concurrency="2048.0",'
    'kv_cache_memory_bytes="1073741824",kv_cache_size_tokens="2097152",num_cpu_blocks="None",'
    'num_gpu_blocks="16384",num_gpu_blocks_override="None"} 1.0'
)
OLD = 'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="56057",sliding_window="None"} 1.0'

LINES = [
    ("plain", "up 1", "up", {}, 1.0),
    ("time stamp", "up 1 1395066363000", "up", {}, 1.0),
    ("exponent", 'a_total{x="y"} 1.5e+03', "a_total", {"x": "y"}, 1500.0),
    ("bucket", 'vllm:ttft_bucket{engine="0",le="+Inf"} 7.0', "vllm:ttft_bucket", {"engine": "0", "le": "+Inf"}, 7.0),
    ("infinite", "a -Inf", "a", {}, -math.inf),
    ("quote", r'a{m="say \"hi\""} 2', "a", {"m": 'say "hi"'}, 2.0),
    ("backslash", r'a{m="C:\\new",n="1"} 2', "a", {"m": "C:\\new", "n": "1"}, 2.0),
    ("newline", r'a{m="one\ntwo"} 2', "a", {"m": "one\ntwo"}, 2.0),
    ("brace and comma inside", 'a{m="{1,2}",n="}"} 2', "a", {"m": "{1,2}", "n": "}"}, 2.0),
    ("trailing comma, spaces", 'a{ m = "1" , n="2", } 2', "a", {"m": "1", "n": "2"}, 2.0),
    ("no labels", "a{} 3", "a", {}, 3.0),
]


@pytest.mark.parametrize(("text", "name", "labels", "value"), [row[1:] for row in LINES], ids=[r[0] for r in LINES])
def test_line(text, name, labels, value):
    (sample,) = parse(f"# HELP {name} words\n# TYPE {name} gauge\n\n{text}\n").samples
    assert (sample.name, sample.labels, sample.value) == (name, labels, value)


@pytest.mark.parametrize("text", ["", "# only a comment", "<html>", "a", "a{b=1} 2", 'a{b="1" 2', "a one", '{b="1"} 2'])
def test_not_a_sample(text):
    assert parse(text).samples == ()


def test_nan():
    assert math.isnan(parse("a NaN").samples[0].value)


def test_total_is_over_engines_and_of_that_name_only():
    metrics = parse('n{engine="0"} 2\nn{engine="1"} 3\nn_by_reason{engine="0"} 50\n')
    assert metrics.total("n") == 5
    assert metrics.total("m") is None


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (NEW, KvCache(16384, 128, 2097152, 2048.0)),
        (OLD, KvCache(56057, 16, None, None)),
        ('vllm:cache_config_info{num_gpu_blocks="None",block_size="16"} 1.0', KvCache(None, 16, None, None)),
        ('vllm:cache_config_info{kv_cache_max_concurrency="nan",kv_cache_size_tokens="inf"} 1.0', KvCache()),
        ("other 1", KvCache()),
    ],
)
def test_kv_cache(text, want):
    assert parse(text).kv_cache() == want
