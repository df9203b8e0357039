#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``model.py OUT CONFIG.json``: a model directory without weights, for ``--load-format dummy``.

Speed and memory of an engine do not depend on what the weights are. The tokenizer is the one of the tests with as many
further words as the model's vocabulary has room for, so that every token that is drawn has a text.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

MAKE = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "tiny_model" / "make.py"


def tiny_model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_model_make", MAKE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(tokenizer: dict[str, Any], size: int) -> dict[str, Any]:
    """With words up to ``size`` tokens. No text becomes such a word (there is no merge that makes one)."""
    vocabulary = tokenizer["model"]["vocab"]
    for number in range(len(vocabulary), size):
        vocabulary[f"Ġword{number}"] = number
    return tokenizer


def main() -> int:
    out, source = Path(sys.argv[1]), Path(sys.argv[2])
    config = json.loads(source.read_text(encoding="utf-8"))
    tiny = tiny_model()
    config.update(bos_token_id=tiny.BOS, eos_token_id=tiny.EOS)
    settings = {**tiny.tokenizer_config(), "model_max_length": config["max_position_embeddings"]}
    files = {
        "config.json": config,
        "tokenizer.json": filled(tiny.tokenizer(), config["vocab_size"]),
        "tokenizer_config.json": settings,
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
