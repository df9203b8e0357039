# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _systemd


@pytest.mark.parametrize(
    ("active", "file", "todo"),
    [
        ("active", "enabled", True),
        ("inactive", "enabled", True),
        ("failed", "disabled", True),
        ("inactive", "disabled", False),
        ("inactive", "", False),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_retire(active, file, todo, check):
    ran = []

    def run(words):
        ran.append(words[1:])
        return 0, f"ActiveState={active}\nUnitFileState={file}\n", ""

    assert _systemd.retire(run, "a.timer", check) is todo
    assert (["disable", "--now", "--quiet", "a.timer"] in ran) is (todo and not check)
