# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which layers share a block table: vLLM's KV cache groups, and the bytes of one block of the pool they draw from.

Follows ``get_kv_cache_groups`` of ``v1/core/kv_cache_utils.py`` (0.26 to 0.32) for one rank without speculation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

LOCAL = ("sliding", "chunked")


@dataclass(frozen=True)
class LayerSpec:
    """What each of ``layers`` equal layers keeps on a rank: pages of ``page_bytes``, each for ``block_size`` tokens."""

    kind: str  # full | mla | sliding | chunked | mamba
    layers: int
    block_size: int
    page_bytes: int
    window: int = 0
    blocks: int = 0  # of a request, where its length does not matter

    @property
    def family(self) -> tuple[str, int, int]:
        """Layers of one family always need the same token slots."""
        kind = "full" if self.kind == "mla" else self.kind
        return (kind, self.block_size, self.window if kind in LOCAL else 0)


@dataclass(frozen=True)
class Group:
    """One block table: a request takes blocks from the pool for it, whatever other groups take."""

    kind: str
    window: int
    block_size: int
    blocks: int  # of a request, where its length does not matter


def _group(spec: LayerSpec) -> Group:
    return Group(spec.kind, spec.window, spec.block_size, spec.blocks)


def group_layers(specs: tuple[LayerSpec, ...], hybrid: bool = True) -> tuple[tuple[Group, ...], int]:
    """The groups, and the bytes of one block over all layers that it serves."""
    specs = _merged(specs if hybrid else _promoted(specs))
    if not specs:
        return (), 0
    if len({s.family for s in specs}) == 1:
        return (_group(specs[0]),), sum(s.page_bytes * s.layers for s in specs)
    specs = _merged(_same_pages(specs))
    counts = sorted(s.layers for s in specs)
    # the smallest type sets the size of all groups, unless the largest is hardly larger
    size = counts[-1] if counts[-1] < 1.5 * counts[0] else counts[0]
    groups = tuple(_group(s) for s in specs for _n in range(-(-s.layers // size)))
    return groups, size * specs[0].page_bytes


def _merged(specs: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    found: dict[LayerSpec, int] = {}
    for spec in specs:
        key = replace(spec, layers=0)
        found[key] = found.get(key, 0) + spec.layers
    return tuple(replace(key, layers=layers) for key, layers in found.items() if layers)


def _promoted(specs: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """Without the hybrid manager a local layer beside full ones keeps all tokens, as they do."""
    if len({s.family for s in specs}) < 2:
        return specs
    full = [s for s in specs if s.kind in ("full", "mla")]
    out = []
    for spec in specs:
        if spec.kind in LOCAL and full:
            block = full[0].block_size
            page = spec.page_bytes // spec.block_size * block
            spec = replace(spec, kind="full", window=0, block_size=block, page_bytes=page)
        out.append(spec)
    if len({s.family for s in out}) > 1:
        raise InputError(
            "disable_hybrid_kv_cache_manager: this model's layers keep states of different kinds, which vLLM then "
            "refuses to serve: leave the option out"
        )
    return tuple(out)


def _same_pages(specs: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """One page size for all: smaller pages hold more tokens, or are padded where they do not divide the largest."""
    largest = max(s.page_bytes for s in specs)
    out = []
    for spec in specs:
        ratio, rest = divmod(largest, spec.page_bytes)
        if spec.kind == "mamba" or rest:
            out.append(replace(spec, page_bytes=largest))
        else:
            out.append(replace(spec, page_bytes=largest, block_size=spec.block_size * ratio))
    return tuple(out)
