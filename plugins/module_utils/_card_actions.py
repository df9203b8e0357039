# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What mends a sick card, from the least to the most."""

from __future__ import annotations

from typing import Iterable

NONE = "none"
RESTART_APPLICATION = "restart_application"
DRAIN_AND_RESET = "drain_and_reset"
REBOOT = "reboot"
REPLACE = "replace"
ACTIONS = (NONE, RESTART_APPLICATION, DRAIN_AND_RESET, REBOOT, REPLACE)


def worst_action(actions: Iterable[str]) -> str:
    """The one that answers all of them."""
    return max(actions, key=ACTIONS.index, default=NONE)
