# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that change the gateway take."""

    DOCUMENTATION = r"""
options: {}
"""

    # the clients and their keys
    KEYS = r"""
options:
  clients:
    description:
      - All clients whose keys the inventory gives, as a list of keys, as a list of dictionaries with C(name) and
        C(key), or as one dictionary of names and keys. Without this option those given before stay.
      - A named client whose key changed can use the old one for O(grace) seconds. What is no longer given is refused
        at once.
    type: raw
  default:
    description: Whether a client C(default) is made where there is no client at all.
    type: bool
    default: false
  open:
    description: Whether everybody is let in. Left as it is without this option.
    type: bool
  add:
    description: Names of clients that are to have a key made on this host. One that is there already keeps its key.
    type: list
    elements: str
    default: []
  rotate:
    description: Names of clients made on this host that get a new key now. The old one is good for O(grace) seconds.
    type: list
    elements: str
    default: []
  remove:
    description: Names of clients made on this host that are let in no longer.
    type: list
    elements: str
    default: []
  expire:
    description: Names of clients whose old keys end now.
    type: list
    elements: str
    default: []
  grace:
    description: Seconds that the old key of a client stays good after a change.
    type: int
    default: 0
  upstream:
    description:
      - What the gateway sends requests to.
      - The V(engines) of this host are shown their own key, which is made in C(/etc/gpuserve/engine.key) where it is
        missing. Other V(gateways) are shown O(upstream_key), or without one the key of the client.
        V(unchanged) leaves the file as it is.
    type: str
    choices:
      - engines
      - gateways
      - unchanged
    default: unchanged
  upstream_key:
    description: Key that the other gateways ask for.
    type: str
"""

    # what it sends requests to
    UPSTREAMS = r"""
options:
  upstreams:
    description: All upstreams. Left out, they stay as they are.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name, for a replica that of its instance. Without one it is C(host:port).
        type: str
      host:
        description: Host name or address.
        type: str
        default: 127.0.0.1
      port:
        description: Port from 1 to 65535.
        type: int
        required: true
      max_conns:
        description: Requests that it has under way at most; further ones go to another. V(0) is any number.
        type: int
        default: 0
"""
