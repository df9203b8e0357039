# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The matrices of vision and audio towers as vLLM builds and shares them; a rough size for unknown ones.

None is ever priced as quantized: published quantized checkpoints leave their towers alone, by an ignore list.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import OTHER_SENSES, Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import (
    COLUMN,
    COPY,
    HEADS,
    ROW,
    Part,
    vector,
)

KIND = "other"  # the group of tensors these are counted with
Config = Mapping[str, Any]
# parameters of mobilenetv5_300m_enc, counted from timm 1.0.31's own class
MOBILENET_V5_300M = 294_126_912


def vision_of(config: Config) -> Config:
    found = config.get("vision_config")
    return found if isinstance(found, dict) else {}


def tower_parts(config: Config, f: Fields) -> list[Part]:
    """Every tower's matrices; one rough part where a tower is not known here."""
    known = exact_towers(config, f)
    if known is not None:
        return known
    rough = rough_parameters(config)
    return [Part("tower", KIND, 1, rough, linear=False)] if rough else []


def exact_towers(config: Config, f: Fields) -> Optional[list[Part]]:
    """The matrices where each tower is one that this module knows, else None."""
    out: list[Part] = []
    named = [k for k in OTHER_SENSES if isinstance(config.get(k), dict)]
    for key in named:
        tower = config[key]
        build = BUILDERS.get(str(tower.get("model_type") or config.get("model_type") or ""))
        build = build or BUILDERS.get(str(config.get("model_type") or ""))
        if build is None:
            return None
        out += build(tower, config, f)
    return out if named else None


def _matrix(name: str, rows: int, cols: int, shard: str = COPY, pieces: int = 0, bias: bool = True) -> Iterator[Part]:
    yield Part(name, KIND, rows, cols, linear=False, shard=shard, pieces=pieces)
    if bias:
        yield vector(f"{name}.bias", KIND, rows, COPY if shard == ROW else shard, pieces)


def _blocks(
    base: str, count: int, h: int, width: int, heads: int, *, gated: bool = False, bias: bool = True,
    norm: int = 2, shared: bool = True,
) -> Iterator[Part]:  # fmt: skip
    """Transformer layers: ``norm`` is vectors a norm has (2 with a bias); not ``shared``: every rank has all."""
    col, row, by_head = (COLUMN, ROW, HEADS) if shared else (COPY, COPY, COPY)
    for i in range(count):
        at = f"{base}.{i}"
        yield from _matrix(f"{at}.qkv", 3 * h, h, by_head, heads, bias)
        yield from _matrix(f"{at}.proj", h, h, row, bias=bias)
        yield from _matrix(f"{at}.fc1", (2 if gated else 1) * width, h, col, bias=bias)
        yield from _matrix(f"{at}.fc2", h, width, row, bias=bias)
        yield vector(f"{at}.norms", KIND, 2 * norm * h)


def _count(tower: Config, *names: str, default: int = 0) -> int:
    return _int(tower, *names) or default


