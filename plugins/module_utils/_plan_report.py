# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Reports of plans as files: JSON and a page a host, and an index over all hosts of a directory."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from typing import Any, Iterator, Optional, Sequence
from urllib.parse import quote

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._html import Html, el, join
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_html import decision, page, render_page, section
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_view import View, count, number, plain, read_plan

INDEX = "index"
INDEX_TITLE = "Plans of all hosts"


def write_reports(
    directory: str,
    host: str,
    planned: Any,
    gpus: Optional[Sequence[Any]] = None,
    own_pids: Optional[Sequence[int]] = None,
) -> tuple[bool, list[str]]:
    """HOST.json, HOST.html and, from two hosts on, index.html: whether one changed, and their paths."""
    name = file_name(host)
    wanted = {f"{name}.json": as_json(planned), f"{name}.html": render_page(planned, gpus, own_pids, host)}
    directory = os.path.abspath(os.path.expanduser(directory))
    try:
        os.makedirs(directory, exist_ok=True)
        with _alone_in(directory):
            changed = [_hold(os.path.join(directory, file), text) for file, text in wanted.items()]
            files = list(wanted)
            index = _index(directory)
            if index:
                changed.append(_hold(os.path.join(directory, f"{INDEX}.html"), index))
                files.append(f"{INDEX}.html")
    except OSError as error:
        raise InputError(
            f"report directory {directory}: {error.strerror or error}: give a directory on the controller that you may "
            "write to (vllm_plan_report_dir)"
        ) from None
    return any(changed), [os.path.join(directory, file) for file in files]


def as_json(planned: Any) -> str:
    """The plan, or `msg` and `candidates` where nothing fits: sorted, so that the same plan is the same file."""
    view = read_plan(planned)
    data = view.plan if not view.error else {"msg": view.error, "candidates": list(planned["candidates"] or ())}
    try:
        return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"plan_report: the plan holds what JSON cannot: {error}") from None


def file_name(host: str) -> str:
    """The host's name where it can be a file's; otherwise like it, and still one of its own."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", host)[:100].lstrip(".-")
    if safe == host and safe and safe.lower() != INDEX:
        return safe
    return f"{safe or 'host'}-{hashlib.sha256(host.encode('utf-8', 'replace')).hexdigest()[:8]}"


@contextlib.contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Hosts report side by side; whoever comes last sees all and writes the index."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _hold(path: str, text: str) -> bool:
    """Makes a file hold a text; a reader sees the old or the new one, never a part."""
    data = text.encode("utf-8", "replace")
    try:
        with open(path, "rb") as handle:
            if handle.read() == data:
                return False
    except FileNotFoundError:
        pass
    with open(path + ".new", "wb") as handle:
        handle.write(data)
    os.replace(path + ".new", path)
    return True


# ---------------------------------------------------------------- index


def _index(directory: str) -> str:
    """Empty for fewer than two hosts. Made from the files, so that hosts planned in other runs stay in it."""
    rows = []
    for file in sorted(os.listdir(directory)):
        name, kind = os.path.splitext(file)
        if kind == ".json" and os.path.exists(os.path.join(directory, f"{name}.html")):
            view = _read(os.path.join(directory, file))
            if view is not None:
                rows.append(_row(name, view))
    if len(rows) < 2:
        return ""
    head = ("host", "model", "decision", "KV tokens of all", "longest request", "why")
    numeric = (3, 4)
    columns = (el("th", title, class_="n" if n in numeric else None) for n, title in enumerate(head))
    table = el("table", el("thead", el("tr", *columns)), el("tbody", *rows), class_="stack")
    return page(INDEX_TITLE, el("h1", INDEX_TITLE), section(f"{len(rows)} hosts", table))


def _read(path: str) -> Optional[View]:
    """None for a file that is none of ours."""
    try:
        with open(path, encoding="utf-8") as handle:
            return read_plan(json.load(handle))
    except (ValueError, InputError):
        return None


def _row(name: str, view: View) -> Html:
    link = el("td", el("a", name, href=quote(f"{name}.html")), class_="name")
    if view.error:
        cells = [el("td", "nothing fits", class_="no", data_label="decision"), el("td", view.error, class_="why")]
        return join(Html("\n"), el("tr", link, el("td", class_="empty"), cells[0], *_empty(), cells[1]))
    tokens, replicas = number(view.prediction, "kv_cache_tokens"), number(view.plan, "replicas")
    together = None if tokens is None or replicas is None else tokens * replicas
    cells = [
        el("td", view.model, data_label="model"),
        el("td", decision(view), data_label="decision"),
        el("td", count(together), class_="n", data_label="KV tokens of all"),
        el("td", count(number(view.plan, "max_model_len")), class_="n", data_label="longest request"),
        el("td", plain(view.plan.get("reason") or ""), class_="why"),
    ]
    return join(Html("\n"), el("tr", link, *cells))


def _empty() -> list[Html]:
    return [el("td", class_="n empty"), el("td", class_="n empty")]
