#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``model.py OUT CONFIG.json [--weights]``: a model directory without weights, for ``--load-format dummy``.

Speed and memory of an engine do not depend on what the weights are. The tokenizer is the one of the tests with as many
further words as the model's vocabulary has room for, so that every token that is drawn has a text.

With ``--weights``, for what loading takes, they are there: drawn at random, a file of safetensors for each layer, of a
dense Llama only. That needs a Python with torch and safetensors.
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


def shapes_of(config: dict[str, Any]) -> list[dict[str, tuple[int, ...]]]:
    """Names and shapes of a dense Llama's weights, file by file. Raises ValueError for any other model."""
    if config["architectures"] != ["LlamaForCausalLM"]:
        raise ValueError(f"--weights makes those of LlamaForCausalLM, not of {', '.join(config['architectures'])}")
    hidden, inner, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    queries, keys = (config[f"num_{kind}_heads"] * config["head_dim"] for kind in ("attention", "key_value"))
    layer = {
        "self_attn.q_proj": (queries, hidden), "self_attn.k_proj": (keys, hidden), "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
    }  # fmt: skip
    layers = [
        {f"model.layers.{number}.{name}.weight": shape for name, shape in layer.items()}
        for number in range(config["num_hidden_layers"])
    ]
    ends = [("model.embed_tokens", (words, hidden)), ("model.norm", (hidden,))]
    if not config["tie_word_embeddings"]:
        ends.append(("lm_head", (words, hidden)))
    return [{f"{name}.weight": shape} for name, shape in ends] + layers


def write_weights(out: Path, config: dict[str, Any]) -> None:
    import torch
    from safetensors.torch import save_file

    index: dict[str, str] = {}
    size = 0
    for number, shapes in enumerate(shapes_of(config)):
        made = {name: torch.randn(shape, dtype=torch.bfloat16) * 0.02 for name, shape in shapes.items()}
        save_file(made, out / f"model-{number:05}.safetensors", metadata={"format": "pt"})
        index.update(dict.fromkeys(shapes, f"model-{number:05}.safetensors"))
        size += sum(tensor.nbytes for tensor in made.values())
    told = {"metadata": {"total_size": size}, "weight_map": index}
    (out / "model.safetensors.index.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


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
    if "--weights" in sys.argv[3:]:
        write_weights(out, config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
