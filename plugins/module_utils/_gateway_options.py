# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Options and answers that the modules of the gateway share: they may do one thing, or all in one call."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_clients
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_keys import GatewayKeys, Held
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import RotationState, upstream_conf

_NAMES = {"type": "list", "elements": "str", "default": []}

# the options that the documentation fragment _gateway describes
KEYS_SPEC: dict[str, dict[str, Any]] = {
    "clients": {"type": "raw", "no_log": True},
    "default": {"type": "bool", "default": False},
    "open": {"type": "bool"},
    "add": _NAMES,
    "rotate": _NAMES,
    "remove": _NAMES,
    "expire": _NAMES,
    "grace": {"type": "int", "default": 0},
    "upstream": {"type": "str", "choices": ["engines", "gateways", "unchanged"], "default": "unchanged"},
    "upstream_key": {"type": "str", "no_log": True},
}
UPSTREAMS_SPEC: dict[str, dict[str, Any]] = {
    "upstreams": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str"},
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "required": True},
            "max_conns": {"type": "int", "default": 0},
        },
    },
}


def hold_keys(keys: GatewayKeys, params: Mapping[str, Any], check: bool) -> Held:
    """Make the clients and their keys as the options say."""
    given, unnamed = None, False
    if params["clients"] is not None:
        given, unnamed = _gateway_clients.given_clients(params["clients"])
    wish = _gateway_clients.Wish(
        given=given,
        unnamed=unnamed,
        default=params["default"],
        add=params["add"],
        rotate=params["rotate"],
        remove=params["remove"],
        expire=params["expire"],
        grace=params["grace"],
    )
    return keys.hold(wish, params["open"], params["upstream"], params["upstream_key"] or "", check)


def told_of_keys(keys: GatewayKeys, held: Held) -> dict[str, Any]:
    """Who is let in, without a key."""
    return {
        "file": keys.clients_file,
        "clients": [
            {
                "name": client.name,
                "origin": client.origin,
                "until": _gateway_clients.moment(client.until) if client.old else "",
            }
            for client in held.clients
        ],
    }


def told_of_rotation(state: RotationState) -> dict[str, Any]:
    return {"in_rotation": state.in_rotation(), **state.to_dict()}


def rotation_diff(before: RotationState, after: RotationState) -> dict[str, str]:
    return {
        "before": upstream_conf(before) if before.upstreams else "",
        "after": upstream_conf(after) if after.upstreams else "",
    }
