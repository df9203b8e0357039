# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What a benchmark asks of an endpoint, how it is asked, and what the repeats say together.

The client is ``vllm bench serve``; ``_bench_client`` runs it under the engine's own Python.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError, InputError

DATASETS = ("random", "prefix_repetition", "sharegpt", "custom")
FROM_FILE = ("sharegpt", "custom")
PREFIXES = 10
ROUNDS = 8  # requests of a run for each that is there at once: enough that its start and its end hardly count
LEAST_REQUESTS = 8
RATE_SECONDS = 30.0  # how long a run of so many requests a second takes
MOST_CLIENTS = 8
CLIENT_FROM = 8  # requests at once that are worth a further client process
CHILD = "BENCH "


@dataclass(frozen=True)
class Point:
    """One load: ``concurrency`` requests at once, each followed by the next, or ``rate`` requests a second."""

    concurrency: int = 0
    rate: float = 0.0
    requests: int = 0  # of one run

    @property
    def label(self) -> str:
        return f"{self.rate:g}/s" if self.rate else f"{self.concurrency} at once"


@dataclass(frozen=True)
class Load:
    """What is asked. Tokens are those of one request; with a file they are what the file says, or 0 where not asked."""

    points: tuple[Point, ...]
    input_tokens: int = 512
    output_tokens: int = 128
    dataset: str = "random"
    dataset_path: str = ""
    prefixes: int = PREFIXES  # prefix_repetition: so many beginnings ...
    prefix_tokens: int = 0  # ... of so many tokens each; 0: three quarters of a prompt
    range_ratio: float = 0.0  # random: lengths differ by so much up and down, as a share

    @property
    def prefix(self) -> int:
        return self.prefix_tokens or max(1, min(self.input_tokens - 1, round(0.75 * self.input_tokens)))

    @property
    def longest(self) -> int:
        """Tokens of the longest request; 0 where only a file knows."""
        if self.dataset in FROM_FILE:
            return 0
        more = 1 + self.range_ratio if self.dataset == "random" else 1
        return math.ceil(self.input_tokens * more) + math.ceil(self.output_tokens * more)

    @property
    def requests(self) -> str:
        """What kind of requests these are, in words; whoever asks for others measures something else."""
        if self.dataset in FROM_FILE:
            length = f", {self.output_tokens} output tokens each" if self.output_tokens else ""
            return f"{self.dataset} {self.dataset_path}{length}"
        if self.dataset == "prefix_repetition":
            tokens = f" of {self.prefix_tokens} tokens" if self.prefix_tokens else ""
            return f"{self.dataset}, {self.prefixes} prefixes{tokens}"
        return self.dataset + (f", lengths +-{self.range_ratio:.0%}" if self.range_ratio else "")

    def to_dict(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return {
            "dataset": self.dataset, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
            "requests": self.requests, "longest": self.longest,
            "points": [{"label": point.label, **point.__dict__} for point in self.points],
        }  # fmt: skip

    def words(self, chat_template: bool = True) -> list[str]:
        """The arguments of ``vllm bench serve`` that say so; how many prefixes, the client shares out."""
        named = ["--dataset-name", self.dataset]
        if self.dataset == "sharegpt":
            more = ["--sharegpt-output-len", str(self.output_tokens), "--ignore-eos"] if self.output_tokens else []
            return [*named, "--dataset-path", self.dataset_path, *more]
        if self.dataset == "custom":  # vLLM's own default for their answers is 256 tokens, whatever the file says
            length = ["--custom-output-len", str(self.output_tokens or -1)]
            more = ["--ignore-eos"] if self.output_tokens else []
            more += [] if chat_template else ["--skip-chat-template"]
            return [*named, "--dataset-path", self.dataset_path, *length, *more]
        if self.dataset == "prefix_repetition":
            return [
                *named, "--prefix-repetition-prefix-len", str(self.prefix),
                "--prefix-repetition-suffix-len", str(max(1, self.input_tokens - self.prefix)),
                "--prefix-repetition-output-len", str(self.output_tokens), "--ignore-eos",
            ]  # fmt: skip
        ratio = ["--random-range-ratio", f"{self.range_ratio:g}"] if self.range_ratio else []
        return [
            *named, "--random-input-len", str(self.input_tokens), "--random-output-len", str(self.output_tokens),
            *ratio, "--ignore-eos",
        ]  # fmt: skip


# input tokens, output tokens, requests at once
PRESETS: Mapping[str, tuple[int, int, tuple[int, ...]]] = {
    "chat": (512, 256, (1, 4, 16, 64)),
    "batch": (1024, 256, (64, 128, 256)),
    "mixed": (512, 128, (1, 16, 128)),
    "rag": (4096, 256, (1, 8, 32)),
}


def load_from(
    preset: str = "mixed",
    input_tokens: int = 0,
    output_tokens: int = 0,
    concurrencies: Sequence[int] = (),
    rates: Sequence[float] = (),
    requests: int = 0,
    dataset: str = "random",
    dataset_path: str = "",
    prefixes: int = PREFIXES,
    prefix_tokens: int = 0,
    range_ratio: float = 0.0,
) -> Load:
    """A preset with what was given instead of its own; InputError names what cannot be used."""
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r} is unknown: give one of {', '.join(PRESETS)}")
    _check_dataset(dataset, dataset_path, prefixes, prefix_tokens, range_ratio)
    for name, value in (("input_tokens", input_tokens), ("output_tokens", output_tokens), ("requests", requests)):
        if value < 0:
            raise InputError(f"{name} {value} is out of range: give a number above 0, or 0 for the preset's")
    own_input, own_output, own_points = PRESETS[preset]
    for value in concurrencies:
        if not 1 <= value <= 65536:
            raise InputError(f"concurrency {value} is out of range: give 1 to 65536 requests at once")
    for rate in rates:
        if not 0 < rate <= 100000:
            raise InputError(f"rate {rate:g} is out of range: give requests a second above 0 and up to 100000")
    if dataset in FROM_FILE:
        own_input = own_output = 0
    elif prefix_tokens and prefix_tokens >= (input_tokens or own_input):
        raise InputError(
            f"prefix_tokens {prefix_tokens} leaves nothing of a prompt of {input_tokens or own_input} tokens: give "
            "fewer, or more input_tokens"
        )
    each = prefixes if dataset == "prefix_repetition" else 1  # as many requests for each beginning
    points = [
        Point(one, requests=_whole(requests or max(LEAST_REQUESTS, ROUNDS * one), each))
        for one in dict.fromkeys(concurrencies or (() if rates else own_points))
    ]
    points += [
        Point(rate=one, requests=_whole(requests or max(LEAST_REQUESTS, round(RATE_SECONDS * one)), each))
        for one in dict.fromkeys(rates)
    ]
    return Load(
        tuple(points), input_tokens or own_input, output_tokens or own_output, dataset, dataset_path, prefixes,
        prefix_tokens, range_ratio,
    )  # fmt: skip


