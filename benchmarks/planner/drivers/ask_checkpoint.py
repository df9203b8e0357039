# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists the tensors a published checkpoint of each model holds, from its config.json alone.

Runs where transformers is installed. Tools that read a hub's safetensors headers get this list instead, so that they
need no network and no weights. The shapes are those of transformers' own model classes; quantized formats follow the
layout their producers write.
"""

from __future__ import annotations

import fnmatch
import json
import math
import os
import re
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

NAMES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
SIZES = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "I32": 4, "U8": 1}


def ignored(module: str, patterns: list[str]) -> bool:
    """Patterns are names, parts of names, globs, or (with ``re:``) regular expressions."""
    for pattern in patterns:
        if pattern.startswith("re:"):
            if re.match(pattern[3:], module):
                return True
            continue
        if module.startswith(pattern + ".") or f".{pattern}." in f".{module}.":
            return True
        if "*" in pattern and (fnmatch.fnmatch(module, pattern) or fnmatch.fnmatch(module, pattern + ".*")):
            return True
    return False


def packed(name: str, shape: list[int], dtype: str, quant: dict) -> list[tuple[str, str, list[int]]]:
    """One linear layer (or a stack of experts' ones) as the format stores it."""
    method = quant["quant_method"]
    *stack, out, width = shape
    if method == "fp8":
        block = quant.get("weight_block_size") or [out, width]
        scale = [math.ceil(out / block[0]), math.ceil(width / block[1])]
        return [(name, "F8_E4M3", shape), (name + "_scale_inv", "F32", [*stack, *scale])]
    if method == "mxfp4":  # two values a byte, one shared exponent for each 32
        groups = math.ceil(width / 32)
        return [(name + "_blocks", "U8", [*stack, out, groups, 16]), (name + "_scales", "U8", [*stack, out, groups])]
    if method in ("awq", "gptq"):
        bits, group = int(quant["bits"]), int(quant["group_size"])
        groups = math.ceil(width / group) if group > 0 else 1
        values = [(name + ".qweight", "I32", [*stack, width * out * bits // 32])]
        values += [(name + ".qzeros", "I32", [*stack, groups * out * bits // 32])]
        values += [(name + ".scales", "F16", [*stack, groups, out])]
        return values + ([(name + ".g_idx", "I32", [*stack, width])] if method == "gptq" else [])
    if method == "compressed-tensors":
        weights = next(iter(quant["config_groups"].values()))["weights"]
        bits, group = int(weights["num_bits"]), weights.get("group_size")
        scales = {"tensor": [1], "channel": [out, 1]}.get(weights.get("strategy") or "tensor")
        if scales is None:
            scales = [out, math.ceil(width / int(group or width))]
        body = (name, "F8_E4M3", shape) if bits == 8 else (name + "_packed", "I32", [*stack, out, width * bits // 32])
        return [body, (name + "_scale", dtype, [*stack, *scales])]
    raise ValueError(f"quantization method {method!r} is not laid out here")


def tensors(directory: str) -> tuple[list[tuple[str, str, list[int]]], dict]:
    """The tensors, and the text part's config with the defaults of its class filled in."""
    import torch
    import transformers

    with open(os.path.join(directory, "config.json"), encoding="utf-8") as handle:
        raw = json.load(handle)
    text = raw.get("text_config") or {}
    quant = raw.get("quantization_config") or text.get("quantization_config")
    config = transformers.AutoConfig.from_pretrained(directory)
    for part in (config, config.get_text_config()):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    word = raw.get("torch_dtype") or raw.get("dtype") or text.get("torch_dtype") or text.get("dtype") or "bfloat16"
    dtype = NAMES.get(str(word), "BF16")
    kind = getattr(transformers, raw["architectures"][0], None)
    if kind is None:
        raise ValueError(f"transformers has no class {raw['architectures'][0]}")
    with torch.device("meta"):
        model = kind._from_config(config)
    model.tie_weights()
    skip = list((quant or {}).get("modules_to_not_convert") or (quant or {}).get("ignore") or []) + ["lm_head"]
    linear = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    out = []
    for name, parameter in model.named_parameters():  # tied ones once
        module, _dot, leaf = name.rpartition(".")
        shape = list(parameter.shape)
        experts = len(shape) == 3 and ".experts" in f".{name}"
        whole = (module in linear and leaf == "weight") or experts
        if quant and quant["quant_method"] == "mxfp4":
            whole = experts
        if quant and whole and min(shape) > 1 and not ignored(name if experts else module, skip):
            out += packed(name if experts else module + ".weight", shape, dtype, quant)
        else:
            out.append((name, dtype, shape))
    whole_config = config.get_text_config()
    keys = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size")
    return out, {key: getattr(whole_config, key) for key in keys if isinstance(getattr(whole_config, key, None), int)}


def main() -> None:
    models = json.load(sys.stdin)["models"]
    answers = {}
    for name, model in models.items():
        try:
            listed, text = tensors(model["dir"])
        except Exception as error:  # a model that cannot be listed is reported, not guessed
            answers[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
            continue
        size = sum(math.prod(shape) * SIZES[dtype] for _name, dtype, shape in listed)
        # vLLM serves a checkpoint that is float32 throughout in 16 bits
        halved = all(dtype == "F32" for _name, dtype, _shape in listed)
        answers[name] = {"bytes": size, "served": size // 2 if halved else size, "tensors": listed, "text": text}
    json.dump({"version": __import__("transformers").__version__, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
