# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Waiting until an instance has nothing left to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_unit, _host
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import EngineClient, NoAnswer
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import Target
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError

RUNNING = "vllm:num_requests_running"  # vllm/v1/metrics/loggers.py
WAITING = "vllm:num_requests_waiting"
TOKENS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")


@dataclass
class Drained:
    """``running`` and ``waiting`` are the figures seen last, None where the instance never told."""

    name: str
    drained: bool = False
    gone: bool = False
    running: Optional[int] = None
    waiting: Optional[int] = None
    seconds: float = 0.0
    error: str = ""
    quiet: int = 0  # looks in a row that found nothing to do
    progress: Optional[float] = None  # tokens read and written since its start: an engine that stalls stops counting

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "drained": self.drained,
            "gone": self.gone,
            "running": self.running,
            "waiting": self.waiting,
            "seconds": round(self.seconds, 1),
            "error": self.error,
        }

    def line(self, timeout: float) -> str:
        if self.error:
            return f"{self.name}: {self.error}"
        return (
            f"{self.name}: still {self.running or 0} running and {self.waiting or 0} waiting requests after"
            f" {timeout:.0f} s (is it out of the balancer? a larger timeout waits longer)"
        )


def _gone(target: Target, run: _host.Run, gone_ok: Optional[bool]) -> bool:
    """Whether no answer may be taken for no work: as told, else where systemd says that nothing runs."""
    if gone_ok is not None:
        return gone_ok
    state = _engine_unit.unit_state(run, target.unit) if target.unit else None
    return state is not None and (state.load == "not-found" or state.active in ("inactive", "failed"))


def _look(out: Drained, target: Target, client: EngineClient, run: _host.Run, gone_ok: Optional[bool]) -> None:
    try:
        metrics = client.metrics()
        running, waiting = metrics.total(RUNNING), metrics.total(WAITING)
        if running is None or waiting is None:
            raise EngineError(f"{target.place} shows no {RUNNING}: is it vLLM, with its metrics switched on?")
    except NoAnswer as exc:
        # a stalled engine is silent too, and has work: only a closed door may count as gone
        out.quiet = 0
        out.gone = not exc.silent and _gone(target, run, gone_ok)
        out.drained, out.error = out.gone, "" if out.gone else str(exc)
    except EngineError as exc:
        out.quiet, out.error = 0, str(exc)
    else:
        out.running, out.waiting, out.error = int(running), int(waiting), ""
        out.quiet = out.quiet + 1 if running + waiting == 0 else 0
        out.progress = sum(metrics.total(name) or 0.0 for name in TOKENS)


def drain(
    targets: Sequence[Target],
    run: _host.Run,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    timeout: float = 300.0,
    settle: int = 3,
    interval: float = 1.0,
    gone_ok: Optional[bool] = None,
    once: bool = False,
    request: float = 10.0,
) -> list[Drained]:
    """One outcome a target. Quiet ``settle`` looks in a row are drained: a request may be on its way to the queue."""
    outs = [Drained(target.name) for target in targets]
    clients = [EngineClient(target.address, None, request) for target in targets]
    began = clock()
    while True:
        for out, target, client in zip(outs, targets, clients):
            if out.drained:
                continue
            client.timeout = max(0.1, min(request, max(began + timeout - clock(), 1.0)))
            _look(out, target, client, run, gone_ok)
            out.drained = out.drained or out.quiet >= (1 if once else settle)
            out.seconds = clock() - began
        left = began + timeout - clock()
        if once or left <= 0 or all(out.drained for out in outs):
            return outs
        sleep(min(interval, left))
