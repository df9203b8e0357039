# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which upstreams nginx sends requests to, and who took which of them out of rotation.

The truth is ``rotation.json``; nginx reads what is rendered from it, ``gateway/upstream.conf``. An upstream is out
while anybody's mark is on it. Each owner takes back its own mark only, so a replica that is being restarted is not
put back by the watch, nor one that an operator drained by the end of a rollout.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._lock import held
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

BY = ("operator", "roll", "watch", "health")
UNTIL_BOOT = ("watch", "health")  # what they saw may have been mended by the boot, and they look again

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,126}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]*|\[?[0-9A-Fa-f:.]+\]?)\Z")
_LOOPBACK = re.compile(r"127\.|localhost\Z|\[?::1\]?\Z")


class RotationError(GpuserveError):
    """The upstreams are as they were: nginx refused the change, or somebody else holds the lock."""


@dataclass(frozen=True)
class Upstream:
    """One server that requests can go to: a replica of this host, or another host's gateway."""

    name: str
    port: int
    host: str = "127.0.0.1"


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

    def in_rotation(self) -> list[str]:
        marked = {mark.name for mark in self.marks}
        return [upstream.name for upstream in self.upstreams if upstream.name not in marked]

    def to_dict(self) -> dict[str, Any]:
        return {"upstreams": [asdict(u) for u in self.upstreams], "marks": [asdict(m) for m in self.marks]}


def upstream_conf(state: RotationState) -> str:
    """The ``server`` lines of nginx's upstream block. Only checked names get here, never anybody's reasons."""
    lines = ["# Managed by gpuserve.inference: changes are overwritten.\n"]
    for upstream in state.upstreams:
        host = upstream.host.strip("[]")
        place = f"[{host}]" if ":" in host else host
        # A replica of this host refuses at once where it is down, so trying it costs nothing and nginx never has to
        # leave out the last one that works. A host that does not answer costs a timeout.
        fails = "max_fails=0" if _LOOPBACK.match(host) else "max_fails=3 fail_timeout=10s"
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
        found.append(Upstream(name, int(str(port)), host))
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
        self._run = run
        self._json = f"{etc}/rotation.json"
        self._conf = f"{etc}/gateway/upstream.conf"
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
            upstreams = [Upstream(str(u["name"]), int(u["port"]), str(u["host"])) for u in data["upstreams"]]
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

    def set_upstreams(self, upstreams: Sequence[Upstream], check: bool = False) -> bool:
        """Hold exactly these. Marks on what is gone go too. Returns whether anything changed."""
        if not upstreams:
            raise InputError("there are no upstreams: give at least one")
        names = {upstream.name for upstream in upstreams}
        with self._held(check):
            state = self.look()
            marks = [mark for mark in state.marks if mark.name in names]
            return self._hold(RotationState(list(upstreams), marks), check, make=True)

    def take_out(self, names: Iterable[str], by: str, reason: str = "", check: bool = False) -> bool:
        """Send them no more requests. When this returns, nginx accepts none for them; those begun go on.

        Returns whether anything changed. Names without an upstream are remembered, for hosts without a gateway.
        """
        self._check_owner(by)
        with self._held(check):
            state = self.look()
            known = {(mark.name, mark.by) for mark in state.marks}
            new = [
                Mark(name, by, reason, round(self._clock(), 3), self._boot_id())
                for name in dict.fromkeys(names)
                if (name, by) not in known
            ]
            for mark in new:
                if not _NAME.match(mark.name):
                    raise InputError(
                        f"{mark.name!r} is no name of an instance; give letters, digits and any of _ . : -"
                    )
            return self._hold(RotationState(state.upstreams, state.marks + new), check)

    def put_back(self, names: Iterable[str], by: Optional[str], check: bool = False) -> bool:
        """Take ``by``'s marks off (everybody's with None). An upstream with no mark left gets requests again."""
        if by is not None:
            self._check_owner(by)
        names = set(names)
        with self._held(check):
            state = self.look()
            marks = [mark for mark in state.marks if mark.name not in names or by not in (None, mark.by)]
            return self._hold(RotationState(state.upstreams, marks), check)

    def sync(self) -> bool:
        """Make nginx's file what the state says: marks that a boot wiped out still stand in it."""
        with self._held(False):
            return self._hold(self.look(), False)

    @staticmethod
    def _check_owner(by: str) -> None:
        if by not in BY:
            raise InputError(f"by is {by!r}; give one of {', '.join(BY)}")

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
        record = json.dumps(state.to_dict(), indent=2) + "\n"
        wanted = {self._json: record}
        if self.gateway or make:
            wanted[self._conf] = upstream_conf(state)
        before = {path: _content(path) for path in wanted}
        if before == wanted:
            return False
        if not state.upstreams and not state.marks and before[self._json] is None:
            return False  # nothing to remember on a host that has nothing
        if check:
            return True
        for path, text in wanted.items():
            write_text(path, text)
        if before.get(self._conf) == wanted.get(self._conf):
            return True  # a second owner's mark: nginx sends nothing there already
        problem = _nginx.complaint(self._run)
        if problem:
            for path, old in before.items():
                _restore(path, old)
            raise RotationError(f"nginx -t refuses the upstreams, they are as before: {problem}")
        if not _nginx.reload(self._run, self._proc, self._sleep):
            raise RotationError(
                "nginx was told to reload, but its workers go on as before; see: systemctl status nginx"
            )
        return True


def _content(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except OSError:
        return None


def _restore(path: str, text: Optional[str]) -> None:
    if text is not None:
        write_text(path, text)
    elif os.path.exists(path):
        os.unlink(path)
