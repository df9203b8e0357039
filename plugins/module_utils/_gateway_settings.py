# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the gateway's settings say: the routes it forwards, and what is wrong with them, one line for each problem."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_clients
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._preflight import parse_listen
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import MOST_CONNS, upstreams_from

STATUS_DISTANCE = 90  # the status listener's port, counted from the gateway's
KEEPALIVE_SAFE = (1, 27, 4)  # the first nginx with keepalive_min_timeout

_ROUTE = re.compile(r"(?:(GET|POST) )?((?:/[A-Za-z0-9._~-]+)+)\Z")
_SIZE = re.compile(r"\d+[kKmMgG]?\Z")
_RATE = re.compile(r"[1-9]\d{0,6}r/[sm]\Z")
_SERVER_NAME = re.compile(r"_\Z|(?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?\Z")
_PATH = re.compile(r"/[A-Za-z0-9._/+@=:,-]+\Z")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")

AFFINITIES = ("none", "header", "client", "prompt")
MOST_PROMPT_BYTES = 8192  # what a pattern of nginx looks at
MOST_BODY_BYTES = 1 << 20  # bodies above are not in nginx's memory, client_body_buffer_size


def routes(tasks: Sequence[str], extra: Sequence[str] = ()) -> list[dict[str, str]]:
    """Method and path of everything that is forwarded. ``tasks`` are the model's; none known means any."""
    found = {"/v1/models": "GET", "/v1/chat/completions": "POST", "/v1/completions": "POST"}
    if not tasks or "embed" in tasks:
        found["/v1/embeddings"] = "POST"
    for entry in extra:
        match = _ROUTE.match(str(entry))
        if match:
            found[match.group(2)] = match.group(1) or "POST"
    return [{"method": method, "path": path} for path, method in found.items()]


def client_keepalive(wish: str, nginx_version: str) -> str:
    """``off``, ``safe`` (nginx keeps idle connections over a reload) or ``on`` (it cuts them off)."""
    numbers = tuple(int(part) for part in nginx_version.split(".") if part.isdigit())
    safe = numbers >= KEEPALIVE_SAFE
    if wish == "auto":
        return "safe" if safe else "off"
    return "off" if wish in ("off", "False") else "safe" if safe else "on"


def status_listen(listen: str, wish: str) -> str:
    """Where health and metrics are; empty where they are nowhere."""
    if wish == "none":
        return ""
    if wish:
        return wish
    door = parse_listen(listen)
    return f"127.0.0.1:{(door[1] + STATUS_DISTANCE - 1) % 65535 + 1}" if door else ""


def beyond_loopback(listen: str) -> bool:
    door = parse_listen(listen)
    return bool(door) and not re.match(r"127\.|localhost\Z|\[::1\]\Z", door[0] if door else "")


