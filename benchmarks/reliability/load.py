#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load on an OpenAI-compatible endpoint that says of every request what became of it.

``load.py http://HOST:PORT --model NAME [--key KEY] [--requests N | --seconds S] [--concurrency C | --rate R]``

Plain and streamed requests, chats and completions, drawn at random. Nothing is ever asked twice. Each request asks for
a number of tokens that the engine must give (``ignore_eos``), so a shorter answer is known as such:

ok                  the whole valid answer: all tokens, and for a stream its last chunk and [DONE]
lost                no whole answer: an error status, a broken connection, no byte for --timeout seconds
broken_visibly      a stream that had begun (its 200 had come) ended with an error chunk or a broken connection
hung                a stream that had begun gave no byte for --timeout seconds and did not end
truncated_silently  the answer ended as if it were whole, and was not

Exit status: 0 where every request was ok (with --streams-may-break also where the others all broke visibly), 1 where
not, 2 where it could not be tried.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import math
import random
import signal
import ssl
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

OUTCOMES = ("ok", "lost", "broken_visibly", "hung", "truncated_silently")
KINDS = ("plain", "stream")
WORDS = "card engine token cache stream model layer weight server batch prompt answer queue link plan host".split()


@dataclass
class Settings:
    url: str
    model: str
    key: str = ""
    requests: int = 0  # 0: until `seconds` are over, or until stop() of the load
    seconds: float = 0.0
    concurrency: int = 32  # clients, each with one request at a time
    rate: float = 0.0  # or so many requests a second, however many are under way
    stream_share: float = 0.5
    chat_share: float = 0.5
    tokens: tuple[int, int] = (8, 64)  # wanted from the engine, least and most
    words: tuple[int, int] = (4, 40)  # in the prompt
    fresh: bool = False  # a new connection for each request instead of kept ones
    timeout: float = 120.0
    leave_after: float = 0.0  # seconds after which the client leaves a stream that still flows
    ca: str = ""
    insecure: bool = False
    seed: int = 1


@dataclass
class Asked:
    """One request. Times are seconds since the start of the load."""

    kind: str
    path: str
    wanted: int
    start: float
    outcome: str = ""
    cause: str = ""
    status: int = 0
    served_by: str = ""
    began: float | None = None  # the answer's status and headers had come
    first: float | None = None  # the first token had
    end: float = 0.0
    tokens: int = 0
    gap: float = 0.0  # the longest time without a token of a stream that has begun


class NotWhole(Exception):
    """``str()`` says why an answer that ended is not the one that was asked for."""


class ErrorChunk(Exception):
    """The engine said in the stream that it failed."""


@dataclass
class _Body:
    """What has been read of an answer, streamed or not."""

    finish: str | None = None
    ids: int = 0
    has_ids: bool = False
    usage: int | None = None
    done: bool = False

    def take(self, data: Any) -> bool:
        """One chunk, or the whole of a plain answer. True where it carried something of the answer."""
        if not isinstance(data, dict):
            raise NotWhole("something that is no JSON object")
        if data.get("error"):
            error = data["error"]
            raise ErrorChunk(str(error.get("message", error) if isinstance(error, dict) else error)[:200])
        if isinstance(data.get("usage"), dict):
            self.usage = data["usage"].get("completion_tokens")
        carried = False
        for choice in data.get("choices") or []:
            if not isinstance(choice, dict):
                raise NotWhole("a choice that is no JSON object")
            self.finish = choice.get("finish_reason") or self.finish
            if isinstance(choice.get("token_ids"), list):
                self.has_ids = True
                self.ids += len(choice["token_ids"])
            delta = choice.get("delta") or {}
            carried = carried or bool(choice.get("text") or delta.get("content") or choice.get("token_ids"))
        return carried

    def leaves(self, seconds: float, leave_after: float) -> bool:
        """Whether it is time to leave. What has come until then must be all that the engine has counted."""
        if not leave_after or seconds < leave_after or not self.ids or self.finish or self.done:
            return False
        if self.usage != self.ids:
            raise NotWhole(f"chunks with {self.ids} of {self.usage} tokens")
        return True

    def check(self, wanted: int) -> None:
        if self.finish != "length":
            raise NotWhole(f"finish_reason {self.finish!r} instead of 'length'")
        if self.usage != wanted:
            raise NotWhole(f"{self.usage} of {wanted} tokens")
        if self.has_ids and self.ids != wanted:
            raise NotWhole(f"chunks with {self.ids} of {wanted} tokens")


