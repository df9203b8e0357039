# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""How the core runs other programs, and the way it does so where there is no Ansible."""

from __future__ import annotations

import os
import subprocess
from typing import Callable

# (argv) -> (exit status, stdout, stderr); AnsibleModule.run_command has this shape
Run = Callable[[list[str]], tuple[int, str, str]]

MISSING = 127
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def find_sbin() -> None:
    """Modules are run with a user's PATH at times, on which nginx and its like are not."""
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def local_run(words: list[str], timeout: float = 300.0) -> tuple[int, str, str]:
    """Run a program to its end; a status as a shell gives it where there is none, or it takes too long."""
    environment = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":" + _SBIN}
    try:
        done = subprocess.run(words, capture_output=True, timeout=timeout, check=False, env=environment)
    except FileNotFoundError:
        return MISSING, "", f"{words[0]} is not there"
    except subprocess.TimeoutExpired:
        return 124, "", f"{words[0]} did not end within {timeout:.0f} s"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
