# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How long a benchmark takes: before it starts, while it runs, and what it really took.

A candidate takes its start, the client's own work, and ``repeats`` runs of each point; at the end what served before is
started once more. A run of N requests takes N / (requests a second), as the planner predicts them at that load; at a
rate N / rate, and the time of one request. What an earlier benchmark of the same host took goes before all predictions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._bench import Load, progress_line

GIB = 2**30
# vLLM 0.26.0 with dummy weights on H200 cards: 84 to 114 s for models of 2 to 57 GiB, so 90 s, and the weights on top
START_S = 90.0
READ_BYTES_S = 1.0 * GIB  # of a disk; assumed. Further replicas find the files in memory
CPU_START_S = 55.0  # vLLM 0.32.0 on a processor with a small model, measured: 54 to 60 s
AROUND_S = 20.0  # to plan a candidate, write its files and have the gateway follow
CLIENT_S = 20.0  # until the client has imported vLLM
RUN_S = 2.0  # of a run, to make its prompts
SAME = ("cards", "model", "revision", "vllm_version", "device")  # conditions of a record whose times hold


@dataclass(frozen=True)
class Expected:
    """Seconds of one candidate; None where neither a record nor a prediction knows."""

    label: str
    start_s: float
    client_s: float
    runs: Mapping[str, Optional[float]]  # by point, of one run
    repeats: int

    @property
    def runs_s(self) -> Optional[float]:
        return _sum([None if one is None else one * self.repeats for one in self.runs.values()])

    @property
    def seconds(self) -> Optional[float]:
        return _sum([self.start_s, self.client_s, self.runs_s])


@dataclass(frozen=True)
class Estimate:
    candidates: tuple[Expected, ...]
    back_s: float
    start_from: str  # "measured", "predicted", or "measured and predicted"
    runs_from: str

    @property
    def seconds(self) -> Optional[float]:
        return _sum([*(one.seconds for one in self.candidates), self.back_s])

    def after(self, label: str) -> Optional[float]:
        """What is still to come once this candidate is measured."""
        later = [one.label for one in self.candidates].index(label) + 1
        return _sum([*(one.seconds for one in self.candidates[later:]), self.back_s])

    def text(self) -> str:
        first = self.candidates[0]
        head = (
            f"{_count(len(self.candidates), 'candidate')}, {_count(len(first.runs), 'point')}, "
            f"{_count(first.repeats, 'repeat')}"
        )
        starts = sum(one.start_s for one in self.candidates)
        if self.seconds is None:
            return (
                f"{head}: {duration(starts)} to start engines and {duration(self.back_s)} to put back what serves; how "
                "long the loads take is not known here, since the planner predicts the speed of cards alone"
            )
        runs = self.seconds - starts - self.back_s
        return (
            f"{head}: about {duration(self.seconds)}, of which "
            f"{duration(starts)} to start engines ({self.start_from}), "
            f"{duration(runs)} to measure ({self.runs_from}) and {duration(self.back_s)} to put back what serves"
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "back_s": round(self.back_s, 1),
            "text": self.text(),
            "candidates": {
                one.label: {
                    "start_s": round(one.start_s, 1), "client_s": round(one.client_s, 1),
                    "runs": {name: None if s is None else round(s, 2) for name, s in one.runs.items()},
                    "after_s": None if self.after(one.label) is None else round(self.after(one.label) or 0.0, 1),
                }
                for one in self.candidates
            },
        }  # fmt: skip


def run_seconds(point: Mapping[str, Any], speed: Mapping[str, Any], tokens: float) -> Optional[float]:
    """Of one run. ``speed`` is what the planner predicts at this load, ``tokens`` those of an answer."""
    ttft, tpot = speed.get("ttft_ms"), speed.get("tpot_ms")
    one = None if ttft is None or tpot is None else (ttft + tpot * max(tokens - 1, 0)) / 1000
    if point["rate"]:
        return float(point["requests"]) / float(point["rate"]) + (one or 0.0)
    each = speed.get("requests_per_s")
    if not each:
        return None
    return max(float(point["requests"]) / float(each), one or 0.0)


