# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""HTML and SVG in which every value is escaped: what is no ``Html`` is text."""

from __future__ import annotations

import html
import re
from typing import Any

VOID = ("meta", "br", "rect", "line", "col")


class Html(str):
    """Markup that this file made; everything else is escaped when it is put in."""


def el(tag: str, *children: Any, **attributes: Any) -> Html:
    """One element. ``class_`` is class, ``name_`` name; None leaves a child or an attribute out."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in VOID and not children:
        return Html(f"<{tag}{words}/>" if tag in ("rect", "line") else f"<{tag}{words}>")
    return Html(f"<{tag}{words}>{join(*children)}</{tag}>")


def join(*children: Any) -> Html:
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None))


def escape(value: Any) -> str:
    """Text of a page or an attribute, without characters that no page may hold."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return html.escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text))
