# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which cards can be planned on, and which of them belong together in one replica."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Callable, Iterator, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._cards import pcie_gb_s
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import GIB, Release
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu, Link

# nvidia-smi's words for a path, from near to far
PATH_RANK = {"NVL": 7, "PIX": 6, "PXB": 5, "PHB": 4, "NODE": 3, "SYS": 1}
EXHAUSTIVE_UP_TO = 8  # cards; beyond that groups are joined greedily


@dataclass(frozen=True)
class Unit:
    """What one rank runs on: a whole card or a MIG slice."""

    index: int
    uuid: str
    name: str
    nvml_total: int
    cuda_total: int
    free: int
    busy: bool = False  # in use by someone else
    numa_node: Optional[int] = None
    slice_number: int = -1  # of a MIG card; -1: a whole card
    capability: str = ""  # compute capability such as "9.0"; empty where NVML does not say
    pcie_gb_s: float = 0.0  # of its slot, one direction; 0 where NVML does not say

    @property
    def is_mig(self) -> bool:
        return self.slice_number >= 0

    @property
    def kind(self) -> tuple[str, int]:
        """Cards of one kind may share a replica."""
        return self.name, round(self.nvml_total / GIB)

    @property
    def label(self) -> str:
        return f"card {self.index}" + (f" slice {self.slice_number}" if self.is_mig else "") + f" ({self.name})"


def select_units(request: PlanRequest, release: Release) -> tuple[tuple[Unit, ...], tuple[str, ...]]:
    """The units the operator asked for, less those that cannot serve, with a warning for each that is left out."""
    wanted = _wanted(request)
    units: list[Unit] = []
    warnings: list[str] = []
    for gpu in request.gpus:
        slices = wanted.get(gpu.index)
        if slices is None:
            continue
        node = gpu.numa_node if gpu.numa_node is not None and gpu.numa_node >= 0 else None  # -1: the kernel knows none
        problem = _unfit(gpu, release)
        if problem:
            warnings.append(f"card {gpu.index} ({gpu.name}) is left out: {problem}")
            continue
        if gpu.mig_mode == "enabled":
            for number, mig in enumerate(gpu.mig_devices):
                if slices and mig.uuid not in slices:
                    continue
                busy = mig.memory_free_bytes < 0.9 * mig.memory_total_bytes and not request.own_pids
                free = mig.memory_free_bytes if busy or not request.own_pids else mig.memory_total_bytes
                units.append(
                    Unit(
                        gpu.index,
                        mig.uuid,
                        mig.name or "MIG slice",
                        mig.memory_total_bytes,
                        mig.memory_total_bytes,
                        free,
                        busy,
                        node,
                        number,
                        gpu.compute_capability,
                    )
                )
            continue
        free, foreign = free_memory(gpu, request.own_pids)
        units.append(
            Unit(
                gpu.index,
                gpu.uuid,
                gpu.name,
                gpu.memory_total_bytes,
                gpu.cuda_total_bytes,
                free,
                foreign,
                node,
                capability=gpu.compute_capability,
                pcie_gb_s=_pcie_gb_s(gpu),
            )
        )
        if (gpu.health or {}).get("verdict") == "warn":
            warnings.append(f"card {gpu.index} ({gpu.name}): {_reasons(gpu)}")
    return tuple(units), tuple(warnings)


def free_memory(gpu: Gpu, own_pids: tuple[int, ...]) -> tuple[int, bool]:
    """Free bytes once the engines that this plan replaces are gone, and whether someone else holds memory too."""
    own = [p for p in gpu.processes if isinstance(p, Mapping) and _is_own(p, own_pids)]
    if own and len(own) == len(gpu.processes):
        return gpu.cuda_total_bytes, False
    free = gpu.memory_free_bytes + sum(int(p.get("memory_bytes") or 0) for p in own)
    free = min(free, gpu.cuda_total_bytes)
    return free, gpu.cuda_total_bytes - free > GIB


def _pcie_gb_s(gpu: Gpu) -> float:
    """The generation the slot can do (an idle card falls back to a lower one) over the lanes that are wired."""
    values = gpu.pcie_gen.get("max"), gpu.pcie_width.get("current") or gpu.pcie_width.get("max")
    gen, lanes = (v if isinstance(v, int) and not isinstance(v, bool) else 0 for v in values)
    return pcie_gb_s(gen, lanes)


