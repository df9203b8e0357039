"""Runs on the machine: every route of the engine and every shape against the door, judged by the engines' own logs.

attack.py DOOR_PORT ENGINE_PORT...     prints one JSON object; nothing in it is good news but "let_in" and the counts
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from shapes import shapes

ALLOWED = {"/v1/models": "GET", "/v1/chat/completions": "POST", "/v1/completions": "POST"}
HTTP_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
LINE = re.compile(r'INFO: +[0-9.]+:[0-9]+ - "(.*) HTTP/[0-9.]+" ([0-9]{3})')


def context():
    chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    chosen.check_hostname = False
    chosen.verify_mode = ssl.CERT_NONE
    return chosen


def say(port, raw, patience=1.5):
    """Everything that the door answers to these bytes until it closes, or is silent for a while."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context().wrap_socket(plain) as line:
        line.settimeout(patience)
        try:
            line.sendall(raw)
            while True:
                piece = line.recv(65536)
                if not piece:
                    break
                answer += piece
        except OSError:
            pass
    return answer


def statuses(answer):
    return [int(number) for number in re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.M)]


def first_key(path="/etc/gpuserve/gateway/clients"):
    with open(path, encoding="utf-8") as handle:
        return next(line.split()[1] for line in handle if line.strip() and not line.startswith("#"))


def engine_key():
    with open("/etc/gpuserve/engine.key", encoding="utf-8") as handle:
        return handle.readline().strip()


def ask(port, method, path, key="", headers=None, body=None):
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context())
    sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, dict(answer.getheaders()), text


def served_by(*question):
    """The replica that answered ``ask``'s question, as gateway_replica_header tells it, or the status of a refusal."""
    status, said, _text = ask(*question)
    return said.get("X-Served-By") if status == 200 else status


