# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark asks, and what its repeats say together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _bench, _bench_client
from ansible_collections.gpuserve.inference.plugins.module_utils._bench import (
    Effort,
    Endpoint,
    Point,
    client_count,
    collect,
    endpoint_from,
    load_from,
    run_client,
    runs,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError, InputError
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.bench_fakes import fake_vllm

AT = Endpoint(("http://127.0.0.1:8000",), "m", "/srv/m")
CLIENT = str(Path(_bench_client.__file__))


@pytest.mark.parametrize("preset", sorted(_bench.PRESETS))
def test_presets_are_whole(preset: str) -> None:
    load = load_from(preset)
    assert load.points and all(point.requests >= 8 * point.concurrency for point in load.points)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"preset": "mixed"}, ["1 at once", "16 at once", "128 at once"]),
        ({"preset": "mixed", "concurrencies": [4, 4, 2]}, ["4 at once", "2 at once"]),
        ({"preset": "mixed", "rates": [0.5]}, ["0.5/s"]),
        ({"preset": "mixed", "concurrencies": [8], "rates": [2.0, 4.0]}, ["8 at once", "2/s", "4/s"]),
    ],
)
def test_what_is_given_goes_before_the_preset(options: dict[str, Any], labels: list[str]) -> None:
    assert [point.label for point in load_from(**options).points] == labels


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"preset": "chatty"}, "preset 'chatty' is unknown: give one of chat, batch, mixed, rag"),
        ({"dataset": "burst"}, "dataset 'burst' is unknown"),
        ({"dataset": "custom"}, "dataset custom needs dataset_path"),
        ({"dataset_path": "/tmp/x"}, "dataset_path '/tmp/x' is not read with dataset random"),
        ({"concurrencies": [0]}, "concurrency 0 is out of range"),
        ({"concurrencies": [70000]}, "concurrency 70000 is out of range"),
        ({"rates": [0.0]}, "rate 0 is out of range"),
        ({"input_tokens": -1}, "input_tokens -1 is out of range"),
        ({"requests": -5}, "requests -5 is out of range"),
        ({"prefixes": 0}, "prefixes 0 is out of range"),
        ({"prefix_tokens": -1}, "prefix_tokens -1 is out of range"),
        ({"dataset": "prefix_repetition", "prefix_tokens": 512}, "prefix_tokens 512 leaves nothing of a prompt of 512"),
        ({"range_ratio": 1.0}, "range_ratio 1 is out of range"),
        ({"dataset": "prefix_repetition", "range_ratio": 0.1}, "range_ratio 0.1 is not used with dataset prefix_rep"),
    ],
)
def test_bad_loads(options: dict[str, Any], error: str) -> None:
    with pytest.raises(InputError, match=f"^{error}"):
        load_from(**options)


@pytest.mark.parametrize(
    ("urls", "tokenizer", "error"),
    [
        ([], "/", "urls is empty"),
        (["127.0.0.1:8000"], "/", "url '127.0.0.1:8000' cannot be used"),
        (["ftp://h"], "/", "url 'ftp://h' cannot be used"),
        (["http://h"], "/no/such", "tokenizer '/no/such' is no directory"),
    ],
)
def test_bad_endpoints(urls: list[str], tokenizer: str, error: str) -> None:
    with pytest.raises(InputError, match=f"^{error}"):
        endpoint_from(urls, "m", tokenizer, None)


def test_the_address_may_end_as_clients_know_it() -> None:
    assert endpoint_from(["http://h:8000/v1", "https://g/"], "m", "/", None).urls == ("http://h:8000", "https://g")


