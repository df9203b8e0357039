# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Where the kernel's log is on this host: the journal, else dmesg."""

from __future__ import annotations

from typing import Callable, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

# Of every line only what is read; "--dmesg" is this boot's.
JOURNAL = "journalctl --dmesg --boot --no-pager --quiet --output=json --output-fields=MESSAGE,SYSLOG_IDENTIFIER".split()


def read_kernel_log(run: Run, which: Callable[[str], Optional[str]]) -> tuple[str, list[str], str]:
    """``journal``, ``dmesg`` or ``none``, the lines, and why there are none."""
    why = []
    for source, command in (("journal", JOURNAL), ("dmesg", ["dmesg"])):
        path = which(command[0])
        if path is None:
            why.append(f"{command[0]} is not there")
            continue
        code, out, said = run([path, *command[1:]])
        if not code and out.strip():  # a container's journal has nothing of the kernel
            return source, out.splitlines(), ""
        why.append(f"{command[0]}: {(said.strip().splitlines() or ['it has no lines of the kernel'])[-1]}")
    return "none", [], "; ".join(why)
