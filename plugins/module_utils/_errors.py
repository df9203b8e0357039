# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Typed errors of the core. Each message is one line: the value, what is allowed, what to do."""

from __future__ import annotations

from typing import Any

LONGEST = 4000  # characters of a message; a root cause from a log may be long


class GpuserveError(Exception):
    """Base of every error the core raises on purpose; str(error) is shown to the operator as it is.

    Names and values of files and hosts go into messages: whatever they hold, a message stays one printable line.
    """

    def __init__(self, message: str = "") -> None:
        line = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in str(message)[: 2 * LONGEST])
        super().__init__(line if len(line) <= LONGEST else line[:LONGEST] + "...")


class InputError(GpuserveError):
    """A value the operator gave cannot be used."""


class ProbeError(GpuserveError):
    """The host's GPUs cannot be read although the host has some (driver missing, mismatched, not answering)."""


class ModelError(GpuserveError):
    """The model cannot be read, or is refused (unknown architecture, pickled weights, missing files)."""


class PlanError(GpuserveError):
    """No topology can serve the model as asked. ``candidates`` holds the rejected ones with their reasons."""

    def __init__(self, message: str, candidates: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates


class EngineError(GpuserveError):
    """A vLLM instance did not start, answer or stop as it should; the message carries the root cause."""


class InstallError(GpuserveError):
    """The engine or a tool environment could not be installed."""


class WriteError(GpuserveError, OSError):
    """A file of this host could not be written; what was there is still there."""