def _whole(requests: int, each: int) -> int:
    return -(-requests // each) * each


def _check_dataset(dataset: str, dataset_path: str, prefixes: int, prefix_tokens: int, range_ratio: float) -> None:
    if dataset not in DATASETS:
        raise InputError(f"dataset {dataset!r} is unknown: give one of {', '.join(DATASETS)}")
    if (dataset in FROM_FILE) != bool(dataset_path):
        raise InputError(
            f"dataset {dataset} needs dataset_path, a file on the host"
            if dataset in FROM_FILE
            else f"dataset_path {dataset_path!r} is not read with dataset {dataset}: give dataset sharegpt or custom"
        )
    if prefixes < 1:
        raise InputError(f"prefixes {prefixes} is out of range: give a number above 0")
    if prefix_tokens < 0:
        raise InputError(
            f"prefix_tokens {prefix_tokens} is out of range: give a number above 0, or 0 for 3/4 of a prompt"
        )
    if not 0 <= range_ratio < 1:
        raise InputError(f"range_ratio {range_ratio:g} is out of range: give a share of 0 or more and below 1")
    if range_ratio and dataset != "random":
        raise InputError(f"range_ratio {range_ratio:g} is not used with dataset {dataset}: give dataset random, or 0")


def client_count(point: Point, cpus: int, most: int = 0) -> int:
    """Client processes: half of the host's cores at most, since the engines need theirs."""
    wanted = point.concurrency // CLIENT_FROM if point.concurrency else round(point.rate / CLIENT_FROM)
    return max(1, min(wanted, most or min(MOST_CLIENTS, cpus // 2)))


@dataclass(frozen=True)
class Endpoint:
    """Where to ask. ``tokenizer`` is a directory on the host."""

    urls: tuple[str, ...]
    model: str
    tokenizer: str
    key: Optional[str] = None
    validate_certs: bool = True


def endpoint_from(
    urls: Sequence[str], model: str, tokenizer: str, key: Optional[str], validate_certs: bool = True
) -> Endpoint:
    """Checked; InputError names what cannot be used."""
    if not urls:
        raise InputError("urls is empty: give the address of the endpoint, such as http://127.0.0.1:8000")
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"url {url!r} cannot be used: give http://HOST:PORT or https://HOST:PORT")
    if not os.path.isdir(tokenizer):
        raise InputError(f"tokenizer {tokenizer!r} is no directory on this host: give the one of the model")
    return Endpoint(tuple(url.rstrip("/").removesuffix("/v1") for url in urls), model, tokenizer, key, validate_certs)


@dataclass(frozen=True)
class Effort:
    """How much is measured. ``clients`` 0 takes what the host has cores for."""

    repeats: int = 3
    warmup: int = 16  # requests
    clients: int = 0
    timeout: float = 1800.0  # seconds of one run

    def __post_init__(self) -> None:
        least = {"repeats": 1, "warmup": 0, "clients": 0, "timeout": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} {getattr(self, name):g} is out of range: give {low} or more")


def runs(load: Load, endpoint: Endpoint, effort: Effort, cpus: int, seed: int) -> list[dict[str, Any]]:
    """What ``_bench_client`` is told: a warm-up that does not count, then all points, again and again.

    No two runs have the same seed, so no engine knows a prompt of the measured ones already.
    """
    common = [
        "--backend", "openai", "--endpoint", "/v1/completions", "--model", endpoint.model,
        "--tokenizer", endpoint.tokenizer, "--temperature", "0", *load.words(_has_chat_template(endpoint.tokenizer)),
        *([] if endpoint.validate_certs else ["--insecure"]),
    ]  # fmt: skip
    prefixes = load.prefixes if load.dataset == "prefix_repetition" else 0
    wanted = [
        (f"{number}/{repeat}", point, prefixes)
        for repeat in range(effort.repeats)
        for number, point in enumerate(load.points)
    ]
    if effort.warmup:
        few = min(prefixes, effort.warmup)
        warm = Point(min(effort.warmup, 8), requests=_whole(effort.warmup, few or 1))
        wanted.insert(0, ("warm-up", warm, few))
    return [
        {
            "name": name, "urls": list(endpoint.urls), "words": common, "requests": point.requests,
            "concurrency": point.concurrency, "rate": point.rate, "seed": seed + number, "timeout": effort.timeout,
            "clients": client_count(point, cpus, effort.clients), "prefixes": few,
        }
        for number, (name, point, few) in enumerate(wanted)
    ]  # fmt: skip


def _has_chat_template(tokenizer: str) -> bool:
    """The client puts prompts of a file into the model's own frame, and fails where there is none."""
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        with contextlib.suppress(OSError), open(os.path.join(tokenizer, name), encoding="utf-8") as handle:
            if not name.startswith("tokenizer") or '"chat_template"' in handle.read():
                return True
    return False


@dataclass
class Measured:
    """The repeats of one point. ``figures`` are medians, ``least`` and ``most`` their range."""

    point: Point
    repeats: list[Mapping[str, Any]] = field(default_factory=list)

    def _told(self, choose: Callable[[Sequence[float]], float]) -> dict[str, float]:
        rows = [flat(one) for one in self.repeats]
        names = [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]
        return {name: round(choose([row[name] for row in rows]), 3) for name in names}

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.point.label, "concurrency": self.point.concurrency, "rate": self.point.rate,
            "requests": self.point.requests, "failed": sum(one["failed"] for one in self.repeats),
            "error": next((one["error"] for one in self.repeats if one.get("error")), None),
            "figures": self._told(statistics.median), "least": self._told(min), "most": self._told(max),
        }  # fmt: skip


def flat(figures: Mapping[str, Any]) -> dict[str, float]:
    """``{"ttft_ms": {"p50": 1}, "requests_per_s": 2}`` as ``{"ttft_ms_p50": 1, "requests_per_s": 2}``."""
    found = {name: float(figures[name]) for name in ("output_tokens_per_s", "requests_per_s", "seconds")}
    for group in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"):
        found.update({f"{group}_{rank}": float(value) for rank, value in figures[group].items()})
    return found


def collect(load: Load, told: Sequence[Mapping[str, Any]]) -> list[Measured]:
    """The client's answers, point by point."""
    found = [Measured(point) for point in load.points]
    for figures in told:
        if figures["name"] != "warm-up":
            found[int(figures["name"].partition("/")[0])].repeats.append(figures)
    return found


def progress_line(figures: Mapping[str, Any], load: Load) -> str:
    number, _slash, repeat = figures["name"].partition("/")
    what = f"{load.points[int(number)].label}, " if repeat else ""
    bad = f", {figures['failed']} of {figures['requests']} failed: {figures['error']}" if figures["failed"] else ""
    ttft = figures["ttft_ms"].get("p50", 0.0)
    return f"{what}{figures['output_tokens_per_s']:,.0f} output tokens/s, TTFT p50 {ttft:.0f} ms{bad}"


def run_client(
    python: str,
    program: str,
    wanted: Sequence[Mapping[str, Any]],
    key: Optional[str],
    env: Mapping[str, str],
    progress: Callable[[Mapping[str, Any]], None] = lambda _figures: None,
) -> list[dict[str, Any]]:
    """The figures of every run. Raises EngineError where the client itself did not work.

    ``program`` is the file of ``_bench_client``, ``python`` one that can import vLLM.
    """
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        **env,
    }
    environment["OPENAI_API_KEY"] = key or "none"  # the client wants one
    found: list[dict[str, Any]] = []
    try:
        client = subprocess.Popen(
            [python, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as exc:
        raise EngineError(f"{python} cannot be run ({exc.strerror}): give python an interpreter that has vLLM") from exc
    with client:
        tail = _Tail(client.stderr)
        try:
            with client.stdin or open(os.devnull, "w", encoding="utf-8") as ask:
                ask.write(json.dumps({"runs": [dict(run) for run in wanted]}))
        except BrokenPipeError:
            pass  # its own words say why
        for line in client.stdout or ():
            if line.startswith(CHILD):
                found.append(json.loads(line[len(CHILD) :]))
                progress(found[-1])
    if len(found) == 1 and found[0]["name"] == "warm-up" and found[0]["failed"] == found[0]["requests"]:
        raise EngineError(f"no request of the warm-up had a whole answer: {found[0]['error']}")
    if len(found) < len(wanted):
        said = tail.last() or f"status {client.returncode}"
        raise EngineError(
            f"the benchmark client ended after {len(found)} of {len(wanted)} runs: {said}; {python} must be a Python "
            "that can import vLLM"
        )
    return found


class _Tail:
    """Reads a pipe to its end beside everything else, and keeps the last line that says something."""

    def __init__(self, pipe: Any) -> None:
        self._line = ""
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: Any) -> None:
        for line in pipe:
            self._line = line.strip() or self._line

    def last(self) -> str:
        self._thread.join(5)
        return self._line[:500]
