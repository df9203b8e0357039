# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which upstreams nginx sends requests to, and who took which of them out of rotation.

The truth is ``rotation.json``; nginx reads what is rendered from it, ``gateway/upstream.conf`` (and, on a gateway
before other hosts, ``gateway/upstream-last.conf``). An upstream is out while anybody's mark is on it. Each owner takes
back its own mark only, so a replica that is being restarted is not put back by the watch, nor one that an operator
drained by the end of a rollout.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import WantedFile
from ansible_collections.gpuserve.inference.plugins.module_utils._lock import held
from ansible_collections.gpuserve.inference.plugins.module_utils._nginx import Nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

BY = ("operator", "roll", "watch", "health")
UNTIL_BOOT = ("watch", "health")  # what they saw may have been mended by the boot, and they look again

MOST_CONNS = 65535
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,126}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]*|\[?[0-9A-Fa-f:.]+\]?)\Z")
_LOOPBACK = re.compile(r"127\.|localhost\Z|\[?::1\]?\Z")


class RotationError(GpuserveError):
    """The upstreams are as they were: somebody else holds the lock."""


@dataclass(frozen=True)
class Upstream:
    """One server that requests can go to: a replica of this host, or another host's gateway."""

    name: str
    port: int
    host: str = "127.0.0.1"
    max_conns: int = 0  # requests under way at most, further ones go elsewhere; 0 is any number

    @property
    def remote(self) -> bool:
        return not _LOOPBACK.match(self.host)


@dataclass(frozen=True)
class Mark:
    """Why an upstream gets no requests. ``since`` is in seconds since 1970."""

    name: str
    by: str
    reason: str = ""
    since: float = 0.0
    boot_id: str = ""


@dataclass
class RotationState:
    upstreams: list[Upstream] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def out(self, name: str) -> list[Mark]:
        """The marks on an upstream; empty where it is in rotation."""
        return [mark for mark in self.marks if mark.name == name]

    def holding(self, upstreams: Sequence[Upstream]) -> RotationState:
        """With exactly these upstreams; marks on what is gone go too."""
        names = {upstream.name for upstream in upstreams}
        return RotationState(list(upstreams), [mark for mark in self.marks if mark.name in names])

    def marked(self, names: Iterable[str], mark: Mark) -> RotationState:
        """With such a mark on each name; one that its owner has there already stays as it is."""
        known = {(old.name, old.by) for old in self.marks}
        new = [replace(mark, name=name) for name in dict.fromkeys(names) if (name, mark.by) not in known]
        for one in new:
            if not _NAME.match(one.name):
                raise InputError(f"{one.name!r} is no name of an instance; give letters, digits and any of _ . : -")
        return RotationState(self.upstreams, self.marks + new)

    def cleared(self, names: Iterable[str], by: Optional[str]) -> RotationState:
        """Without ``by``'s marks on these names, without anybody's with None."""
        off = set(names)
        return RotationState(
            self.upstreams, [mark for mark in self.marks if mark.name not in off or by not in (None, mark.by)]
        )

    def owners(self) -> dict[str, list[str]]:
        """Who took which upstream out, by its name."""
        found: dict[str, list[str]] = {}
        for mark in self.marks:
            found.setdefault(mark.name, []).append(mark.by)
        return found

    def in_rotation(self) -> list[str]:
        marked = {mark.name for mark in self.marks}
        return [upstream.name for upstream in self.upstreams if upstream.name not in marked]

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {name: value for name, value in asdict(u).items() if name != "max_conns" or value} for u in self.upstreams
        ]
        return {"upstreams": rows, "marks": [asdict(m) for m in self.marks]}


def upstream_conf(state: RotationState, last: bool = False) -> str:
    """The ``server`` lines of nginx's upstream block. Only checked names get here, never anybody's reasons.

    ``last``: of the block that is asked when nginx itself has left out all others, or all have their ``max_conns``.
    """
    lines = ["# Managed by gpuserve.inference: changes are overwritten.\n"]
    for upstream in state.upstreams:
        host = upstream.host.strip("[]")
        place = f"[{host}]" if ":" in host else host
        # A replica of this host refuses at once where it is down, so trying it costs nothing and nginx never has to
        # leave out the last one that works. A host that does not answer costs a timeout.
        fails = "max_fails=0" if last or not upstream.remote else "max_fails=3 fail_timeout=10s"
        fails += f" max_conns={upstream.max_conns}" if upstream.max_conns and not last else ""
        owners = sorted({mark.by for mark in state.out(upstream.name)})
        down = f" down; # {upstream.name}, out by {', '.join(owners)}" if owners else f"; # {upstream.name}"
        lines.append(f"server {place}:{upstream.port} {fails}{down}\n")
    return "".join(lines)


def upstreams_from(rows: Iterable[Mapping[str, Any]]) -> list[Upstream]:
    """Checked upstreams; InputError names what cannot be used."""
    found: list[Upstream] = []
    for row in rows:
        host, port = str(row.get("host") or "127.0.0.1"), row.get("port")
        name = str(row.get("name") or f"{host}:{port}".lstrip(":["))
        if not _HOST.match(host):
            raise InputError(f"upstream host {host!r} cannot be used; give a host name or an address")
        if not str(port).isdigit() or not 1 <= int(str(port)) <= 65535:
            raise InputError(f"port {port!r} of upstream {name!r} is out of range; give one from 1 to 65535")
        if not _NAME.match(name):
            raise InputError(f"upstream name {name!r} cannot be used; give letters, digits and any of _ . : -")
        most = row.get("max_conns") or 0
        if not str(most).isdigit() or int(str(most)) > MOST_CONNS:
            raise InputError(f"max_conns {most!r} of upstream {name!r} cannot be used; give 0 to {MOST_CONNS}")
        found.append(Upstream(name, int(str(port)), host, int(str(most))))
    for key in ("name", "place"):
        seen: set[str] = set()
        for upstream in found:
            value = upstream.name if key == "name" else f"{upstream.host}:{upstream.port}"
            if value in seen:
                raise InputError(f"upstream {value!r} is given twice; give each {key} once")
            seen.add(value)
    return found


