# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A plan, or the answer that nothing fits, read once and checked: what the table and the page both show."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

GIB = 1024**3
LARGEST = 1e18  # no byte, token or millisecond of a plan goes beyond
# what a card's memory holds, in the order it is drawn: everything up to the graphs lies below the usable limit
MEMORY_PARTS = (
    ("weights", "weight_bytes_per_gpu", "weights"),
    ("kv", "kv_cache_bytes_per_gpu", "KV cache"),
    ("activations", "activation_bytes_per_gpu", "activations"),
    ("sampler", "persistent_bytes_per_gpu", "sampler buffers"),
    ("other", "non_torch_bytes_per_gpu", "other"),
    ("graphs", "cuda_graph_bytes_per_gpu", "CUDA graphs"),
)


@dataclass(frozen=True)
class Row:
    """One candidate. ``why``: why it was left, or cannot run."""

    topology: str
    replicas: int
    tp: int
    fits: bool
    why: str
    chosen: bool = False
    prediction: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> str:
        return f"{self.replicas} x TP{self.tp}"

    def number(self, key: str) -> Optional[float]:
        return number(self.prediction, key) if self.prediction else None

    @property
    def targets(self) -> Optional[bool]:
        """Whether the workload's targets are met; None where there are none."""
        judged = mapping(self.prediction.get("targets"), "plan.prediction.targets").values()
        met = [bool(mapping(t, "plan.prediction.targets").get("met")) for t in judged]
        return all(met) if met else None

    def together(self, key: str) -> Optional[float]:
        """Of all replicas, where the prediction is of one."""
        one = self.number(key)
        return None if one is None else one * self.replicas


