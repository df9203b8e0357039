# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of tests/truth/memory, and the config.json each was measured with."""

from __future__ import annotations

import copy
import json
from pathlib import Path

TESTS = Path(__file__).resolve().parents[3]
MEMORY = TESTS / "truth" / "memory" / "h200_vllm_0.26.0.json"


def memory_truth():
    return json.loads(MEMORY.read_text(encoding="utf-8"))


def memory_rows():
    return memory_truth()["rows"]


def _merge(into, changes):
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def row_config(row):
    """config.json of the row's model with the row's changes (some were measured with fewer layers)."""
    path = TESTS / "fixtures" / "models" / row["model"] / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    _merge(config, row["changes"])
    return config
