# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How plots look, on top of the style of the plans' pages. The colours stay apart for the colour-blind."""

from __future__ import annotations

LIGHT = ("#0b62a8", "#b8480a", "#00795a", "#a23f83", "#7a6300", "#3d4656")
DARK = ("#6cb5f2", "#f29a63", "#3cc79d", "#e39ac7", "#dcc24a", "#b6c0cf")


def _colours(colours: tuple[str, ...]) -> str:
    return " ".join(f"--c{number}: {colour};" for number, colour in enumerate(colours))


STYLE = (
    f"\n:root {{ {_colours(LIGHT)} }}\n"
    f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_colours(DARK)} }} }}\n"
    + "\n".join(f".c{number} {{ --c: var(--c{number}); }}" for number in range(len(LIGHT)))
    + """
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.plots section { margin: 0; } .plots { margin-top: 16px; }
svg.plot { width: 100%; height: auto; }
svg.plot text { fill: var(--ink); font-size: 13px; font-variant-numeric: tabular-nums; }
svg.plot text.title { fill: var(--soft); }
svg text.mid { text-anchor: middle; } svg text.end { text-anchor: end; }
line.grid { stroke: var(--line); } line.axis { stroke: var(--soft); }
.curve { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.curve.dashed { stroke-dasharray: 6 4; }
.spread { fill: none; stroke: var(--c); stroke-width: 1.5; }
.mark { fill: var(--c); stroke: var(--panel); stroke-width: 1; }
.mark.dashed { fill: var(--panel); stroke: var(--c); stroke-width: 2; }
.mark.alone { fill: none; stroke: var(--c); stroke-width: 1.5; }
.legend svg { flex: none; }
.keys { margin: 16px 0 0; }
.wide { overflow-x: auto; } .wide table { min-width: 820px; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; font-size: 13.5px; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
@media screen and (max-width: 560px) { svg.plot text { font-size: 15.5px; } .keys .legend { gap: 6px 14px; } }
@media print { .plots { grid-template-columns: 1fr 1fr; } .plots section { break-inside: avoid; }
  .wide { overflow: visible; } .wide table { min-width: 0; font-size: 10px; } }
"""
)
