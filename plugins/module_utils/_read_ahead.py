# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Weights read into the kernel's memory while the old process still serves, so that the new one finds them there."""

from __future__ import annotations

import glob
import os

from ansible_collections.gpuserve.inference.plugins.module_utils import _host

CHUNK = 16 * 2**20
SHARE = 0.8  # of the memory that is free or can be freed; files beyond it would push each other out


def read_ahead(directory: str, proc: str = "/proc") -> str:
    """Read the weights of a model; returns what was done. Never an error: the engine reads them itself if need be."""
    try:
        sizes = {path: os.path.getsize(path) for path in sorted(glob.glob(f"{glob.escape(directory)}/*.safetensors"))}
        whole = sum(sizes.values())
        room = int(_host.memory(proc)["available_bytes"] * SHARE)
        if whole > room:
            return f"left out, {whole / 2**30:.1f} GiB of weights do not fit into {room / 2**30:.1f} GiB of memory"
        for path in sizes:
            with open(path, "rb", buffering=0) as handle:
                while handle.read(CHUNK):
                    pass
    except OSError as exc:
        return f"left out, {exc}"
    return f"{whole / 2**30:.1f} GiB"
