# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The measured rows, from whichever of the repository's truth files hold them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

from ansible_collections.gpuserve.inference.benchmarks.planner.places import MODELS, ROOT, model_directory

GIB = 1024**3
FIXTURE = ROOT / "tests" / "fixtures" / "plans" / "truth_h200_vllm026.json"
MEASURED = ROOT / "tests" / "truth" / "memory"


@dataclass(frozen=True)
class Row:
    """One start of vLLM: what it was given and what it counted. Bytes are of one rank."""

    id: str
    source: str
    vllm: str
    model: str
    tp: int
    card: str
    nvml_total: int
    nvml_reserved: int
    utilization: float
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    weights: int
    kv_bytes: int
    kv_tokens: int
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)  # what was changed in the model's config.json
    extra_args: tuple[str, ...] = ()  # flags that of all estimators only ours can be told
    outside: Optional[int] = None  # what the process took of the card beyond its budget
    split: str = ""  # fitted or held_out, where the file says so
    trust: int = 0  # which of two rows of the same start to keep: the higher

    @property
    def name(self) -> str:
        """The model as it was measured."""
        if not self.changes:
            return self.model
        layers = self.changes.get("num_hidden_layers")
        return f"{self.model}.{layers}l" if layers else f"{self.model}.changed"

    @property
    def cuda_total(self) -> int:
        return self.nvml_total - self.nvml_reserved

    @property
    def request_bytes(self) -> float:
        """KV bytes of one request of max_model_len: the cache over the requests it holds."""
        return self.kv_bytes * self.max_model_len / self.kv_tokens

    @property
    def directory(self) -> str:
        return model_directory(self.model, self.changes)

    @property
    def start(self) -> tuple[Any, ...]:
        """All that two starts must share to be the same."""
        return (*self.flags, self.utilization, self.max_model_len)

    @property
    def flags(self) -> tuple[Any, ...]:
        return (
            self.vllm, self.model, json.dumps(self.changes, sort_keys=True), self.tp, self.card, self.max_num_seqs,
            self.max_num_batched_tokens, self.kv_cache_dtype, self.enforce_eager, self.extra_args,
        )  # fmt: skip


# Engine arguments that an ask carries. Rows with others would compare unlike things; the limit of images a prompt
# (the last one) is passed to ours and not known to any other, whose figures it would not change.
PLAIN = {
    "gpu_memory_utilization", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype",
    "enforce_eager", "limit_mm_per_prompt",
}  # fmt: skip
EXACT, LOGGED, BESIDE = 3, 2, 1


def fixture_rows(path: Path = FIXTURE) -> list[Row]:
    """The first six: vLLM's log, GiB rounded to 0.01; the batch limits are that release's defaults on an H200."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return [
        Row(
            id=f"{r['model']}-tp{r['tp']}-logged",
            source=path.name,
            vllm="0.26.0",
            model=r["model"],
            tp=r["tp"],
            card="NVIDIA H200",
            nvml_total=data["nvml_total_bytes"],
            nvml_reserved=data["nvml_reserved_bytes"],
            utilization=r["util"],
            max_model_len=int(r["max_len"]),
            max_num_seqs=1024,
            max_num_batched_tokens=8192,
            weights=round(r["weights_gib"] * GIB),
            kv_bytes=round(r["available_kv_gib"] * GIB),
            kv_tokens=int(r["kv_tokens"]),
            # a rank alone lacks its partners, so a log of two real cards is worth more; on one card exact bytes are
            trust=LOGGED if r["tp"] > 1 else 0,
        )
        for r in data["rows"]
    ]


def measured_row(r: Mapping[str, Any], about: Mapping[str, Any], source: str) -> Optional[Row]:
    """A line of tests/truth/measure.py; None where it did not start, or was started in a way others cannot be asked.

    Rows that ran side by side lack some memory outside torch, which the file states; their KV cache is shown without
    it here, and their tokens in proportion.
    """
    if why_left_out(r):
        return None
    args, gpu = dict(r["args"]), about["gpu"]
    alone = bool(r.get("alone", True))
    kv_bytes = int(r["kv_bytes"]) - (0 if alone else int(about["beside_non_torch_bytes"]))
    total, outside = int(gpu["cuda_total_bytes"]), None
    if r.get("free_after_start") and alone:
        outside = total - int(r["free_after_start"]) - int(r["requested_bytes"])
    extra = ("--limit-mm-per-prompt", json.dumps(args["limit_mm_per_prompt"])) if "limit_mm_per_prompt" in args else ()
    return Row(
        id=str(r["id"]),
        source=source,
        vllm=str(about["vllm_version"]),
        model=str(r["model"]),
        tp=int(r["tp"]),
        card=str(gpu["name"]),
        nvml_total=int(gpu["nvml_total_bytes"]),
        nvml_reserved=int(gpu["nvml_total_bytes"]) - total,
        utilization=float(args["gpu_memory_utilization"]),
        max_model_len=int(r["max_model_len"]),
        max_num_seqs=int(r["max_num_seqs"]),
        max_num_batched_tokens=int(r["max_num_batched_tokens"]),
        weights=int(r["weights_logged_bytes"]),
        kv_bytes=kv_bytes,
        kv_tokens=round(int(r["kv_cache_size_tokens"]) * kv_bytes / int(r["kv_bytes"])),
        kv_cache_dtype=str(args.get("kv_cache_dtype") or "auto"),
        enforce_eager=bool(args.get("enforce_eager")),
        changes=dict(r.get("changes") or {}),
        extra_args=extra,
        outside=outside,
        split=str(r.get("half") or ""),
        trust=EXACT if alone else BESIDE,
    )


def why_left_out(line: Mapping[str, Any]) -> str:
    if line.get("error"):
        return "vLLM did not start"
    if (line.get("args") or {}).get("max_model_len") == -1 and not line.get("alone", True):
        return "chose its length with memory counted as free that a start alone does not have"
    odd = sorted(set(line.get("args") or {}) - PLAIN)
    if odd:
        return f"started with {', '.join(odd)}, which most estimators cannot be told"
    if not line.get("kv_cache_size_tokens") or not line.get("kv_bytes"):
        return "no KV cache size"
    if not (MODELS / str(line.get("model")) / "config.json").is_file():
        return f"no tests/fixtures/models/{line.get('model')}"
    return ""


def load(folder: Path = MEASURED) -> tuple[list[Row], list[str]]:
    """All rows that can be asked about, and a line for each that was left out."""
    rows, left = fixture_rows(), []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        data = json.loads(path.read_text(encoding="utf-8"))
        for line in data["rows"]:
            row = measured_row(line, data, path.name)
            if row is None:
                left.append(f"{path.name}: {line.get('id', '?')}: {why_left_out(line)}")
            else:
                rows.append(row)
    kept = unique(rows)
    chosen = {k.start: k for k in kept}
    left += [f"{r.source}: {r.id}: the same start as {chosen[r.start].id}" for r in rows if chosen[r.start] is not r]
    return kept, left


def unique(rows: Iterable[Row]) -> list[Row]:
    """One row a start: the one to be trusted most, in the place of the first."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if row.start not in found or row.trust > found[row.start].trust:
            found[row.start] = row
    return list(found.values())
