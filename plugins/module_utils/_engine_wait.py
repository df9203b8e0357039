# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Waiting until every instance really serves, or until it is certain that one will not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import (
    _engine_keys,
    _engine_log,
    _engine_phase,
    _engine_unit,
    _host,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import (
    EngineClient,
    NoAnswer,
    NotAnEngine,
    OtherProtocol,
    Refused,
    address_of,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_metrics import KvCache
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import clock_text

STAGES = ("unit", "health", "model", "completion", "ready")


@dataclass(frozen=True)
class Target:
    """One instance to wait for. ``expected``: kv_cache_tokens, num_gpu_blocks of the plan, where it has them."""

    name: str
    port: int = 0
    host: str = "127.0.0.1"
    unix_socket: str = ""
    unit: str = ""
    served_model_name: str = ""
    task: str = "generate"  # generate | embed
    scheme: str = "http"
    verify: bool = True
    gateway: bool = False  # the balancer before the engines: it has models and answers, but no health of its own
    key_file: str = ""  # holds the key that it asks for; where the file is missing it asks for none
    expected: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"unix:{self.unix_socket}" if self.unix_socket else address_of(self.host, self.port, self.scheme)

    @property
    def place(self) -> str:
        return self.unix_socket if self.unix_socket else f"port {self.port}"


def targets_from(rows: Sequence[Mapping[str, Any]]) -> list[Target]:
    """Targets from the modules' dictionaries; InputError where two share a name or a port is out of range."""
    targets = []
    names: set[str] = set()
    for row in rows:
        name, port = str(row["name"]), int(row.get("port") or 0)
        if name in names:
            raise InputError(f"instances: name {name!r} is given twice; give each instance a name of its own")
        if not row.get("unix_socket") and not 1 <= port <= 65535:
            raise InputError(f"instances: port {row.get('port')} of {name!r} is out of range; give one from 1 to 65535")
        names.add(name)
        targets.append(
            Target(
                name,
                port,
                str(row.get("host") or "127.0.0.1"),
                str(row.get("unix_socket") or ""),
                str(row.get("unit") or ""),
                str(row.get("served_model_name") or ""),
                str(row.get("task") or "generate"),
                str(row.get("scheme") or "http"),
                bool(row.get("validate_certs", True)),
                bool(row.get("gateway")),
                str(row.get("api_key_file") or ""),
                row.get("expected") or {},
            )
        )
    return targets


@dataclass
class Outcome:
    """``error`` is empty for a ready instance, else says what it waits for or why it will not come."""

    name: str
    ready: bool = False
    seconds: float = 0.0
    stage: str = "unit"
    models: list[str] = field(default_factory=list)
    kv: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    advice: str = ""
    cause: str = ""
    fatal: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ready": self.ready,
            "seconds": round(self.seconds, 1),
            "stage": self.stage,
            "models": self.models,
            "kv": self.kv,
            "error": self.error,
            "cause": self.cause,
            "advice": self.advice,
        }

    def line(self) -> str:
        return f"{self.name}: {self.error}" + (f" ({self.advice})" if self.advice else "")


@dataclass(frozen=True)
class Host:
    """The host as the waiter sees it; tests give their own."""

    run: _host.Run
    listeners: Callable[[], list[dict[str, Any]]] = _host.listeners


@dataclass(frozen=True)
class Patience:
    """Seconds. The pause between looks grows by half each time, up to ``max_sleep``."""

    timeout: float = 900.0
    sleep: float = 1.0
    max_sleep: float = 10.0
    request: float = 10.0
    answer: float = 60.0  # the first real answer may compile kernels
    restart_limit: int = 2
    progress: float = 30.0


class _Fatal(EngineError):
    """Waiting longer cannot help."""