@dataclass(frozen=True)
class View:
    """``error`` is why nothing can run; then there is no choice, only candidates."""

    plan: Mapping[str, Any]
    rows: tuple[Row, ...]
    error: str = ""

    @property
    def model(self) -> str:
        model = self.plan.get("model")
        model = model if isinstance(model, Mapping) else {}
        return plain(model.get("served_model_name") or model.get("name") or "model")

    @property
    def prediction(self) -> Mapping[str, Any]:
        return mapping(self.plan.get("prediction"), "plan.prediction")

    @property
    def instances(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(mapping(i, "plan.instances") for i in sequence(self.plan.get("instances"), "plan.instances"))

    @property
    def on_cards(self) -> bool:
        return bool(self.error) or self.prediction.get("cuda_total_bytes") is not None

    def words(self, key: str) -> list[str]:
        """A list of sentences: advice or warnings."""
        value = self.plan.get(key)
        return [plain(item) for item in ([value] if isinstance(value, str) else sequence(value, f"plan.{key}"))]


def read_plan(value: Any) -> View:
    """A plan, the result of topology_plan that holds one, or its result where nothing can run."""
    if isinstance(value, Mapping) and isinstance(value.get("plan"), Mapping):
        value = value["plan"]
    if not isinstance(value, Mapping):
        raise InputError(_NOT_A_PLAN)
    if "instances" in value and "topology" in value:
        tp, replicas = number(value, "tensor_parallel_size"), number(value, "replicas")
        return View(value, tuple(_row(c, replicas, tp) for c in sequence(value.get("candidates"), "plan.candidates")))
    if "candidates" in value and isinstance(value.get("msg"), str):
        rows = tuple(_row(c, None, None) for c in sequence(value["candidates"], "candidates"))
        return View({}, rows, plain(value["msg"]) or "no topology fits")
    raise InputError(_NOT_A_PLAN)


_NOT_A_PLAN = (
    "a plan as topology_plan returns it under `plan` is needed (or its failed result with `msg` and `candidates`)"
)


def _row(data: Any, replicas: Optional[float], tp: Optional[float]) -> Row:
    data = mapping(data, "plan.candidates")
    shape = [number(data, key) for key in ("replicas", "tensor_parallel_size")]
    if None in shape:
        raise InputError("plan.candidates: replicas and tensor_parallel_size are needed of each candidate")
    own_replicas, own_tp = (int(n or 0) for n in shape)
    return Row(
        topology=plain(data.get("topology") or ""),
        replicas=own_replicas,
        tp=own_tp,
        fits=bool(data.get("fits")),
        why=plain(data.get("why") or ""),
        chosen=own_replicas == replicas and own_tp == tp,
        prediction=mapping(data.get("prediction"), "plan.candidates.prediction"),
    )


# ---------------------------------------------------------------- reading values


def number(data: Mapping[str, Any], key: str) -> Optional[float]:
    """A number of a plan; None where it is absent."""
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LARGEST:
        raise InputError(f"plan: {key} is {brief(value)}, a number from 0 to {LARGEST:g} is needed")
    return value


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: a dictionary is needed, not {brief(value)}")
    return value


def sequence(value: Any, what: str) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{what}: a list is needed, not {brief(value)}")
    return value


def brief(value: Any) -> str:
    """A value as an error shows it."""
    text = plain(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def plain(value: Any) -> str:
    """Text in one line, without characters that steer a terminal or turn the order of the others around."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+", " ", text)


# ---------------------------------------------------------------- writing values


def gib(size: Optional[float], digits: int = 2) -> str:
    return "-" if size is None else f"{size / GIB:.{digits}f}"


def count(value: Optional[float]) -> str:
    return "-" if value is None else f"{round(value):,}"


def figure(value: Optional[float], digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Neighbours that differ in the number of replicas only, and were left for the same reason, are shown as one."""
    out: list[list[Row]] = []
    for row in rows:
        last = out[-1][-1] if out else None
        same = last is not None and (last.topology, last.tp, last.chosen) == (row.topology, row.tp, row.chosen)
        if last is not None and same and _alike(last, row):
            out[-1].append(row)
        else:
            out.append([row])
    return out


def shape_of(group: Sequence[Row]) -> str:
    """ "7-2 x TP1", or "TP5-TP7" where the cards of a replica differ."""
    first, last = group[0], group[-1]
    if first.tp != last.tp:
        return f"TP{first.tp}-TP{last.tp}"
    return first.shape if first is last else f"{first.replicas}-{last.replicas} x TP{first.tp}"


def reasons(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Why each was left or cannot run, by shape; neighbours of whom the same can be said, once."""
    groups: list[list[Row]] = []
    for row in rows:
        if not row.why or row.why == "chosen":
            continue
        if groups and not groups[-1][-1].chosen and not row.chosen and _alike(groups[-1][-1], row):
            groups[-1].append(row)
        else:
            groups.append([row])
    said = []
    for group in groups:
        why = group[0].why
        said.append((shape_of(group), why if all(r.why == why for r in group) else why + ", and so on"))
    return said


def _alike(one: Row, other: Row) -> bool:
    if one.fits != other.fits:
        return False
    if one.why == other.why:
        return one.tp == other.tp
    if " GiB" in one.why or (one.fits and one.tp != other.tp):  # shortfalls and speeds are told exactly
        return False
    return _without_counts(one.why) == _without_counts(other.why)


def _without_counts(text: str) -> str:
    return re.sub(r"\d+|\bcards?\b|\bholds?\b", "", text)


def speed_note(rows: Sequence[Row]) -> list[str]:
    """What the speeds of the candidates mean, where there are any."""
    if not any(row.number(key) for row in rows for key in ("tpot_ms", "ttft_ms", "output_tokens_per_s")):
        return []
    loads = [row for row in rows if row.number("speed_concurrency")]
    if not loads:
        return ["TPOT in ms, of one stream."]
    many = sorted({int(row.number("speed_concurrency") or 0) for row in loads})
    text = " or ".join(f"{n:,}" for n in many) + (" request" if many == [1] else " requests")
    length = [loads[0].number(key) for key in ("speed_input_tokens", "speed_output_tokens")]
    text += f" of {count(length[0])} + {count(length[1])} tokens" if None not in length else ""
    return [f"TPOT and TTFT in ms, and output tok/s of all together, with {text} under way."]
