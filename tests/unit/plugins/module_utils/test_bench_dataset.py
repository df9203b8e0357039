# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of prompts: what the client can read, and what is said of the others before anything is deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_dataset import Prompts, look
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

TALK = {"conversations": [{"from": "human", "value": "a" * 40}, {"from": "gpt", "value": "b" * 80}]}


def held(folder: Path, name: str, content: Any) -> str:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def test_conversations(tmp_path: Path) -> None:
    one_turn = {"conversations": TALK["conversations"][:1]}
    path = held(tmp_path, "talk.json", [TALK, one_turn, {"id": 3}, TALK])
    assert look("sharegpt", path) == Prompts(2, 10.0, 20.0)
    assert look("sharegpt", path, output_tokens=7).output_tokens == 7.0


def test_lines(tmp_path: Path) -> None:
    path = held(
        tmp_path, "a.jsonl", '{"prompt": "12345678", "output_tokens": 10}\n\n{"prompt": "1234", "output_tokens": 20}\n'
    )
    assert look("custom", path) == Prompts(2, 1.5, 15.0)


def test_lines_need_no_lengths_where_one_is_given_for_all(tmp_path: Path) -> None:
    assert look("custom", held(tmp_path, "a.jsonl", '{"prompt": "1234"}'), 64) == Prompts(1, 1.0, 64.0)


@pytest.mark.parametrize(
    ("dataset", "name", "content", "problem"),
    [
        ("sharegpt", "a.json", "words", "is not what dataset sharegpt reads: a JSON list"),
        ("sharegpt", "a.json", {"a": 1}, "is not what dataset sharegpt reads"),
        ("sharegpt", "a.json", [{"conversations": ["a", "b"]}], "is not what dataset sharegpt reads"),
        ("sharegpt", "a.json", [], "has no conversation of two turns"),
        ("custom", "a.json", "{}", "must end in .jsonl for dataset custom: rename the file"),
        ("custom", "a.jsonl", "", "has no prompt: give a file as dataset custom has it"),
        ("custom", "a.jsonl", '{"prompt": "a", "output_tokens": 1}\nwords', 'a.jsonl line 2 is no {"prompt": TEXT'),
        ("custom", "a.jsonl", '{"text": "a"}', 'a.jsonl line 1 is no {"prompt": TEXT'),
        (
            "custom",
            "a.jsonl",
            '{"prompt": "a"}',
            "a.jsonl line 1 has no output_tokens above 0: add it to all lines, or",
        ),
        ("custom", "a.jsonl", '{"prompt": "a", "output_tokens": true}', "line 1 has no output_tokens above 0"),
        ("custom", "a.jsonl", b"\xff\xfe", "is no text in UTF-8"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, dataset: str, name: str, content: Any, problem: str) -> None:
    with pytest.raises(InputError) as said:
        look(dataset, held(tmp_path, name, content))
    assert problem in str(said.value) and "\n" not in str(said.value)


def test_what_is_not_there() -> None:
    with pytest.raises(InputError, match=r"^dataset_path /no/such cannot be read on this host \(No such file"):
        look("sharegpt", "/no/such")
