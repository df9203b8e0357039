# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the instances answered, as a table for people."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._columns import columns


def _row(outcome: Mapping[str, Any]) -> tuple[str, ...]:
    kv = outcome.get("kv") or {}
    tokens, planned, difference = (
        kv.get("kv_cache_tokens"),
        kv.get("planned_kv_cache_tokens"),
        kv.get("difference_percent"),
    )
    return (
        str(outcome["name"]),
        f"ready after {outcome['seconds']:.1f} s"
        if outcome.get("ready")
        else f"NOT READY ({outcome.get('stage', '')})",
        ", ".join(outcome.get("models") or ()),
        f"{tokens:,}" if tokens else "",
        f"{planned:,}" if planned else "",
        f"{difference:+.2f} %" if difference is not None else "",
    )


def render_ready(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """A table of vllm_ready's ``instances``: KV cache in tokens as the engine says, as planned, and the difference."""
    head = ("instance", "state", "model", "KV tokens", "planned", "difference")
    lines = columns(head, [_row(outcome) for outcome in outcomes], numbers=range(3, len(head)))
    for outcome in outcomes:
        if outcome.get("error"):
            lines.append(f"! {outcome['name']}: {outcome['error']}")
    return "\n".join(lines) + "\n"