def _qwen(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    """Qwen2-VL, 2.5-VL, 3-VL and 3.5 (models/qwen2_vl.py, qwen2_5_vl.py, qwen3_vl.py)."""
    kind = str(config.get("model_type") or "")
    second = kind == "qwen2_vl"
    h = _count(tower, "embed_dim") if second else _count(tower, "hidden_size", default=1280)
    width = int(h * float(tower.get("mlp_ratio") or 4)) if second else _count(tower, "intermediate_size", default=3420)
    out = _count(tower, "hidden_size") if second else _count(tower, "out_hidden_size", default=f.hidden)
    heads, depth = _count(tower, "num_heads", default=16), _count(tower, "depth", default=32)
    patch = _count(tower, "in_chans", "in_channels", default=3) * _count(tower, "temporal_patch_size", default=2)
    patch *= _count(tower, "patch_size", "spatial_patch_size", default=14) ** 2
    merged = h * _count(tower, "spatial_merge_size", default=2) ** 2
    third = not second and not kind.startswith("qwen2_5")
    yield from _matrix("visual.patch_embed", h, patch, bias=third)
    five = kind.startswith("qwen2_5")
    yield from _blocks("visual.blocks", depth, h, width, heads, gated=five, norm=1 if five else 2)
    mergers = 1
    if third:
        yield Part("visual.pos_embed", KIND, _count(tower, "num_position_embeddings", default=2304), h, linear=False)
        deep = tower.get("deepstack_visual_indexes")
        mergers += len(deep) if isinstance(deep, list) else 0
    for i in range(mergers):
        yield vector(f"visual.merger.{i}.norm", KIND, (1 if five else 2) * (merged if third and i else h))
        yield from _matrix(f"visual.merger.{i}.fc1", merged, merged, COLUMN)
        yield from _matrix(f"visual.merger.{i}.fc2", out, merged, ROW)
    # a table of angles for 8192 positions
    yield Part("visual.rotary", KIND, 8192, h // heads // 2, linear=False, extra=True)


def _encoder(tower: Config, *, class_token: bool, layers: int) -> Iterator[Part]:
    """CLIP and SigLIP (models/clip.py, siglip.py)."""
    h, patch = _count(tower, "hidden_size", default=768), _count(tower, "patch_size", default=16)
    positions = (_count(tower, "image_size", default=224) // patch) ** 2 + (1 if class_token else 0)
    width, heads = _count(tower, "intermediate_size", default=3072), _count(tower, "num_attention_heads", default=12)
    yield from _matrix(
        "vision.patch_embed", h, _count(tower, "num_channels", default=3) * patch**2, bias=not class_token
    )
    yield Part("vision.positions", KIND, positions, h, linear=False)
    yield vector("vision.ends", KIND, 3 * h if class_token else 2 * h)  # class token and first norm, or last norm
    yield from _blocks("vision.layers", layers, h, width, heads)
    yield vector("vision.position_ids", KIND, positions, element=8)


def _layers_used(tower: Config, config: Config) -> int:
    """LLaVA reads an inner layer and builds none after it."""
    layers = _count(tower, "num_hidden_layers", default=12)
    chosen = config.get("vision_feature_layer", -2)
    return layers + chosen + 1 if isinstance(chosen, int) and chosen < 0 else layers


def _clip(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    yield from _encoder(tower, class_token=True, layers=_layers_used(tower, config))
    yield from _two_matrices(config, f, _count(tower, "hidden_size", default=768))


def _two_matrices(config: Config, f: Fields, h: int, bias: bool = True) -> Iterator[Part]:
    yield from _matrix("projector.linear_1", f.hidden, h, COLUMN, bias=bias)
    yield from _matrix("projector.linear_2", f.hidden, f.hidden, ROW, bias=bias)
    if str(config.get("model_type") or "").startswith(("llava_next", "llava_onevision")):
        yield vector("image_newline", KIND, f.hidden)


def _siglip(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    kind, h = str(config.get("model_type") or ""), _count(tower, "hidden_size", default=768)
    layers = _count(tower, "num_hidden_layers", default=12)
    if kind.startswith("llava"):
        yield from _encoder(tower, class_token=False, layers=_layers_used(tower, config))
        yield from _two_matrices(config, f, h)
        return
    yield from _encoder(tower, class_token=False, layers=layers)
    if kind == "gemma3":
        yield Part("projector.input", KIND, h, f.hidden, linear=False)
        yield vector("projector.norm", KIND, h)
    else:  # PaliGemma
        yield from _matrix("projector.linear", _count(config, "projection_dim", default=f.hidden), h)


def _pixtral(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    """models/pixtral.py (PixtralHFVisionModel), with the projectors of LLaVA and Mistral 3."""
    h, patch = _count(tower, "hidden_size", default=1024), _count(tower, "patch_size", default=16)
    layers, heads = _count(tower, "num_hidden_layers", default=24), _count(tower, "num_attention_heads", default=16)
    width = _count(tower, "intermediate_size", default=4096)
    yield from _matrix("vision.patch_conv", h, _count(tower, "num_channels", default=3) * patch**2, bias=False)
    yield vector("vision.ln_pre", KIND, h)
    yield from _blocks("vision.layers", layers, h, width, heads, gated=True, bias=False, norm=1)
    side = _count(tower, "image_size", default=1024) // patch
    yield vector("vision.angles", KIND, side * side * (h // heads), element=4)
    if config.get("model_type") != "mistral3":
        yield from _two_matrices(config, f, h)
        return
    yield vector("projector.norm", KIND, h)
    yield from _matrix("projector.merging", h, h * _count(config, "spatial_merge_size", default=2) ** 2, bias=False)
    yield from _two_matrices(config, f, h, bias=bool(config.get("multimodal_projector_bias")))


def _llama4(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    """models/mllama4.py."""
    h, patch = _count(tower, "hidden_size", default=768), _count(tower, "patch_size", default=14)
    heads, side = _count(tower, "num_attention_heads", default=16), _count(tower, "image_size", default=448) // patch
    yield from _matrix("vision.patch", h, _count(tower, "num_channels", default=3) * patch**2, COLUMN, bias=False)
    yield Part("vision.positions", KIND, side**2 + 1, h, linear=False)
    yield vector("vision.ends", KIND, 5 * h)
    width, layers = _count(tower, "intermediate_size", default=5632), _count(tower, "num_hidden_layers", default=34)
    yield from _blocks("vision.layers", layers, h, width, heads)
    ratio = tower.get("pixel_shuffle_ratio")
    spread = int(h / float(ratio) ** 2) if isinstance(ratio, float) and 0 < ratio <= 1 else 4 * h
    middle, out = (
        _count(tower, "projector_input_dim", default=4096),
        _count(tower, "projector_output_dim", default=4096),
    )
    yield from _matrix("vision.adapter.fc1", middle, spread, COLUMN, bias=False)
    yield from _matrix("vision.adapter.fc2", out, middle, ROW, bias=False)
    yield from _matrix("projector", f.hidden, _count(tower, "vision_output_dim", default=4096), COLUMN, bias=False)


def _intern(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    """models/intern_vit.py and internvl.py."""
    h, patch = _count(tower, "hidden_size", default=1024), _count(tower, "patch_size", default=14)
    layers, heads = _count(tower, "num_hidden_layers", default=24), _count(tower, "num_attention_heads", default=16)
    width, side = _count(tower, "intermediate_size", default=4096), _count(tower, "image_size", default=448) // patch
    yield from _matrix("vision.patch", h, 3 * patch**2)
    yield Part("vision.positions", KIND, side**2 + 1, h, linear=False)
    yield vector("vision.class", KIND, h)
    yield from _blocks(
        "vision.layers", layers, h, width, heads, norm=2 if tower.get("norm_type") == "layer_norm" else 1
    )
    yield vector("vision.scales", KIND, 2 * layers * h)
    if tower.get("qk_normalization"):
        yield vector("vision.qk_norms", KIND, 2 * layers * h)
    ratio = config.get("downsample_ratio")
    spread = int(h / float(ratio) ** 2) if isinstance(ratio, float) and 0 < ratio <= 1 else 4 * h
    yield vector("projector.norm", KIND, 2 * spread)
    yield from _matrix("projector.1", f.hidden, spread)
    yield from _matrix("projector.3", f.hidden, f.hidden)


def _whisper(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    """The encoder of Qwen2-Audio: Transformers' own, a copy on every rank (models/qwen2_audio.py)."""
    h, bins = _count(tower, "d_model", default=1280), _count(tower, "num_mel_bins", default=128)
    layers, width = _count(tower, "encoder_layers", default=32), _count(tower, "encoder_ffn_dim", default=5120)
    yield from _matrix("audio.conv1", h, 3 * bins)
    yield from _matrix("audio.conv2", h, 3 * h)
    yield Part("audio.positions", KIND, _count(tower, "max_source_positions", default=1500), h, linear=False)
    yield from _blocks("audio.layers", layers, h, width, 1, shared=False)
    yield vector("audio.norm", KIND, 2 * h)
    yield from _matrix("projector", f.hidden, h)


def _mobilenet(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    """Gemma 3n's eyes: MobileNetV5 from timm, whose size its name says (models/gemma3n_mm.py)."""
    h = _count(tower, "hidden_size", default=2048)
    yield Part("vision.timm", KIND, 1, MOBILENET_V5_300M, linear=False)
    yield from _sense("vision", h, _count(tower, "vocab_size", default=128), f)


def _sense(name: str, h: int, tokens: int, f: Fields) -> Iterator[Part]:
    yield Part(f"{name}.embedding", KIND, tokens, h, linear=False)
    yield vector(f"{name}.norms", KIND, 2 * h)
    yield Part(f"{name}.projection", KIND, f.hidden, h, linear=False, shard=ROW)


def _conformer(tower: Config, config: Config, f: Fields) -> Iterator[Part]:
    """Gemma 3n's ears: Transformers' own, a copy on every rank."""
    h, layers = _count(tower, "hidden_size", default=1536), _count(tower, "conf_num_hidden_layers", default=12)
    heads, kernel = (
        _count(tower, "conf_num_attention_heads", default=8),
        _count(tower, "conf_conv_kernel_size", default=5),
    )
    yield vector("audio.subsample", KIND, 128 * 9 + 128 + 32 * 128 * 9 + 32 + 1024 * h)
    for i in range(layers):
        yield Part(f"audio.{i}.matrices", KIND, h, (4 * 4 + 5 + 3) * h, linear=False)
        yield vector(f"audio.{i}.vectors", KIND, (9 + kernel) * h + h // heads)
    yield from _sense("audio", h, _count(tower, "vocab_size", default=128), f)


BUILDERS: dict[str, Callable[[Config, Config, Fields], Iterator[Part]]] = {
    **dict.fromkeys(
        ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen3_5_vision"), _qwen
    ),
    "clip_vision_model": _clip,
    "siglip_vision_model": _siglip,
    "pixtral": _pixtral,
    "llama4_vision_model": _llama4,
    "intern_vit_6b": _intern,
    "qwen2_audio_encoder": _whisper,
    "gemma3n_vision": _mobilenet,
    "gemma3n_audio": _conformer,
}


def rough_parameters(config: Mapping[str, Any]) -> int:
    """Transformer layers of the dimensions that the towers state."""
    total = 0
    nested = config.get("thinker_config")
    for source in [config, nested if isinstance(nested, dict) else {}]:
        for key in OTHER_SENSES:
            tower = source.get(key)
            if not isinstance(tower, dict):
                continue
            named = re.search(r"_(\d+)m(_|$)", str(tower.get("architecture") or ""))
            if named:  # "mobilenetv5_300m_enc"
                total += int(named.group(1)) * 10**6
                continue
            h = _int(tower, "hidden_size", "embed_dim", "d_model", "width") or 1152
            layers = _int(tower, "num_hidden_layers", "depth", "encoder_layers", "layers") or 27
            width = _int(tower, "intermediate_size", "encoder_ffn_dim") or int(h * float(tower.get("mlp_ratio") or 4))
            gated = tower.get("hidden_act") == "silu" or tower.get("model_type") == "pixtral"
            conformer = _int(tower, "conf_num_hidden_layers")  # two feed-forwards, attention and convolutions a layer
            total += conformer * 24 * h * h if conformer else layers * (4 * h * h + (3 if gated else 2) * h * width)
            out = _int(tower, "out_hidden_size", "projection_dim")
            deep = tower.get("deepstack_visual_indexes")
            mergers = 1 + (len(deep) if isinstance(deep, list) else 0)
            total += mergers * (16 * h * h + 4 * h * out)  # merger or projector
    return total


def _int(source: Mapping[str, Any], *names: str) -> int:
    return next((int(source[n]) for n in names if isinstance(source.get(n), (int, float))), 0)
