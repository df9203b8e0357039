# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How the pages of plans look: light and dark, wide and narrow, screen and paper."""

from __future__ import annotations

LIGHT = """
  --page: #f6f7f9; --panel: #ffffff; --ink: #1b2330; --soft: #566072; --line: #dde1e8; --accent: #1c62b0;
  --chosen: #eaf2fc; --good: #12704f; --bad: #b3261e; --warn: #8a5a00; --warn-back: #fff6e0; --bad-back: #fdecea;
  --weights: #2f6cb3; --kv: #14805f; --activations: #e3a02c; --sampler: #a45a9a; --other: #8b93a1; --graphs: #c8553d;
  --free: #e6e9ee; --others: #b9c0cb; --on-dark: #ffffff; --on-light: #1b2330; --limit: #1b2330;
"""
DARK = """
  --page: #12161d; --panel: #1a202a; --ink: #e6eaf1; --soft: #9fa9b9; --line: #2e3745; --accent: #82b4f0;
  --chosen: #1d2c40; --good: #5ccba2; --bad: #ff8a80; --warn: #f2c063; --warn-back: #2c2517; --bad-back: #321c1c;
  --weights: #5b97dd; --kv: #3fb58f; --activations: #e8b04f; --sampler: #c58abd; --other: #7b8595; --graphs: #e07a63;
  --free: #2a323f; --others: #4a5566; --on-dark: #0d1117; --on-light: #0d1117; --limit: #f4f6fa;
"""
STYLE = (
    ":root { color-scheme: light dark;" + LIGHT + "}\n"
    "@media screen and (prefers-color-scheme: dark) { :root {" + DARK + "} }\n"
    """
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1140px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 2px 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; }
p { margin: 0 0 10px; overflow-wrap: anywhere; }
a { color: var(--accent); }
.over { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.decision { font-size: 18px; font-weight: 600; margin-bottom: 8px; }
.soft { color: var(--soft); font-size: 13px; }
section { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin-top: 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(138px, 1fr)); gap: 10px; margin: 16px 0 0; }
.tiles div { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.tiles dt { color: var(--soft); font-size: 12.5px; }
.tiles dd { margin: 0; font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tiles dd span { font-size: 13px; font-weight: 400; }
.tiles dd small { font-size: 12.5px; font-weight: 400; color: var(--soft); display: block; line-height: 1.35; }
.note { border-left: 4px solid var(--accent); }
.warn { border-left: 4px solid var(--warn); background: var(--warn-back); }
.bad { border-left: 4px solid var(--bad); background: var(--bad-back); }
.note ul, .warn ul { margin: 0; padding-left: 18px; }
.note li, .warn li { overflow-wrap: anywhere; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 6px 20px; padding: 0; margin: 0 0 14px;
  font-size: 13.5px; }
.legend li { display: flex; align-items: center; gap: 7px; }
.legend b { font-variant-numeric: tabular-nums; }
.cards { display: grid; gap: 12px; }
.card-head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 16px; font-size: 13.5px; }
.card-head span:last-child { color: var(--soft); font-variant-numeric: tabular-nums; }
svg { display: block; overflow: visible; }
svg.bar text { font-size: 13px; font-weight: 600; font-variant-numeric: tabular-nums; }
svg.bar rect { stroke: var(--panel); stroke-width: 1; }
rect.weights { fill: var(--weights); } rect.kv { fill: var(--kv); } rect.activations { fill: var(--activations); }
rect.sampler { fill: var(--sampler); } rect.other { fill: var(--other); } rect.graphs { fill: var(--graphs); }
rect.free { fill: var(--free); } rect.others { fill: var(--others); }
text { fill: var(--on-dark); } text.on-activations, text.on-other { fill: var(--on-light); }
text.on-free, text.on-others { fill: var(--ink); }
line.limit { stroke: var(--limit); stroke-width: 2; stroke-dasharray: 4 2; }
svg.small line.limit { stroke-dasharray: none; stroke-width: 1.5; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12.5px; vertical-align: bottom; }
th, td { padding: 7px 10px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.n { white-space: normal; }
td.name b { white-space: nowrap; }
td.name { white-space: nowrap; } td.name span { display: block; color: var(--soft); font-size: 12.5px; }
td.memory { min-width: 150px; width: 190px; padding-top: 9px; }
td.why { min-width: 220px; overflow-wrap: anywhere; }
tr.chosen { background: var(--chosen); }
tr.chosen td:first-child, .candidates td:first-child { padding-left: 10px; }
.candidates th:first-child { padding-left: 10px; }
.yes { color: var(--good); font-weight: 600; } .no { color: var(--bad); font-weight: 600; }
.tag { display: inline-block; background: var(--accent); color: var(--panel); border-radius: 4px; padding: 0 6px;
  font-size: 11.5px; font-weight: 600; }
.instance { margin-bottom: 14px; } .instance:last-child { margin-bottom: 0; }
pre { margin: 4px 0 0; padding: 10px 12px; background: var(--page); border: 1px solid var(--line); border-radius: 6px;
  font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
pre span { display: inline-block; max-width: 100%; }
section > :last-child { margin-bottom: 0; } table + p { margin-top: 10px; }
footer { color: var(--soft); font-size: 12.5px; margin-top: 20px; }
@media screen and (max-width: 860px) {
  main { padding: 18px 12px 32px; } section { padding: 14px; } h1 { font-size: 22px; } .decision { font-size: 16.5px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); }
  .stack thead { display: none; }
  .stack, .stack tbody, .stack tr, .stack td { display: block; width: auto; }
  .stack tr { padding: 10px; border-bottom: 1px solid var(--line); } .stack tr:last-child { border-bottom: 0; }
  .stack td { border: 0; padding: 2px 0; } .stack.candidates tr td:first-child { padding-left: 0; }
  .stack td[data-label] { display: flex; justify-content: space-between; gap: 14px; }
  .stack td[data-label]::before { content: attr(data-label); color: var(--soft); white-space: nowrap; }
  .stack td.empty { display: none; }
  .stack td.memory { padding: 6px 0; width: auto; }
}
@media (max-width: 560px) { svg.bar text.mid { display: none; } }
@media print {
  body { background: none; font-size: 12px; } main { max-width: none; padding: 0; }
  section, .tiles div { border-color: #bbb; }
  tr, .tiles div, .cards > div, .instance, .note, .warn { break-inside: avoid; }
  h2, .legend { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
)
