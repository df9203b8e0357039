# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A file of prompts, before anything is deployed for it: whether the client can read it, and how long they are.

The client leaves out conversations of ``sharegpt`` that are very short or long, and asks prompts again where a run
needs more than there are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterator

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

LETTERS = 4.0  # of a token, in English


@dataclass(frozen=True)
class Prompts:
    """Tokens are means, estimated from the letters; an answer's are the file's own where it has them."""

    count: int
    input_tokens: float
    output_tokens: float

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def look(dataset: str, path: str, output_tokens: int = 0) -> Prompts:
    """``output_tokens`` as asked for; 0 takes what the file says. InputError says what is wrong with the file."""
    try:
        with open(path, encoding="utf-8") as handle:
            rows = list(_conversations(handle, path) if dataset == "sharegpt" else _lines(handle, path, output_tokens))
    except OSError as exc:
        raise InputError(
            f"dataset_path {path} cannot be read on this host ({exc.strerror}): copy the file there"
        ) from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"dataset_path {path} is no text in UTF-8: give a file as dataset {dataset} has it") from exc
    if not rows:
        what = "conversation of two turns" if dataset == "sharegpt" else "prompt"
        raise InputError(f"dataset_path {path} has no {what}: give a file as dataset {dataset} has it")
    asked = sum(row[0] for row in rows) / len(rows)
    answered = output_tokens or sum(row[1] for row in rows) / len(rows)
    return Prompts(len(rows), round(asked, 1), round(float(answered), 1))


def _conversations(handle: Any, path: str) -> Iterator[tuple[float, float]]:
    bad = InputError(
        f"dataset_path {path} is not what dataset sharegpt reads: a JSON list of "
        '{"conversations": [{"value": PROMPT}, {"value": ANSWER}]}; give such a file, or dataset custom'
    )
    try:
        held = json.load(handle)
    except ValueError as exc:
        raise bad from exc
    if not isinstance(held, list) or not all(isinstance(row, dict) for row in held):
        raise bad
    for row in held:
        turns = row.get("conversations")
        if turns is None or (isinstance(turns, list) and len(turns) < 2):
            continue  # the client leaves it out too
        if not isinstance(turns, list) or not all(
            isinstance(t, dict) and isinstance(t.get("value"), str) for t in turns
        ):
            raise bad
        yield len(turns[0]["value"]) / LETTERS, len(turns[1]["value"]) / LETTERS


def _lines(handle: Any, path: str, output_tokens: int) -> Iterator[tuple[float, float]]:
    if not path.endswith(".jsonl"):
        raise InputError(f"dataset_path {path} must end in .jsonl for dataset custom: rename the file")
    for number, line in enumerate(handle, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("prompt"), str) or not row["prompt"]:
            raise InputError(f'{path} line {number} is no {{"prompt": TEXT, "output_tokens": NUMBER}}: mend that line')
        answer = row.get("output_tokens")
        if not output_tokens and (isinstance(answer, bool) or not isinstance(answer, int) or answer < 1):
            raise InputError(
                f"{path} line {number} has no output_tokens above 0: add it to all lines, or give output_tokens"
            )
        yield len(row["prompt"]) / LETTERS, float(output_tokens or answer or 0)