def _is_own(process: Mapping[str, Any], own_pids: tuple[int, ...]) -> bool:
    return process.get("pid") in own_pids or bool(re.match(r"vllm@.+\.service$", str(process.get("unit") or "")))


def _reasons(gpu: Gpu) -> str:
    reasons = (gpu.health or {}).get("reasons") or []
    return "; ".join(str(r) for r in reasons) or "its health check does not say why"


def _unfit(gpu: Gpu, release: Release) -> Optional[str]:
    if (gpu.health or {}).get("verdict") == "fail":
        return f"its health check failed: {_reasons(gpu)}"
    if gpu.cuda_total_bytes < 1:
        return "it reports no memory"
    if gpu.mig_mode == "enabled" and not gpu.mig_devices:
        return "MIG is enabled but it has no slices: create some, or disable MIG"
    try:
        capability = tuple(int(part) for part in gpu.compute_capability.split("."))
    except ValueError:
        return None  # NVML did not say
    if capability < release.min_compute_capability:
        need = ".".join(str(n) for n in release.min_compute_capability)
        return f"compute capability {gpu.compute_capability} is below the {need} that vLLM needs"
    return None


def _wanted(request: PlanRequest) -> dict[int, tuple[str, ...]]:
    """Index -> MIG UUIDs that were named (none: the whole card)."""
    if not request.gpu_ids:
        return {g.index: () for g in request.gpus}
    by_uuid = {g.uuid: g.index for g in request.gpus if g.uuid}
    by_slice = {m.uuid: g.index for g in request.gpus for m in g.mig_devices}
    indexes = {g.index for g in request.gpus}
    out: dict[int, tuple[str, ...]] = {}
    seen: set[object] = set()
    for item in request.gpu_ids:
        index = item if isinstance(item, int) else by_uuid.get(item, by_slice.get(item))
        if index is None or index not in indexes:
            have = ", ".join(f"{g.index} ({g.uuid or g.name})" for g in request.gpus) or "none"
            raise InputError(f"gpu_ids (vllm_gpus): there is no card {item!r}; this host has: {have}")
        named: object = item if item in by_slice else index
        if named in seen or (isinstance(named, str) and index in seen) or (named == index and index in out):
            raise InputError(f"gpu_ids (vllm_gpus): card {index} is named twice ({item!r}): name each card once")
        seen.add(named)
        out[index] = out.get(index, ()) + ((str(item),) if item in by_slice else ())
    return out


# ---------------------------------------------------------------- links


class Fabric:
    """The links between units."""

    def __init__(self, request: PlanRequest) -> None:
        self._links = request.links
        self._row = {g.index: n for n, g in enumerate(request.gpus)}

    def link(self, a: Unit, b: Unit) -> Optional[Link]:
        """None where the probe did not say."""
        if not self._links:
            return None
        found: Link = self._links[self._row[a.index]][self._row[b.index]]
        return found

    def nearness(self, a: Unit, b: Unit) -> float:
        link = self.link(a, b)
        if link is None:
            known = a.numa_node is not None and b.numa_node is not None
            return 3.0 if known and a.numa_node == b.numa_node else 1.0
        same_node = 0.25 if a.numa_node is not None and a.numa_node == b.numa_node else 0.0
        if link.nvlink_count:
            return 100.0 + link.nvlink_count + same_node
        return PATH_RANK.get(link.path, 0) + (0.5 if link.p2p else 0.0) + same_node

    def nvlink(self, group: tuple[Unit, ...]) -> bool:
        """Every pair of the group is joined by NVLink."""
        pairs = [self.link(a, b) for a, b in combinations(group, 2)]
        return bool(pairs) and all(link is not None and link.nvlink_count > 0 for link in pairs)

    def p2p_missing(self, group: tuple[Unit, ...]) -> bool:
        """The probe says that some pair cannot reach each other's memory."""
        pairs = [self.link(a, b) for a, b in combinations(group, 2)]
        return any(link is not None and not link.p2p and not link.nvlink_count for link in pairs)

    def link_kind(self, group: tuple[Unit, ...]) -> str:
        """What an all-reduce runs over: nvlink, pcie_p2p (the cards reach each other's memory), or pcie."""
        if self.nvlink(group):
            return "nvlink"
        pairs = [self.link(a, b) for a, b in combinations(group, 2)]
        return "pcie_p2p" if pairs and all(link is not None and link.p2p for link in pairs) else "pcie"

    def score(self, group: tuple[Unit, ...]) -> tuple[float, float]:
        near = [self.nearness(a, b) for a, b in combinations(group, 2)]
        return (min(near), sum(near)) if near else (0.0, 0.0)

    def describe(self, group: tuple[Unit, ...]) -> str:
        if self.nvlink(group):
            return "NVLink"
        worst = [link for link in (self.link(a, b) for a, b in combinations(group, 2)) if link is not None]
        if not worst:
            return "PCIe"
        path = min((link.path for link in worst), key=lambda p: PATH_RANK.get(p, 0))
        return f"PCIe ({path}{'' if all(link.p2p for link in worst) else ', no peer-to-peer'})"