class _Watch:
    """One instance over all looks."""

    def __init__(self, target: Target, host: Host, api_key: Optional[str], prompt: str, patience: Patience) -> None:
        self.target = target
        self.outcome = Outcome(target.name)
        self._host = host
        self._prompt = prompt
        self._patience = patience
        key = _engine_keys.optional_key(target.key_file) or api_key
        self._client = EngineClient(target.address, key, patience.request, target.verify)
        self._first_restarts: Optional[int] = None
        self._crashes = 0
        self._crash = ""  # what the last crash was, should it not be the end yet
        self._invocation = ""  # of the run seen last: the journal to read once systemd has started another
        self._owner_checked = False
        self._figures: Optional[KvCache] = None

    # ---- systemd

    def look_at_unit(self) -> None:
        if not self.target.unit:
            return
        state = _engine_unit.unit_state(self._host.run, self.target.unit)
        if state is None:
            return
        if self._first_restarts is None:
            self._first_restarts = state.restarts
        between = state.sub.startswith("auto-restart")  # died, and systemd has not started it again yet
        crashes = state.restarts - self._first_restarts + between
        if state.ended:
            self._judge(state.ended, state, state.invocation)
            self.outcome.fatal = True
        elif crashes > self._crashes:
            self._crashes = crashes
            what = f"{self.target.unit} crashed" + (f" {crashes} times" if crashes > 1 else "")
            permanent = self._judge(what, state, state.invocation if between else self._invocation)
            self.outcome.fatal = permanent or crashes >= self._patience.restart_limit
            self._crash = self.outcome.error
        self._invocation = state.invocation or self._invocation

    def _judge(self, what: str, state: _engine_unit.UnitState, invocation: str) -> bool:
        """Put the root cause into the outcome; whether another start cannot help."""
        if state.load != "loaded" or (state.active == "inactive" and state.result == "success"):
            advice = f"'systemctl start {self.target.unit}' or the playbook site starts it"
            cause = _engine_log.RootCause("not_started", what, advice)
        else:
            text = _engine_unit.journal(self._host.run, self.target.unit, invocation)
            cause = _engine_log.root_cause(text, state.result, state.status, state.killed)
        out = self.outcome
        line = cause.line
        if cause.kind == "port_in_use" and self.target.port:
            holder = _engine_unit.port_holder(self.target.host, self.target.port, self._host.listeners)
            line = f"port {self.target.port} is in use" + (f" by {_engine_unit.holder_text(holder)}" if holder else "")
        out.stage, out.advice, out.cause = "unit", cause.advice, cause.kind
        out.error = line if line == what else f"{what}: {line}"
        return cause.permanent

    def out_of_time(self) -> None:
        """Say what it still waited for, and what the journal has to say."""
        out = self.outcome
        out.error = f"not ready within {self._patience.timeout:.0f} s: {out.error}"
        if self._crash:
            out.error += f"; before that {self._crash}"
        elif self.target.unit and self._invocation:
            text = _engine_unit.journal(self._host.run, self.target.unit, self._invocation, lines=50)
            last = _engine_log.last_line(text)
            out.error += f"; last line of its journal: {last}" if last else ""
        if self.target.unit and not out.advice:
            out.advice = f"'journalctl -u {self.target.unit}' tells more; a larger vllm_start_timeout waits longer"

    # ---- HTTP

    def look_at_engine(self, left: float) -> None:
        """Climb as far as it goes today; the outcome's stage is the first step that did not hold."""
        out, target = self.outcome, self.target
        out.advice = out.cause = ""
        client = self._client
        client.timeout = max(0.1, min(self._patience.request, left))
        try:
            if not target.gateway:
                out.stage = "health"
                self._check_health()
                self._check_owner()
            out.stage = "model"
            out.models = client.models()
            model = self._model()
            out.stage = "completion"
            answer = max(0.1, min(self._patience.answer, left))
            if target.task == "embed":
                client.embedding(model, self._prompt, answer)
            else:
                client.completion(model, self._prompt, 1, 0.0, answer)
            self._figures = None if target.gateway else self._read_metrics()
            out.stage, out.ready, out.error = "ready", True, ""
        except NotAnEngine as exc:
            self._foreign(f"{target.place} answers, but not as vLLM: {exc}")
        except Refused as exc:
            out.error = str(exc)
            out.fatal = exc.status in (400, 401, 403, 404, 422)  # asking again would be answered the same
            if exc.status in (401, 403):
                out.advice = "the engine wants a key, or another one: give it as api_key or api_key_file"
            elif exc.status == 404 and out.stage == "completion":
                other = "embed" if target.task == "generate" else "generate"
                out.advice = f"this engine does not do that; is its task {other}?"
        except OtherProtocol as exc:
            out.error, out.fatal = str(exc), True
            if target.gateway:
                out.advice = (
                    "set gateway_tls as the gateway has it, or run the playbook site, which gives it to the gateway"
                )
        except _Fatal as exc:
            out.error, out.fatal = str(exc), True
        except NoAnswer as exc:
            out.error = str(exc)
            if exc.silent and out.stage == "completion":
                out.advice = "the API server answers but the engine does not: it is stalled or overloaded"
        except EngineError as exc:
            out.error = str(exc)

    def _check_health(self) -> None:
        status = self._client.health()
        if 300 <= status < 500:  # vLLM's is open to all and answers 200 or 503
            raise NotAnEngine(f"/health answered {status}")
        if status != 200:
            raise EngineError(f"/health answered {status}")

    def _check_owner(self) -> None:
        """A process left over from earlier may answer on the port, even with the right model."""
        target = self.target
        if self._owner_checked or not target.unit or not target.port or target.unix_socket:
            return
        holder = _engine_unit.port_holder(target.host, target.port, self._host.listeners)
        if holder and holder["unit"] != target.unit:
            raise _Fatal(
                f"{target.place} is answered by {_engine_unit.holder_text(holder)}, not by {target.unit};"
                " end that process or give the instance another port"
            )
        self._owner_checked = True

    def _model(self) -> str:
        wanted, models = self.target.served_model_name, self.outcome.models
        if not models:
            raise EngineError("/v1/models lists no model")
        if wanted and wanted not in models:
            self._foreign(f"{self.target.place} serves {', '.join(models)}, not {wanted}")
            raise _Fatal(self.outcome.error)
        return wanted or models[0]

    def _foreign(self, what: str) -> None:
        out = self.outcome
        holder = None
        if self.target.port and not self.target.unix_socket:
            holder = _engine_unit.port_holder(self.target.host, self.target.port, self._host.listeners)
        out.error = f"{what}; {self.target.place} is held by {_engine_unit.holder_text(holder)}" if holder else what
        out.fatal, out.cause = True, "foreign"

    def _read_metrics(self) -> KvCache:
        """No figures are no error: metrics may be switched off."""
        try:
            return self._client.metrics().kv_cache()
        except EngineError:
            return KvCache()

    def phase(self) -> str:
        """Which part of its start it is in, for people; a crash that it is started again after, too."""
        if self.target.gateway:
            return self.outcome.error
        if self.outcome.stage in ("model", "completion"):
            return "answering its first request"
        if self._crash and self.outcome.stage == "unit":
            return self._crash
        return _engine_phase.look(self._host.run, self.target.unit, self._invocation) or self.outcome.error

    def compare(self) -> None:
        """The engine's own figures beside the plan's; from the journal where the metrics lack them."""
        figures = self._figures
        if figures is None:
            return
        if figures.kv_cache_tokens is None and self.target.unit and self._invocation:
            text = _engine_unit.journal(
                self._host.run, self.target.unit, self._invocation, "KV cache size|Maximum concurrency"
            )
            figures = _engine_log.merged(figures, _engine_log.kv_cache(text))
        self.outcome.kv = compared(figures, self.target.expected)


