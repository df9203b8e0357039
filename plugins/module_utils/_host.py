# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the host itself says before anything is planned: one look that answers every later preflight question."""

from __future__ import annotations

import ctypes
import glob
import ipaddress
import json
import os
import re
import shutil
from typing import Any, Iterable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _nginx, _run

Run = _run.Run

MARKER = ".gpuserve.json"  # written last into every environment the collection builds


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def parse_cpu_list(text: str) -> list[int]:
    """``0-2,8`` as the kernel writes it -> [0, 1, 2, 8]."""
    cores: list[int] = []
    for part in text.strip().split(","):
        first, _dash, last = part.partition("-")
        if first.isdigit():
            cores.extend(range(int(first), int(last or first) + 1))
    return cores


def physical_cores(sysfs: str = "/sys", usable: Optional[Iterable[int]] = None) -> list[int]:
    """One hardware thread of each core this process may use; vLLM's CPU engine gains nothing from SMT siblings."""
    allowed = sorted(usable) if usable is not None else sorted(os.sched_getaffinity(0))
    chosen: list[int] = []
    seen: set[int] = set()
    for cpu in allowed:
        if cpu in seen:
            continue
        siblings = parse_cpu_list(_read(f"{sysfs}/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
        seen.update(siblings or [cpu])
        chosen.append(cpu)
    return chosen


def cpu_flags(proc: str = "/proc") -> frozenset[str]:
    """What the first processor can do, in the kernel's words (``avx512_bf16``)."""
    found = re.search(r"^(?:flags|Features)\s*: (.*)$", _read(f"{proc}/cpuinfo"), re.M)
    return frozenset(found.group(1).split()) if found else frozenset()


def memory(proc: str = "/proc") -> dict[str, int]:
    """Total and available memory, bytes, from /proc/meminfo."""
    found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", _read(f"{proc}/meminfo"), re.M))
    return {
        "total_bytes": int(found.get("MemTotal", 0)) * 1024,
        "available_bytes": int(found.get("MemAvailable", 0)) * 1024,
    }


def _address(word: str) -> tuple[str, int]:
    """``0100007F:1F41`` of /proc/net/tcp -> ("127.0.0.1", 8001); an IPv6 wildcard is told from any other only."""
    raw, port = word.split(":")
    if len(raw) == 8:
        octets = [str(int(raw[i : i + 2], 16)) for i in (6, 4, 2, 0)]
        return ".".join(octets), int(port, 16)
    if set(raw) == {"0"}:
        return "::", int(port, 16)
    return ("::1" if raw == "0" * 24 + "01000000" else "ipv6"), int(port, 16)


def _socket_owners(proc: str, inodes: set[str]) -> dict[str, int]:
    owners: dict[str, int] = {}
    for fd in glob.glob(f"{proc}/[0-9]*/fd/*"):
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            owners.setdefault(target[8:-1], int(fd[len(proc) + 1 :].split("/", 1)[0]))
    return owners


def listeners(proc: str = "/proc") -> list[dict[str, Any]]:
    """Every listening TCP port: address, port, pid, process name and systemd unit (as far as this user may see)."""
    rows: dict[str, tuple[str, int]] = {}
    for name in ("tcp", "tcp6"):
        for line in _read(f"{proc}/net/{name}").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == "0A":
                rows[words[9]] = _address(words[1])
    owners = _socket_owners(proc, set(rows))
    result = []
    for inode, (address, port) in rows.items():
        pid = owners.get(inode, 0)
        unit = re.findall(r"/([^/\n]+\.service)", _read(f"{proc}/{pid}/cgroup")) if pid else []
        result.append(
            {
                "address": address,
                "port": port,
                "pid": pid,
                "process": _read(f"{proc}/{pid}/comm").strip() if pid else "",
                "unit": unit[-1] if unit else "",
            }
        )
    return sorted(result, key=lambda row: (row["port"], row["address"]))


def addresses(proc: str = "/proc") -> list[str]:
    """Every address that a service of this host can listen on; empty where it may also listen on others."""
    if _read(f"{proc}/sys/net/ipv4/ip_nonlocal_bind").strip() == "1":
        return []
    found = set(re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", _read(f"{proc}/net/fib_trie")))
    for line in _read(f"{proc}/net/if_inet6").splitlines():
        raw = line.split()[0]
        found.add(str(ipaddress.IPv6Address(":".join(raw[i : i + 4] for i in range(0, 32, 4)))))
    return sorted(found)


def unit_pids(prefix: str, proc: str = "/proc") -> list[int]:
    """PIDs of every process that belongs to a systemd unit whose name starts with ``prefix``."""
    found = []
    for path in glob.glob(f"{proc}/[0-9]*/cgroup"):
        if re.search(rf"/{re.escape(prefix)}[^/\n]*\.service", _read(path)):
            found.append(int(path.split("/")[-2]))
    return sorted(found)


def disk(path: str) -> dict[str, Any]:
    """Free bytes of the file system that ``path`` is, or would be, on."""
    where = os.path.abspath(path)
    while not os.path.exists(where):
        where = os.path.dirname(where)
    usage = shutil.disk_usage(where)
    usable = os.path.isdir(where) and os.access(where, os.W_OK)
    return {"free_bytes": usage.free, "total_bytes": usage.total, "measured_at": where, "usable": usable}


def library_loads(name: str) -> bool:
    """Whether the dynamic linker finds a shared library, ``libnuma.so.1`` for example."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def path_state(path: str) -> dict[str, Any]:
    """Whether a path exists and whether a service user who owns nothing of it can read it."""
    if not os.path.exists(path):
        return {"exists": False, "readable_by_service": False, "blocked_at": ""}
    parts, where = [], os.path.realpath(path)
    while True:
        parts.append(where)
        if where == "/":
            break
        where = os.path.dirname(where)
    for part in reversed(parts):
        need = 0o5 if os.path.isdir(part) else 0o4
        if part != parts[0]:
            need = 0o1
        if os.stat(part).st_mode & need != need:
            return {"exists": True, "readable_by_service": False, "blocked_at": part}
    return {"exists": True, "readable_by_service": True, "blocked_at": ""}


def environment_marker(path: str) -> dict[str, Any]:
    """What the collection wrote down about an environment it built, {} where it built none (or did not finish)."""
    try:
        data = json.loads(_read(os.path.join(path, MARKER)) or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def environment_markers(patterns: list[str]) -> dict[str, dict[str, Any]]:
    """Marker of every finished environment whose directory matches one of the shell patterns."""
    found = {path: environment_marker(path) for pattern in patterns for path in glob.glob(pattern)}
    return {path: marker for path, marker in sorted(found.items()) if marker}


def nginx(run: Run, executable: Optional[str]) -> dict[str, Any]:
    """Version, and whether the configuration that is there now parses."""
    if not executable:
        return {"installed": False, "version": "", "config_ok": True, "config_error": ""}
    _rc, out, err = run([executable, "-v"])
    version = re.search(r"nginx/([0-9.]+)", out + err)
    problem = _nginx.verdict(run, executable)
    return {
        "installed": True,
        "version": version.group(1) if version else "",
        "config_ok": not problem,
        "config_error": problem,
    }


def kept(path: str) -> Optional[dict[str, Any]]:
    """What is kept on the host as JSON, such as the plan applied last; None where there is none that can be read."""
    try:
        data = json.loads(_read(path) or "null")
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def systemd(run: Run) -> dict[str, Any]:
    """Whether systemd is PID 1, its version, and the states of all vllm@ units."""
    booted = os.path.isdir("/run/systemd/system")
    code, out, _err = run(["systemctl", "--version"]) if shutil.which("systemctl") else (1, "", "")
    version = re.search(r"systemd (\d+)", out)
    units: dict[str, str] = {}
    if booted and code == 0:
        _rc, out, _err = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "vllm@*.service"])
        for line in out.splitlines():
            words = line.split()
            if len(words) > 3:
                units[words[0]] = words[2]
    return {"booted": booted, "version": int(version.group(1)) if version else 0, "units": units}


def operating_system(path: str = "/etc/os-release") -> dict[str, str]:
    """``id`` and ``version_id`` of os-release."""
    found = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', _read(path), re.M))
    return {"id": found.get("ID", ""), "version_id": found.get("VERSION_ID", "")}