@pytest.mark.parametrize("given", [{"repeats": 0}, {"warmup": -1}, {"clients": -1}, {"timeout": 0}])
def test_bad_effort(given: dict[str, int]) -> None:
    with pytest.raises(InputError, match="is out of range"):
        Effort(**given)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("random", "--dataset-name random --random-input-len 400 --random-output-len 100 --ignore-eos"),
        (
            "prefix_repetition",
            "--dataset-name prefix_repetition --prefix-repetition-prefix-len 300 --prefix-repetition-suffix-len 100 "
            "--prefix-repetition-output-len 100 --ignore-eos",
        ),
    ],
)
def test_words_of_a_dataset(dataset: str, words: str) -> None:
    assert load_from(input_tokens=400, output_tokens=100, dataset=dataset).words() == words.split()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        # vLLM's own default for their answers is 256 tokens
        ({"dataset": "custom", "dataset_path": "/srv/a.jsonl"}, "--custom-output-len -1"),
        (
            {"dataset": "custom", "dataset_path": "/srv/a.jsonl", "output_tokens": 64},
            "--custom-output-len 64 --ignore-eos",
        ),
        ({"dataset": "sharegpt", "dataset_path": "/srv/a.json"}, ""),
        (
            {"dataset": "sharegpt", "dataset_path": "/srv/a.json", "output_tokens": 64},
            "--sharegpt-output-len 64 --ignore-eos",
        ),
    ],
)
def test_words_of_a_file(options: dict[str, Any], words: str) -> None:
    named = ["--dataset-name", options["dataset"], "--dataset-path", options["dataset_path"]]
    assert load_from(**options).words() == [*named, *words.split()]


def test_prompts_are_put_into_a_frame_where_the_model_has_one(tmp_path: Path) -> None:
    at = Endpoint(("http://h",), "m", str(tmp_path))
    load = load_from(dataset="custom", dataset_path="/srv/a.jsonl")
    assert "--skip-chat-template" in runs(load, at, Effort(), 8, 0)[0]["words"]
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "x"}', encoding="utf-8")
    assert "--skip-chat-template" not in runs(load, at, Effort(), 8, 0)[0]["words"]


def test_lengths_may_differ() -> None:
    load = load_from(input_tokens=100, output_tokens=50, range_ratio=0.3)
    assert load.words()[-3:] == ["--random-range-ratio", "0.3", "--ignore-eos"]
    assert (load.longest, load_from(input_tokens=100, output_tokens=50).longest) == (195, 150)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "random"),
        ({"range_ratio": 0.3}, "random, lengths +-30%"),
        ({"dataset": "prefix_repetition", "prefixes": 4}, "prefix_repetition, 4 prefixes"),
        ({"dataset": "prefix_repetition", "prefix_tokens": 99}, "prefix_repetition, 10 prefixes of 99 tokens"),
        ({"dataset": "custom", "dataset_path": "/a.jsonl"}, "custom /a.jsonl"),
        ({"dataset": "sharegpt", "dataset_path": "/a", "output_tokens": 9}, "sharegpt /a, 9 output tokens each"),
    ],
)
def test_what_is_asked_in_words(options: dict[str, Any], said: str) -> None:
    assert load_from(**options).requests == said


@pytest.mark.parametrize("concurrency", [1, 4, 16, 128])
@pytest.mark.parametrize("prefixes", [1, 3, 10, 50])
def test_each_prefix_is_asked_as_often(concurrency: int, prefixes: int) -> None:
    """vLLM leaves out requests that are over, which would count as failed ones."""
    load = load_from(dataset="prefix_repetition", prefixes=prefixes, concurrencies=[concurrency])
    for one in runs(load, AT, Effort(), 32, 0):
        run = _bench_client.Run(**one)
        words = run.clients_words()
        counts = [
            [int(w[w.index(f) + 1]) for w in words] for f in ("--num-prompts", "--prefix-repetition-num-prefixes")
        ]
        assert all(asked % few == 0 for asked, few in zip(*counts))
        assert run.asked == run.requests == sum(counts[0])
        if one["name"] != "warm-up":
            assert sum(counts[1]) == prefixes
            assert len(set(counts[1])) == 1  # no client has more to do than another


def test_several_doors_share_the_prefixes() -> None:
    run = _bench_client.Run("0/0", ("http://a", "http://b"), 9, concurrency=8, clients=2, prefixes=3)
    assert run.asked == sum(int(words[words.index("--num-prompts") + 1]) for words in run.clients_words()) == 9


