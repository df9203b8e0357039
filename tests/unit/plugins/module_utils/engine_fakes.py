# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small engine that speaks vLLM's routes from a script, and a clock and a systemd that tests hold in their hands."""

from __future__ import annotations

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional

CACHE = (
    'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",kv_cache_max_concurrency="6.5",'
    'kv_cache_size_tokens="896912",num_gpu_blocks="56057",sliding_window="None"} 1.0\n'
)


def load(running: float, waiting: float) -> str:
    return (
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f'vllm:num_requests_running{{engine="0",model_name="tiny"}} {running}\n'
        f'vllm:num_requests_waiting{{engine="0",model_name="tiny"}} {waiting}\n'
        f'vllm:num_requests_waiting_by_reason{{engine="0",model_name="tiny",reason="capacity"}} {waiting}\n'
    )


class FakeEngine:
    """Every answer is an attribute; a list is answered one after the other, its last item for ever."""

    def __init__(self) -> None:
        self.health: Any = 200
        self.models: Any = (200, {"object": "list", "data": [{"id": "tiny"}]})
        self.answer: Any = (200, {"choices": [{"text": ""}], "usage": {"completion_tokens": 1}})
        self.embedding: Any = (404, {"detail": "Not Found"})
        self.metrics: Any = (200, CACHE + load(0, 0))
        self.hang: set[str] = set()  # paths that get no answer
        self.seen: list[tuple[str, Any, Optional[str]]] = []  # path, body, Authorization
        self._let_go = threading.Event()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args: Any) -> None:
                pass

            def _any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                engine.seen.append((self.path, body, self.headers.get("Authorization")))
                if self.path in engine.hang:
                    engine._let_go.wait(30)
                    return
                status, said = engine._say(self.path)
                raw = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = _any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.server_bind()  # the port is known, but a connection is refused until start()
        self.port = self._server.server_address[1]
        self._thread: Optional[threading.Thread] = None

    def _say(self, path: str) -> tuple[int, Any]:
        name = {
            "/health": "health",
            "/v1/models": "models",
            "/v1/completions": "answer",
            "/v1/chat/completions": "answer",
            "/v1/embeddings": "embedding",
            "/metrics": "metrics",
        }.get(path)
        if name is None:
            return 404, {"detail": "Not Found"}
        said = getattr(self, name)
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        return (said, "") if isinstance(said, int) else said

    def start(self) -> FakeEngine:
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def start_at(self, path: str) -> FakeEngine:
        """Listen on a Unix socket in place of the port."""
        self._server.socket.close()
        self._server.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.socket.bind(path)
        self._server.get_request = lambda: (self._server.socket.accept()[0], ("unix", 0))  # type: ignore[method-assign]
        return self.start()

    def stop(self) -> None:
        self._let_go.set()
        if self._thread:
            self._server.shutdown()
        self._server.server_close()


class Clock:
    """Time passes in sleep() only; ``at`` runs something once that time has come."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []
        self._events: list[tuple[float, Callable[[], Any]]] = []

    def __call__(self) -> float:
        return self.now

    def at(self, seconds: float, what: Callable[[], Any]) -> None:
        self._events.append((1000.0 + seconds, what))

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.naps.append(seconds)
        self.now += seconds
        due = [e for e in self._events if e[0] <= self.now]
        self._events = [e for e in self._events if e[0] > self.now]
        for _when, what in due:
            what()


RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "NRestarts": "0",
    "MainPID": "4711",
    "Result": "success",
    "ExecMainCode": "0",
    "ExecMainStatus": "0",
    "InvocationID": "aaaa",
}


class Systemd:
    """systemctl and journalctl: ``units`` and ``journals`` (by unit and invocation) are the script."""

    def __init__(self) -> None:
        self.units: dict[str, dict[str, str]] = {}
        self.journals: dict[tuple[str, str], str] = {}
        self.ports: list[dict[str, Any]] = []
        self.calls: list[list[str]] = []
        self.there = True

    def set(self, unit: str, **props: str) -> None:
        self.units[unit] = {**self.units.get(unit, RUNNING), **props}

    def listeners(self) -> list[dict[str, Any]]:
        return self.ports

    def run(self, words: list[str]) -> tuple[int, str, str]:
        self.calls.append(words)
        if not self.there:
            raise FileNotFoundError(words[0])
        if words[:2] == ["systemctl", "show"]:
            props = self.units.get(words[2], {"LoadState": "not-found", "ActiveState": "inactive", "MainPID": "0"})
            wanted = words[3].split("=", 1)[1].split(",")
            return 0, "".join(f"{key}={props[key]}\n" for key in wanted if key in props), ""
        assert words[0] == "journalctl", words
        unit = next(w.split("=", 1)[1] for w in words if w.startswith("--unit="))
        invocation = next((w.split("=", 1)[1] for w in words if w.startswith("_SYSTEMD_INVOCATION_ID=")), "")
        text = self.journals.get((unit, invocation), "")
        if any(w.startswith("--grep=") for w in words):
            text = "\n".join(line for line in text.splitlines() if "KV cache size" in line or "concurrency" in line)
        return (0, text, "") if text else (1, "", "-- No entries --")


def free_path(folder: Any) -> str:
    return os.path.join(str(folder), "engine.sock")