class Rotation:
    """The host's rotation. ``etc`` and ``run_dir`` hold its files and its lock; tests give their own."""

    def __init__(
        self,
        run: Run,
        etc: str = "/etc/gpuserve",
        proc: str = "/proc",
        run_dir: str = "/run/gpuserve",
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._nginx = Nginx(run, proc, run_dir, sleep)
        self._json = f"{etc}/rotation.json"
        self._conf = f"{etc}/gateway/upstream.conf"
        self._last = f"{etc}/gateway/upstream-last.conf"
        self._proc = proc
        self._run_dir = run_dir
        self._clock = clock
        self._sleep = sleep

    # ---- reading

    def look(self) -> RotationState:
        """The state as it counts now. An unreadable record is an empty one: nginx still reads its own file."""
        try:
            with open(self._json, encoding="utf-8") as handle:
                data = json.load(handle)
            upstreams = [
                Upstream(str(u["name"]), int(u["port"]), str(u["host"]), int(u.get("max_conns", 0)))
                for u in data["upstreams"]
            ]
            marks = [Mark(**mark) for mark in data["marks"]]
        except (OSError, ValueError, KeyError, TypeError):
            return RotationState()
        boot = self._boot_id()
        return RotationState(upstreams, [m for m in marks if m.by not in UNTIL_BOOT or m.boot_id == boot])

    def _boot_id(self) -> str:
        try:
            with open(f"{self._proc}/sys/kernel/random/boot_id", encoding="ascii") as handle:
                return handle.read().strip()
        except OSError:
            return ""

    @property
    def gateway(self) -> bool:
        """Whether an nginx of ours sends requests to the upstreams."""
        return os.path.exists(self._conf)

    # ---- changing

    def change(
        self,
        upstreams: Optional[Sequence[Upstream]] = None,
        out: Iterable[str] = (),
        back: Iterable[str] = (),
        by: Optional[str] = "operator",
        reason: str = "",
        check: bool = False,
    ) -> tuple[bool, RotationState]:
        """Hold exactly these ``upstreams`` (None: those that are there), take ``out`` and put ``back``, in one step.

        When this returns, nginx accepts no new request for what is out; those begun go on. Names without an upstream
        are remembered, for hosts without a gateway. ``by``: whose marks; None puts everybody's back. Returns whether
        anything changed, and what it is then; with ``check`` what it would be.
        """
        if upstreams is not None and not upstreams:
            raise InputError("there are no upstreams: give at least one")
        if by not in (*BY, None) or (by is None and out):
            raise InputError(f"by is {by!r}; give one of {', '.join(BY)}")
        with self._held(check):
            state = self.look()
            if upstreams is not None:
                state = state.holding(upstreams)
            if by is not None:
                state = state.marked(out, Mark("", by, reason, round(self._clock(), 3), self._boot_id()))
            state = state.cleared(back, by)
            return self._hold(state, check, make=upstreams is not None), state

    def set_upstreams(self, upstreams: Sequence[Upstream], check: bool = False) -> bool:
        """Hold exactly these. Marks on what is gone go too. Returns whether anything changed."""
        return self.change(upstreams, check=check)[0]

    def take_out(self, names: Iterable[str], by: str, reason: str = "", check: bool = False) -> bool:
        """Send them no more requests. Returns whether anything changed."""
        return self.change(out=names, by=by, reason=reason, check=check)[0]

    def put_back(self, names: Iterable[str], by: Optional[str], check: bool = False) -> bool:
        """Take ``by``'s marks off (everybody's with None). An upstream with no mark left gets requests again."""
        return self.change(back=names, by=by, check=check)[0]

    def sync(self) -> bool:
        """Make nginx's file what the state says: marks that a boot wiped out still stand in it."""
        with self._held(False):
            return self._hold(self.look(), False)

    @contextlib.contextmanager
    def _held(self, check: bool) -> Iterator[None]:
        if check:  # only looks, and leaves no lock behind
            yield
            return
        with held(f"{self._run_dir}/rotation.lock", self._sleep) as mine:
            if not mine:
                raise RotationError("the rotation is being changed by another program for 30 s; try again")
            yield

    def _hold(self, state: RotationState, check: bool, make: bool = False) -> bool:
        if not state.upstreams and not state.marks and not os.path.exists(self._json):
            return False  # nothing to remember on a host that has nothing
        files = {self._json: json.dumps(state.to_dict(), indent=2) + "\n"}
        if self.gateway or make:
            files[self._conf] = upstream_conf(state)
            if any(upstream.remote or upstream.max_conns for upstream in state.upstreams):
                files[self._last] = upstream_conf(state, last=True)
        wanted = [WantedFile(path, text, owner="", group="") for path, text in files.items()]
        return bool(self._nginx.hold(wanted, [self._conf, self._last], check))
