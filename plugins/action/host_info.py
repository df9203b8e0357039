# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.inference.plugins.plugin_utils._lend_pynvml import LendPynvml


class ActionModule(LendPynvml):
    MODULE = "gpuserve.inference.host_info"

    def _none_to_lend(self, result: dict[str, Any], text: str) -> None:
        result["host"]["cards"]["error"] = text
