# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What PyTorch's CUDA allocator counts as allocated for a list of tensors: more than their bytes.

vLLM logs this count ("Model loading took ..."). Rules of PyTorch's ``c10/cuda/CUDACachingAllocator.cpp``, with the
``max_split_size_mb:20`` that vLLM sets while it loads (``v1/worker/gpu_worker.py``, load_model): blocks of 20 MiB and
more are never split, so a tensor counts as the whole block it gets.
"""

from __future__ import annotations

import bisect
from typing import Iterable

MIB = 1024**2
SMALLEST = 512
SMALL = MIB  # up to here tensors share 2 MiB segments
MEDIUM = 10 * MIB  # up to here they share segments of 20 MiB
SEGMENT = 20 * MIB
STEP = 2 * MIB  # larger ones get a segment of their own, rounded up
UNSPLIT = 20 * MIB  # max_split_size, and how much larger a reused block may be


class Allocator:
    def __init__(self) -> None:
        self.allocated = 0
        self._free: list[int] = []  # sizes of free large blocks, ascending

    def take(self, size: int) -> int:
        """Allocate; returns the block's size."""
        size = -(-size // SMALLEST) * SMALLEST
        if size <= SMALL:
            self.allocated += size
            return size
        block = self._block(size)
        if size < UNSPLIT and block - size > SMALL:
            bisect.insort(self._free, block - size)
            block = size
        self.allocated += block
        return block

    def give(self, block: int) -> None:
        self.allocated -= block
        if block > SMALL:
            bisect.insort(self._free, block)

    def _block(self, size: int) -> int:
        at = bisect.bisect_left(self._free, size)
        if at < len(self._free):
            best = self._free[at]
            if (size < UNSPLIT and best < UNSPLIT) or (size >= UNSPLIT and best < size + UNSPLIT):
                return self._free.pop(at)
        return SEGMENT if size < MEDIUM else -(-size // STEP) * STEP


def allocated(before: Iterable[int], tables: Iterable[int], after: Iterable[int], widening: int = 2) -> int:
    """Bytes counted for tensors of these sizes, in this order.

    Making each of ``tables`` (rotary angles) leaves free blocks behind: angles, cosines and sines of half its elements,
    then their union, all in float32, ``widening`` times as wide as the table's dtype. The table itself is the last
    conversion: it may already take a block of the first three (``rotary_embedding/base.py``).
    """
    memory = Allocator()
    for size in before:
        memory.take(size)
    for size in tables:
        half = size * widening // 2
        used = [memory.take(part) for part in (half, half, half)]
        union = memory.take(2 * half)
        for block in used:
            memory.give(block)
        if widening > 1:
            memory.take(size)
            memory.give(union)
    for size in after:
        memory.take(size)
    return memory.allocated
