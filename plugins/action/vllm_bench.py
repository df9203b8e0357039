# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import json
import shlex
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.gpuserve.inference.plugins.plugin_utils._tell_progress import printable

PAUSES_S = (1.0, 2.0, 5.0)  # the last one again and again; a look costs the host one shell, not a Python
PATIENCE_S = 540.0  # without a connection: less than the time after which the host gives up


class ActionModule(ActionBase):
    """Begins the measurement on the host, tells each run as it ends, and bears a connection lost for a while."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        wait = args.get("state", "measured") == "measured" and not self._task.check_mode
        if wait:
            args["background"] = True
        result: dict[str, Any] = self._execute_module(module_args=args, task_vars=task_vars)
        if not wait or result.get("failed") or "job" not in result:
            return result
        return {"changed": False, **self._follow(result["job"], (task_vars or {}).get("inventory_hostname", ""))}

    def _follow(self, where: str, host: str) -> dict[str, Any]:
        told, answered = 0, time.monotonic()
        pauses = itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1]))
        while True:
            time.sleep(next(pauses))
            state = self._look(where)
            now = time.monotonic()
            if state is not None:
                answered = now
                for line in state["lines"][told:]:
                    Display().display(f"{host}: {printable(line)}")
                told = len(state["lines"])
                if state["result"] is not None:
                    found: dict[str, Any] = state["result"]
                    return found
            elif now - answered > PATIENCE_S:
                raise AnsibleConnectionFailure(
                    f"the host was not reached for {PATIENCE_S:.0f} s while it was measured; run the playbook again"
                )

    def _look(self, where: str) -> dict[str, Any] | None:
        """None where the host does not answer, or nobody works there any more without having told a result."""
        folder = shlex.quote(where)
        # first whether it goes on, then how far it is: what has ended by then has told all
        look = (
            f"touch {folder}/beat && {{ flock -n {folder}/lock true && word=ended || word=on; }} && "
            f'cat {folder}/state.json && echo " $word"'
        )
        try:
            said = self._low_level_execute_command(look)
        except AnsibleConnectionFailure:
            self._connection.close()
            return None
        text, _newline, last = said["stdout"].rstrip().rpartition("}")
        try:
            state: dict[str, Any] = json.loads(text + "}")
        except ValueError:
            if "No such file" not in said["stderr"]:
                return None
            state, last = {"lines": [], "result": None}, "ended"  # the host was started anew
        if state["result"] is None and last.strip() == "ended":
            state["result"] = {"failed": True, "msg": "the measurement was ended on the host before it was done"}
        return state