@pytest.mark.parametrize(
    ("point", "cpus", "most", "count"),
    [
        (Point(1), 32, 0, 1),
        (Point(16), 32, 0, 2),
        (Point(256), 32, 0, 8),
        (Point(256), 4, 0, 2),  # half of the cores
        (Point(256), 1, 0, 1),
        (Point(256), 32, 16, 16),
        (Point(rate=40.0), 32, 0, 5),
    ],
)
def test_clients(point: Point, cpus: int, most: int, count: int) -> None:
    assert client_count(point, cpus, most) == count


def test_a_warm_up_then_every_point_in_every_repeat_and_no_seed_twice() -> None:
    wanted = runs(load_from(concurrencies=[1, 4]), AT, Effort(repeats=2), 8, seed=100)
    assert [one["name"] for one in wanted] == ["warm-up", "0/0", "1/0", "0/1", "1/1"]
    assert [one["seed"] for one in wanted] == [100, 101, 102, 103, 104]
    assert "warm-up" not in [one["name"] for one in runs(load_from(), AT, Effort(warmup=0), 8, 0)]
    assert all(_bench_client.Run(**one) for one in wanted)  # the client takes what it is told


def figures(name: str, rate: float, failed: int = 0) -> dict[str, Any]:
    times = {"mean": rate, "p50": rate, "p90": rate, "p99": rate}
    return {
        "name": name, "output_tokens_per_s": rate, "requests_per_s": rate, "seconds": 1.0, "failed": failed,
        "requests": 8, "error": "refused" if failed else None, "ttft_ms": times, "tpot_ms": times, "itl_ms": {},
        "e2e_ms": times,
    }  # fmt: skip


def test_median_and_range_of_the_repeats() -> None:
    told = [figures("warm-up", 9e9), *[figures(f"0/{n}", rate) for n, rate in enumerate([10.0, 30.0, 20.0])]]
    (point,) = [one.to_dict() for one in collect(load_from(concurrencies=[4]), told)]
    assert (point["label"], point["failed"], point["error"]) == ("4 at once", 0, None)
    names = ("output_tokens_per_s", "ttft_ms_p50")
    assert [point[kind][name] for kind in ("figures", "least", "most") for name in names] == [20, 20, 10, 10, 30, 30]


def test_a_repeat_without_any_answer_leaves_no_figure_that_is_none() -> None:
    empty = {**figures("0/1", 0.0, failed=8), "ttft_ms": {}, "tpot_ms": {}, "e2e_ms": {}}
    (point,) = [one.to_dict() for one in collect(load_from(concurrencies=[4]), [figures("0/0", 10.0), empty])]
    assert (point["failed"], point["error"]) == (8, "refused")
    assert set(point["figures"]) == {"output_tokens_per_s", "requests_per_s", "seconds"}


def test_the_client_is_run_and_tells_each_run_as_it_ends(tmp_path: Path) -> None:
    heard: list[str] = []
    load = load_from(concurrencies=[2], requests=4)
    wanted = runs(load, AT, Effort(repeats=1), 8, seed=100)
    told = run_client(
        sys.executable, CLIENT, wanted, "secret", fake_vllm(tmp_path),
        lambda one: heard.append(_bench.progress_line(one, load)),
    )  # fmt: skip
    assert [one["name"] for one in told] == ["warm-up", "0/0"] and not any(one["failed"] for one in told)
    assert heard[1].startswith("2 at once, ")


@pytest.mark.parametrize(
    ("python", "serve", "error"),
    [
        ("/no/such/python", "", "/no/such/python cannot be run"),
        (sys.executable, "raise ImportError('no libcuda')", "ended after 0 of 4 runs: ImportError: no libcuda"),
    ],
)
def test_a_client_that_does_not_run(tmp_path: Path, python: str, serve: str, error: str) -> None:
    wanted = runs(load_from(), AT, Effort(repeats=1), 8, seed=0)
    with pytest.raises(EngineError, match=error):
        run_client(python, CLIENT, wanted, None, fake_vllm(tmp_path, serve))
