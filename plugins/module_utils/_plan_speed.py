# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The speed of a candidate: all its replicas together, at the load that the workload stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import KvPlan, kv_element_bytes
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_workload import Workload
from ansible_collections.gpuserve.inference.plugins.module_utils._speed import SpeedPrediction, predict_speed
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model


@dataclass(frozen=True)
class Replica:
    """One instance, as far as its speed is concerned."""

    link: str  # nvlink, pcie_p2p or pcie
    card: str
    tp: int
    kv: KvPlan
    kv_bytes: int
    max_num_seqs: int
    max_num_batched_tokens: int
    pcie_gb_s: float  # of the narrowest slot; 0: not known

    @property
    def key(self) -> tuple[object, ...]:
        """Replicas that are alike are equally fast (their KV cache then has the same layout too)."""
        return self.link, self.card, self.tp, self.kv_bytes, self.max_num_seqs, self.pcie_gb_s


@dataclass(frozen=True)
class Speed:
    """None where a card's bandwidth is not known. TTFT and TPOT are those of the slowest replica."""

    tpot_ms: Optional[float] = None
    ttft_ms: Optional[float] = None
    output_tokens_per_s: Optional[float] = None
    requests_per_s: Optional[float] = None
    concurrency: int = 1  # requests on the host
    queued: float = 0.0  # of them, those that the replicas cannot run at once

    @property
    def known(self) -> bool:
        return self.output_tokens_per_s is not None

    @property
    def rate(self) -> float:
        return self.output_tokens_per_s or 0.0

    def of(self, key: str) -> Optional[float]:
        value: Optional[float] = getattr(self, key)
        return value

    def meets(self, targets: Mapping[str, float]) -> bool:
        return all((self.of(key) or float("inf")) <= target for key, target in targets.items())

    def to_dict(self, workload: Workload) -> dict[str, Any]:
        out: dict[str, Any] = {
            "tpot_ms": _rounded(self.tpot_ms),
            "ttft_ms": _rounded(self.ttft_ms),
            "output_tokens_per_s": _rounded(self.output_tokens_per_s),
            "requests_per_s": _rounded(self.requests_per_s),
            "speed_concurrency": self.concurrency,
            "speed_input_tokens": workload.input_tokens,
            "speed_output_tokens": workload.output_tokens,
        }
        if workload.targets:
            out["targets"] = {
                key: {
                    "target": target,
                    "predicted": _rounded(self.of(key)),
                    "met": None if self.of(key) is None else bool(self.meets({key: target})),
                }
                for key, target in workload.targets.items()
            }
        return out


def _rounded(value: Optional[float]) -> Optional[float]:
    """To what a person reads: two decimals of milliseconds, whole tokens a second."""
    return None if value is None else float(f"{value:.4g}") if value < 1000 else float(round(value))


def host_speed(model: Model, workload: Workload, kv_cache_dtype: str, replicas: Sequence[Replica]) -> Speed:
    """Requests are dealt out evenly; with fewer requests than replicas the slowest replicas are the ones that count."""
    used = max(1, min(len(replicas), workload.concurrency))
    share = workload.concurrency / used
    element = kv_element_bytes(model, kv_cache_dtype)
    known: dict[tuple[object, ...], SpeedPrediction] = {}
    parts = []
    for each in replicas:
        if each.key not in known:
            known[each.key] = predict_speed(
                model,
                each.card,
                each.tp,
                link=each.link,
                concurrency=share,
                input_tokens=workload.input_tokens,
                output_tokens=workload.output_tokens,
                kv_plan=each.kv,
                kv_bytes=each.kv_bytes,
                max_num_seqs=each.max_num_seqs,
                max_num_batched_tokens=each.max_num_batched_tokens,
                kv_element_bytes=element,
                pcie_gb_s=each.pcie_gb_s or None,
            )
        parts.append(known[each.key])
    rates = [p.requests_per_s for p in parts if p.requests_per_s]
    tpots = [p.tpot_ms for p in parts if p.tpot_ms is not None]
    ttfts = [p.ttft_ms for p in parts if p.ttft_ms is not None]
    queued = sum(sorted((p.queued for p in parts), reverse=True)[:used])
    if not len(parts) == len(rates) == len(tpots) == len(ttfts):
        return Speed(concurrency=workload.concurrency, queued=queued)
    requests = sum(sorted(rates)[:used])
    return Speed(max(tpots), max(ttfts), requests * workload.output_tokens, requests, workload.concurrency, queued)
