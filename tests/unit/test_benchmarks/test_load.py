# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The load generator against a server that does each wrong on purpose: it must say which one it was."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Awaitable, Callable

import pytest
from ansible_collections.gpuserve.inference.benchmarks.reliability import load as generator
from ansible_collections.gpuserve.inference.benchmarks.reliability.load import (
    Asked,
    Load,
    Settings,
    Summary,
    percentiles,
    summarize,
)

Handler = Callable[[asyncio.StreamWriter, dict[str, Any]], Awaitable[bool]]
PLAIN = Settings("", "m", requests=1, concurrency=1, stream_share=0.0, timeout=5.0)
STREAM = replace(PLAIN, stream_share=1.0)


class Server:
    """HTTP/1.1 by hand, so that it can be done wrong. A handler returns whether the connection is kept."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections = 0
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                body = json.loads(await reader.readexactly(int(headers["Content-Length"])))
                self.requests.append((headers, body))
                if not await self.handler(writer, body):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def run(handler: Handler, settings: Settings) -> tuple[Summary, Server, list[Asked]]:
    async def both() -> tuple[Summary, Server, list[Asked]]:
        server = Server(handler)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        asked = await Load(replace(settings, url=f"http://127.0.0.1:{port}")).run()
        listener.close()
        return summarize(asked), server, asked

    return asyncio.run(both())


def plain_answer(body: dict[str, Any], missing: int = 0, finish: str = "length") -> bytes:
    count = body["max_tokens"] - missing
    choice = {"text": "x", "finish_reason": finish, "token_ids": [1] * count}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": count}}).encode()


def whole(content: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode() + content


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def event(data: Any) -> bytes:
    return chunk(b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n")


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX-Served-By: a, b\r\n\r\n"
)


def events(body: dict[str, Any], finish: str = "length", usage: int | None = None) -> list[bytes]:
    wanted = body["max_tokens"]
    delta = "messages" in body
    rows = [
        {"choices": [{**({"delta": {"content": "x"}} if delta else {"text": "x"}), "token_ids": [1]}]}
        for _number in range(wanted)
    ]
    rows[-1]["choices"][0]["finish_reason"] = finish
    return [event(row) for row in rows] + [
        event({"choices": [], "usage": {"completion_tokens": wanted if usage is None else usage}})
    ]


def answers(content: Callable[[dict[str, Any]], bytes], keep: bool = False) -> Handler:
    async def handler(writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
        writer.write(content(body))
        await writer.drain()
        return keep

    return handler


def good(body: dict[str, Any]) -> bytes:
    if not body.get("stream"):
        return whole(plain_answer(body))
    return STREAM_HEAD + b"".join(events(body)) + event(b"[DONE]") + chunk(b"")


END = event(b"[DONE]") + chunk(b"")
CUT = "truncated_silently"
PLAIN_WRONGS = {
    "error status": (lambda body: whole(b"bad gateway", "502 Bad Gateway"), "lost", "HTTP 502: bad gateway"),
    "no key": (lambda body: whole(b"", "401 Unauthorized"), "lost", "HTTP 401"),
    "another place": (lambda body: whole(b"", "302 Found", "Location: /\r\n"), "lost", "HTTP 302"),
    "closed without a word": (lambda body: b"", "lost", "ServerDisconnected"),
    "half a head": (lambda body: b"HTTP/1.1 200 OK\r\nConte", "lost", ""),
    "half a body": (lambda body: whole(plain_answer(body))[:-9], "lost", "Payload"),
    "no JSON": (lambda body: whole(b"<html>"), "lost", "JSONDecodeError"),
    "an error with 200": (lambda body: whole(b'{"error": {"message": "dead"}}'), "lost", "dead"),
    "no object": (lambda body: whole(b"[1]"), CUT, "no JSON object"),
    "one token less": (lambda body: whole(plain_answer(body, missing=1)), CUT, "tokens"),
    "aborted": (lambda body: whole(plain_answer(body, finish="abort")), CUT, "'abort'"),
}
STREAM_WRONGS = {
    "error status": (lambda body: whole(b"", "503 Service Unavailable"), "lost", "HTTP 503"),
    "closed before the head": (lambda body: b"", "lost", "ServerDisconnected"),
    "broken after the head": (lambda body: STREAM_HEAD, "broken_visibly", "Payload"),
    "broken in the middle": (lambda body: STREAM_HEAD + b"".join(events(body)[:3]), "broken_visibly", "Payload"),
    "half a chunk": (lambda body: (STREAM_HEAD + b"".join(events(body)))[:-20], "broken_visibly", "Payload"),
    "error chunk": (
        lambda body: STREAM_HEAD + event({"error": {"message": "EngineCore died"}}) + END,
        "broken_visibly",
        "EngineCore died",
    ),
    "no JSON": (lambda body: STREAM_HEAD + event(b'{"choi') + END, "broken_visibly", "JSONDecodeError"),
    "no end": (lambda body: STREAM_HEAD + b"".join(events(body)) + chunk(b""), CUT, r"without \[DONE\]"),
    "cut short": (lambda body: STREAM_HEAD + events(body)[0] + END, CUT, "finish_reason None"),
    "a chunk that is missing": (
        lambda body: STREAM_HEAD + b"".join(events(body)[1:]) + END, CUT, "chunks with"
    ),
    "aborted": (lambda body: STREAM_HEAD + b"".join(events(body, "abort")) + END, CUT, "'abort'"),
    "no usage": (lambda body: STREAM_HEAD + b"".join(events(body)[:-1]) + END, CUT, "None of"),
    "one token less": (
        lambda body: STREAM_HEAD + b"".join(events(body, usage=body["max_tokens"] - 1)) + END, CUT, "tokens"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "content", "outcome", "cause"),
    [pytest.param(PLAIN, *row, id=f"plain: {name}") for name, row in PLAIN_WRONGS.items()]
    + [pytest.param(STREAM, *row, id=f"stream: {name}") for name, row in STREAM_WRONGS.items()],
)
def test_each_wrong_is_called_by_its_name(settings: Settings, content: Any, outcome: str, cause: str) -> None:
    summary, server, asked = run(answers(content), settings)
    assert asked[0].outcome == outcome, asked[0]
    assert re.search(cause, asked[0].cause), asked[0].cause
    assert len(server.requests) == 1  # never asked twice
    assert summary.failures[0]["outcome"] == outcome
    assert not summary.whole
    assert summary.whole_or_visible == (outcome == "broken_visibly")
    assert summary.lost_plain == (settings is PLAIN)


@pytest.mark.parametrize("settings", [PLAIN, STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize("chat_share", [0.0, 1.0])
def test_a_whole_answer_is_ok(settings: Settings, chat_share: float) -> None:
    summary, server, (asked,) = run(answers(good), replace(settings, chat_share=chat_share, key="secret-1"))
    assert (asked.outcome, asked.cause, asked.tokens) == ("ok", "", asked.wanted)
    assert summary.whole and summary.lost_plain == 0 and not summary.failures
    assert asked.path == ("/v1/chat/completions" if chat_share else "/v1/completions")
    headers, body = server.requests[0]
    assert headers["Authorization"] == "Bearer secret-1"
    assert body["ignore_eos"] and ("messages" in body) == bool(chat_share)
    if settings is STREAM:
        assert asked.served_by == "b" and summary.served_by == {"b": 1}
        assert asked.first is not None and summary.ttft_s["max"] <= summary.latency_s["max"]


def test_a_break_after_the_end_of_the_stream_is_no_loss() -> None:
    summary, _server, _asked = run(answers(lambda body: good(body)[:-5]), STREAM)
    assert summary.whole


def endless(counted: int) -> Handler:
    """A token each 5 ms without end; the engine counts ``counted`` more than it sends."""

    async def handler(writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
        assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
        writer.write(STREAM_HEAD)
        for number in range(1, 2000):
            usage = {"completion_tokens": number + counted}
            writer.write(event({"choices": [{"text": "x", "token_ids": [1]}], "usage": usage}))
            await writer.drain()
            await asyncio.sleep(0.005)
        return False

    return handler


@pytest.mark.parametrize(
    ("counted", "outcome", "cause"),
    [(0, "ok", "left by the client"), (1, "truncated_silently", r"chunks with (\d+) of (\d+) tokens")],
)
def test_a_stream_is_left_in_time(counted: int, outcome: str, cause: str) -> None:
    settings = replace(STREAM, leave_after=0.3, tokens=(9999, 9999), chat_share=0.0)
    _summary, _server, (asked,) = run(endless(counted), settings)
    assert asked.outcome == outcome and re.fullmatch(cause, asked.cause)
    assert 0 < asked.tokens < 9999 and asked.end >= 0.3


def test_a_stream_that_breaks_before_it_is_left_is_broken() -> None:
    def content(body: dict[str, Any]) -> bytes:
        return STREAM_HEAD + event({"choices": [{"text": "x", "token_ids": [1]}], "usage": {"completion_tokens": 1}})

    summary, _server, _asked = run(answers(content), replace(STREAM, leave_after=5.0))
    assert summary.outcomes["stream"]["broken_visibly"] == 1


async def silent(writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
    if body.get("stream"):
        writer.write(STREAM_HEAD + events(body)[0])
    await asyncio.sleep(30)
    return False


@pytest.mark.parametrize(("settings", "outcome"), [(PLAIN, "lost"), (STREAM, "hung")], ids=["plain", "stream"])
def test_silence_is_given_up(settings: Settings, outcome: str) -> None:
    _summary, _server, (asked,) = run(silent, replace(settings, timeout=0.3))
    assert (asked.outcome, asked.cause) == (outcome, "no byte for 0.3 s")


def test_nobody_there_is_lost() -> None:
    summary = summarize(asyncio.run(Load(replace(STREAM, url="http://127.0.0.1:1", requests=3)).run()))
    assert summary.outcomes["stream"]["lost"] == 3 and summary.statuses == {"none": 3}


def test_connections_are_kept_or_fresh() -> None:
    settings = replace(STREAM, stream_share=0.5, requests=40, concurrency=4)
    kept, server, _asked = run(answers(good, keep=True), settings)
    assert kept.whole and server.connections == 4
    fresh, server, _asked = run(answers(good, keep=True), replace(settings, fresh=True))
    assert fresh.whole and server.connections == 40


def test_the_mix_is_as_wished() -> None:
    summary, server, asked = run(answers(good, keep=True), replace(STREAM, stream_share=0.3, requests=300))
    assert summary.requests == len(server.requests) == 300
    assert 60 <= sum(summary.outcomes["stream"].values()) <= 120
    assert 120 <= sum(one.path == "/v1/chat/completions" for one in asked) <= 180
    assert {one.wanted for one in asked} == set(range(8, 65))


def test_a_rate_does_not_wait_for_answers() -> None:
    async def slow(writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
        await asyncio.sleep(1.0)
        writer.write(good(body))
        return True

    summary, server, _asked = run(slow, replace(PLAIN, requests=30, rate=200.0, timeout=30.0))
    assert summary.whole
    assert server.connections >= 15  # one client at a time would need one connection and 30 s


def test_a_load_without_end_is_stopped_in_order() -> None:
    async def both() -> Summary:
        server = Server(answers(good, keep=True))
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        load = Load(replace(STREAM, url=f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", requests=0))
        task = asyncio.create_task(load.run())
        while len(load.asked) < 20:
            await asyncio.sleep(0.01)
        load.stop()
        summary = summarize(await task)
        listener.close()
        return summary

    assert asyncio.run(both()).whole


def test_figures_of_a_summary() -> None:
    asked = [
        Asked("stream", "/", 8, 0.0, "ok", began=0.1, first=0.2, end=1.0, tokens=8),
        Asked("stream", "/", 8, 0.5, "ok", began=0.6, first=0.9, end=4.0, tokens=8),
        Asked("plain", "/", 8, 1.0, "lost", "HTTP 502", 502, end=1.5),
    ]
    summary = summarize(asked, most_failures=0)
    assert summary.longest_gap_s == 3.0 and summary.seconds == 4.0
    assert summary.tokens_per_second == 4.0 and summary.requests_per_second == 0.5
    assert summary.ttft_s == {"p50": 0.2, "p90": 0.4, "p95": 0.4, "p99": 0.4, "max": 0.4}
    assert (summary.lost_plain, summary.failures) == (1, [])
    assert percentiles([float(n) for n in range(1, 101)]) == {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ftp://x", "--model", "m"], "'ftp://x' is not usable"),
        (["http://x", "--model", "m", "--concurrency", "0"], "--concurrency and --timeout must be above 0"),
        (["http://x", "--model", "m", "--key-file", "/none"], "the key cannot be read from /none"),
    ],
)
def test_wrong_arguments_end_in_one_line(words: list[str], said: str, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.argv", ["load.py", *words])
    assert generator.main() == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_as_a_program(tmp_path: Path) -> None:
    """Exit status and summary: a broken stream is a failure, unless it may break."""

    async def both(*words: str) -> tuple[int, dict[str, Any]]:
        server = Server(answers(STREAM_WRONGS["broken in the middle"][0]))
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1/"
        (tmp_path / "key").write_text("k-from-file\n", encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable, generator.__file__, url, "--model", "m", "--requests", "2", "--stream-share", "1",
            "--key-file", str(tmp_path / "key"), "--json", str(tmp_path / "out.json"), *words,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _nothing = await process.communicate()
        listener.close()
        assert server.requests[0][0]["Authorization"] == "Bearer k-from-file"
        assert json.loads(out) == json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
        return process.returncode or 0, json.loads(out)

    code, summary = asyncio.run(both())
    assert code == 1 and summary["outcomes"]["stream"]["broken_visibly"] == 2
    assert asyncio.run(both("--streams-may-break"))[0] == 0
