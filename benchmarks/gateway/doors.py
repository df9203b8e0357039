# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doors to compare: the gateway that the playbook set up with one thing changed, each an nginx of its own; HAProxy."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

NGINX_CONF = Path("/etc/nginx/nginx.conf")
SITE = Path("/etc/nginx/conf.d/gpuserve.conf")
# what gateway_affinity: prompt puts there, with a block of upstreams of its own for short bodies; they are short below
# 1,024 bytes, since model.py's tokens have 1.25 bytes where English has four or five
BY_PROMPT = """\
map $request_body $contest_affinity {
    default $request_id;
    "~(?s)^(?<contest_begin>.{512})" $contest_begin;
}
map $content_length $contest_upstream {
    default gpuserve;
    "~^([0-9]|[1-9][0-9]{1}|[1-9][0-9]{2}|10[0-1][0-9]{1}|102[0-3])$" contest_any;
}
upstream contest_any {
    zone contest_any 256k;
    include /etc/gpuserve/gateway/upstream.conf;
    keepalive 64;
    keepalive_timeout 100s;
}
"""
# what gateway_affinity: header puts there; the requests of a contest have no header
BY_HEADER = """\
map $http_x_session_id $contest_upstream {
    default nowhere;
    "" gpuserve;
}
"""
UPSTREAM = "include /etc/gpuserve/gateway/upstream.conf;"


@dataclass
class Door:
    """``words`` start it in the foreground; ``files`` are written before."""

    name: str
    port: int
    words: list[str]
    files: dict[Path, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, logs: Path) -> None:
        for path, text in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        with (logs / f"{self.name}.log").open("wb") as log:
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _try in range(100):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode}; see its log")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not listen on {self.port}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


def site_with(
    site: str,
    port: int,
    servers: list[str] | None = None,
    balancing: str = "",
    settings: dict[str, str] | None = None,
    upstream: str = "",
) -> str:
    """The gateway's own file, listening on ``port``, with another balancing, other servers, or other settings.

    Raises ValueError where the file does not have what is to be changed: a variant that is none must not be measured.
    """
    listens = iter(range(port, port + 10))
    site, found = re.subn(r"(?m)^(\s+listen )[^;]+;", lambda match: f"{match[1]}127.0.0.1:{next(listens)};", site)
    if not found or UPSTREAM not in site:
        raise ValueError("this is not the file of a gateway before the replicas of its own host")
    if balancing:
        site = site.replace("    keepalive ", f"    {balancing};\n    keepalive ", 1)
        # it must stand before the servers
        site = site.replace(f"    {UPSTREAM}\n    {balancing};\n", f"    {balancing};\n    {UPSTREAM}\n")
        if f"{balancing};\n    {UPSTREAM}" not in site:
            raise ValueError(f"{balancing!r} found no place")
    if servers:
        site = site.replace(UPSTREAM, " ".join(f"server {one} max_fails=0;" for one in servers))
    if upstream:
        site, found = re.subn(r"(proxy_pass http://)gpuserve(/v1/[^;]+);", rf"\g<1>{upstream}\g<2>$is_args$args;", site)
        if not found:
            raise ValueError("no path goes to the replicas")
    for name, value in (settings or {}).items():
        site, found = re.subn(rf"(?m)^(\s+){name} [^;]+;", rf"\g<1>{name} {value};", site)
        if not found:
            raise ValueError(f"{name} is not set there")
    return site


def nginx(name: str, port: int, folder: Path, site: str, workers: str = "auto") -> Door:
    """An nginx with the host's own settings but for its site and the number of its workers."""
    text = NGINX_CONF.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^pid [^;]+;", f"pid {folder}/{name}.pid;", text)
    text = re.sub(r"(?m)^worker_processes [^;]+;", f"worker_processes {workers};", text)
    text = re.sub(r"(?m)^(\s*)include /etc/nginx/conf.d/[^;]+;", rf"\1include {folder}/{name}.site.conf;", text)
    text = re.sub(r"(?m)^\s*include /etc/nginx/sites-enabled/[^;]+;\n", "", text)
    conf, own = folder / f"{name}.nginx.conf", folder / f"{name}.site.conf"
    if str(own) not in text:
        raise ValueError(f"{NGINX_CONF} includes no conf.d")
    return Door(name, port, ["nginx", "-c", str(conf), "-g", "daemon off;"], {conf: text, own: site})


def haproxy(name: str, port: int, folder: Path, servers: list[str]) -> Door:
    """HAProxy before the same replicas, as its manual has it for HTTP: round robin, connections kept and shared."""
    text = f"""\
global
  maxconn 8192
defaults
  mode http
  option http-keep-alive
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 1800s
  timeout server 1800s
  retries 2
  option redispatch
frontend door
  bind 127.0.0.1:{port}
  default_backend engines
backend engines
  balance roundrobin
"""
    text += "".join(f"  server engine{number} {server}\n" for number, server in enumerate(servers))
    conf = folder / f"{name}.cfg"
    return Door(name, port, ["haproxy", "-db", "-f", str(conf)], {conf: text})
