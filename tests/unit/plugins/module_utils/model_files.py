# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models for the tests: directories with hand-written configs and safetensors files."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any, Mapping, Optional

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
MODELS = FIXTURES / "models"
SIZES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1, "I32": 4}

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 1024,
}


def config(**changes: Any) -> dict[str, Any]:
    """LLAMA with changes; a value of ``...`` takes the key away."""
    return {k: v for k, v in {**LLAMA, **changes}.items() if v is not ...}


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        size = SIZES[dtype]
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def model_dir(
    directory: Path, content: Optional[Mapping[str, Any]] = None, files: Optional[Mapping[str, Any]] = None
) -> Path:
    """A directory with a config.json (LLAMA unless given) and other files: bytes as they are, the rest as JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(LLAMA if content is None else content), encoding="utf-8")
    for name, data in (files or {}).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return directory


def fixture_config(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((MODELS / name / "config.json").read_text(encoding="utf-8"))
    return content


def tiny_model(directory: Path) -> Path:
    """The real tiny model of tests/fixtures/tiny_model."""
    spec = importlib.util.spec_from_file_location("tiny_model_make", FIXTURES / "tiny_model" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    maker.make(directory)
    return directory