def compared(figures: KvCache, expected: Mapping[str, Any]) -> dict[str, Any]:
    planned, blocks = expected.get("kv_cache_tokens"), expected.get("num_gpu_blocks")
    return {
        "num_gpu_blocks": figures.num_gpu_blocks,
        "block_size": figures.block_size,
        "kv_cache_tokens": figures.kv_cache_tokens,
        "max_concurrency": figures.max_concurrency,
        "planned_kv_cache_tokens": planned,
        "planned_num_gpu_blocks": blocks,
        "difference_percent": _percent(figures.kv_cache_tokens, planned),
        "blocks_difference_percent": _percent(figures.num_gpu_blocks, blocks),
    }


def _percent(real: Optional[int], planned: Optional[int]) -> Optional[float]:
    return round(100.0 * (real - planned) / planned, 2) if real is not None and planned else None


def wait_ready(
    targets: Sequence[Target],
    host: Host,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    patience: Patience = Patience(),
    api_key: Optional[str] = None,
    prompt: str = "Hello",
    once: bool = False,
    progress: Callable[[str], None] = lambda line: None,
    phases: Optional[Callable[[str], None]] = None,
) -> list[Outcome]:
    """One outcome a target, in their order. Ends when each is ready or hopeless, at the deadline, or after one look.

    ``progress`` is told now and then, for a log; ``phases`` after each look what each is doing, for people.
    """
    watches = [_Watch(target, host, api_key, prompt, patience) for target in targets]
    began = clock()
    told, pause = began, patience.sleep
    limit = f"; given up after {clock_text(patience.timeout)}"
    last: Optional[str] = None
    while True:
        pending = [w for w in watches if not w.outcome.ready and not w.outcome.fatal]
        for watch in pending:
            watch.look_at_unit()
        left = began + patience.timeout - clock()
        alive = [w for w in pending if not w.outcome.fatal]
        if alive:
            # at the same time, so that one engine that hangs does not hold up the others
            with ThreadPoolExecutor(len(alive)) as pool:
                list(pool.map(_Watch.look_at_engine, alive, repeat(max(left, 1.0))))
        for watch in alive:
            if watch.outcome.ready:
                watch.compare()  # may run a command, so not in a thread
        now = clock()
        for watch in pending:
            watch.outcome.seconds = now - began
        waiting = [w for w in pending if not w.outcome.ready and not w.outcome.fatal]
        left = began + patience.timeout - now
        if not waiting or once or left <= 0:
            break
        if phases is not None:
            if last is None:
                last = _last_start(waiting[0], host)
            phases(_engine_phase.told([(w.target.name, w.phase()) for w in waiting]) + last + limit)
        if now - told >= patience.progress:
            told = now
            progress("; ".join(f"{w.target.name}: {w.outcome.stage}, {w.outcome.error}" for w in waiting))
        sleep(min(pause, left))
        pause = min(pause * 1.5, patience.max_sleep)
    if not once:
        for watch in waiting:
            watch.out_of_time()
    return [w.outcome for w in watches]


def _last_start(watch: _Watch, host: Host) -> str:
    """What to expect: how long the start before this one took."""
    seconds = _engine_phase.last_start(host.run, watch.target.unit) if watch.target.unit else None
    return f"; the last start took {clock_text(seconds)}" if seconds else ""
