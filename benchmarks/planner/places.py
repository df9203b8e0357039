# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things lie: models in the repository, everything that is made in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Mapping

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "fixtures" / "models"
ENVIRONMENTS = "GPUSERVE_BENCH_ENVS"  # where it goes, if not into the user's cache


def home() -> Path:
    given = os.environ.get(ENVIRONMENTS)
    if given:
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "gpuserve-planner-bench"


def config_of(directory: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((Path(directory) / "config.json").read_text(encoding="utf-8"))
    return data


def model_directory(model: str, changes: Mapping[str, Any]) -> str:
    """The fixture itself, or a copy of its config.json with what a row was measured with instead."""
    if not changes:
        return str(MODELS / model)
    text = json.dumps({**config_of(str(MODELS / model)), **changes}, indent=1, sort_keys=True)
    where = home() / "models" / f"{model}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    where.mkdir(parents=True, exist_ok=True)
    (where / "config.json").write_text(text, encoding="utf-8")
    return str(where)
