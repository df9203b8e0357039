# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What is to be done about replicas that do not answer. Nothing here touches the host.

An engine core that stands still leaves vLLM's API server in good spirits: ``/health`` and ``/metrics`` go on answering,
so the proof of life is a real answer of one token. An engine with much to do does not give that in time either, which
is why silence alone means nothing. Three kinds of evidence tell the two apart:

* **vLLM's own counters** (:data:`COUNTERS`). The engine core reports after every step, also after one that finished no
  token: tokens, prefix cache queries and the share of the KV cache in use move during long prefills and while requests
  queue, and only then. Measured with 0.32: not one of them moves while the engine core is stopped, whatever arrives or
  is given up meanwhile. (Others do: ``process_*``, ``http_*``, admission rejections. They belong to the API server.)
* **Stopped processes.** A process of the unit in state T does not come back by itself.
* **CPU time.** Without a step for long, one process at least is at work while kernels are compiled (or a process waits
  for a card in a loop, which looks the same from outside); all of them are idle in a deadlock. Idle workers poll, with
  an eighth of a core measured, so only :data:`AT_WORK` of a core counts.

So a silent replica whose counters stand still is stalled for certain where a process is stopped or all are idle. It is
taken out of rotation after ``out_after`` seconds, which can be undone, and killed after ``restart_after``. One that is
at work without a step is only taken out where another replica can take over, and killed after ``busy_after``.
An API server with far too much to do does not even show its counters in time. Then nothing is known of the steps, time
in which nobody looked does not count, and one that is at work is taken out only after ``restart_after``.
A replica that has not answered since its start is loading, and is left alone; it gets requests again (if it ever had
them) when it answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Mapping, Optional, Sequence

ANSWERED = "answered"
SILENT = "silent"  # no answer in time, or an error of an API server that is well
DEAD = "dead"  # nobody listens, the engine core is gone, or the unit does not run
UNKNOWN = "unknown"  # the question itself was refused: says nothing of the engine

WATCH = "watch"
OUT, BACK, KILL, SAY = "out", "back", "kill", "say"

COUNTERS = (  # vllm/v1/metrics/loggers.py: set from the engine core's reports alone
    "vllm:iteration_tokens_total_count",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "vllm:prefix_cache_queries_total",
    "vllm:num_preemptions_total",
    "vllm:kv_cache_usage_perc",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
)
AT_WORK = 0.25  # of a core, by one process
_KNOWN_BY_CPU = 1.0  # seconds over which CPU time is compared at least


@dataclass(frozen=True)
class Limits:
    """Seconds. ``start_after`` 0: a replica that loads again may take for ever."""

    out_after: float = 6.0
    restart_after: float = 30.0
    busy_after: float = 180.0
    start_after: float = 900.0


@dataclass(frozen=True)
class Seen:
    """One look at one replica. ``at`` is when it ended (monotonic), ``cpu`` the CPU seconds of its processes."""

    name: str
    at: float
    answer: str
    why: str = ""
    invocation: str = ""
    active: str = "active"
    counters: tuple[float, ...] = ()
    begun: float = 0.0  # when the look began, and the counters then
    before: tuple[float, ...] = ()
    stopped: tuple[str, ...] = ()
    cpu: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """What is kept of a replica from look to look. ``served``: some run of it has answered since the host's boot."""

    invocation: str = ""
    since: float = 0.0
    answered: bool = False
    served: bool = False
    alive: float = 0.0
    counters: tuple[float, ...] = ()
    cpu: Mapping[int, float] = field(default_factory=dict)
    cpu_at: float = 0.0
    looked: Optional[float] = None  # when the last look ended
    blind: bool = False  # its counters could not be read, though they could before
    killed: Optional[float] = None
    told: str = ""

    def quiet(self, now: float) -> float:
        return now - self.alive


@dataclass(frozen=True)
class Act:
    """``out`` and ``back`` are about the rotation, ``kill`` about the unit, ``say`` only about the log."""

    kind: str
    name: str
    reason: str


def remember(seen: Seen, memory: Optional[Memory]) -> Memory:
    """The memory after this look, before anything is decided."""
    old = memory or Memory()
    if memory is None or (seen.invocation and seen.invocation != old.invocation):
        old = Memory(seen.invocation, seen.at, served=old.served, alive=seen.at, told=old.told)
    unseen = max(0.0, seen.begun - old.looked) if seen.begun and old.looked is not None else 0.0
    old = replace(old, looked=seen.at, blind=False)
    if seen.answer == ANSWERED:
        return Memory(old.invocation, old.since, True, True, seen.at, seen.counters, looked=seen.at)
    if seen.answer == UNKNOWN:
        return replace(old, alive=seen.at, counters=seen.counters, cpu={})
    if _moved(seen.before or old.counters, seen.counters):
        return replace(old, alive=seen.at, counters=seen.counters, cpu={})
    if _moved(old.counters, seen.before):  # since the last look, but not during this one
        return replace(old, alive=max(old.alive, seen.begun), counters=seen.before, cpu=seen.cpu, cpu_at=seen.at)
    kept = replace(old, counters=old.counters or seen.counters)
    if seen.answer == SILENT and old.counters and not (seen.before or seen.counters):
        kept = replace(kept, blind=True, alive=old.alive + unseen)
    return replace(kept, cpu=seen.cpu, cpu_at=seen.at) if seen.cpu and not kept.cpu else kept


