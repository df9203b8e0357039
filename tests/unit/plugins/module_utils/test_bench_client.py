# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several benchmark clients counted as one: what each is told, and what is made of their answers."""

from __future__ import annotations

import asyncio.sslproto
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _bench_client
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_client import Run, merge, percentiles, shares
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.bench_fakes import fake_vllm

A, B = "http://127.0.0.1:8001", "http://127.0.0.1:8002"


def of(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


@pytest.mark.parametrize(
    ("total", "parts", "expected"), [(10, 3, [4, 3, 3]), (2, 2, [1, 1]), (1, 4, [1, 0, 0, 0]), (0, 2, [0, 0])]
)
def test_shares_differ_by_one_at_most(total: int, parts: int, expected: list[int]) -> None:
    assert shares(total, parts) == expected


@pytest.mark.parametrize(
    ("run", "clients"),
    [
        (Run("r", [A], 100, concurrency=16, clients=8), 8),
        (Run("r", [A], 100, concurrency=4, clients=8), 4),  # none without a request of its own at a time
        (Run("r", [A], 3, clients=8), 3),
        (Run("r", [A, B], 100, concurrency=16, clients=7), 6),  # as many for each address
        (Run("r", [A, B], 8, concurrency=2), 2),
        (Run("r", [A, B], 8, concurrency=1), 1),
    ],
)
def test_how_many_clients(run: Run, clients: int) -> None:
    assert run.client_count() == clients == len(run.clients_words())


def test_the_load_is_shared_out() -> None:
    words = Run("r", [A, B], 101, ("--model", "m"), concurrency=9, rate=8.0, clients=4, seed=7).clients_words()
    assert [of(one, "--base-url") for one in words] == [A, B, A, B]
    assert sum(int(of(one, "--num-prompts")) for one in words) == 101
    assert sum(int(of(one, "--max-concurrency")) for one in words) == 9
    assert sum(float(of(one, "--request-rate")) for one in words) == pytest.approx(8.0)
    assert len({of(one, "--seed") for one in words}) == 4
    assert all(of(one, "--model") == "m" for one in words)


def test_no_limit_is_none_for_each_client() -> None:
    (words,) = Run("r", [A], 5).clients_words()
    assert "--max-concurrency" not in words and "--request-rate" not in words


def part(start: float, ttft: float, gaps: list[float], error: str = "", tokens: int = -1) -> dict[str, list[object]]:
    count = len(gaps) + 1 if tokens < 0 else tokens
    return {
        "start_times": [start], "ttfts": [ttft], "itls": [gaps], "input_lens": [10], "output_lens": [count],
        "errors": [error],
    }  # fmt: skip


def test_clients_are_counted_as_one_load() -> None:
    parts = [part(100.0, 0.2, [0.1, 0.1, 0.1]), part(100.5, 0.4, [0.2, 0.4])]
    figures = merge(Run("r", [A], 2), parts)
    assert (figures.failed, figures.clients, figures.input_tokens, figures.output_tokens) == (0, 2, 20, 7)
    # from the first start, 100.0, to the last end, 100.5 + 0.4 + 0.6
    assert figures.seconds == pytest.approx(1.5)
    assert figures.output_tokens_per_s == pytest.approx(7 / 1.5, abs=0.01)
    assert figures.requests_per_s == pytest.approx(2 / 1.5, abs=0.001)
    assert figures.ttft_ms == {"mean": 300.0, "p50": 200.0, "p90": 400.0, "p99": 400.0}
    assert figures.tpot_ms["p50"] == 100.0 and figures.tpot_ms["p99"] == 300.0
    assert figures.itl_ms["p99"] == 400.0
    assert figures.e2e_ms["p50"] == 500.0 and figures.e2e_ms["p99"] == 1000.0


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (part(100.0, 0.0, [], error="Traceback\nConnectionError: refused\n", tokens=0), "ConnectionError: refused"),
        (part(100.0, 0.0, [], tokens=0), "an empty answer"),
        ({"error": "OSError: no tokenizer"}, "OSError: no tokenizer"),
    ],
)
def test_what_failed_is_counted_and_named_and_no_figure_is_made_of_it(bad: dict[str, object], error: str) -> None:
    figures = merge(Run("r", [A], 2), [part(100.0, 0.2, [0.1]), bad])
    assert (figures.failed, figures.error) == (1, error)
    assert figures.output_tokens == 2 and figures.ttft_ms["p99"] == 200.0


