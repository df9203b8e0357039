# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The matrices of vision and audio towers, as vLLM builds and shares them out; a rough size for towers unknown here."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._model_config import OTHER_SENSES, Fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_parts import Part


def vision_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config.get("vision_config")
    return found if isinstance(found, dict) else {}


def tower_parts(config: Mapping[str, Any], f: Fields) -> list[Part]:
    rough = rough_parameters(config)
    return [Part("tower", "other", 1, rough, linear=False)] if rough else []


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