def best_groups(
    units: tuple[Unit, ...], size: int, count: int, fabric: Fabric, serves: Callable[[tuple[Unit, ...]], int]
) -> Optional[tuple[tuple[Unit, ...], ...]]:
    """``count`` groups of ``size`` units of one kind: those that serve best, by the best links, low indexes first."""
    if size == 1:
        ranked = sorted(units, key=lambda u: (-serves((u,)), u.busy, -u.cuda_total, u.index, u.slice_number))
        chosen = sorted(ranked[:count], key=lambda u: (u.index, u.slice_number))
        return tuple((u,) for u in chosen) if len(chosen) == count else None
    whole = tuple(u for u in units if not u.is_mig)
    quality: dict[tuple[Unit, ...], tuple[int, int, float, float]] = {}
    for group in _groups(whole, size):
        near, total = fabric.score(group)
        quality[group] = (serves(group), -sum(u.busy for u in group), near, total)
    best: Optional[tuple[tuple[float, ...], tuple[tuple[Unit, ...], ...]]] = None
    choices = _partitions(quality, count) if len(whole) <= EXHAUSTIVE_UP_TO else _greedy(quality, count)
    for chosen_groups in choices:
        parts = [quality[g] for g in chosen_groups]
        # the weakest group counts first, then the whole
        key = tuple(float(f) for column in zip(*parts) for f in (min(column), sum(column)))
        if best is None or key > best[0]:
            best = (key, chosen_groups)
    return best[1] if best else None


def _groups(units: tuple[Unit, ...], size: int) -> Iterator[tuple[Unit, ...]]:
    kinds: dict[tuple[str, int], list[Unit]] = {}
    for unit in units:
        kinds.setdefault(unit.kind, []).append(unit)
    for members in kinds.values():
        if len(units) <= EXHAUSTIVE_UP_TO:
            yield from combinations(members, size)
        else:  # neighbours only: with that many cards boards come in even blocks
            for start in range(len(members) - size + 1):
                yield tuple(members[start : start + size])


def _partitions(quality: Mapping[tuple[Unit, ...], object], count: int) -> Iterator[tuple[tuple[Unit, ...], ...]]:
    groups = sorted(quality, key=lambda g: tuple(u.index for u in g))

    def extend(
        start: int, used: frozenset[int], chosen: tuple[tuple[Unit, ...], ...]
    ) -> Iterator[tuple[tuple[Unit, ...], ...]]:
        if len(chosen) == count:
            yield chosen
            return
        for position in range(start, len(groups)):
            members = {u.index for u in groups[position]}
            if not members & used:
                yield from extend(position + 1, used | members, chosen + (groups[position],))

    yield from extend(0, frozenset(), ())


def _greedy(
    quality: Mapping[tuple[Unit, ...], tuple[int, int, float, float]], count: int
) -> Iterator[tuple[tuple[Unit, ...], ...]]:
    chosen: list[tuple[Unit, ...]] = []
    used: set[int] = set()
    for group in sorted(quality, key=lambda g: (tuple(-f for f in quality[g][:3]), g[0].index % len(g), g[0].index)):
        members = {u.index for u in group}
        if not members & used:
            chosen.append(group)
            used |= members
        if len(chosen) == count:
            yield tuple(sorted(chosen, key=lambda g: g[0].index))
            return


def most_groups(units: tuple[Unit, ...], size: int) -> int:
    """How many groups of that size can be formed from cards of one kind each."""
    if size == 1:
        return len(units)
    kinds: dict[tuple[str, int], int] = {}
    for unit in units:
        if not unit.is_mig:
            kinds[unit.kind] = kinds.get(unit.kind, 0) + 1
    return sum(n // size for n in kinds.values())
