# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Weights read into the kernel's memory while the old process still serves, so that the new one finds them there."""

from __future__ import annotations

import glob
import os

CHUNK = 16 * 2**20
SHARE = 0.8  # of the memory that is free or can be freed; files beyond it would push each other out


def available_bytes(meminfo: str = "/proc/meminfo") -> int:
    """What the kernel can give without swapping, pages of files included; 0 where it does not say."""
    try:
        with open(meminfo, encoding="ascii") as handle:
            for line in handle:
                name, _colon, value = line.partition(":")
                if name == "MemAvailable":
                    return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def read_ahead(directory: str, meminfo: str = "/proc/meminfo") -> str:
    """Read the weights of a model; returns what was done. Never an error: the engine reads them itself if need be."""
    try:
        sizes = {path: os.path.getsize(path) for path in sorted(glob.glob(f"{glob.escape(directory)}/*.safetensors"))}
        whole = sum(sizes.values())
        room = int(available_bytes(meminfo) * SHARE)
        if whole > room:
            return f"left out, {whole / 2**30:.1f} GiB of weights do not fit into {room / 2**30:.1f} GiB of memory"
        for path in sizes:
            with open(path, "rb", buffering=0) as handle:
                while handle.read(CHUNK):
                    pass
    except OSError as exc:
        return f"left out, {exc}"
    return f"{whole / 2**30:.1f} GiB"
