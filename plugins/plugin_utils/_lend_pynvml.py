# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is PRIVATE to the collection.
"""Lends the controller's pynvml to a host that has NVML but no binding for it, so that a bare host can be looked at."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from ansible.plugins.action import ActionBase

NONE_TO_LEND = (
    "the host has NVML but no pynvml, and the controller's Python has none to lend: "
    "pip install nvidia-ml-py on the controller"
)


def controllers_pynvml() -> str | None:
    """The path of the controller's pynvml.py; nvidia-ml-py is that one file, an old "pynvml" is a folder."""
    try:
        spec = importlib.util.find_spec("pynvml")
    except (ImportError, ValueError):
        return None
    origin = spec.origin if spec else None
    return origin if origin and os.path.basename(origin) == "pynvml.py" and os.path.isfile(origin) else None


class LendPynvml(ActionBase):
    """Runs ``MODULE``, and once more with pynvml beside it where the host has none."""

    MODULE: str

    def _none_to_lend(self, result: dict[str, Any], text: str) -> None:
        result["msg"] = text

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        result.update(self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars))
        if not result.get("pynvml_missing"):
            return result

        source = controllers_pynvml()
        if source is None:
            self._none_to_lend(result, NONE_TO_LEND)
            return result
        # The connection's own temporary directory: whoever runs the task removes it afterwards.
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        directory = self._connection._shell.tmpdir
        remote = self._connection._shell.join_path(directory, "pynvml.py")
        self._transfer_file(source, remote)
        self._fixup_perms2((directory, remote), execute=False)
        args["pynvml_path"] = [directory]
        lent: dict[str, Any] = self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)
        return lent
