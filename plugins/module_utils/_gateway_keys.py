# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The gateway's secret files on a host: its clients, nginx's check of their keys, and the key it shows the engines."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils import _files, _gateway_clients
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_keys import first_key
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_clients import Client, Wish
from ansible_collections.gpuserve.inference.plugins.module_utils._lock import held
from ansible_collections.gpuserve.inference.plugins.module_utils._nginx import Nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

_MANAGED = "# Managed by gpuserve.inference: changes are overwritten.\n"


@dataclass
class Held:
    """What was found and done."""

    clients: list[Client]
    changes: list[_files.Change] = field(default_factory=list)


def check_conf(clients: Sequence[Client], open_to_all: bool) -> str:
    """nginx's check. ``if`` compares letter by letter; the strings of a map would match without regard to case."""
    lines = [_MANAGED, f'set $gpuserve_client "{"open" if open_to_all else ""}";\n']
    lines += [
        f'if ($http_authorization = "Bearer {client.key}") {{ set $gpuserve_client "{client.name}"; }}\n'
        for client in clients
    ]
    return "".join(lines)


def upstream_key_conf(key: Optional[str]) -> str:
    """What takes the place of the client's key on the way to the upstreams; the client's own where there is none."""
    return f"{_MANAGED}proxy_set_header Authorization {_quoted(key) if key else '$http_authorization'};\n"


def _quoted(key: str) -> str:
    return f'"Bearer {key}"'


class GatewayKeys:
    """The files below ``etc``/gateway. Tests give their own places."""

    def __init__(
        self,
        run: Run,
        etc: str = "/etc/gpuserve",
        proc: str = "/proc",
        run_dir: str = "/run/gpuserve",
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        new_key: Callable[[], str] = _gateway_clients.make_key,
    ) -> None:
        self._nginx = Nginx(run, proc, run_dir, sleep)
        self._engine_key = f"{etc}/engine.key"
        self.clients_file = f"{etc}/gateway/clients"
        self._check = f"{etc}/gateway/clients.conf"
        self._upstream = f"{etc}/gateway/engine-key.conf"
        self._lock = f"{run_dir}/gateway-keys.lock"
        self._clock = clock
        self._sleep = sleep
        self._new_key = new_key

    def look(self) -> list[Client]:
        try:
            with open(self.clients_file, encoding="utf-8") as handle:
                return _gateway_clients.parse(handle.read(), self.clients_file)
        except FileNotFoundError:
            return []

    def hold(
        self,
        wish: Wish,
        open_to_all: Optional[bool] = None,
        upstream: str = "engines",
        upstream_key: str = "",
        check: bool = False,
    ) -> Held:
        """Make the files say what is wished; nginx has read them when this returns.

        ``upstream``: ``engines`` of this host get its own key, other ``gateways`` get ``upstream_key`` or, without
        one, the client's own. ``open_to_all`` is left as it is with None.
        """
        if check:
            return self._hold(wish, open_to_all, upstream, upstream_key, True)
        with held(self._lock, self._sleep) as mine:
            if not mine:
                raise GpuserveError("the keys are being changed by another program for 30 s; try again")
            return self._hold(wish, open_to_all, upstream, upstream_key, False)

    def expire(self) -> list[str]:
        """Take away the old keys whose time is over. Returns whose they were."""
        now = self._clock()
        over = [client.name for client in self.look() if client.old and client.until <= now]
        if over:
            self.hold(Wish())
        return over

    def _hold(self, wish: Wish, open_to_all: Optional[bool], upstream: str, upstream_key: str, check: bool) -> Held:
        clients = _gateway_clients.changed(self._clock(), self.look(), wish, self._new_key)
        open_now = self._is_open() if open_to_all is None else open_to_all
        contents = {
            self.clients_file: _gateway_clients.render(clients),
            self._check: check_conf(clients, open_now),
        }
        changes: list[_files.Change] = []
        if upstream == "engines":
            changes = _files.make_keys([self._engine_key], check)
            key = "" if changes and check else first_key(self._engine_key)
            contents[self._upstream] = upstream_key_conf(key)
        elif upstream == "gateways":
            contents[self._upstream] = upstream_key_conf(upstream_key or None)
        wanted = [_files.WantedFile(path, text, 0o600, "", "", True) for path, text in contents.items()]
        written = self._nginx.hold(wanted, [self._check, self._upstream], check)
        return Held(clients, changes + written)

    def _is_open(self) -> bool:
        if not os.path.exists(self._check):
            return False
        with open(self._check, encoding="utf-8") as handle:
            return 'set $gpuserve_client "open";\n' in handle.readlines()
