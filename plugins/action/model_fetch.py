# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.gpuserve.inference.plugins.plugin_utils._tell_progress import TellProgress


class ActionModule(TellProgress):
    MODULE = "gpuserve.inference.model_fetch"
