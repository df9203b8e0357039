# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What can be said of an operator's settings without asking a host: one line for each value that cannot be used.

The roles' argument specs give types and choices, ``_settings_rules`` what else is allowed.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, Optional

# set by the roles themselves while they run
FACTS = ("vllm_plan", "vllm_planned_for", "vllm_verified", "vllm_endpoint_line", "gpu_host_look", "gpu_host_probe")
CLOSE = 0.85  # likeness from which a name that nobody reads is a slip

_TRUE_OR_FALSE = ("yes", "no", "on", "off", "true", "false", "y", "n", "t", "f", "1", "0")
_MOST_SHOWN = 120  # characters of a value


@dataclass(frozen=True)
class Rule:
    """``good`` judges a value of the right type (each item of a list where ``each``); ``allowed`` follows "give".

    ``words``: the list may also be text with commas, as `-e NAME=a,b` gives it.
    """

    good: Callable[[Any], bool]
    allowed: str
    each: bool = False
    words: bool = False


@dataclass(frozen=True)
class Together:
    """Settings that do not go together; ``bad`` sees the values of all, defaults included."""

    bad: Callable[[Mapping[str, Any]], bool]
    line: str
    names: tuple[str, ...]


def problems(
    values: Mapping[str, Any],
    specs: Mapping[str, Mapping[str, Any]],
    rules: Mapping[str, Rule],
    together: Iterable[Together] = (),
) -> list[str]:
    """Lines about ``values`` (what the operator set, by name); empty where all can be used."""
    lines = []
    for name, value in values.items():
        if name in specs:
            lines += _value_problems(name, value, specs[name], rules)
    if not lines:
        known = {name: spec.get("default") for name, spec in specs.items()}
        known.update({name: value for name, value in values.items() if name in specs})
        lines = [pair.line for pair in together if set(pair.names) <= set(specs) and pair.bad(known)]
    return lines


def slips(names: Iterable[str], specs: Iterable[str]) -> list[str]:
    """Names like that of a variable which nobody reads, each with the one that was probably meant."""
    known = sorted(specs)
    starts = tuple({re.match(r"gpu_host_|[a-z0-9]+_", name)[0] for name in known})  # type: ignore[index]
    lines = []
    for name in sorted(names):
        if name in known or name in FACTS or not name.startswith(starts):
            continue
        meant = difflib.get_close_matches(name, known, 1, CLOSE)
        if meant:
            lines.append(f"{name} is no variable of this collection; did you mean {meant[0]}?")
    return lines


def is_true(value: Any) -> bool:
    return str(value).strip().lower() in ("yes", "on", "true", "y", "t", "1", "1.0")


def show(value: Any) -> str:
    """A value as JSON on one line, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=True, default=str)
    except (TypeError, ValueError):
        text = json.dumps(str(value))
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 4] + " ..."


def _value_problems(name: str, value: Any, spec: Mapping[str, Any], rules: Mapping[str, Rule]) -> list[str]:
    rule = rules.get(name)
    kind = str(spec.get("type", "str"))
    if value is None:
        return [f"{name} has no value; give {_allowed(spec, rule)}, or remove the line"]
    if rule and rule.words and isinstance(value, str):
        value = [word.strip() for word in value.split(",")]
    if not _is(kind, value) or (spec.get("choices") and str(value) not in [str(c) for c in spec["choices"]]):
        return [_line(name, value, spec, rule)]
    if kind == "list":
        return _item_problems(name, value, spec, rules)
    if rule and not rule.good(value):
        return [_line(name, value, spec, rule)]
    return []


def _item_problems(name: str, items: list[Any], spec: Mapping[str, Any], rules: Mapping[str, Rule]) -> list[str]:
    rule = rules.get(name)
    if rule and not rule.each:
        return [] if rule.good(items) else [_line(name, items, spec, rule)]
    kind = str(spec.get("elements", "str"))
    bad = [item for item in items if item is None or not _is(kind, item) or (rule and not rule.good(item))]
    if bad and spec.get("no_log"):
        allowed = rule.allowed if rule else _kind_words(kind)
        return [f"{len(bad)} of the {len(items)} {name} cannot be used; give {allowed} for each"]
    if bad:
        allowed = rule.allowed if rule else _kind_words(kind)
        return [f"{name} holds {show(bad[0])}; give {allowed} for each"]
    lines = []
    for item in items if spec.get("options") else []:
        lines += _option_problems(name, item, spec["options"], rules)
    return lines


def _option_problems(
    name: str, item: Mapping[str, Any], options: Mapping[str, Any], rules: Mapping[str, Rule]
) -> list[str]:
    lines = []
    for key in item:
        if key not in options:
            lines.append(f"{name} holds {show(item)} with {show(key)}; give {', '.join(sorted(options))} only")
    for key, spec in options.items():
        if key in item:
            lines += _value_problems(f"{name}.{key}", item[key], spec, rules)
        elif spec.get("required"):
            lines.append(f"{name} holds {show(item)} without {key}; give {_allowed(spec, rules.get(f'{name}.{key}'))}")
    return lines


def _line(name: str, value: Any, spec: Mapping[str, Any], rule: Optional[Rule]) -> str:
    if spec.get("no_log"):
        return f"{name} cannot be used; give {_allowed(spec, rule)}"
    return f"{name} is {show(value)}; give {_allowed(spec, rule)}"


def _allowed(spec: Mapping[str, Any], rule: Optional[Rule]) -> str:
    if spec.get("choices"):
        return "one of " + ", ".join(str(choice) for choice in spec["choices"])
    kind = str(spec.get("type", "str"))
    if rule:
        return f"a list, and {rule.allowed} for each" if kind == "list" and rule.each else rule.allowed
    return f"a list of {_kind_words(spec['elements'])}" if kind == "list" and "elements" in spec else _kind_words(kind)


def _kind_words(kind: str) -> str:
    return {
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "list": "a list",
        "dict": "a dictionary (NAME: VALUE)",
        "path": "an absolute path",
    }.get(kind, "text")


def _is(kind: str, value: Any) -> bool:
    """Whether the roles can use ``value`` as ``kind``. Numbers and yes or no may be text: `-e NAME=VALUE` is."""
    if kind == "bool":
        return isinstance(value, bool) or str(value).strip().lower() in _TRUE_OR_FALSE
    if kind == "int":
        return _number(value) is not None and float(value) == int(float(value))
    if kind == "float":
        return _number(value) is not None
    if kind == "list":
        return isinstance(value, (list, tuple))
    if kind == "dict":
        return isinstance(value, Mapping)
    if kind == "path":
        return isinstance(value, str) and is_path(value)
    if kind == "str":
        return isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return True  # raw


def _number(value: Any) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e18 else None  # nor infinite, nor no number


def is_path(text: str) -> bool:
    """Absolute, without steps upwards, and without what a unit file or a shell would take apart."""
    return bool(re.fullmatch(r"/[^\s\"'\\$%;*?\[\]{}|<>&`]*", text)) and ".." not in text.split("/")
