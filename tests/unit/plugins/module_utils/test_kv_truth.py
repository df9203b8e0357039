# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner against vLLM's own KV cache code, block by block (tests/truth/kv, written by tests/truth/oracle).

Nothing may differ: not a block, a token, or the longest request that fits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._kv_cache import kv_plan
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._releases import release_for
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import MODELS

TRUTH = Path(__file__).parents[3] / "truth" / "kv"
CONFIGS: dict[str, Any] = json.loads((TRUTH / "configs.json").read_text())
FILES = sorted(p for p in TRUTH.glob("*.json") if p.name != "configs.json")
_models: dict[str, Model] = {}


def load(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def model(name: str, scratch: Path) -> Model:
    if name not in _models:
        directory = MODELS / name
        if name in CONFIGS:
            directory = scratch / name
            directory.mkdir()
            (directory / "config.json").write_text(json.dumps(CONFIGS[name]))
        _models[name] = read_model(str(directory))
    return _models[name]


def planned(row: dict[str, Any], case: list[Any], release: Any, capability: int, scratch: Path) -> tuple[Any, ...]:
    batched, length, size = case[:3]
    extra = row["extra"]
    kv = kv_plan(
        model(row["model"], scratch),
        row["tp"],
        release,
        extra.get("kv_cache_dtype", "auto"),
        batched,
        extra.get("block_size", 0),
        compute_capability=f"{capability // 10}.{capability % 10}",
        hybrid_manager=not extra.get("disable_hybrid_kv_cache_manager"),
        prefix_caching=extra.get("enable_prefix_caching"),
    )
    longest = kv.longest(size, length)
    if kv.bytes_for(1, length) > size:
        return (0, 0, 0, longest)
    return (kv.blocks(size), kv.tokens(size, length), round(kv.concurrency(size, length), 6), longest)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_row_is_what_vllm_plans(path: Path, tmp_path: Path) -> None:
    content = load(path)
    release, note = release_for(content["release"])
    assert note is None
    wrong = []
    for row in content["rows"]:
        for case in row["cases"]:
            found = planned(row, case, release, content["capability"], tmp_path)
            if found != tuple(case[3:]):
                wrong.append((row["model"], row["tp"], row["extra"], case, found))
    cases = sum(len(row["cases"]) for row in content["rows"])
    assert not wrong, f"{len(wrong)} of {cases} differ, the first: {wrong[:3]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_models_without_cache_are_those_of_vllm(path: Path, tmp_path: Path) -> None:
    content = load(path)
    release, _note = release_for(content["release"])
    for row in content["rows"]:
        kv = kv_plan(model(row["model"], tmp_path), row["tp"], release, "auto", 8192)
        assert bool(kv.groups) == bool(row["groups"]), row["model"]


MEASURED = json.loads((TRUTH.parent / "memory" / "h200_vllm_0.26.0.json").read_text())


@pytest.mark.parametrize("row", MEASURED["rows"], ids=lambda r: str(r["id"]))
def test_real_cards_agree(row: dict[str, Any], tmp_path: Path) -> None:
    """From the KV cache bytes that an H200 was left with, to the blocks and tokens that vLLM came to there."""
    content = json.loads((MODELS / row["model"] / "config.json").read_text())
    for path, value in row["changes"].items():
        *parents, last = path.split(".")
        part = content
        for name in parents:
            part = part[name]
        part[last] = value
    (tmp_path / "config.json").write_text(json.dumps(content))
    release, _note = release_for(MEASURED["vllm_version"])
    kv = kv_plan(
        read_model(str(tmp_path)),
        row["tp"],
        release,
        row["args"].get("kv_cache_dtype", "auto"),
        row["max_num_batched_tokens"],
        compute_capability=MEASURED["gpu"]["compute_capability"],
    )
    length = row["max_model_len"]
    if any(not group.blocks for group in kv.groups):  # states alone: vLLM then names max_model_len a block
        assert kv.block_size == row["block_size"]
    assert kv.blocks(row["kv_bytes"]) == row["num_gpu_blocks"]
    assert kv.tokens(row["kv_bytes"], length) == row["kv_cache_size_tokens"]
    assert kv.concurrency(row["kv_bytes"], length) == row["kv_cache_max_concurrency"]
    if row["args"].get("max_model_len") == -1:
        assert kv.longest(row["kv_bytes"], 1 << 20) == length


def test_there_is_enough_to_compare_with() -> None:
    """Half of the rows gone would still pass; so how much there is, is said here."""
    per_release: dict[str, set[str]] = {}
    kinds = set()
    for path in FILES:
        content = load(path)
        for row in content["rows"]:
            per_release.setdefault(content["release"], set()).add(row["model"])
            kinds |= {kind for kind, *_rest in row["groups"]}
    names = {p.name for p in MODELS.iterdir()}
    for release in ("0.26.0", "0.32.0"):
        missing = names - per_release[release]
        assert len(missing) <= 2, f"{release}: {missing}"
    assert kinds >= {"Full", "SlidingWindow", "ChunkedLocal", "MLA", "Mamba"}
