# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What an endpoint is for: a word, or the load in numbers with the times it is to be served in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_values import choice, number, suggest, whole

WORKLOADS = ("latency", "throughput", "mixed")

# What a workload that is only named must find room for in every instance: (requests at once, tokens of each). Below
# that, requests queue or are preempted, and a card that merely holds the weights is no home for a replica.
NAMED_NEED = {"latency": (1, 8192), "mixed": (8, 2048), "throughput": (16, 2048)}
# The load that its speed is predicted at, on the whole host: one stream, the small load that most endpoints see most of
# the time, and one that keeps every card busy. These are the loads at which data and tensor parallel were measured.
NAMED_CONCURRENCY = {"latency": 1, "mixed": 16, "throughput": 128}
NAMED_TOKENS = (512, 128)  # prompt and answer
TARGETS = ("ttft_ms", "tpot_ms")
NUMBERS = ("input_tokens", "output_tokens", "concurrency")


@dataclass(frozen=True)
class Workload:
    """A named workload, or numbers. ``requests`` x ``tokens`` is the KV cache that is needed."""

    name: str
    requests: int
    tokens: int
    given: bool = False  # numbers of the operator: shared by all instances; otherwise each instance must hold it
    ttft_ms: Optional[float] = None
    tpot_ms: Optional[float] = None
    concurrency: int = 1  # requests on the whole host that the speed is predicted for
    input_tokens: int = NAMED_TOKENS[0]
    output_tokens: int = NAMED_TOKENS[1]

    def per_instance(self, replicas: int) -> int:
        return -(-self.requests // replicas) if self.given else self.requests

    def held_tokens(self, requests: int) -> int:
        """KV cache of each of so many requests that run at once.

        Of given numbers the prompt is there in full and the answer in part: requests are at different points of theirs,
        half-way on average. Two standard deviations of the sum are added, so that 49 of 50 moments fit.
        """
        if not self.given:
            return self.tokens
        part = min(0.5 + 2 / math.sqrt(12 * max(requests, 1)), 1.0)
        return self.input_tokens + math.ceil(part * self.output_tokens)

    @property
    def targets(self) -> dict[str, float]:
        pairs = (("ttft_ms", self.ttft_ms), ("tpot_ms", self.tpot_ms))
        return {key: value for key, value in pairs if value is not None}

    def loaded(self, concurrency: int) -> str:
        """In words, for a number of requests at once."""
        size = f"of {self.input_tokens:,} + {self.output_tokens:,} tokens at"
        return f"one request {size} a time" if concurrency == 1 else f"{concurrency:,} requests {size} once"


def named_workload(name: str) -> Workload:
    return Workload(name, *NAMED_NEED[name], concurrency=NAMED_CONCURRENCY[name])


def read_workload(value: Any) -> Workload:
    if not isinstance(value, Mapping):
        return named_workload(choice(value, "workload", WORKLOADS))
    allowed = ("name", *NUMBERS, *TARGETS)
    for key in value:
        if key not in allowed:
            raise InputError(f"workload: unknown key {key!r}{suggest(str(key), allowed)}: use {', '.join(allowed)}")
    name = choice(value.get("name") or "mixed", "workload name", WORKLOADS)
    for key in NUMBERS:
        if value.get(key) is None:
            raise InputError(f"workload: {key} is missing: numbers need input_tokens, output_tokens and concurrency")
    input_tokens = whole(value["input_tokens"], "workload.input_tokens", 1, 1 << 30)
    output_tokens = whole(value["output_tokens"], "workload.output_tokens", 1, 1 << 30)
    concurrency = whole(value["concurrency"], "workload.concurrency", 1, 1 << 20)
    limits = [None if value.get(key) is None else number(value[key], f"workload.{key}") for key in TARGETS]
    for key, limit in zip(TARGETS, limits):
        if limit is not None and limit <= 0:
            raise InputError(f"workload.{key} {limit:g} is out of range: give milliseconds above 0")
    return Workload(
        name,
        concurrency,
        input_tokens + output_tokens,
        given=True,
        ttft_ms=limits[0],
        tpot_ms=limits[1],
        concurrency=concurrency,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )
