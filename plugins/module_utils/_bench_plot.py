# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Plots of measured points as inline SVG: axes, lines, marks and the spread of repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._html import Html, el

WIDTH, HEIGHT = 540, 320
LEFT, RIGHT, TOP, BOTTOM = 80, 18, 14, 52
MARKS = 6  # shapes, and colours: c0 to c5 of the page's style


@dataclass(frozen=True)
class Dot:
    """One point; ``low`` to ``high`` is the range of y over the repeats."""

    x: float
    y: float
    low: Optional[float] = None
    high: Optional[float] = None
    note: str = ""  # shown where the pointer rests
    label: str = ""  # written beside it


@dataclass(frozen=True)
class Series:
    """``style`` gives colour and shape; ``kind`` is line, dashed, or alone (hollow marks without a line)."""

    name: str
    style: int
    dots: tuple[Dot, ...]
    kind: str = "line"


@dataclass(frozen=True)
class Scale:
    """From values to pixels; ``base`` 0 is linear, 2 and 10 logarithmic."""

    low: float
    high: float
    start: float
    end: float
    base: int = 0

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.base:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (self.end - self.start) * (value - low) / (high - low), 2)

    def ticks(self) -> list[float]:
        if self.base == 2:
            powers = range(math.ceil(math.log2(self.low) - 1e-9), math.floor(math.log2(self.high) + 1e-9) + 1)
            every = max(1, math.ceil(len(powers) / 9))
            return [2.0**power for power in powers][::every]
        if self.base == 10:
            tens = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            few = len(tens) > 4
            all_ = [step * 10.0**ten for ten in tens for step in ((1,) if few else (1, 2, 5))]
            return [value for value in all_ if self.low * 0.999 <= value <= self.high * 1.001]
        step = nice(self.high - self.low)
        return [round(n * step, 10) for n in range(math.ceil(self.low / step - 1e-9), int(self.high / step + 1e-9) + 1)]


