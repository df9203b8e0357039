"""Runs on the machine: where a secret could be seen, what listens, which TLS is spoken. Prints one JSON object.

probe.py DOOR_PORT STATUS_PORT FILE...    FILE: further texts to look for the secrets in
"""

from __future__ import annotations

import glob
import http.client
import json
import os
import re
import socket
import ssl
import stat
import subprocess
import sys

from attack import context, engine_key


def secrets():
    with open("/etc/gpuserve/gateway/clients", encoding="utf-8") as handle:
        rows = [line.split() for line in handle if line.strip() and not line.startswith("#")]
    return [engine_key().encode(), *(row[1].encode() for row in rows)]


def output(*words):
    return subprocess.run(words, capture_output=True, check=False).stdout


def leaks(files):
    """Places that others can read, or that are kept, with a secret in them."""
    wanted = secrets()
    places = {
        "ps": output("ps", "axww", "-o", "args"),
        "journal": output("journalctl", "-o", "json", "--all"),
        "systemctl show": output("systemctl", "show", "--all", "*"),
        "systemctl cat": output("systemctl", "cat", "vllm@gpu0.service", "nginx.service"),
        "nginx -T without root's files": b"\n".join(
            read(path) for path in glob.glob("/etc/nginx/**/*", recursive=True)
        ),
    }
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        places[path] = read(path)
    for path in glob.glob("/var/log/**/*", recursive=True):
        if "/journal/" not in path:
            places[path] = read(path)
    for path in files:
        places[path] = read(path)
    found = [name for name, text in places.items() if any(secret in text for secret in wanted)]
    for top in (
        "/etc",
        "/opt/gpuserve/bin",
        "/opt/gpuserve/host",
        "/run",
        "/var/lib",
        "/tmp",
        "/var/tmp",
        "/srv",
        "/root/.ansible",
    ):
        for folder, _folders, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    info = os.lstat(path)
                    if not stat.S_ISREG(info.st_mode) or not info.st_mode & 0o044 or info.st_size > 4_000_000:
                        continue
                except OSError:
                    continue
                if any(secret in read(path) for secret in wanted):
                    found.append(f"{path} ({stat.S_IMODE(info.st_mode):o})")
    return found


def read(path):
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError:
        return b""


def beyond_loopback():
    """Who of this machine's processes listens where others could reach it."""
    inodes = {}
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            match = re.match(r"socket:\[(\d+)\]", os.readlink(path))
        except OSError:
            continue
        if match:
            inodes[match.group(1)] = read("/".join(path.split("/")[:3]) + "/comm").decode().strip()
    found = set()
    for name in ("tcp", "tcp6"):
        for line in read(f"/proc/net/{name}").decode().splitlines()[1:]:
            words = line.split()
            address, port = words[1].split(":")
            loopback = address.endswith("7F") or address == "00000000000000000000000001000000" or address[-2:] == "7F"
            if words[3] == "0A" and words[9] in inodes and not loopback:
                found.add(f"{inodes[words[9]]} {int(port, 16)}")
    return sorted(found)


def tls(door):
    """What happens to a client of each version, and with an old cipher."""
    seen = {}
    for name, version in (("1.0", "TLSv1"), ("1.1", "TLSv1_1"), ("1.2", "TLSv1_2"), ("1.3", "TLSv1_3")):
        seen[name] = handshake(door, lambda c, v=version: pin(c, v))
    seen["CBC"] = handshake(
        door, lambda c: (pin(c, "TLSv1_2"), c.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"))
    )
    with socket.create_connection(("127.0.0.1", door), 10) as plain:
        plain.sendall(b"GET /v1/models HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        seen["plain"] = plain.recv(100).split(b"\r\n")[0].decode()
    return seen


def pin(chosen, version):
    chosen.set_ciphers("ALL:@SECLEVEL=0")
    chosen.minimum_version = chosen.maximum_version = getattr(ssl.TLSVersion, version)


def handshake(door, change):
    chosen = context()
    try:
        change(chosen)
        with socket.create_connection(("127.0.0.1", door), 10) as plain, chosen.wrap_socket(plain) as line:
            return line.version()
    except (OSError, ValueError) as error:
        # an alert is the door's word; anything else would be the client's own
        return f"refused ({getattr(error, 'reason', None) or type(error).__name__})"


def status(port):
    seen = {}
    for path in ("/health", "/metrics/gpu0", "/metrics/gpu1", "/metrics", "/v1/models", "/tokenize"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        seen[path] = f"{answer.status}{' vllm' if b'vllm:num_requests_running' in text else ''}"
    return seen


def modes():
    paths = ["/etc/gpuserve/engine.key", *sorted(glob.glob("/etc/gpuserve/gateway/**/*", recursive=True))]
    return {path: f"{stat.S_IMODE(os.stat(path).st_mode):o}" for path in paths if os.path.isfile(path)}


def main():
    door, listener, *files = sys.argv[1:]
    print(
        json.dumps(
            {
                "leaks": leaks(files),
                "beyond_loopback": beyond_loopback(),
                "tls": tls(int(door)),
                "status": status(int(listener)),
                "modes": modes(),
            }
        )
    )


if __name__ == "__main__":
    main()