class Settings:
    """The role's variables by name, without their prefix."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str) -> str:
        value = self._values.get(name)
        return "" if value is None else str(value)

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in ("true", "yes", "on", "1", "y")


def _line(name: str, value: Any, allowed: str) -> str:
    return f"gateway_{name} {value!r} cannot be used; give {allowed}"


def _whole(settings: Settings, name: str, least: int, most: Optional[int] = None) -> Optional[str]:
    value = settings.text(name)
    if value.isdigit() and int(value) >= least and (most is None or int(value) <= most):
        return None
    return _line(name, value, f"a whole number of {least} {'or more' if most is None else f'to {most}'}")


def problems(values: Mapping[str, Any]) -> list[str]:
    """Every reason why these settings cannot be used. Nothing here shows a key."""
    settings = Settings(values)
    if not settings.flag("enabled"):
        if settings["api_keys"]:
            return [
                "gateway_api_keys are given, but gateway_enabled is false and an instance takes only the key in"
                " /etc/gpuserve/engine.key on its host; leave the keys out, or the gateway in"
            ]
        return []
    return [
        line
        for check in (_listeners, _paths, _keys, _limits, _affinity, _tls, _upstreams)
        for line in check(settings)
        if line is not None
    ]


def _listeners(settings: Settings) -> list[Optional[str]]:
    found: list[Optional[str]] = []
    listen, status = settings.text("listen"), settings.text("status_listen")
    door = parse_listen(listen)
    if door is None:
        found.append(f'gateway_listen "{listen}" is not PORT or ADDRESS:PORT; give for example 8000 or 127.0.0.1:8000')
    if status not in ("", "none") and parse_listen(status) is None:
        found.append(_line("status_listen", status, "PORT or ADDRESS:PORT, or none; it is for health and metrics"))
    other = parse_listen(status_listen(listen, status))
    if door and other and door[1] == other[1]:
        found.append(_line("status_listen", status, f"another port than the gateway's own {door[1]}"))
    for network in settings["status_networks"] or []:
        try:
            ipaddress.ip_network(str(network))
        except ValueError:
            found.append(_line("status_networks", network, "addresses or networks such as 10.1.0.0/16"))
    if not _SERVER_NAME.match(settings.text("server_name")):
        found.append(_line("server_name", settings.text("server_name"), "one host name, or _ for every name"))
    return found


def _paths(settings: Settings) -> list[Optional[str]]:
    found: list[Optional[str]] = []
    for entry in settings["extra_paths"] or []:
        match = _ROUTE.match(str(entry))
        if match is None or "/../" in f"{match.group(2)}/" or "/./" in f"{match.group(2)}/":
            found.append(
                _line("extra_paths", entry, "a path such as /v1/rerank (for POST), or GET and a path; no pattern")
            )
    return found


def _keys(settings: Settings) -> list[Optional[str]]:
    try:
        given, _unnamed = _gateway_clients.given_clients(settings["api_keys"])
    except GpuserveError as error:
        return [str(error)]
    if given and settings.flag("open"):
        return ["gateway_api_keys are given and gateway_open is true; leave one of them out"]
    grace = settings.text("keys_grace")
    return [None if grace.isdigit() else _line("keys_grace", grace, "seconds, 0 or more")]


def _limits(settings: Settings) -> list[Optional[str]]:
    rate, size = settings.text("rate_limit"), settings.text("client_max_body_size")
    found = [
        None if not rate or _RATE.match(rate) else _line("rate_limit", rate, "for example 10r/s or 300r/m, or nothing"),
        None if _SIZE.match(size) else _line("client_max_body_size", size, "a size such as 64m"),
    ]
    for name, least in (("rate_burst", 0), ("connection_limit", 0), ("read_timeout", 1), ("keepalive", 1)):
        found.append(_whole(settings, name, least))
    return found


def _affinity(settings: Settings) -> list[Optional[str]]:
    wish = settings.text("affinity") or "none"
    if wish not in AFFINITIES:
        return [_line("affinity", wish, f"one of {', '.join(AFFINITIES)}")]
    found: list[Optional[str]] = []
    header = settings.text("affinity_header")
    if not _HEADER.match(header) or header.lower() in ("authorization", "cookie"):
        found.append(
            _line("affinity_header", header, "the name of a header such as X-Session-Id, not one with secrets")
        )
    found.append(_whole(settings, "affinity_prompt_bytes", 1, MOST_PROMPT_BYTES))
    found.append(_whole(settings, "affinity_prompt_min_bytes", 0, MOST_BODY_BYTES))
    found.append(_whole(settings, "affinity_bound", 0, MOST_CONNS))
    return found


def affinity_key(values: Mapping[str, Any]) -> str:
    """nginx's expression for what requests must have in common to go to one replica; empty without affinity."""
    settings = Settings(values)
    wish = settings.text("affinity")
    if wish == "header":
        return "$http_" + settings.text("affinity_header").lower().replace("-", "_")
    if wish == "client":
        return "$binary_remote_addr" if settings.flag("open") else "$gpuserve_client"
    return "$request_body" if wish == "prompt" else ""


def affinity_short(values: Mapping[str, Any]) -> str:
    """Pattern of the lengths of bodies, in bytes, that do not go by their beginning; empty where there are none."""
    settings = Settings(values)
    if settings.text("affinity") != "prompt":
        return ""
    return numbers_below(int(settings.text("affinity_prompt_min_bytes")))


def numbers_below(limit: int) -> str:
    """Pattern of the whole numbers from 0 to one less than ``limit``, without zeros in front: nginx cannot compare."""
    digits = str(limit)
    found = ["[0-9]" if place == 1 else f"[1-9][0-9]{{{place - 1}}}" for place in range(1, len(digits))]
    for place, digit in enumerate(digits):
        least = 1 if place == 0 and len(digits) > 1 else 0
        if int(digit) > least:
            rest = len(digits) - place - 1
            found.append(f"{digits[:place]}[{least}-{int(digit) - 1}]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return "|".join(found)


def _tls(settings: Settings) -> list[Optional[str]]:
    found: list[Optional[str]] = []
    if settings.text("tls") == "files":
        for name in ("tls_certificate", "tls_key"):
            if not _PATH.match(settings.text(name)):
                found.append(
                    f"gateway_tls is files, so gateway_{name} must be the absolute path of a PEM file,"
                    f" not {settings.text(name)!r}"
                )
    elif settings.text("tls_certificate") or settings.text("tls_key"):
        found.append("gateway_tls_certificate or gateway_tls_key is given, but gateway_tls is not files; set it")
    days = settings.text("tls_hsts")
    found.append(None if days.isdigit() else _line("tls_hsts", days, "seconds, 0 leaves the header out"))
    if settings.text("upstream_ca") and not _PATH.match(settings.text("upstream_ca")):
        found.append(_line("upstream_ca", settings.text("upstream_ca"), "the absolute path of a PEM file on the host"))
    return found


def _upstreams(settings: Settings) -> list[Optional[str]]:
    rows = settings["upstreams"] or []
    try:
        upstreams_from(rows)
    except GpuserveError as error:
        return [f"gateway_upstreams: {error}"]
    found: list[Optional[str]] = []
    key = settings.text("upstream_key")
    if key:
        try:
            _gateway_clients.given_clients([key])
        except GpuserveError:
            found.append(f"gateway_upstream_key cannot be used; give {_gateway_clients.KEY_RULE}")
    for name in ("upstream_key", "upstream_tls", "upstream_ca", "upstream_server_name"):
        if not rows and (settings.flag(name) if name == "upstream_tls" else settings.text(name)):
            found.append(f"gateway_{name} is for gateway_upstreams, which is empty; name the other gateways there")
    return found
