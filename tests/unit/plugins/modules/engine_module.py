# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calling a module's main() with arguments, in this process."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any
from unittest import mock

from ansible.module_utils import basic


def _given(args: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
    try:
        from ansible.module_utils.testing import patch_module_args
    except ImportError:  # ansible-core 2.18
        return mock.patch.object(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode())
    return patch_module_args(args)


def call(module: Any, args: dict[str, Any], check_mode: bool = False) -> dict[str, Any]:
    """What the module returns; ``failed`` is among it where it failed."""
    said = io.StringIO()
    with _given({**args, "_ansible_check_mode": check_mode}), contextlib.redirect_stdout(said):
        try:
            module.main()
        except SystemExit:
            pass
    return json.loads(said.getvalue().strip().splitlines()[-1])
