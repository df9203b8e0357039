# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The measured rows, from whichever of the repository's truth files hold them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

GIB = 1024**3
ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "fixtures" / "models"
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
    extra: Mapping[str, Any] = field(default_factory=dict)  # engine arguments that only our planner can be told
    outside: Optional[int] = None  # what the process took of the card beyond its budget
    split: str = ""  # fitted or held-out, where the file says so

    @property
    def cuda_total(self) -> int:
        return self.nvml_total - self.nvml_reserved

    @property
    def request_bytes(self) -> float:
        """KV bytes of one request of max_model_len: the cache over the requests it holds."""
        return self.kv_bytes * self.max_model_len / self.kv_tokens

    @property
    def config_dir(self) -> Path:
        return MODELS / self.model

    def config(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.config_dir / "config.json").read_text(encoding="utf-8"))
        return data


# what a row needs beside the arguments that every estimator can be told; others would compare unlike things
PLAIN = {
    "gpu_memory_utilization", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype",
    "enforce_eager", "load_format", "skip_tokenizer_init", "trust_remote_code", "tensor_parallel_size", "dtype",
    "hf_overrides",
}  # fmt: skip


def fixture_rows(path: Path = FIXTURE) -> list[Row]:
    """The first six: vLLM's log, GiB rounded to 0.01; the batch limits are that release's defaults on an H200."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return [
        Row(
            id=f"{r['model']} TP{r['tp']} {r['util']:g}",
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
        )
        for r in data["rows"]
    ]


def measured_row(r: Mapping[str, Any], about: Mapping[str, Any], source: str) -> Optional[Row]:
    """A line of tests/truth/measure.py; None where it did not start, or was started in a way others cannot be asked."""
    if r.get("error") or not r.get("kv_cache_size_tokens") or not r.get("kv_bytes"):
        return None
    args = dict(r.get("args") or {})
    if set(args) - PLAIN or args.get("hf_overrides"):
        return None
    total = int(r["init"]["total"])
    reserved = int(about.get("nvml_reserved_bytes") or 0)
    utilization = float(r.get("gpu_memory_utilization") or args["gpu_memory_utilization"])
    outside = total - int(r["init"]["free"])
    if r.get("free_after_start"):
        outside = max(
            outside, total - int(r["free_after_start"]) - int(r.get("requested_bytes") or total * utilization)
        )
    return Row(
        id=str(r["id"]),
        source=source,
        vllm=str(r.get("vllm") or about.get("vllm_version") or about.get("vllm")),
        model=str(r["model"]),
        tp=int(r.get("tp") or 1),
        card=str(about.get("card") or about.get("gpu") or "NVIDIA H200"),
        nvml_total=total + reserved,
        nvml_reserved=reserved,
        utilization=utilization,
        max_model_len=int(r["max_model_len"]),
        max_num_seqs=int(r["max_num_seqs"]),
        max_num_batched_tokens=int(r["max_num_batched_tokens"]),
        weights=int(r["weights_logged_bytes"]),
        kv_bytes=int(r["kv_bytes"]),
        kv_tokens=int(r["kv_cache_size_tokens"]),
        kv_cache_dtype=str(args.get("kv_cache_dtype") or "auto"),
        enforce_eager=bool(args.get("enforce_eager")),
        outside=outside,
        split=str(r.get("split") or about.get("split") or ""),
    )


def read_file(path: Path) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """Rows and what is said of them all; a list, {"rows": [...], ...} or one JSON object a line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()], {}
    data = json.loads(text)
    if isinstance(data, list):
        return data, {}
    return list(data.get("rows") or []), {k: v for k, v in data.items() if k != "rows"}


def load(folder: Path = MEASURED) -> tuple[list[Row], list[str]]:
    """All rows that can be asked about, and a line for each that was left out."""
    rows, left = fixture_rows(), []
    for path in sorted(folder.glob("*.json*")) if folder.is_dir() else []:
        lines, about = read_file(path)
        for line in lines:
            row = measured_row(line, about, path.name)
            if row is None:
                left.append(f"{path.name}: {line.get('id', '?')}: {why_left_out(line)}")
            elif not (row.config_dir / "config.json").is_file():
                left.append(f"{path.name}: {row.id}: no tests/fixtures/models/{row.model}")
            else:
                rows.append(row)
    return unique(rows), left


def why_left_out(line: Mapping[str, Any]) -> str:
    if line.get("error"):
        return "vLLM did not start"
    odd = sorted(set(line.get("args") or {}) - PLAIN)
    if odd or (line.get("args") or {}).get("hf_overrides"):
        return f"started with {', '.join(odd) or 'hf_overrides'}, which most estimators cannot be told"
    return "no KV cache size"


def unique(rows: Iterable[Row]) -> list[Row]:
    """One row a start: a later file's exact bytes replace the same start known from a log only."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (
            row.vllm, row.model, row.tp, row.card, row.utilization, row.max_model_len, row.max_num_seqs,
            row.max_num_batched_tokens, row.kv_cache_dtype, row.enforce_eager,
        )  # fmt: skip
        found[key] = row
    return list(found.values())
