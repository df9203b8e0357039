# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""HTTP to one vLLM instance: its health, models, one real answer, its metrics. Standard library only."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_metrics
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError, InputError

# how TLS calls a beginning that is none, by release of OpenSSL
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
_MOST = 16 * 1024 * 1024  # bytes of an answer that are read; vLLM's /metrics is about 0.1 MB


class NoAnswer(EngineError):
    """Nobody listens, or the connection broke or timed out. ``silent``: connected, but no answer in time."""

    def __init__(self, message: str, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


class NotAnEngine(EngineError):
    """Something answers there, but it does not speak vLLM's API."""


class OtherProtocol(EngineError):
    """HTTP where HTTPS was asked for, or the other way round."""


class Refused(EngineError):
    """The engine answered with an error status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


def address_of(host: str, port: int, scheme: str = "http") -> str:
    """``http://HOST:PORT``, with an IPv6 address in brackets."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class EngineClient:
    """``address``: ``http://HOST:PORT``, ``https://...`` or ``unix:/PATH`` (vLLM's --uds)."""

    def __init__(self, address: str, api_key: Optional[str] = None, timeout: float = 10.0, verify: bool = True) -> None:
        self.address = address
        self.timeout = timeout
        self._api_key = api_key
        self._verify = verify
        self._parts = urlsplit(address)
        try:
            port_ok = self._parts.port is None or self._parts.port > 0
        except ValueError:
            port_ok = False
        good = self._parts.path if self._parts.scheme == "unix" else self._parts.hostname
        if self._parts.scheme not in ("http", "https", "unix") or not good or not port_ok:
            raise InputError(
                f"engine address {address!r} cannot be used; give http://HOST:PORT, https://HOST:PORT or unix:/PATH"
            )

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._parts.scheme == "unix":
            return _UnixConnection(self._parts.path, timeout)
        host = self._parts.hostname or ""
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, self._parts.port, timeout=timeout)
        context = ssl.create_default_context()
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, self._parts.port, timeout=timeout, context=context)

    def _request(self, method: str, path: str, body: Any = None, timeout: Optional[float] = None) -> tuple[int, bytes]:
        limit = self.timeout if timeout is None else timeout
        headers = {"Connection": "close", "Accept": "*/*"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = self._connection(limit)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            if answer.status == 400 and method == "GET" and self._wants_tls():  # nginx says that much in HTTP
                raise self._other()
            return answer.status, answer.read(_MOST)
        except socket.timeout as exc:
            raise NoAnswer(f"no answer from {self.address}{path} in {limit:.0f} s", silent=True) from exc
        except (http.client.RemoteDisconnected, http.client.IncompleteRead) as exc:
            raise NoAnswer(f"{self.address}{path} closed the connection without an answer") from exc
        except http.client.HTTPException as exc:
            if self._wants_tls():
                raise self._other() from exc
            raise NotAnEngine(f"{self.address} does not answer in HTTP ({type(exc).__name__})") from exc
        except ssl.SSLError as exc:
            if exc.reason in _NO_TLS:
                raise self._other() from exc
            raise NoAnswer(f"{self.address}: {exc.strerror or exc}") from exc
        except OSError as exc:
            raise NoAnswer(f"{self.address}: {exc.strerror or exc}") from exc
        finally:
            connection.close()

    def _other(self) -> OtherProtocol:
        there, asked = ("HTTPS", "HTTP") if self._parts.scheme == "http" else ("HTTP", "HTTPS")
        return OtherProtocol(f"{self._parts.netloc} speaks {there} but is asked in {asked}")

    def _wants_tls(self) -> bool:
        """Whether TLS is spoken where plain HTTP was asked."""
        if self._parts.scheme != "http":
            return False
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            place = (self._parts.hostname or "", self._parts.port or 80)
            with socket.create_connection(place, self.timeout) as plain, context.wrap_socket(plain):
                return True
        except OSError:
            return False

    def _json(self, method: str, path: str, body: Any = None, timeout: Optional[float] = None) -> dict[str, Any]:
        status, raw = self._request(method, path, body, timeout)
        try:
            data = json.loads(raw)
        except ValueError:
            data = None
        if status != 200:
            raise Refused(f"{path} answered {status}: {_error_text(data, raw)}", status)
        if not isinstance(data, dict):
            raise NotAnEngine(f"{self.address}{path} answered something that is not a JSON object")
        return data

    def health(self) -> int:
        """Status of /health: 200 where the API server and the engine core live, 503 where the core is dead."""
        return self._request("GET", "/health")[0]

    def models(self) -> list[str]:
        """Names under which the model may be asked for."""
        data = self._json("GET", "/v1/models").get("data")
        if not isinstance(data, list):
            raise NotAnEngine(f"{self.address}/v1/models answered without a list of models")
        return [str(row["id"]) for row in data if isinstance(row, dict) and "id" in row]

    def completion(
        self, model: str, prompt: str, max_tokens: int = 1, temperature: float = 0.0, timeout: Optional[float] = None
    ) -> dict[str, Any]:
        """A real completion. Its text may be empty (an end token is a token), so the count of tokens is the proof."""
        body = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}
        return _answered("/v1/completions", self._json("POST", "/v1/completions", body, timeout))

    def chat(
        self,
        model: str,
        messages: list[dict[str, str]],
        max_tokens: int = 1,
        temperature: float = 0.0,
        timeout: Optional[float] = None,
    ) -> dict[str, Any]:
        body = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": temperature}
        return _answered("/v1/chat/completions", self._json("POST", "/v1/chat/completions", body, timeout))

    def embedding(self, model: str, text: str, timeout: Optional[float] = None) -> dict[str, Any]:
        """A real embedding: what an embedding model answers in place of a completion."""
        data = self._json("POST", "/v1/embeddings", {"model": model, "input": text}, timeout)
        rows = data.get("data")
        if not (isinstance(rows, list) and rows and isinstance(rows[0], dict) and rows[0].get("embedding")):
            raise EngineError("/v1/embeddings answered without an embedding")
        return data

    def metrics(self) -> _engine_metrics.Metrics:
        status, raw = self._request("GET", "/metrics")
        if status != 200:
            raise Refused(f"/metrics answered {status}", status)
        return _engine_metrics.parse(raw.decode("utf-8", "replace"))


def _answered(path: str, data: dict[str, Any]) -> dict[str, Any]:
    usage = data.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if not data.get("choices") or not isinstance(tokens, int) or tokens < 1:
        raise EngineError(f"{path} answered 200 without a single generated token")
    return data


def _error_text(data: Any, raw: bytes) -> str:
    """vLLM's own words: {"error": {"message"}} in 0.26 and later, FastAPI's {"detail"} elsewhere."""
    if isinstance(data, dict):
        error = data.get("error")
        text = error.get("message") if isinstance(error, dict) else error or data.get("detail") or data.get("message")
        if text:
            return " ".join(str(text).split())[:300]
    return " ".join(raw[:200].decode("utf-8", "replace").split()) or "no text"
