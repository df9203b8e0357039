# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Prometheus text format, as far as vLLM's /metrics uses it, and the two things the collection reads there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class KvCache:
    """An engine's own figures of its KV cache; None where it does not tell."""

    num_gpu_blocks: Optional[int] = None
    block_size: Optional[int] = None
    kv_cache_tokens: Optional[int] = None
    max_concurrency: Optional[float] = None


class Metrics:
    """The samples of one scrape."""

    def __init__(self, samples: tuple[Sample, ...]) -> None:
        self.samples = samples

    def total(self, name: str) -> Optional[float]:
        """Sum over all label sets (one engine core each); None where the metric is not there."""
        values = [s.value for s in self.samples if s.name == name]
        return sum(values) if values else None

    def labels(self, name: str) -> Optional[dict[str, str]]:
        """Labels of the first sample of that name."""
        return next((s.labels for s in self.samples if s.name == name), None)

    def kv_cache(self) -> KvCache:
        """From ``vllm:cache_config_info`` (vllm/v1/metrics/loggers.py, vllm/config/cache.py metrics_info).

        Every field of CacheConfig is a label there, str() of its value, so None is the word "None".
        kv_cache_size_tokens and kv_cache_max_concurrency are newer than the rest (0.26 has neither).
        With data parallel engine cores inside one process the figures are those of the first: each has its own cache.
        """
        labels = self.labels("vllm:cache_config_info") or {}
        blocks, size, tokens = (
            _number(labels.get(key)) for key in ("num_gpu_blocks", "block_size", "kv_cache_size_tokens")
        )
        return KvCache(
            None if blocks is None else int(blocks),
            None if size is None else int(size),
            None if tokens is None else int(tokens),
            _number(labels.get("kv_cache_max_concurrency")),
        )


def _number(text: Optional[str]) -> Optional[float]:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None  # NaN and infinities compare false


def _sample(line: str) -> Optional[Sample]:
    name = _NAME.match(line)
    if not name:
        return None
    rest = line[name.end() :].lstrip()
    labels: dict[str, str] = {}
    if rest.startswith("{"):
        at = 1
        found = _LABEL.match(rest, at)
        while found:
            labels[found.group(1)] = re.sub(r"\\.", lambda m: _ESCAPES.get(m.group(), m.group()), found.group(2))
            at = found.end()
            found = _LABEL.match(rest, at)
        if rest[at:].lstrip()[:1] != "}":
            return None
        rest = rest[at:].lstrip()[1:]
    words = rest.split()  # value, then perhaps a time stamp
    try:
        return Sample(name.group(), labels, float(words[0]))  # float() knows NaN, +Inf and -Inf
    except (IndexError, ValueError):
        return None


def parse(text: str) -> Metrics:
    """Samples of an exposition; comments and lines that are not samples are passed over."""
    lines = (line.strip() for line in text.splitlines())
    samples = (_sample(line) for line in lines if line and not line.startswith("#"))
    return Metrics(tuple(s for s in samples if s is not None))
