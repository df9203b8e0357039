# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""``vllm bench serve`` with as many client processes as a load needs, one run after the other.

One such client is one Python process, which reads some 10,000 tokens a second: on two large cards it is the client that
is measured then. Here several start their requests at the same moment, and what they measured is counted as one.
The file stands alone and runs under the engine's own Python, which brings vLLM: ``python _bench_client.py <SPEC``.
SPEC is JSON: ``{"runs": [{"name", "urls", "words", "requests", "concurrency", "rate", "clients", "seed"}]}``. For each
run a line ``BENCH {...}`` comes out as soon as it is over. The key is read from the variable OPENAI_API_KEY.
"""

from __future__ import annotations

import argparse
import asyncio.sslproto
import contextlib
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

START_SECONDS = 300.0  # until all clients have made their prompts
RUN_SECONDS = 3600.0
DETAILS = ("start_times", "ttfts", "itls", "input_lens", "output_lens", "errors")
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Run:
    """One load. Its clients are spread evenly over ``urls``; ``concurrency`` and ``rate`` count over all of them.

    ``words`` are further arguments of ``vllm bench serve``. ``rate`` is requests a second, 0 as many as
    ``concurrency`` lets through; ``concurrency`` 0 has no limit.
    """

    name: str
    urls: Sequence[str]
    requests: int
    words: Sequence[str] = ()
    concurrency: int = 0
    rate: float = 0.0
    clients: int = 1
    seed: int = 0
    timeout: float = RUN_SECONDS
    prefixes: int = 0  # with prefix_repetition, over all clients; as many requests for each of them

    @property
    def _places(self) -> Sequence[str]:
        return self.urls[: self.concurrency or None]  # a single request at once has one place to go to

    def client_count(self) -> int:
        """No client without a request of its own, and as many for each address."""
        most, places = min(self.requests, self.concurrency or self.requests), len(self._places)
        count = max(1, min(self.clients, most) // places) * places
        while self.prefixes and self.prefixes % count and count > places:
            count -= places  # each has as many prefixes, so that all end at the same time
        return count

    def _shared_out(self, count: int) -> tuple[list[int], list[int]]:
        """Requests and prefixes of each client. vLLM asks as many of each prefix, and leaves out what is over."""
        if not self.prefixes:
            return shares(self.requests, count), []
        prefixes = shares(max(self.prefixes, count), count)
        return [max(1, self.requests // sum(prefixes)) * few for few in prefixes], prefixes

    @property
    def asked(self) -> int:
        """Requests that its clients make."""
        return sum(self._shared_out(self.client_count())[0])

    def clients_words(self) -> list[list[str]]:
        """The arguments of each client. Seeds differ, so that no two ask for the same prompt."""
        count = self.client_count()
        requests, prefixes = self._shared_out(count)
        concurrency = shares(self.concurrency, count)
        found = []
        for number in range(count):
            words = ["--base-url", self._places[number % len(self._places)], "--num-prompts", str(requests[number])]
            if self.concurrency:
                words += ["--max-concurrency", str(max(1, concurrency[number]))]
            if prefixes:
                words += ["--prefix-repetition-num-prefixes", str(prefixes[number])]
            if self.rate:
                words += ["--request-rate", repr(self.rate / count)]
            words += ["--seed", str(self.seed * 1000 + number), "--save-detailed", "--disable-tqdm"]
            found.append([*words, "--ready-check-timeout-sec", "0", *self.words])
        return found


@dataclass
class Figures:
    """What was measured. Milliseconds; tokens are those of the answers.

    TTFT: from sending a request to its first token. TPOT: the time of all further tokens of a request, a token. ITL:
    between two tokens. E2E: from sending to the last token. Throughput counts from the first request's start to the
    last one's end, over all clients.
    """

    name: str
    requests: int
    failed: int = 0
    clients: int = 0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    output_tokens_per_s: float = 0.0
    requests_per_s: float = 0.0
    ttft_ms: Mapping[str, float] = field(default_factory=dict)
    tpot_ms: Mapping[str, float] = field(default_factory=dict)
    itl_ms: Mapping[str, float] = field(default_factory=dict)
    e2e_ms: Mapping[str, float] = field(default_factory=dict)
    error: Optional[str] = None  # the first one


def shares(total: int, parts: int) -> list[int]:
    """``total`` in ``parts`` that differ by one at most."""
    return [total // parts + (1 if number < total % parts else 0) for number in range(parts)]


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Mean and nearest ranks, in milliseconds: each rank is a figure that was measured."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    named = {f"p{rank}": ordered[math.ceil(rank / 100 * len(ordered)) - 1] for rank in PERCENTILES}
    return {name: round(value * 1000, 3) for name, value in {"mean": sum(ordered) / len(ordered), **named}.items()}


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""


def merge(run: Run, parts: Sequence[Mapping[str, Any]]) -> Figures:
    """What the clients measured, as one load. Their clocks are the host's one monotonic clock."""
    figures = Figures(run.name, run.asked, clients=len(parts))
    starts: list[float] = []
    ends: list[float] = []
    ttfts: list[float] = []
    tpots: list[float] = []
    gaps: list[float] = []
    e2es: list[float] = []
    answered = 0
    for part in parts:
        figures.error = figures.error or part.get("error")
        rows = zip(*[part.get(name, ()) for name in DETAILS])
        for start, ttft, itl, asked, answer, error in rows:
            if error or answer < 1:
                figures.error = figures.error or _last_line(error) or "an empty answer"
                continue
            answered += 1
            later = sum(itl)
            starts.append(start)
            ends.append(start + ttft + later)
            ttfts.append(ttft)
            gaps += itl
            e2es.append(ttft + later)
            if answer > 1:
                tpots.append(later / (answer - 1))
            figures.input_tokens += asked
            figures.output_tokens += answer
    figures.failed = run.asked - answered
    if starts:
        figures.seconds = round(max(ends) - min(starts), 4)
    if figures.seconds:
        figures.output_tokens_per_s = round(figures.output_tokens / figures.seconds, 2)
        figures.requests_per_s = round(answered / figures.seconds, 4)
    figures.ttft_ms, figures.tpot_ms = percentiles(ttfts), percentiles(tpots)
    figures.itl_ms, figures.e2e_ms = percentiles(gaps), percentiles(e2es)
    return figures


