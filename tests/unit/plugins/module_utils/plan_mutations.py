# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans with one value gone wrong: what the table and the page must survive."""

from __future__ import annotations

import copy
from typing import Any, Callable, Iterator

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

WRONG = (
    None, "", "text", "<script>alert(1)</script>", "\x1b[31m\x00\u202e\ud800", "n" * 5000, -1, 0, 10**30, 1e308,
    float("nan"), float("inf"), True, [], {}, [None], {"a": {"b": []}},
)  # fmt: skip


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a plan; of a list only the first item, as the others are alike."""
    if here:
        yield here
    if isinstance(value, dict):
        for key in value:
            yield from paths(value[key], (*here, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*here, 0))


def mutations(plan: Any) -> Iterator[tuple[str, Any]]:
    """Each place once with each wrong value, and once gone."""
    for path in paths(plan):
        for wrong in (*WRONG, KeyError):
            changed = copy.deepcopy(plan)
            place = changed
            for step in path[:-1]:
                place = place[step]
            if wrong is not KeyError:
                place[path[-1]] = wrong
            else:
                del place[path[-1]]
            yield f"{'.'.join(map(str, path))} = {wrong!r:.30}", changed


def rendered(render: Callable[[Any], str], plan: Any) -> tuple[str, str]:
    """What it shows, and the error where it shows nothing."""
    try:
        return render(plan), ""
    except InputError as error:
        return "", str(error)


def is_one_clear_line(error: str, who: str) -> bool:
    return error.startswith(f"{who}: ") and len(error) < 200 and "\n" not in error