def _moved(before: tuple[float, ...], after: tuple[float, ...]) -> bool:
    return bool(before) and bool(after) and before != after


def at_work(seen: Seen, memory: Memory) -> Optional[bool]:
    """Whether a process used the CPU since the silence began; None where that cannot be told yet."""
    seconds = seen.at - memory.cpu_at
    if not seen.cpu or not memory.cpu or seconds < _KNOWN_BY_CPU:
        return None
    # a process that was not there yet started at nothing
    return max(used - memory.cpu.get(pid, 0.0) for pid, used in seen.cpu.items()) / seconds >= AT_WORK


def doubt(seen: Seen, memory: Memory, out: bool, limits: Limits) -> Optional[float]:
    """Seconds until something is to be done about it, where the next look at it should come soon; else None."""
    if seen.answer != SILENT or not memory.answered or memory.alive >= seen.at:
        return None
    return max(0.0, (limits.restart_after if out else limits.out_after) - memory.quiet(seen.at))


def decide(
    looks: Sequence[Seen],
    memories: Mapping[str, Memory],
    marks: Mapping[str, Sequence[str]],
    limits: Limits = Limits(),
) -> tuple[dict[str, Memory], list[Act]]:
    """What to remember and what to do. ``marks``: who took each replica out, by its name."""
    kept = {seen.name: remember(seen, memories.get(seen.name)) for seen in looks}
    acts: list[Act] = []
    for seen in looks:
        others = [
            other.name
            for other in looks
            if other.name != seen.name
            and not marks.get(other.name)
            and kept[other.name].answered
            and (other.answer == ANSWERED or (other.answer == SILENT and _quiet(other, kept) < limits.out_after))
        ]
        kept[seen.name], new = _one(seen, kept[seen.name], marks.get(seen.name, ()), bool(others), limits)
        acts += new
    return kept, acts


def _quiet(seen: Seen, kept: Mapping[str, Memory]) -> float:
    return kept[seen.name].quiet(seen.at)


def _one(seen: Seen, memory: Memory, marks: Sequence[str], others: bool, limits: Limits) -> tuple[Memory, list[Act]]:
    name, mine = seen.name, WATCH in marks
    if seen.answer == ANSWERED:
        return memory, ([Act(BACK, name, "answers again")] if mine else [])
    if any(by != WATCH for by in marks):  # somebody else is at it; patience begins anew when they are done
        return replace(memory, alive=seen.at, cpu={}), []
    if seen.answer == UNKNOWN:
        return _tell(memory, name, f"cannot be watched: {seen.why}")
    if seen.active == "failed":
        kept, acts = _tell(memory, name, f"{seen.why}: it stays out until it is started by hand")
        return kept, acts + ([Act(OUT, name, seen.why)] if memory.served and not mine else [])
    if not memory.answered:
        return _loading(seen, memory, mine, limits)
    if seen.answer == DEAD:
        return memory, ([] if mine else [Act(OUT, name, seen.why)])
    return _silent(seen, memory, mine, others, limits)


def _loading(seen: Seen, memory: Memory, mine: bool, limits: Limits) -> tuple[Memory, list[Act]]:
    acts = []
    if memory.served and not mine:
        acts.append(Act(OUT, seen.name, "was started again and has not answered yet"))
    waited = seen.at - memory.since
    late = limits.start_after and waited >= limits.start_after and _may_kill(seen, memory, limits.start_after)
    if memory.served and late and seen.active == "active":
        acts.append(Act(KILL, seen.name, f"has not answered within {waited:.0f} s of its start"))
        memory = replace(memory, killed=seen.at)
    return memory, acts


def _silent(seen: Seen, memory: Memory, mine: bool, others: bool, limits: Limits) -> tuple[Memory, list[Act]]:
    quiet = memory.quiet(seen.at)
    if quiet < limits.out_after:
        return memory, []
    working = at_work(seen, memory)
    if seen.stopped:
        state = f"{', '.join(seen.stopped)} stopped"
    else:
        state = {None: "", True: "its processes are at work", False: "its processes are idle"}[working]
    sure = bool(seen.stopped) or working is False
    if not sure and working is None and seen.cpu:
        return memory, []  # the next look, in a moment, can tell
    reason = f"no answer and no step for {quiet:.0f} s" + (f", {state}" if state else "")
    acts = []
    if not mine and (sure or (others and quiet >= (limits.restart_after if memory.blind else limits.out_after))):
        acts.append(Act(OUT, seen.name, reason))
    if quiet >= (limits.restart_after if sure else limits.busy_after) and _may_kill(seen, memory, limits.restart_after):
        acts.append(Act(KILL, seen.name, reason))
        memory = replace(memory, killed=seen.at)
    return memory, acts


def _may_kill(seen: Seen, memory: Memory, patience: float) -> bool:
    """Not again at once: it may take a moment to die."""
    return memory.killed is None or seen.at - memory.killed >= patience


def _tell(memory: Memory, name: str, what: str) -> tuple[Memory, list[Act]]:
    """Say it once, not at every look."""
    if memory.told == what:
        return memory, []
    return replace(memory, told=what), [Act(SAY, name, what)]
