#!/usr/bin/env python3
"""Ask an OpenAI-compatible endpoint real questions and print what it did as JSON: the molecule scenarios' eyes.

ask.py BASE_URL MODEL ENGINE_PORT...

The key is read where the host keeps it, so that it is in no command line.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import sys
import time
import urllib.parse

PATHS = ["/health", "/metrics", "/docs", "/tokenize", "/v1/load_lora_adapter", "/v1/models/", "/invocations"]


def request(base, method, path, body=None, key=""):
    where = urllib.parse.urlsplit(base)
    if where.scheme == "https":
        connection = http.client.HTTPSConnection(
            where.hostname, where.port, timeout=120, context=ssl._create_unverified_context()
        )
    else:
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=120)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection.request(method, path, json.dumps(body) if body else None, headers)
    return connection.getresponse()


def first_key(path="/etc/gpuserve/gateway/clients"):
    """The first client's key: the second word of the first line that is no comment."""
    with open(path, encoding="utf-8") as handle:
        lines = [line.split() for line in handle if line.strip() and not line.startswith("#")]
    return lines[0][1] if lines else ""


def stream(base, model, key):
    """Tokens must arrive one by one: the number of pieces, and how long after the first the last came."""
    body = {"model": model, "prompt": "Count", "max_tokens": 500, "stream": True, "ignore_eos": True, "temperature": 0}
    answer = request(base, "POST", "/v1/completions", body, key)
    times, done = [], False
    for line in answer:
        if line.startswith(b"data: [DONE]"):
            done = True
        elif line.startswith(b"data: "):
            times.append(time.monotonic())
    return {"pieces": len(times), "done": done, "spread_ms": round(1000 * (times[-1] - times[0]), 1)}


def patient_stream(base, model, key, tries=4):
    """On a busy machine the engine may hand a whole answer over at once; a door that buffers always does."""
    for count in range(1, tries + 1):
        seen = {**stream(base, model, key), "tries": count}
        if seen["spread_ms"] > 100:
            break
        time.sleep(5)
    return seen


def finished(port):
    """Requests that an engine has finished, by its own counter."""
    text = request(f"http://127.0.0.1:{port}", "GET", "/metrics").read().decode()
    return int(sum(float(count) for count in re.findall(r"^vllm:request_success_total{[^}]*} (\S+)$", text, re.M)))


def main():
    base, model, *engines = sys.argv[1:]
    key = first_key()
    before = {port: finished(port) for port in engines}
    models = json.load(request(base, "GET", "/v1/models", key=key))
    chat = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    answers = []
    for _number in range(8):
        answer = request(base, "POST", "/v1/chat/completions", chat, key)
        text = json.load(answer)
        answers.append({"status": answer.status, "tokens": text.get("usage", {}).get("completion_tokens", 0)})
    print(
        json.dumps(
            {
                "models": [entry["id"] for entry in models["data"]],
                "answers": answers,
                "stream": patient_stream(base, model, key),
                "served": {port: finished(port) - before[port] for port in engines},
                "closed": {path: request(base, "GET", path, key=key).status for path in PATHS},
            }
        )
    )


if __name__ == "__main__":
    main()
