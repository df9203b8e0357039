# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The published formulas, each given the true size of the checkpoint's files."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible_collections.gpuserve.inference.benchmarks.planner.asks import answer
from ansible_collections.gpuserve.inference.benchmarks.planner.formulas import (
    GpuStack,
    Kaito,
    RuleOfThumb,
    full_attention_token_bytes,
    text_part,
)
from ansible_collections.gpuserve.inference.benchmarks.planner.places import config_of

Checkpoint = Mapping[str, Any]  # as drivers/ask_checkpoint.py lists it
NO_SIZE = "the checkpoint's size is not known"
NO_HEADS = "the config names no attention heads"


def rule_of_thumb(ask: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """As a careful person does it: the size as served, and heads that the config leaves to its class looked up."""
    files = checkpoint.get("served")
    if not files:
        return answer(error=NO_SIZE)
    element = 1 if ask["kv_cache_dtype"].startswith("fp8") else 2
    shapes = (config_of(ask["dir"]), checkpoint["text"])
    token = next((size for size in (full_attention_token_bytes(s, element) for s in shapes) if size), None)
    if token is None:
        return answer(weights=files / ask["tp"], error=NO_HEADS)
    tokens = RuleOfThumb.tokens(files, token, ask["memory"], ask["utilization"], ask["tp"])
    return answer(files / ask["tp"], tokens, token * ask["length"] / ask["tp"], tokens >= ask["length"])


def gpustack(ask: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    files = checkpoint.get("bytes")
    if not files:
        return answer(error=NO_SIZE)
    return answer(fits=GpuStack.fits(files, ask["memory"], ask["utilization"], ask["tp"]))


def kaito(ask: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    files = checkpoint.get("bytes")
    if not files:
        return answer(error=NO_SIZE)
    config, cards = config_of(ask["dir"]), int(ask["tp"])
    token = Kaito.token_bytes(config)
    if token is None:
        return answer(weights=files * Kaito.GROWTH / cards, error=NO_HEADS)
    latent = bool(text_part(config).get("kv_lora_rank"))
    memory, utilization, length = ask["memory"], ask["utilization"], int(ask["length"])
    needed = Kaito.cards_needed(files, token, length, memory, utilization, cards)
    return answer(
        weights=files * Kaito.GROWTH / cards,
        tokens=Kaito.tokens(files, token, memory, utilization, cards, latent),
        request=token * length / (1 if latent else cards),
        fits=needed is not None and needed <= cards,
    )


PUBLISHED: dict[str, Callable[[Mapping[str, Any], Checkpoint], dict[str, Any]]] = {
    "rule of thumb": rule_of_thumb,
    "GPUStack": gpustack,
    "KAITO": kaito,
}