def speed_at(prediction: Mapping[str, Any], point: Mapping[str, Any], load: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the planner said of a candidate at the load of ``point``; nothing where it spoke of other loads only."""
    wanted = {
        "speed_concurrency": point.get("concurrency"),
        **{f"speed_{key}": load.get(key) for key in ("input_tokens", "output_tokens")},
    }
    if not all(wanted.values()):
        return {}
    told = [prediction, *(prediction.get("speeds") or ())]
    return next((one for one in told if all(one.get(key) == value for key, value in wanted.items())), {})


def estimate(
    plan: Mapping[str, Any],
    labels: Sequence[str],
    load: Mapping[str, Any],
    repeats: int,
    record: Mapping[str, Any],
    now: Mapping[str, Any],
) -> Estimate:
    """``plan`` was made with ``loads``; ``load`` is what vllm_bench said of what is asked; ``now`` the conditions."""
    then = record.get("conditions") or {}
    holds = all(then.get(name) == now.get(name) for name in SAME)
    times = (record.get("times") or {}) if holds else {}
    same_load = then.get("requests") == now.get("requests")
    known: Mapping[str, Any] = times.get("candidates") or {}
    rows = {f"{row['replicas']}xTP{row['tensor_parallel_size']}": row for row in plan["candidates"]}
    predictable = plan["device"] != "cpu"
    guess = AROUND_S + (_start(plan) if predictable else CPU_START_S)
    found, starts, runs_from = [], set(), set()
    for label in labels:
        own = known.get(label) or {}
        starts.add("as measured here" if own else "estimated")
        prediction = (rows.get(label, {}).get("prediction") or {}) if predictable else {}
        runs: dict[str, Optional[float]] = {}
        for point in load["points"]:
            seen = (own.get("runs") or {}).get(point["label"]) or {}
            if same_load and seen and seen.get("asked") == asked(point, load):
                runs[point["label"]] = float(seen["seconds"]) + RUN_S
                runs_from.add("as measured here")
                continue
            seconds = run_seconds(point, speed_at(prediction, point, load), float(load["output_tokens"]))
            runs[point["label"]] = None if seconds is None else seconds + RUN_S
            runs_from.add("predicted")
        client = float(own.get("client_s", CLIENT_S))
        found.append(Expected(label, float(own.get("start_s", guess)), client, runs, repeats))
    back = float(times.get("back_s") or guess)
    return Estimate(tuple(found), back, " or ".join(sorted(starts)), " or ".join(sorted(runs_from)))


def asked(point: Mapping[str, Any], load: Mapping[str, Any]) -> str:
    """What must be the same for two runs to take as long."""
    return f"{point['requests']} x {load['input_tokens']:g} + {load['output_tokens']:g}"


def _start(plan: Mapping[str, Any]) -> float:
    def size(row: Mapping[str, Any]) -> float:
        each = (row.get("prediction") or {}).get("weight_bytes_per_gpu") or 0
        return float(each) * int(row.get("tensor_parallel_size") or 1)

    return START_S + max(map(size, plan["candidates"]), default=0.0) / READ_BYTES_S


@dataclass
class Progress:
    """Lines while one candidate is measured. ``gone_s`` went by before, ``after_s`` is still to come after it."""

    title: str
    points: Sequence[str]
    repeats: int
    expected: Mapping[str, Optional[float]] = field(default_factory=dict)
    gone_s: float = 0.0
    after_s: Optional[float] = None
    _took: dict[str, float] = field(default_factory=dict)
    _done: int = 0

    def line(self, point: str, seconds: float, since: float, said: str) -> str:
        """``seconds`` of this run, ``since`` the client was started. ``point`` is "" for the warm-up."""
        total = len(self.points) * self.repeats
        if point:
            self._done += 1
            self._took[point] = seconds
        left = self.left()
        words = f"{duration(self.gone_s + since)} gone"
        words += f", about {duration(left)} left" if left is not None else ""
        where = f"run {self._done} of {total}" if point else "warm-up"
        return f"{self.title + ', ' if self.title else ''}{where}: {said}; {words}"

    def left(self) -> Optional[float]:
        """Runs go through all points, again and again; one that was measured tells how long its repeats take."""
        later = [self.points[n % len(self.points)] for n in range(self._done, len(self.points) * self.repeats)]
        return _sum([*(self._took.get(name, self.expected.get(name)) for name in later), self.after_s])


class Teller:
    """Told of each run as it ends; says a line, and knows in the end what took how long."""

    def __init__(
        self,
        load: Load,
        repeats: int,
        title: str,
        expected: Mapping[str, Any],
        clock: Callable[[], float],
        say: Callable[[str], Any],
    ) -> None:
        self._load, self._clock, self._say = load, clock, say
        self._began = self._last = clock()
        after = expected.get("after_s")
        self._progress = Progress(
            title,
            [point.label for point in load.points],
            repeats,
            {name: float(s) for name, s in (expected.get("runs") or {}).items() if s is not None},
            float(expected.get("gone_s") or 0.0),
            None if after is None else float(after),
        )
        self._runs_s = 0.0
        self.lines: list[str] = []

    def run(self, figures: Mapping[str, Any]) -> None:
        now = self._clock()
        number, _slash, repeat = str(figures["name"]).partition("/")
        point = self._load.points[int(number)].label if repeat else ""
        if point:
            self._runs_s += float(figures["seconds"])
        said = progress_line(figures, self._load)
        self.lines.append(self._progress.line(point, now - self._last, now - self._began, said))
        self._last = now
        self._say(self.lines[-1])

    def times(self, points: Sequence[Mapping[str, Any]], load: Mapping[str, Any]) -> dict[str, Any]:
        total = self._clock() - self._began
        return {
            "total_s": round(total, 1),
            "client_s": round(max(0.0, total - self._runs_s - RUN_S * len(points) * self._progress.repeats), 1),
            "runs": {
                point["label"]: {"seconds": point["figures"]["seconds"], "asked": asked(point, load)}
                for point in points
                if point["figures"].get("seconds")
            },
        }


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def compared(took_s: float, estimated_s: Optional[float]) -> str:
    if not estimated_s:
        return f"it took {duration(took_s)}; the next estimate goes by that"
    return f"it took {duration(took_s)}, {duration(estimated_s)} were estimated ({took_s / estimated_s:.2f} x)"


def _sum(parts: Sequence[Optional[float]]) -> Optional[float]:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
