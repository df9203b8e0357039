# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The matrix: what a model is written down as, and what a tensor parallel rank keeps of it.

The ways to share follow vLLM's ``model_executor/layers/linear.py`` and ``vocab_parallel_embedding.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

COPY = "copy"  # every rank has all of it
COLUMN = "column"  # outputs (rows) are shared out
ROW = "row"  # inputs (columns) are shared out
HEADS = "heads"  # outputs are shared out by heads or groups; a rank has at least one
VOCAB = "vocab"  # rows are padded to a multiple of 64, then shared out
VOCAB_STEP = 64  # DEFAULT_VOCAB_PADDING_SIZE


@dataclass(frozen=True)
class Part:
    """``count`` equal matrices of ``rows`` x ``cols`` (or vectors, rows 1). Only linear ones can be quantized."""

    name: str
    group: str
    rows: int
    cols: int
    count: int = 1
    linear: bool = True
    shard: str = COPY
    pieces: int = 0  # how many heads or groups ``rows`` holds
    fuse: str = ""  # the one allocation vLLM merges it into
    element: int = 0  # bytes an element where that is not the model's dtype
    extra: bool = False  # not in the checkpoint: vLLM adds it
    unloaded: bool = False  # in the checkpoint only
    copied_before: int = 0  # vLLM releases before this one (0.x) do not share it out
    before: int = 0  # only vLLM releases before this one (0.x) make it
    unpacked: str = ""  # a copy that vLLM makes only if the matrix of this name is quantized

    @property
    def size(self) -> int:
        return self.rows * self.cols * self.count

    def on_rank(self, tp: int) -> tuple[int, int]:
        """(rows, columns) of one of its matrices on a rank. Vectors are shared out along their columns."""
        rows, cols = self.rows, self.cols
        if self.shard == ROW:
            return rows, -(-cols // tp)
        size = cols if rows == 1 else rows
        if self.shard == VOCAB:
            size = -(-size // VOCAB_STEP) * VOCAB_STEP
        if self.shard == HEADS and self.pieces:
            size = size // self.pieces * max(1, -(-self.pieces // tp))
        elif self.shard in (COLUMN, VOCAB):
            size = -(-size // tp)
        return (1, size) if rows == 1 else (size, cols)


def vector(name: str, group: str, size: int, shard: str = COPY, pieces: int = 0, element: int = 0) -> Part:
    return Part(name, group, 1, size, linear=False, shard=shard, pieces=pieces, element=element)
