# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""JSON of a model's files, read with care: bounded in size, no key twice, no number that arithmetic cannot hold."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, Union

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError

# The largest real files: an index of 12 MB, a tokenizer's configuration of 8 MB, config.json below 1 MB.
MOST_BYTES = 100_000_000
MOST_CONFIG_BYTES = 16_000_000
LONGEST_NUMBER = 40  # digits; sizes have 15


class _Twice(ValueError):
    """A key that stands twice in one object."""


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen and seen[key] != value:
                raise _Twice(key)
            seen[key] = value
    return out


def _no_key_at_all_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        raise _Twice(next(key for key, _value in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return out


def _whole(digits: str) -> Union[int, str]:
    return int(digits) if len(digits) <= LONGEST_NUMBER else digits


def _real(digits: str) -> Union[float, str]:
    value = float(digits)
    return value if math.isfinite(value) else digits


def parse(text: Union[str, bytes], *, strict_keys: bool = False) -> Any:
    """The content of JSON text. ValueError or RecursionError where it is none.

    Numbers that are none (NaN, Infinity, 1e999, thousands of digits) become text: some real configs hold Infinity in
    fields nobody reads here, and a field that is read refuses text by its name. A key may stand twice only with the
    same value, with ``strict_keys`` not at all.
    """
    return json.loads(
        text,
        object_pairs_hook=_no_key_at_all_twice if strict_keys else _no_key_twice,
        parse_constant=str,
        parse_int=_whole,
        parse_float=_real,
    )


def explain(exc: Exception) -> str:
    """What is wrong with JSON text that ``parse`` refused, without what the text holds."""
    if isinstance(exc, _Twice):
        return f"key {str(exc)[:60]!r} stands twice"
    if isinstance(exc, RecursionError):
        return "nested too deep"
    return str(exc).splitlines()[0][:120] if str(exc) else "not text"


def read_json(path: Path, *, needed: bool = False, most: int = MOST_BYTES) -> Any:
    """The content of a JSON file; None where it does not exist and is not needed."""
    try:
        with open_file(path) as handle:
            data = handle.read(most + 1)
    except FileNotFoundError:
        if needed:
            raise ModelError(
                f"{path.parent}: no {path.name} here; give the directory that holds the model's files"
            ) from None
        return None
    except OSError as exc:
        raise ModelError(f"{path}: cannot be read ({exc.strerror}); check its owner and mode") from exc
    if len(data) > most:
        raise ModelError(f"{path}: larger than {most // 1_000_000} MB, which no model's is; download the file again")
    try:
        return parse(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"{path}: not valid JSON ({explain(exc)}); download the file again") from exc


def open_file(path: Path) -> Any:
    """Opens a plain file for reading; OSError for anything else, without waiting for a pipe's other end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is a directory" if stat.S_ISDIR(found.st_mode) else "it is no plain file")
    return open(path, "rb")
