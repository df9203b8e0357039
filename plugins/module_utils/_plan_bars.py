# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The memory of cards as stacked bars: what each part takes, and where the limit is that vLLM may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._html import Html, el
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_cards import free_memory
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_view import (
    MEMORY_PARTS,
    View,
    gib,
    mapping,
    number,
    plain,
    sequence,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu

LABELS = {kind: label for kind, _key, label in MEMORY_PARTS}
LABELS.update(free="free", others="used by others")
BAR_HEIGHT, SMALL_HEIGHT, LIMIT_OVER = 34, 14, 5


@dataclass(frozen=True)
class CardMemory:
    """One card: its parts in the order they are drawn, and how much of it vLLM may use."""

    label: str
    parts: tuple[tuple[str, float], ...]
    usable: float
    total: float
    note: str = ""

    @property
    def span(self) -> float:
        """What the bar has to show: more than the card where the parts do not go into it."""
        return max(self.total, sum(size for _kind, size in self.parts))

    @property
    def text(self) -> str:
        words = ", ".join(f"{LABELS[kind]} {gib(size)} GiB" for kind, size in self.parts)
        limit = f"; usable {gib(self.usable)} of {gib(self.total)} GiB" if self.usable else ""
        return f"{self.label}: {words or 'nothing planned'}{limit}"


def of_prediction(
    prediction: Mapping[str, Any],
    label: str = "",
    total: Optional[float] = None,
    usable: Optional[float] = None,
    kv: Optional[float] = None,
    others: float = 0,
    note: str = "",
) -> CardMemory:
    """A card of a replica. ``total``, ``usable`` and ``kv`` where this card differs from the predicted one."""
    sizes = {kind: number(prediction, key) or 0 for kind, key, _label in MEMORY_PARTS}
    total = total if total is not None else number(prediction, "cuda_total_bytes")
    usable = usable if usable is not None else number(prediction, "budget_bytes")
    if kv is not None:
        sizes["kv"] = kv
    taken = sum(sizes.values())
    total = taken if total is None else total
    parts = [(kind, size) for kind, size in sizes.items() if size]
    others = min(others, max(total - taken, 0))
    parts += [(kind, size) for kind, size in (("free", total - taken - others), ("others", others)) if size > 0]
    return CardMemory(label, tuple(parts), usable or 0, total, note)


# ---------------------------------------------------------------- cards of a plan


def cards_of(view: View, gpus: Sequence[Any], own_pids: Sequence[int] = ()) -> list[CardMemory]:
    """A bar for each card of each instance, then one for each card of the host that is not used."""
    if view.error or not view.prediction:
        return []
    known = _known_cards(gpus, own_pids)
    out, used = [], set()
    for instance in view.instances:
        name = plain(instance.get("name"))
        uuids = [plain(u) for u in sequence(instance.get("gpu_uuids"), "plan.instances.gpu_uuids")]
        for position, index in enumerate(sequence(instance.get("gpus"), "plan.instances.gpus")):
            uuid = uuids[position] if position < len(uuids) else ""
            card = known.get(uuid) or known.get(str(index))
            used |= {str(index), uuid}
            out.append(_card_of_instance(view.prediction, instance, card, f"Card {plain(index)}", name))
        if not instance.get("gpus"):
            out.append(of_prediction(view.prediction, label=name, note="main memory"))
    for key, card in known.items():
        if key == str(card.index) and key not in used:
            free = (("free", card.total - card.others), ("others", card.others))
            parts = tuple((kind, size) for kind, size in free if size > 0)
            out.append(CardMemory(f"Card {card.index}", parts, 0, card.total, f"{card.name}, not used by this plan"))
    return out


@dataclass(frozen=True)
class _Known:
    index: int
    name: str
    total: int
    others: int  # bytes of processes that the plan does not replace


def _known_cards(gpus: Sequence[Any], own_pids: Sequence[int]) -> dict[str, _Known]:
    """By index and by UUID; slices of MIG by UUID."""
    out = {}
    for data in sequence(gpus, "gpus"):
        gpu = Gpu.from_dict(mapping(data, "gpus"))
        free, busy = free_memory(gpu, tuple(own_pids))
        card = _Known(gpu.index, plain(gpu.name), gpu.cuda_total_bytes, gpu.cuda_total_bytes - free if busy else 0)
        out[str(gpu.index)] = card
        if gpu.uuid:
            out[gpu.uuid] = card
        for mig in gpu.mig_devices:
            out[mig.uuid] = _Known(gpu.index, plain(mig.name or "MIG slice"), mig.memory_total_bytes, 0)
    return out


def _card_of_instance(
    prediction: Mapping[str, Any], instance: Mapping[str, Any], card: Optional[_Known], label: str, name: str
) -> CardMemory:
    """The prediction is of the weakest card; on another, what it has more of is KV cache too."""
    note = f"{card.name}, " if card else ""
    note += f"instance {name}, port {instance.get('port')}"
    total, share = number(prediction, "cuda_total_bytes"), number(prediction, "gpu_memory_utilization")
    own_share = _argument(instance, "--gpu-memory-utilization") or share
    if card is None or total is None or not share or (abs(card.total - total) < total / 1000 and own_share == share):
        return of_prediction(prediction, label, others=card.others if card else 0, note=note)
    usable = card.total * (own_share or share)
    sizes = {kind: number(prediction, key) or 0 for kind, key, _label in MEMORY_PARTS}
    left = number(prediction, "budget_bytes") or 0
    kv = sizes["kv"] + usable - left
    pinned = _argument(instance, "--kv-cache-memory-bytes")
    return of_prediction(prediction, label, card.total, usable, max(pinned or kv, 0), card.others, note)


def _argument(instance: Mapping[str, Any], flag: str) -> Optional[float]:
    words = [str(word) for word in sequence(instance.get("args"), "plan.instances.args")]
    try:
        return float(words[words.index(flag) + 1])
    except (ValueError, IndexError):
        return None


# ---------------------------------------------------------------- drawing


def draw(card: CardMemory, scale: float = 0, small: bool = False) -> Html:
    """Widths are shares of ``scale``, so that bars of one page compare; drawn without a fixed width."""
    scale = max(scale, card.span)
    height, over = (SMALL_HEIGHT, 2) if small else (BAR_HEIGHT, LIMIT_OVER)
    shapes, x = [], 0.0
    for kind, size in card.parts:
        width = 100 * size / scale
        if width <= 0:
            continue
        box = el("rect", el("title", f"{LABELS[kind]} {gib(size)} GiB"), class_=kind, x=_percent(x), y=over,
                 width=_percent(width), height=height)  # fmt: skip
        shapes.append(box)
        if not small and width >= 7:
            room = "wide" if width >= 24 else "mid"
            shapes.append(el("text", f"{gib(size, 1)}", class_=f"on-{kind} {room}", x=_percent(x + width / 2),
                             y=over + height / 2, text_anchor="middle", dominant_baseline="central"))  # fmt: skip
        x += width
    if scale and card.usable:
        at = _percent(100 * card.usable / scale)
        shapes.append(el("line", class_="limit", x1=at, x2=at, y1=0, y2=height + 2 * over))
    return el("svg", *shapes, class_="bar small" if small else "bar", width="100%", height=height + 2 * over,
              role="img", aria_label=card.text)  # fmt: skip


def _percent(value: float) -> str:
    return f"{value:.3f}%"


def legend(cards: Sequence[CardMemory]) -> Html:
    """Swatch, name, and GiB: a range where cards differ."""
    items = []
    for kind, label in LABELS.items():
        sizes = sorted(size for card in cards for k, size in card.parts if k == kind)
        if not sizes:
            continue
        low, high = gib(sizes[0]), gib(sizes[-1])
        swatch = el("svg", el("rect", class_=kind, width=12, height=12), class_="swatch", width=12, height=12)
        items.append(el("li", swatch, el("span", label), el("b", low if low == high else f"{low} to {high}")))
    return el("ul", *items, class_="legend")