def engine_routes(port):
    """What the engine serves, by its own description and by what it logged at its start."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/openapi.json")
    described = json.load(connection.getresponse())["paths"]
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    journal = subprocess.run(
        ["journalctl", "-o", "cat", "-u", "vllm@*"], capture_output=True, text=True, check=True
    ).stdout
    for path, methods in re.findall(r"Route: (\S+), Methods: ([A-Z, ]+)", journal):
        routes |= {(method, path) for method in methods.split(", ")}
    for path in re.findall(r"Route: (\S+), Endpoint:", journal):
        routes.add(("GET", path))
    return sorted(routes)


def cursor():
    text = subprocess.run(["journalctl", "-n", "0", "--show-cursor"], capture_output=True, text=True, check=True).stdout
    return text.split("-- cursor: ")[1].strip()


def engine_log(since):
    """Method and path of every request that reached an engine, and what it could not read."""
    words = ["journalctl", "-o", "cat", f"--after-cursor={since}", "-u", "vllm@*"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    asked = [tuple(line.split(" ", 1)) for line, _status in LINE.findall(text)]
    return asked, text.count("Invalid HTTP request")


def beyond(asked):
    """Requests that reached a handler outside the allowlist."""
    return [f"{method} {path}" for method, path in asked if ALLOWED.get(path.split("?")[0]) != method]


def against_routes(door, routes, key):
    """Each route in each method: what it says without a key, with a wrong one, and with a good one."""
    tries = sorted({(method, path) for _m, path in routes for method in HTTP_METHODS} | set(routes))
    wrong = []

    def one(pair):
        method, path = pair
        plain = path.replace("{", "x").replace("}", "x")
        seen = [ask(door, method, plain)[0], ask(door, method, plain, "not-a-key-of-anybody")[0]]
        allowed = ALLOWED.get(path)
        expected = [401, 401] if allowed else [404, 404]
        if not allowed or method != allowed:
            seen.append(ask(door, method, plain, key)[0])
            expected.append(405 if allowed else 404)
        if seen != expected:
            wrong.append(f"{method} {path}: {seen}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, tries))
    return len(tries), wrong


def against_shapes(door, engine, key):
    auth = {"key": f"Authorization: Bearer {key}\r\n".encode(), "none": b""}
    let_in, banners, broken = [], [], []

    def one(job):
        who, name, raw = job
        answer = say(door, raw.replace(b"KEY", auth[who]).replace(b"ENGINE", str(engine).encode()))
        if re.search(rb"(?i)nginx/\d|uvicorn|vllm:|# HELP", answer):
            banners.append(f"{name}: {answer[:80]!r}")
        if any(status >= 500 and status not in (501, 505) for status in statuses(answer)):
            broken.append(f"{name}: {statuses(answer)}")
        if who == "none" and any(200 <= status < 400 for status in statuses(answer)):
            let_in.append(name)

    jobs = [(who, name, raw) for who in auth for name, raw in shapes()]
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(one, jobs))
    return {"shapes": len(jobs) // 2, "let_in_without_a_key": let_in, "banners": banners, "broken": broken}


def against_keys(door, key):
    """Headers that are nearly a key. Each must get 401, or 400 where two contradict each other."""
    wrong = []
    spoken = (
        ["", "Bearer", "Bearer ", key, f"bearer {key}", f"BEARER {key}", f"Bearer  {key}", f"Bearer {key}x"]
        + [f"Bearer {key[:-1]}", f"Bearer {key.swapcase()}", f"Bearer {key},{key}", f"Bearer {key} x", f"Basic {key}"]
        + [f'Bearer "{key}"', "Bearer $gpuserve_client", "Bearer .*", f"Bearer {engine_key()}"]
    )
    elsewhere = ("Proxy-Authorization", "X-Authorization", "Authorization_", "X-Api-Key", "Api-Key", "Cookie")
    nearly = [{}, *({"Authorization": words} for words in spoken), *({name: f"Bearer {key}"} for name in elsewhere)]
    for number, headers in enumerate(nearly):
        status, sent, text = ask(door, "GET", "/v1/models", headers=headers)
        clean = json.loads(text)["error"]["code"] == 401 and sent.get("WWW-Authenticate") == "Bearer"
        if status != 401 or not clean:
            wrong.append(f"nearly {number}: {status}")
    for first, second in ((f"Bearer {key}", "Bearer x"), ("Bearer x", f"Bearer {key}")):
        raw = f"GET /v1/models HTTP/1.1\r\nHost: d\r\nAuthorization: {first}\r\nAuthorization: {second}\r\n\r\n"
        seen = statuses(say(door, raw.encode()))
        if any(200 <= status < 400 for status in seen):
            wrong.append(f"two headers: {seen}")
    if ask(door, "GET", f"/v1/models?api_key={key}&key={key}")[0] != 401:
        wrong.append("in the query")
    return len(nearly) + 3, wrong


def control(engine, since):
    """The judge can see: a request straight to an engine must be in what it reads."""
    connection = http.client.HTTPConnection("127.0.0.1", engine, timeout=10)
    connection.request("GET", f"/metrics?control={engine}")
    connection.getresponse().read()
    for _try in range(50):
        if ("GET", f"/metrics?control={engine}") in engine_log(since)[0]:
            return True
        time.sleep(0.1)
    return False


def main():
    door, *engines = [int(word) for word in sys.argv[1:]]
    key = first_key()
    routes = engine_routes(engines[0])
    since = cursor()
    tried, wrong = against_routes(door, routes, key)
    keys, wrong_keys = against_keys(door, key)
    shaped = against_shapes(door, engines[0], key)
    status, _headers, _text = ask(door, "GET", "/v1/models", key)
    sees = [control(port, since) for port in engines]  # and all before it has been logged then
    asked, unreadable = engine_log(since)
    asked = [entry for entry in asked if not entry[1].startswith("/metrics?control=")]
    print(
        json.dumps(
            {
                "routes": len(routes),
                "route_tries": tried,
                "wrong_answers": wrong,
                "key_tries": keys,
                "wrong_keys": wrong_keys,
                **shaped,
                "reached_beyond": beyond(asked),
                "reached": len(asked),
                "unreadable_for_an_engine": unreadable,
                "still_serves": status,
                "judge_sees": sees,
            }
        )
    )


if __name__ == "__main__":
    main()