def test_nothing_answered() -> None:
    figures = merge(Run("r", [A], 3), [{"error": "gone"}])
    assert (figures.failed, figures.seconds, figures.output_tokens_per_s, dict(figures.ttft_ms)) == (3, 0.0, 0.0, {})


def test_percentiles_are_figures_that_were_measured() -> None:
    assert percentiles([0.001 * number for number in range(1, 101)]) == {
        "mean": 50.5, "p50": 50.0, "p90": 90.0, "p99": 99.0,
    }  # fmt: skip


def told(tmp_path: Path, *runs: dict[str, object]) -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, str(Path(_bench_client.__file__))], input=json.dumps({"runs": runs}), text=True, check=False,
        capture_output=True, env=fake_vllm(tmp_path), timeout=120,
    )  # fmt: skip
    return done.returncode, [json.loads(line.removeprefix("BENCH ")) for line in done.stdout.splitlines()]


def test_clients_begin_at_the_same_moment(tmp_path: Path) -> None:
    run = {"name": "r", "urls": [A], "requests": 8, "concurrency": 4, "clients": 3, "seed": 1}
    status, (one, two) = told(tmp_path, run, {**run, "name": "s"})
    assert status == 0 and (one["name"], two["name"]) == ("r", "s")
    assert one["failed"] == 0 and one["output_tokens"] == 16 and one["clients"] == 3
    assert one["seconds"] < 0.7  # 0.2 each, although the last was ready 0.6 s after the first


@pytest.mark.parametrize(("does", "error"), [("raise", "no such dataset"), ("die", "a client ended with status 9")])
def test_a_client_that_fails_holds_up_nobody(tmp_path: Path, does: str, error: str) -> None:
    run = {"name": "r", "urls": [A], "requests": 8, "concurrency": 4, "clients": 3, "words": ["--does", does]}
    status, (one,) = told(tmp_path, run)
    assert status == 1 and one["failed"] == 8
    assert error in str(one["error"])


def test_prompts_of_a_file_are_read_without_pandas(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(f'{{"prompt": "{n}", "output_tokens": {n + 1}}}\n\n' for n in range(20)), encoding="utf-8")

    def held(**more: Any) -> list[str]:
        dataset = SimpleNamespace(dataset_path=str(path), random_seed=3, **more)
        _bench_client._read_lines(dataset)
        return [row["prompt"] for row in dataset.data]

    plain = [str(n) for n in range(20)]
    assert held(disable_shuffle=True) == plain
    assert held() == held() != plain and sorted(held()) == sorted(plain)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio is right there")
def test_a_connection_that_was_closed_twice_can_be_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = asyncio.sslproto._SSLProtocolTransport  # type: ignore[attr-defined]
    monkeypatch.setattr(transport, "abort", transport.abort)

    class Protocol:
        aborted = 0

        def _start_shutdown(self) -> None:
            pass

        def _abort(self, *_exc: object) -> None:
            self.aborted += 1

    def closed(times: int) -> Any:
        made = transport(None, Protocol())
        for _time in range(times):
            made.close()
        return made

    twice = closed(2)
    assert twice._ssl_protocol is None  # where it still is there, asyncio is right
    _bench_client.mend_tls(transport)
    twice.abort()
    once = closed(1)
    once.abort()
    assert once._ssl_protocol.aborted == 1
