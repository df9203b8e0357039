# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every estimator is asked, and what it may answer."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional

from ansible_collections.gpuserve.inference.benchmarks.planner.questions import UTILIZATION, Question
from ansible_collections.gpuserve.inference.benchmarks.planner.rows import Row

# One answer: bytes of weights a card, tokens the KV cache holds, KV bytes of one request of full length a card, and
# whether it fits. None: the estimator does not say. ``error``: it refused or failed, in its words.
FIELDS = ("weights", "tokens", "request", "fits")
Answer = Mapping[str, Any]


def answer(
    weights: Optional[float] = None,
    tokens: Optional[float] = None,
    request: Optional[float] = None,
    fits: Optional[bool] = None,
    error: str = "",
) -> dict[str, Any]:
    return {"weights": weights, "tokens": tokens, "request": request, "fits": fits, "error": error}


def ask_of(row: Row, memory: int, utilization: float, ident: str) -> dict[str, Any]:
    return {
        "id": ident,
        "model": row.name,
        "dir": row.directory,
        "tp": row.tp,
        "card": row.card,
        "memory": memory,
        "utilization": utilization,
        "length": row.max_model_len,
        "batched": row.max_num_batched_tokens,
        "seqs": row.max_num_seqs,
        "kv_cache_dtype": row.kv_cache_dtype,
        "enforce_eager": row.enforce_eager,
        "extra_args": list(row.extra_args),
        "vllm": row.vllm,
    }


def asks(rows: Iterable[Row], questions: Iterable[Question]) -> list[dict[str, Any]]:
    """Rows are asked with the card's true total, which is the best that any estimator can be given."""
    out = [ask_of(row, row.cuda_total, row.utilization, row.id) for row in rows]
    return out + [ask_of(q.row, q.memory, UTILIZATION, q.id) for q in questions]
