# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What stands between a plan and a host, found before anything is changed: one line for each problem."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

GIB = 2**30

# unpacked size of the locked engine and what its caches need while it is installed; measured for 0.32.0
ENGINE_BYTES = {"cuda": 12 * GIB, "cpu": 4 * GIB}
# where the replicas keep what they compile, and what must be free there: a margin, since it depends on the model
CACHES, CACHE_BYTES = "/var/cache/gpuserve", GIB
CONFIG, CONFIG_BYTES = "/etc/gpuserve", 2**20
MIN_SYSTEMD = 247  # Debian 11; LoadCredential= came with it


@dataclass(frozen=True)
class Wishes:
    """The settings that a host, rather than the planner, has to allow."""

    prefix: str = "/opt/gpuserve"
    engine_missing: bool = True  # the engine is not installed yet, and is to be
    engine_flavour: str = "cuda"
    model_path: str = ""  # of a model that lies on the host
    model_directory: str = ""  # where the model is, or will be once it is downloaded
    model_bytes: int = 0  # of a model that is downloaded where its directory is not there; 0: nothing is known
    gateway_listen: str = ""  # "[address:]port"; empty without a gateway
    status_listen: str = ""  # where the gateway has health and metrics
    python: str = "python3"  # interpreter for the engine; another than the host's own is the operator's business
    lock_header: str = ""  # first line of the lock file: which Pythons it is for
    own_nginx_file: str = "/etc/nginx/conf.d/gpuserve.conf"
    programs: Mapping[str, str] = field(default_factory=dict)  # variable: program that it names
    directories: Mapping[str, Sequence[str]] = field(default_factory=dict)  # variable: directories that must be there


def parse_listen(listen: str) -> Optional[tuple[str, int]]:
    """``8000``, ``0.0.0.0:8000`` or ``[::]:8000`` -> (address, port); None where it is none of these."""
    match = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[0-9.]+|\*|localhost):)?(\d{1,5})", str(listen).strip())
    if not match or not 1 <= int(match.group(2)) <= 65535:
        return None
    return match.group(1) or "0.0.0.0", int(match.group(2))


def _taken(look: Mapping[str, Any], port: int, own: tuple[str, ...]) -> str:
    for row in look.get("listeners", []):
        if row["port"] == port and not row["unit"].startswith(own):
            holder = row["process"] or "another process"
            return f"{holder} (PID {row['pid']}{', ' + row['unit'] if row['unit'] else ''})"
    return ""


def _python_problem(look: Mapping[str, Any], wishes: Wishes) -> str:
    covered = re.search(r"CPython (\d+\.\d+)(?: to (\d+\.\d+))?", wishes.lock_header)
    have = str(look.get("python", {}).get("version", ""))
    if not covered or not have or wishes.python != "python3":
        return ""
    low, high = covered.group(1), covered.group(2) or covered.group(1)
    if _minor(low) <= _minor(have) <= _minor(high):
        return ""
    span = low if low == high else f"{low} to {high}"
    return f"this engine is locked for Python {span}, the host has {have}; set vllm_python to such an interpreter"


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _port_problems(plan: Mapping[str, Any], look: Mapping[str, Any], wishes: Wishes) -> list[str]:
    problems = []
    # on a re-run or a switch between gateway and no gateway, each port may still be held by the other's service;
    # an nginx that does not have our file holds it for the operator
    ours = look.get("paths", {}).get(wishes.own_nginx_file, {}).get("exists")
    own = ("vllm@", "nginx.service") if ours else ("vllm@",)
    for instance in plan.get("instances", []):
        holder = _taken(look, instance["port"], own)
        if holder:
            problems.append(
                f"port {instance['port']} for {instance['name']} is taken by {holder}; stop it or set vllm_base_port"
            )
    if not wishes.gateway_listen:
        return problems
    listen = parse_listen(wishes.gateway_listen)
    if listen is None:
        return [
            *problems,
            f"gateway_listen {wishes.gateway_listen!r} is not PORT or ADDRESS:PORT with a port of 1 to 65535",
        ]
    if not _ours(listen[0], look):
        problems.append(
            f"gateway_listen is {wishes.gateway_listen} but this host has no address {listen[0].strip('[]')}, only "
            f"{', '.join(look['addresses'])}; give one of these, or the port alone"
        )
    holder = _taken(look, listen[1], own)
    if holder:
        problems.append(f"port {listen[1]} for the gateway is taken by {holder}; stop it or set gateway_listen")
    status = parse_listen(wishes.status_listen)
    planned = {instance["port"]: instance["name"] for instance in plan.get("instances", [])}
    if status:
        holder = _taken(look, status[1], own) or planned.get(status[1], "")
        if holder:
            problems.append(
                f"port {status[1]} for health and metrics is taken by {holder}; stop it or set gateway_status_listen"
            )
    return problems