def _parser(serve: Any) -> argparse.ArgumentParser:
    kind = getattr(serve, "FlexibleArgumentParser", argparse.ArgumentParser)
    if not isinstance(kind, type):
        kind = argparse.ArgumentParser
    parser: argparse.ArgumentParser = kind()
    serve.add_cli_args(parser)
    return parser


def _read_lines(self: Any) -> None:
    """vLLM reads a custom dataset with pandas, which is not among what it needs to serve."""
    with open(self.dataset_path, encoding="utf-8") as handle:
        self.data = [json.loads(line) for line in handle if line.strip()]
    if not getattr(self, "disable_shuffle", False):
        random.Random(self.random_seed).shuffle(self.data)


def _client(words: Sequence[str], begin: Any, pipe: Any) -> None:
    """One ``vllm bench serve``, in a process of its own. All wait for each other when their prompts are made."""
    try:
        from vllm.benchmarks import serve

        measure = serve.benchmark

        async def together(*args: Any, **named: Any) -> Any:
            begin.wait(START_SECONDS)
            return await measure(*args, **named)

        serve.benchmark = together
        if "custom" in words:
            from vllm.benchmarks import datasets

            datasets.CustomDataset.load_data = _read_lines
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            result = serve.main(_parser(serve).parse_args(list(words)))
        pipe.send({name: result[name] for name in DETAILS})
    except threading.BrokenBarrierError:  # another one failed, and says why
        pipe.send({})
    except BaseException as exc:  # a client that ends without a word would be waited for
        begin.abort()
        pipe.send({"error": f"{type(exc).__name__}: {exc}"})


def measure(run: Run) -> Figures:
    """Runs it, and returns what it gave; a client that fails makes its requests failed ones."""
    context = multiprocessing.get_context("fork")  # vLLM is imported once
    everybody = run.clients_words()
    begin = context.Barrier(len(everybody))
    processes = {}
    for words in everybody:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_client, args=(words, begin, theirs))
        process.start()
        theirs.close()
        processes[ours] = process
    parts: list[Mapping[str, Any]] = []
    waiting, until = dict(processes), time.monotonic() + run.timeout
    while waiting:
        told = multiprocessing.connection.wait(list(waiting), max(0.0, until - time.monotonic()))
        for pipe in [one for one in waiting if one in told]:
            process = waiting.pop(pipe)
            try:
                parts.append(pipe.recv())
            except EOFError:
                process.join()
                begin.abort()  # the others wait for it
                parts.append({"error": f"a client ended with status {process.exitcode}"})
        if not told:
            parts += [{"error": f"no end after {run.timeout:g} s"}] * len(waiting)
            break
    for process in processes.values():
        process.join(5 if process not in waiting.values() else 0)
        if process.is_alive():
            process.kill()
            process.join()
    return merge(run, parts)


def mend_tls(transport: Any) -> None:
    """Lets a TLS connection be aborted that was closed twice, as aiohttp does with every one that the server closes.

    Before Python 3.12 asyncio forgets its protocol at the second closing, and the abortion then fails the request.
    """

    original = transport.abort

    def abort(self: Any) -> None:
        if self._ssl_protocol is not None:
            original(self)

    transport.abort = abort


def main() -> int:
    if sys.version_info < (3, 12):
        mend_tls(vars(asyncio.sslproto)["_SSLProtocolTransport"])
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # each client has one core
    runs = [Run(**run) for run in json.load(sys.stdin)["runs"]]
    from vllm.benchmarks import serve  # noqa: F401  # once, before the clients are forked

    failed = False
    for run in runs:
        figures = measure(run)
        failed = failed or bool(figures.failed)
        sys.stdout.write("BENCH " + json.dumps(figures.__dict__) + "\n")
        sys.stdout.flush()
        if run.name == "warm-up" and figures.failed == figures.requests:
            return 1  # the others would go the same way, and take their time
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
