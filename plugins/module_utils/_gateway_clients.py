# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Who may use the gateway: clients with their keys, how they change, and the file that people read them in.

A client has one key that counts, and after a change of key the old one too for a while, so that it can change over
without losing a request.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

DEFAULT = "default"  # the client that is made where nobody is named
KEY_RULE = "8 to 512 letters, digits or any of . _ ~ + / = - (`openssl rand -hex 32` makes one)"
NAME_RULE = "letters, digits and any of . _ -, at most 64"

_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_HEAD = """\
# Managed by gpuserve.inference. Who may use the endpoint: a client's name, its key, and where it comes from ("given"
# in gateway_api_keys, or "made" on this host). Add, rotate and remove clients with the playbook
# gpuserve.inference.keys; nginx does not read this file.
"""


@dataclass(frozen=True)
class Client:
    """One key of one client. ``until``: seconds since 1970 after which an old key ends; 0 where it does not.

    ``origin``: ``given`` by name in the inventory, ``listed`` there without a name, or ``made`` on this host.
    """

    name: str
    key: str = field(repr=False)
    origin: str = "made"
    until: float = 0.0

    @property
    def old(self) -> bool:
        return self.until > 0


@dataclass(frozen=True)
class Wish:
    """What is to change. ``given`` is None where the inventory has no say."""

    given: Optional[Mapping[str, str]] = None
    unnamed: bool = False  # the names in ``given`` only count keys of a list
    default: bool = False
    add: Sequence[str] = ()
    rotate: Sequence[str] = ()
    remove: Sequence[str] = ()
    expire: Sequence[str] = ()
    grace: float = 0.0


def make_key() -> str:
    return secrets.token_urlsafe(32)


def given_clients(value: Any) -> tuple[dict[str, str], bool]:
    """``gateway_api_keys`` as name -> key, and whether the names only count them. No message shows a key.

    Taken: a list of keys, a list of ``{name, key}``, or one dictionary.
    """
    if value in (None, "", [], {}):
        return {}, False
    rows: list[tuple[str, Any]] = []
    unnamed = False
    if isinstance(value, Mapping):
        rows = [(str(name), key) for name, key in value.items()]
    elif isinstance(value, (list, tuple)):
        unnamed = not any(isinstance(entry, Mapping) for entry in value)
        for number, entry in enumerate(value, 1):
            if isinstance(entry, Mapping):
                if set(entry) != {"name", "key"}:
                    raise InputError(f"gateway_api_keys: entry {number} needs a name and a key, and nothing else")
                rows.append((str(entry["name"]), entry["key"]))
            else:
                rows.append((f"key{number}", entry))
    else:
        raise InputError("gateway_api_keys is neither a list of keys nor a dictionary of names and keys; give one")
    found: dict[str, str] = {}
    for number, (name, key) in enumerate(rows, 1):
        who = f"key {number} of gateway_api_keys" if unnamed else f"the key of {name!r} in gateway_api_keys"
        check_name(name, "gateway_api_keys")
        if not isinstance(key, str) or not _KEY.match(key):
            raise InputError(f"{who} cannot be used; give {KEY_RULE}")
        if name in found:
            raise InputError(f"gateway_api_keys: the name {name!r} is given twice; give each client a name of its own")
        if key in found.values():
            raise InputError(f"{who} is another client's too; give each client a key of its own")
        found[name] = key
    return found, unnamed


def check_name(name: str, where: str) -> None:
    if not _NAME.match(name):
        raise InputError(f"{where}: {name!r} is no name for a client; give {NAME_RULE}")


def parse(text: str, path: str) -> list[Client]:
    """The clients file; InputError names the line that somebody spoiled, without showing it."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        try:
            name, key, origin = parts[:3]
            until = 0.0
            if len(parts) == 5 and parts[3] == "until":
                until = datetime.strptime(parts[4], _TIME).replace(tzinfo=timezone.utc).timestamp()
            elif len(parts) != 3:
                raise ValueError
            if not _NAME.match(name) or not _KEY.match(key) or origin not in ("given", "listed", "made"):
                raise ValueError
        except ValueError:
            raise InputError(
                f"line {number} of {path} is not 'NAME KEY given|listed|made [until TIME]'; mend or remove it"
            ) from None
        found.append(Client(name, key, origin, until))
    return found


def render(clients: Iterable[Client]) -> str:
    """The clients file. Keys that count come first: programs take the first one."""
    rows = sorted(clients, key=lambda client: client.old)
    width = max((len(client.name) for client in rows), default=0)
    lines = []
    for client in rows:
        until = f"  until {moment(client.until)}" if client.old else ""
        lines.append(f"{client.name.ljust(width)}  {client.key}  {client.origin}{until}\n")
    return _HEAD + "".join(lines)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(_TIME)


def changed(now: float, present: Sequence[Client], wish: Wish, new_key: Callable[[], str] = make_key) -> list[Client]:
    """The clients as wished. What is over goes, whatever is asked for."""
    clients = [client for client in present if not client.old or client.until > now]
    for name in (*wish.add, *wish.rotate, *wish.remove, *wish.expire):
        check_name(name, "clients")
    if wish.given is not None:
        clients = _with_given(now, clients, wish.given, wish.unnamed, wish.grace)
    names = {client.name for client in clients}
    for name in wish.add:
        if name not in names:
            clients.append(Client(name, new_key()))
    for name in wish.rotate:
        current = _current(clients, name, "rotate")
        clients = [client for client in clients if client is not current]
        clients += [Client(name, new_key()), *_aged(now, current, wish.grace)]
    for name in wish.remove:
        if name in {client.name for client in clients}:
            _current(clients, name, "remove")
        clients = [client for client in clients if client.name != name]
    gone = set(wish.expire)
    clients = [client for client in clients if not (client.old and client.name in gone)]
    if wish.default and not any(not client.old for client in clients):
        clients.append(Client(DEFAULT, new_key()))
    return sorted(clients, key=lambda client: client.old)


def _aged(now: float, client: Client, grace: float) -> list[Client]:
    """A key that was replaced, for as long as it still counts."""
    return [Client(client.name, client.key, client.origin, now + grace)] if grace > 0 else []


def _current(clients: Sequence[Client], name: str, what: str) -> Client:
    for client in clients:
        if client.name == name and not client.old:
            if client.origin != "made":
                raise InputError(f"the key of {name!r} is given in gateway_api_keys: {what} it there")
            return client
    known = sorted({client.name for client in clients})
    raise InputError(f"there is no client {name!r} on this host; there are: {', '.join(known) or 'none'}")


def _with_given(
    now: float, clients: Sequence[Client], given: Mapping[str, str], unnamed: bool, grace: float
) -> list[Client]:
    origin = "listed" if unnamed else "given"
    kept: list[Client] = []
    for client in clients:
        if client.name not in given:
            if client.origin == "made":
                kept.append(client)
            # a name or a key that went from the inventory is let in no longer
        elif client.old:
            if client.key != given[client.name]:
                kept.append(client)
        elif client.key != given[client.name] and not unnamed and client.origin != "listed":
            kept += _aged(now, client, grace)
    return kept + [Client(name, key, origin) for name, key in given.items()]
