# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hub on 127.0.0.1: as much of the Hugging Face API as huggingface_hub needs to describe and download a model."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

LFS = (".safetensors", ".bin")


@dataclass
class Repo:
    files: dict[str, bytes]
    commit: str = "c0ffee" + "0" * 34
    branches: tuple[str, ...] = ("main",)
    gated: bool = False
    private: bool = False
    wrong_sha256: bool = False  # the hub says another checksum than the content has


@dataclass
class Hub:
    """``requests`` holds what was asked for: (method, path, Range header, bytes sent)."""

    repos: dict[str, Repo] = field(default_factory=dict)
    token: str = "hf_right"
    requests: list[tuple[str, str, str, int]] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)  # file name -> bytes after which the connection breaks, once
    status: int = 0  # answer everything with this

    def __post_init__(self) -> None:
        hub = self

        class Handler(Answers):
            server_hub = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def bytes_sent(self, name: str) -> int:
        return sum(n for _m, path, _r, n in self.requests if path.endswith("/" + name))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub, path = self.server_hub, unquote(urlsplit(self.path).path)
        if hub.status:
            return self.error(hub.status, "", "try later")
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+).*)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        if found is None:
            return self.error(404, "EntryNotFound", path)
        repo = hub.repos.get(found.group(1))
        allowed = self.headers.get("Authorization") == f"Bearer {hub.token}"
        if repo is None or (repo.private and not allowed):
            return self.error(404 if allowed else 401, "RepoNotFound", "Repository not found")
        # a gated repository shows its list of files to everybody, and its files to nobody without a licence
        if file and repo.gated and not allowed:
            return self.error(403, "GatedRepo", f"Access to model {found.group(1)} is restricted")
        revision = (api.group(3) if api else file.group(2) if file else None) or "main"
        if revision not in (*repo.branches, repo.commit):
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file:
            return self.send_file(repo, file.group(3))
        if api and api.group(2) == "tree":
            return self.send(200, json.dumps(tree(repo)).encode())
        info = {"id": found.group(1), "modelId": found.group(1), "sha": repo.commit, "private": repo.private}
        info.update(gated="manual" if repo.gated else False, siblings=siblings(repo), tags=[], downloads=0)
        return self.send(200, json.dumps(info).encode())

    def send_file(self, repo: Repo, name: str) -> None:
        hub, content = self.server_hub, repo.files.get(name)
        if content is None:
            return self.error(404, "EntryNotFound", name)
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{etag(repo, name)}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            return self.send(200, content, headers, hub.cut.pop(name, None) if self.command == "GET" else None)
        first, last = int(wanted.group(1)), min(int(wanted.group(2) or len(content) - 1), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self.send(206, content[first : last + 1], headers)

    def error(self, status: int, code: str, message: str) -> None:
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": message})

    def send(
        self, status: int, body: bytes, headers: Optional[dict[str, str]] = None, cut: Optional[int] = None
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = b"" if self.command == "HEAD" else body[:cut]
        record = (self.command, urlsplit(self.path).path, self.headers.get("Range") or "", len(sent))
        self.server_hub.requests.append(record)
        self.wfile.write(sent)
        if cut is not None:
            self.close_connection = True


def etag(repo: Repo, name: str) -> str:
    content = repo.files[name]
    if name.endswith(LFS):
        return hashlib.sha256(content + (b"!" if repo.wrong_sha256 else b"")).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def siblings(repo: Repo) -> list[dict[str, Any]]:
    out = []
    for name, content in repo.files.items():
        entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": etag(repo, name)}
        if name.endswith(LFS):
            entry["lfs"] = {"sha256": etag(repo, name), "size": len(content), "pointerSize": 130}
        out.append(entry)
    return out


def tree(repo: Repo) -> list[dict[str, Any]]:
    out = []
    for name, content in repo.files.items():
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": etag(repo, name)}
        if name.endswith(LFS):
            entry["lfs"] = {"oid": etag(repo, name), "size": len(content), "pointerSize": 130}
        out.append(entry)
    return out