def _ours(address: str, look: Mapping[str, Any]) -> bool:
    try:
        wanted = ipaddress.ip_address(address.strip("[]"))
    except ValueError:  # * or localhost
        return True
    local = look.get("addresses")
    return not local or wanted.is_unspecified or wanted.is_loopback or str(wanted) in local


def _missing(look: Mapping[str, Any], wishes: Wishes) -> list[str]:
    """What the settings name and the host has not."""
    found = [
        f"{name} is {program} but this host has no such program; install it or name another"
        for name, program in wishes.programs.items()
        # uv finds an interpreter by its version too
        if look.get("commands", {}).get(program) == "" and not re.fullmatch(r"[0-9.]+", program)
    ]
    for name, directories in wishes.directories.items():
        found += [
            f"{name} holds {directory} but this host has no such directory; make it or name another"
            for directory in directories
            if look.get("paths", {}).get(directory, {}).get("exists") is False
        ]
    for path, space in look.get("disks", {}).items():
        if space.get("usable") is False:
            found.append(
                f"{path} cannot be made below {space['measured_at']}, which is no directory that can be written to; "
                "name another place"
            )
    return found


def _space_problems(look: Mapping[str, Any], wishes: Wishes) -> list[str]:
    disks = look.get("disks", {})
    models, missing = os.path.dirname(wishes.model_directory), wishes.model_directory not in look.get("models", {})
    engine = ENGINE_BYTES[wishes.engine_flavour] if wishes.engine_missing else 0
    shared = disks.get(models, {}).get("measured_at") == disks.get(wishes.prefix, {}).get("measured_at")
    found = []
    for place, need, before, who, cure in (
        (wishes.prefix, engine, 0, "vLLM needs {} free below {}", "or set vllm_prefix to a larger disk"),
        (
            models,
            wishes.model_bytes if missing else 0,
            engine if shared else 0,
            "the model needs {} free below {}",
            "or set vllm_models_dir to a larger disk",
        ),
        (CACHES, CACHE_BYTES, 0, "engines need {} free below {} for what they compile", "at {}"),
        (CONFIG, CONFIG_BYTES, 0, "the services' settings need {} free below {}", "at {}"),
    ):
        space = disks.get(place, {})
        free = max(0, space.get("free_bytes", need + before) - before)
        if free < need:
            left = " once the engine is there" if before else ""
            told = who.format(_size(need), place)
            found.append(f"{told}, {_size(free)} are{left}; free some space {cure.format(space['measured_at'])}")
    return found


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count < GIB / 20 else f"{count / GIB:.1f} GiB".replace(".0 ", " ")


def problems(plan: Mapping[str, Any], look: Mapping[str, Any], wishes: Wishes) -> list[str]:
    """Every reason why ``plan`` cannot be applied to the host that ``look`` (see host_info) describes."""
    found = []
    systemd = look.get("systemd", {})
    if not systemd.get("booted"):
        found.append("this host was not started by systemd, and the services need it; use a host that runs systemd")
    elif systemd.get("version", 0) < MIN_SYSTEMD:
        found.append(f"systemd {systemd.get('version')} is too old; the services need {MIN_SYSTEMD} or newer")
    found += _port_problems(plan, look, wishes)
    found += _missing(look, wishes)
    if wishes.gateway_listen:
        nginx = look.get("nginx", {})
        if not nginx.get("config_ok", True) and wishes.own_nginx_file not in nginx.get("config_error", ""):
            found.append(f"nginx's present configuration does not parse, mend it first: {nginx.get('config_error')}")
    if wishes.engine_missing:
        found += [line for line in [_python_problem(look, wishes)] if line]
    found += _space_problems(look, wishes)
    if wishes.model_path:
        state = look.get("paths", {}).get(wishes.model_path, {})
        if state.get("exists") and not state.get("readable_by_service"):
            found.append(
                f"the service user cannot read {wishes.model_path} because of the permissions of "
                f"{state['blocked_at']}; "
                "allow others to read it (chmod o+rX) or move the model"
            )
    complaint = look.get("models", {}).get(wishes.model_directory, {}).get("complaint")
    if complaint:
        found.append(str(complaint))
    return found