def nice(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts ``span`` into four to eight."""
    ten = 10.0 ** math.floor(math.log10(span / 4))
    return max(step * ten for step in (1, 2, 5) if step * ten <= span / 4)


def scale_of(values: Sequence[float], start: float, end: float, base: int = 0) -> Scale:
    """One that holds all values, with room at its ends; a single value lands inside too."""
    low, high = min(values), max(values)
    if base == 2:
        return Scale(low / 1.25, high * 1.25, start, end, 2)
    if base == 10:
        return Scale(_one_two_five(low, down=True), _one_two_five(high), start, end, 10)
    step = nice(high) if high > 0 else 0.25
    return Scale(0.0, max(step, step * math.ceil(high / step - 1e-9)), start, end)


def _one_two_five(value: float, down: bool = False) -> float:
    ten = 10.0 ** math.floor(math.log10(value))
    steps = [step * ten for step in (1, 2, 5, 10)]
    near = [s for s in steps if s < value * 0.999] if down else [s for s in steps if s > value * 1.001]
    if near:
        return near[-1] if down else near[0]
    return ten / 2 if down else 20 * ten


def plot(series: Sequence[Series], x_title: str, y_title: str, x_base: int = 2, y_base: int = 0) -> Optional[Html]:
    """None where there is nothing to draw. What is no number, or not above 0 on a logarithmic axis, is left out."""
    drawn = [(one, [dot for dot in one.dots if _usable(dot, x_base, y_base)]) for one in series]
    drawn = [(one, dots) for one, dots in drawn if dots]
    if not drawn:
        return None
    every = [dot for _one, dots in drawn for dot in dots]
    x_scale = scale_of([dot.x for dot in every], LEFT, WIDTH - RIGHT, x_base)
    reach = [v for dot in every for v in (dot.y, dot.low, dot.high) if v is not None and _able(v, y_base)]
    y_scale = scale_of(reach, HEIGHT - BOTTOM, TOP, y_base)
    parts = _axes(x_scale, y_scale, x_title, y_title)
    for one, dots in drawn:
        parts += _line(one, dots, x_scale, y_scale)
    for one, dots in drawn:
        parts += [_dot(one, dot, x_scale, y_scale) for dot in dots]
    label = f"{y_title} against {x_title}: {', '.join(one.name for one, _dots in drawn)}"
    return el("svg", *parts, class_="plot", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def mark(style: int, x: float, y: float, kind: str = "line") -> Html:
    """A shape of its own for each series, for those who do not see its colour."""
    r = 8 if kind == "alone" else 5  # around the measured one
    shapes = (
        f"M{x - r} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
        f"M{x - r} {y - r}h{2 * r}v{2 * r}h{-2 * r}z",
        f"M{x} {y - r - 1}l{r + 1} {2 * r}h{-2 * r - 2}z",
        f"M{x} {y - r - 2}l{r + 1} {r + 2}l{-r - 1} {r + 2}l{-r - 1} {-r - 2}z",
        f"M{x} {y + r + 1}l{r + 1} {-2 * r}h{-2 * r - 2}z",
        f"M{x - r} {y - 2}h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
    )
    return el("path", d=shapes[style % MARKS], class_=f"mark c{style % MARKS} {kind}")


def told(value: float) -> str:
    """A number as an axis shows it."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def _able(value: float, base: int) -> bool:
    return math.isfinite(value) and (value > 0 if base else value >= 0)


def _usable(dot: Dot, x_base: int, y_base: int) -> bool:
    return _able(dot.x, x_base) and _able(dot.y, y_base)


def _axes(x_scale: Scale, y_scale: Scale, x_title: str, y_title: str) -> list[Html]:
    bottom = HEIGHT - BOTTOM
    parts = []
    for tick in y_scale.ticks():
        y = y_scale.at(tick)
        parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(el("text", told(tick), x=LEFT - 8, y=y + 4.5, class_="tick end"))
    for tick in x_scale.ticks():
        x = x_scale.at(tick)
        parts.append(el("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, class_="axis"))
        parts.append(el("text", told(tick), x=x, y=bottom + 20, class_="tick mid"))
    parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="axis"))
    parts.append(el("text", x_title, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 9, class_="title mid"))
    middle = (TOP + bottom) / 2
    parts.append(el("text", y_title, x=14, y=middle, class_="title mid", transform=f"rotate(-90 14 {middle})"))
    return parts


def _line(one: Series, dots: Sequence[Dot], x_scale: Scale, y_scale: Scale) -> list[Html]:
    parts: list[Html] = []
    if one.kind != "alone" and len(dots) > 1:
        points = " ".join(f"{x_scale.at(dot.x)},{y_scale.at(dot.y)}" for dot in dots)
        words = f"curve c{one.style % MARKS}{' dashed' if one.kind == 'dashed' else ''}"
        parts.append(el("polyline", points=points, class_=words))
    for dot in dots:
        low, high = dot.low, dot.high
        if low is None or high is None or low == high:
            continue
        if not (_able(low, y_scale.base) and _able(high, y_scale.base)):
            continue
        x, top, bottom = x_scale.at(dot.x), y_scale.at(high), y_scale.at(low)
        path = f"M{x} {top}V{bottom}M{x - 4} {top}h8M{x - 4} {bottom}h8"
        parts.append(el("path", d=path, class_=f"spread c{one.style % MARKS}"))
    return parts


def _dot(one: Series, dot: Dot, x_scale: Scale, y_scale: Scale) -> Html:
    x, y = x_scale.at(dot.x), y_scale.at(dot.y)
    label: Any = None
    if dot.label:
        right = x > WIDTH - RIGHT - 46
        label = el("text", dot.label, x=x - 10 if right else x + 10, y=y - 5, class_="tick end" if right else "tick")
    title = el("title", f"{one.name}: {dot.note}") if dot.note else None
    return el("g", title, mark(one.style, x, y, one.kind), label)
