# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_http import (
    EngineClient,
    NoAnswer,
    NotAnEngine,
    OtherProtocol,
    Refused,
    address_of,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import EngineError, InputError
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import FakeEngine, free_path


@pytest.fixture
def engine():
    fake = FakeEngine()
    yield fake
    fake.stop()


def client(engine, **kw):
    return EngineClient(f"http://127.0.0.1:{engine.port}", **kw)


def test_the_whole_api(engine):
    engine.embedding = (200, {"data": [{"embedding": [0.5]}]})
    asked = client(engine.start(), api_key="k1")
    assert asked.health() == 200
    assert asked.models() == ["tiny"]
    assert asked.completion("tiny", "Hi", 3)["usage"]["completion_tokens"] == 1
    assert asked.chat("tiny", [{"role": "user", "content": "Hi"}])["choices"]
    assert asked.embedding("tiny", "Hi")["data"]
    assert asked.metrics().kv_cache().kv_cache_tokens == 896912
    paths = [path for path, _body, _key in engine.seen]
    assert paths == ["/health", "/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/metrics"]
    assert {key for _path, _body, key in engine.seen} == {"Bearer k1"}
    assert engine.seen[2][1] == {"model": "tiny", "prompt": "Hi", "max_tokens": 3, "temperature": 0.0}


def test_no_key_no_header(engine):
    client(engine.start()).health()
    assert engine.seen == [("/health", None, None)]


def test_unix_socket(engine, tmp_path):
    path = free_path(tmp_path)
    with pytest.raises(NoAnswer, match="No such file"):
        EngineClient(f"unix:{path}").health()
    engine.start_at(path)
    assert EngineClient(f"unix:{path}").models() == ["tiny"]


def test_refused_connection_then_served(engine):
    with pytest.raises(NoAnswer, match="Connection refused") as caught:
        client(engine).health()
    assert not caught.value.silent
    engine.start()
    assert client(engine).health() == 200


def test_a_hanging_engine_is_silent(engine):
    engine.hang = {"/v1/completions"}
    with pytest.raises(NoAnswer, match=r"no answer from .*/v1/completions") as caught:
        client(engine.start()).completion("tiny", "Hi", timeout=0.1)
    assert caught.value.silent


def hang_up(server):
    server.accept()[0].close()


def test_a_server_that_hangs_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        with pytest.raises(NoAnswer):
            EngineClient(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=5).health()
        thread.join()


def test_a_server_that_is_no_web_server():
    def greet():
        with server.accept()[0] as peer:
            peer.recv(1000)
            peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(NotAnEngine, match="does not answer in HTTP"):
            EngineClient(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=5).health()
        thread.join()


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ((404, {"error": {"message": "The model `x` does not exist."}}), "answered 404: The model `x` does not exist."),
        ((401, {"error": "Unauthorized"}), "answered 401: Unauthorized"),
        ((404, {"detail": "Not Found"}), "answered 404: Not Found"),
        ((500, "boom\nboom"), "answered 500: boom boom"),
        ((502, ""), "answered 502: no text"),
    ],
)
def test_error_status(engine, said, text):
    engine.answer = said
    with pytest.raises(Refused) as caught:
        client(engine.start()).completion("tiny", "Hi")
    assert str(caught.value) == f"/v1/completions {text}"
    assert caught.value.status == said[0]


@pytest.mark.parametrize(
    "said",
    [
        {"choices": [], "usage": {"completion_tokens": 1}},
        {"choices": [{"text": "x"}], "usage": {"completion_tokens": 0}},
        {"choices": [{"text": "x"}]},
        {},
    ],
)
def test_an_answer_without_a_token_is_no_answer(engine, said):
    engine.answer = (200, said)
    with pytest.raises(EngineError, match="without a single generated token"):
        client(engine.start()).completion("tiny", "Hi")


@pytest.mark.parametrize("said", ["<html>", "[1]"])
def test_what_is_not_json(engine, said):
    engine.models = (200, said)
    with pytest.raises(NotAnEngine, match="not a JSON object"):
        client(engine.start()).models()


def test_embedding_without_vector(engine):
    engine.embedding = (200, {"data": []})
    with pytest.raises(EngineError, match="without an embedding"):
        client(engine.start()).embedding("tiny", "Hi")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8001", "ftp://x", "http://", "unix:", "http://x:port", "http://x:99999"]
)
def test_bad_address(address):
    with pytest.raises(InputError, match="cannot be used; give http://HOST:PORT"):
        EngineClient(address)


def test_address_of():
    assert address_of("127.0.0.1", 1) == "http://127.0.0.1:1"
    assert address_of("::1", 1) == "http://[::1]:1"


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_https(engine, tmp_path):
    pair = str(tmp_path / "pair.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
        + ["-days", "1", "-keyout", pair, "-out", pair + ".crt"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair + ".crt", pair)
    engine._server.socket = context.wrap_socket(engine._server.socket, server_side=True)
    engine.start()
    address = f"https://127.0.0.1:{engine.port}"
    assert EngineClient(address, verify=False).models() == ["tiny"]
    with pytest.raises(NoAnswer, match=r"(?i)certificate"):
        EngineClient(address).models()
    engine.stop()
    # nginx says in HTTP that it wants HTTPS
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer():
            for _connection in range(2):
                plain, _from = door.accept()
                with plain:
                    if plain.recv(1, socket.MSG_PEEK) == b"\x16":
                        context.wrap_socket(plain, server_side=True).close()
                    else:
                        plain.recv(4096)
                        plain.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        place = f"127.0.0.1:{door.getsockname()[1]}"
        with pytest.raises(OtherProtocol, match=f"^{place} speaks HTTPS but is asked in HTTP$"):
            EngineClient(f"http://{place}").models()
        thread.join(10)


def test_https_where_http_is_spoken(engine):
    with pytest.raises(OtherProtocol, match=f"^127.0.0.1:{engine.start().port} speaks HTTP but is asked in HTTPS$"):
        EngineClient(f"https://127.0.0.1:{engine.port}", verify=False).models()


def test_a_400_alone_does_not_say_that_it_wants_tls(engine):
    engine.models = (400, {"detail": "no"})
    with pytest.raises(Refused, match="answered 400: no"):
        client(engine.start()).models()