class Load:
    """``await Load(settings).run()`` returns what became of every request; stop() ends it in order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked: list[Asked] = []
        self.under_way = 0
        self.started_at = 0.0  # of the host's clock
        self._zero = 0.0
        self._random = random.Random(settings.seed)
        self._stop = asyncio.Event()

    def now(self) -> float:
        return time.monotonic() - self._zero

    def stop(self) -> None:
        """No further requests; those under way are awaited."""
        self._stop.set()

    async def run(self) -> list[Asked]:
        settings = self.settings
        self._zero, self.started_at = time.monotonic(), time.time()
        headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        tls: ssl.SSLContext | bool = True
        if settings.insecure:
            tls = False
        elif settings.ca:
            tls = ssl.create_default_context(cafile=settings.ca)
        connector = aiohttp.TCPConnector(limit=0, force_close=settings.fresh, ssl=tls)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.timeout, sock_read=settings.timeout)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
            await (self._open_loop(session) if settings.rate else self._closed_loop(session))
        return self.asked

    def _wanted(self) -> bool:
        settings = self.settings
        return not (
            self._stop.is_set()
            or (settings.requests and len(self.asked) >= settings.requests)
            or (settings.seconds and self.now() >= settings.seconds)
        )

    async def _closed_loop(self, session: aiohttp.ClientSession) -> None:
        async def client() -> None:
            while self._wanted():
                await self._ask(session, *self._draw())

        await asyncio.gather(*[client() for _number in range(self.settings.concurrency)])

    async def _open_loop(self, session: aiohttp.ClientSession) -> None:
        """Requests come when they come: a slow endpoint must not be asked less for being slow."""
        tasks: set[asyncio.Task[None]] = set()
        due = 0.0
        while self._wanted():
            task = asyncio.create_task(self._ask(session, *self._draw(due)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += self._random.expovariate(self.settings.rate)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), max(0.0, due - self.now()))
        if tasks:
            await asyncio.wait(tasks)

    def _draw(self, due: float | None = None) -> tuple[Asked, dict[str, Any]]:
        settings, draw = self.settings, self._random
        chat = draw.random() < settings.chat_share
        kind = "stream" if draw.random() < settings.stream_share else "plain"
        wanted = draw.randint(*settings.tokens)
        text = " ".join(draw.choice(WORDS) for _number in range(draw.randint(*settings.words)))
        body: dict[str, Any] = {
            "model": settings.model, "max_tokens": wanted, "ignore_eos": True, "temperature": 0,
            "return_token_ids": True,
            **({"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}),
            **({"stream": True, "stream_options": self._stream_options()} if kind == "stream" else {}),
        }  # fmt: skip
        path = "/v1/chat/completions" if chat else "/v1/completions"
        asked = Asked(kind, path, wanted, self.now() if due is None else due)
        self.asked.append(asked)
        return asked, body

    def _stream_options(self) -> dict[str, bool]:
        # who leaves before the end needs the engine's count with each chunk
        return {"include_usage": True, **({"continuous_usage_stats": True} if self.settings.leave_after else {})}

    async def _ask(self, session: aiohttp.ClientSession, asked: Asked, body: dict[str, Any]) -> None:
        self.under_way += 1
        streamed = asked.kind == "stream"
        try:
            url = self.settings.url + asked.path
            async with session.post(url, json=body, allow_redirects=False) as answer:
                asked.status = answer.status
                # after a second try nginx names both instances; the last one answered
                asked.served_by = answer.headers.get("X-Served-By", "").split(",")[-1].strip()
                if answer.status != 200:
                    text = (await answer.text(errors="replace"))[:200]
                    asked.outcome, asked.cause = "lost", f"HTTP {answer.status}: {' '.join(text.split())}"
                    return
                asked.began = self.now()
                await (self._read_stream if streamed else self._read_plain)(answer, asked)
                asked.outcome = "ok"
        except NotWhole as exc:
            asked.outcome, asked.cause = "truncated_silently", str(exc)
        except ErrorChunk as exc:
            asked.outcome, asked.cause = "broken_visibly" if streamed else "lost", f"error in the answer: {exc}"
        except asyncio.TimeoutError:
            asked.outcome = "hung" if streamed and asked.began is not None else "lost"
            asked.cause = f"no byte for {self.settings.timeout:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            asked.outcome = "broken_visibly" if streamed and asked.began is not None else "lost"
            asked.cause = f"{type(exc).__name__}: {exc}"[:200]
        finally:
            asked.end = self.now()
            self.under_way -= 1

    async def _read_plain(self, answer: aiohttp.ClientResponse, asked: Asked) -> None:
        body = _Body()
        body.take(json.loads(await answer.read()))
        asked.tokens = body.usage or 0
        body.check(asked.wanted)

    async def _read_stream(self, answer: aiohttp.ClientResponse, asked: Asked) -> None:
        body, rest, last = _Body(), b"", 0.0
        try:
            async for piece in answer.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if not line.startswith(b"data:"):
                        continue
                    text = line[5:].strip()
                    if text == b"[DONE]":
                        body.done = True
                    elif body.take(json.loads(text)):
                        now = self.now()
                        asked.first = now if asked.first is None else asked.first
                        asked.gap, last = max(asked.gap, now - (last or now)), now
                asked.tokens = body.ids
                if body.leaves(self.now() - asked.start, self.settings.leave_after):
                    asked.cause = "left by the client"
                    return
        except (aiohttp.ClientError, OSError):
            if not body.done:  # every client stops reading at [DONE]
                raise
        asked.tokens = body.usage or body.ids
        if not body.done:
            raise NotWhole(f"the stream ended without [DONE] after {asked.tokens} of {asked.wanted} tokens")
        body.check(asked.wanted)


def percentiles(values: list[float]) -> dict[str, float]:
    """Nearest rank: each figure is one that was measured."""
    if not values:
        return {}
    ordered = sorted(values)
    named = {f"p{q}": ordered[math.ceil(q / 100 * len(ordered)) - 1] for q in (50, 90, 95, 99)}
    return {name: round(value, 4) for name, value in {**named, "max": ordered[-1]}.items()}


@dataclass
class Summary:
    requests: int
    seconds: float
    outcomes: dict[str, dict[str, int]]  # of each kind
    lost_plain: int  # plain requests without their whole answer, whatever the reason
    statuses: dict[str, int]
    served_by: dict[str, int]
    requests_per_second: float
    tokens_per_second: float
    ttft_s: dict[str, float]
    latency_s: dict[str, float]
    longest_gap_s: float  # between two whole answers
    started_at: float
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def not_whole(self) -> int:
        """Requests that did not get what they asked for, whatever became of them."""
        return sum(sum(row.values()) - row["ok"] for row in self.outcomes.values())

    @property
    def whole(self) -> bool:
        return not self.not_whole

    @property
    def whole_or_visible(self) -> bool:
        return all(row["ok"] + row["broken_visibly"] == sum(row.values()) for row in self.outcomes.values())


def summarize(asked: list[Asked], started_at: float = 0.0, most_failures: int = 200) -> Summary:
    outcomes = {kind: dict.fromkeys(OUTCOMES, 0) for kind in KINDS}
    for one in asked:
        outcomes[one.kind][one.outcome] += 1
    good = [one for one in asked if one.outcome == "ok"]
    ends = sorted(one.end for one in good)
    seconds = max((one.end for one in asked), default=0.0)
    statuses = collections.Counter(str(one.status or "none") for one in asked)
    places = collections.Counter(one.served_by for one in asked if one.served_by)
    failures = [one for one in asked if one.outcome != "ok"]
    return Summary(
        requests=len(asked),
        seconds=round(seconds, 3),
        outcomes=outcomes,
        lost_plain=sum(count for name, count in outcomes["plain"].items() if name != "ok"),
        statuses=dict(sorted(statuses.items())),
        served_by=dict(sorted(places.items())),
        requests_per_second=round(len(good) / seconds, 2) if seconds else 0.0,
        tokens_per_second=round(sum(one.tokens for one in good) / seconds, 1) if seconds else 0.0,
        ttft_s=percentiles([one.first - one.start for one in good if one.first is not None]),
        latency_s=percentiles([one.end - one.start for one in good]),
        longest_gap_s=round(max((b - a for a, b in zip([0.0, *ends], ends)), default=0.0), 3),
        started_at=round(started_at, 3),
        failures=[asdict(one) for one in failures[:most_failures]],
    )


def two_numbers(text: str) -> tuple[int, int]:
    low, _dash, high = text.partition("-")
    try:
        numbers = int(low), int(high or low)
    except ValueError:
        numbers = 0, 0
    if not 1 <= numbers[0] <= numbers[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not usable; give LEAST-MOST, for example 8-64")
    return numbers


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="http://HOST:PORT of the door or of one engine, with or without /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", default="", help="API key")
    parser.add_argument("--key-file", type=Path, help="file with the API key, which then is not in the process list")
    parser.add_argument("--requests", type=int, default=0, help="how many (default: 1000, or what --seconds allow)")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long new requests are made")
    parser.add_argument("--concurrency", type=int, default=32, help="clients with one request each at a time")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second instead, however many are under way")
    parser.add_argument("--stream-share", type=float, default=0.5)
    parser.add_argument("--chat-share", type=float, default=0.5)
    parser.add_argument("--tokens", type=two_numbers, default=(8, 64), help="wanted, LEAST-MOST (default: 8-64)")
    parser.add_argument("--words", type=two_numbers, default=(4, 40), help="in a prompt, LEAST-MOST (default: 4-40)")
    parser.add_argument("--fresh", action="store_true", help="a new connection each time instead of kept ones")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds without a byte")
    parser.add_argument("--ca", default="", help="file with the certificates to trust")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the summary here too")
    parser.add_argument("--streams-may-break", action="store_true", help="visibly broken streams are no failure")
    return parser.parse_args(words)


def settings_of(args: argparse.Namespace) -> Settings:
    where = urlsplit(args.url)
    if where.scheme not in ("http", "https") or not where.hostname:
        raise SystemExit(f"load: {args.url!r} is not usable; give http://HOST:PORT or https://HOST:PORT")
    if args.concurrency < 1 or args.rate < 0 or args.requests < 0 or args.seconds < 0 or args.timeout <= 0:
        raise SystemExit("load: --concurrency and --timeout must be above 0, the other numbers not below")
    try:
        key = args.key_file.read_text(encoding="utf-8").strip() if args.key_file else args.key
    except OSError as exc:
        raise SystemExit(f"load: the key cannot be read from {args.key_file}: {exc.strerror}") from exc
    plain = ("model", "seconds", "concurrency", "rate", "stream_share", "chat_share", "tokens", "words", "fresh",
             "timeout", "ca", "insecure", "seed")  # fmt: skip
    return Settings(
        url=args.url.rstrip("/").removesuffix("/v1"),
        key=key,
        requests=args.requests or (0 if args.seconds else 1000),
        **{name: getattr(args, name) for name in plain},
    )


async def measure(settings: Settings) -> Summary:
    load = Load(settings)
    for number in (signal.SIGINT, signal.SIGTERM):  # what was measured until then is told
        asyncio.get_running_loop().add_signal_handler(number, load.stop)
    return summarize(await load.run(), load.started_at)


def main() -> int:
    try:
        args = arguments()
        summary = asyncio.run(measure(settings_of(args)))
    except SystemExit as exc:
        if isinstance(exc.code, str):
            print(exc.code, file=sys.stderr)
            return 2
        raise
    text = json.dumps(asdict(summary), indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0 if summary.whole or (args.streams_may_break and summary.whole_or_visible) else 1


if __name__ == "__main__":
    sys.exit(main())
