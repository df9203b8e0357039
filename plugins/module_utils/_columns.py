# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Rows of text in columns, for people."""

from __future__ import annotations

from typing import Container, Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Container[int]) -> list[str]:
    """Lines: the head, a rule below it, the rows. ``numbers`` are the columns that stand right."""
    table = [head, *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(head))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if n in numbers else cell.ljust(width) for n, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines
