# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook run for real, in a directory of its own and with nobody's settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import COLLECTIONS


def run_play(folder: Path, *words: str) -> str:
    """``words`` of ansible-playbook, which works in ``folder``; what it said. It must succeed."""
    (folder / "ansible.cfg").touch()
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", *words],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
