# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measured and published speeds of tests/truth/speed, and what the roofline says of the same cases.

A file of rows: {"about", "source", "rows": [{"model", "card", "tp", "replicas", "link", "concurrency", "input_tokens",
"output_tokens", "tpot_ms_p50", "ttft_ms_p50", "e2e_ms_p50", "output_tokens_per_s", "vllm_version"}]}. ``model`` is a
directory of tests/fixtures/models or a name of models.json; ``concurrency`` counts over all replicas; figures
that were not taken are left out.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.inference.plugins.module_utils._cards import card_data, pcie_gb_s
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._speed import (
    SpeedPrediction,
    engine_of,
    predict_replicas,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._speed_work import model_work
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

TESTS = Path(__file__).resolve().parents[3]
MODELS = TESTS / "fixtures" / "models"
TRUTH = TESTS / "truth" / "speed"
METRICS = {  # name in the files: (field of the prediction, is more better?)
    "tpot_ms_p50": ("tpot_ms", False),
    "ttft_ms_p50": ("ttft_ms", False),
    "e2e_ms_p50": ("e2e_ms", False),
    "tpot_ms": ("tpot_ms", False),
    "e2e_ms": ("e2e_ms", False),
    "output_tokens_per_s": ("output_tokens_per_s", True),
    "requests_per_s": ("requests_per_s", True),
}


@cache
def truth(name: str) -> dict[str, Any]:
    return json.loads((TRUTH / name).read_text())


@cache
def fixture_model(name: str, quantization: str = "") -> Model:
    directory = MODELS / name
    if not quantization:
        return read_model(str(directory), allow_unknown=True)
    config = json.loads((directory / "config.json").read_text())
    return config_model(json.dumps({**config, "quantization_config": json.loads(quantization)}))


@cache
def config_model(text: str) -> Model:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "config.json").write_text(text)
        return read_model(directory, allow_unknown=True)


def model_of(name: str) -> Model:
    stated = truth("models.json")["models"].get(name)
    if stated is None:
        return fixture_model(name)
    if "fixture" in stated:
        return fixture_model(stated["fixture"], json.dumps(stated.get("quantization_config")))
    return config_model(json.dumps(stated["config"]))


@dataclass(frozen=True)
class Tokens:
    """As much of a KvPlan as the prediction asks for, where only the card's memory is known."""

    bytes_per_token: float

    def concurrency(self, kv_bytes: int, length: int) -> float:
        return kv_bytes / (self.bytes_per_token * length)


def measured_rows() -> list[dict[str, Any]]:
    """All rows of measured_*.json: taken for this collection on real cards."""
    return [row for path in sorted(TRUTH.glob("measured_*.json")) for row in truth(path.name)["rows"]]


def predicted(model: Model, case: dict[str, Any], candidate: dict[str, Any]) -> SpeedPrediction:
    given: dict[str, Any] = {
        key: case[key] for key in ("max_num_seqs", "max_num_batched_tokens", "kv_element_bytes") if key in case
    }
    given.setdefault("max_num_seqs", 1024)
    if "pcie" in case:
        given["pcie_gb_s"] = pcie_gb_s(*case["pcie"])
    if "memory_gib" in case:  # 1.5 GiB for activations and graphs
        tp = candidate["tp"]
        left = (case["memory_gib"] * case["utilization"] - 1.5) * 2**30 - model.weight_bytes / tp
        per_token = model_work(model, case.get("kv_element_bytes", 0)).kv_bytes(1, tp)
        given.update(kv_plan=Tokens(per_token), kv_bytes=int(max(left, 0)))
    return predict_replicas(
        model,
        case["card"],
        candidate["tp"],
        candidate.get("replicas", 1),
        link=candidate.get("link", "nvlink"),
        concurrency=case["concurrency"],
        input_tokens=case["input_tokens"],
        output_tokens=case["output_tokens"],
        **given,
    )


def step_and_prefill(row: dict[str, Any]) -> tuple[float, float]:
    """Of the engine alone: a decode step half-way through 64 of them, and the prefill of the whole batch."""
    card = card_data(row["card"])
    assert card is not None
    engine = engine_of(model_of(row["model"]), card, row["tp"], "nvlink")
    prompt, batch = row["prompt_tokens"], row["batch"]
    prefill = engine.alone_ms(prompt) + (batch - 1) * engine.prefill_ms(prompt)
    return engine.decode_ms(batch, prompt + 32), prefill


def report() -> None:
    """Predicted and measured side by side, for every row there is: run this file."""
    for path in sorted(TRUTH.glob("*.json")):
        for row in truth(path.name).get("rows", ()):
            got = predicted(model_of(row["model"]), row, row)
            figures = []
            for metric, (name, _more) in METRICS.items():
                made = getattr(got, name)
                if metric in row and made is not None:
                    figures.append(f"{name} {made:.4g} / {row[metric]:.4g} ({made / row[metric] - 1:+.0%})")
            where = f"{row.get('replicas', 1)} x TP{row['tp']} {row['card']}"
            load = f"c{row['concurrency']} {row['input_tokens']}/{row['output_tokens']}"
            print(f"{row['model']:20} {where:34} {load:14} " + "  ".join(figures))
        for row in truth(path.name).get("steps", ()):
            pairs = zip(("step", "prefill"), step_and_prefill(row), (row["step_ms"][-1], row["prefill_ms"][-1]))
            figures = [f"{name}_ms {made:.4g} / {real:.4g} ({made / real - 1:+.0%})" for name, made, real in pairs]
            print(f"{row['model']:20} 1 x TP{row['tp']} {row['card']:28} batch {row['batch']:<8} " + "  ".join(figures))


if __name__ == "__main__":
    report()
