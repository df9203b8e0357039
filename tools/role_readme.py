# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the variable tables of roles/*/README.md from meta/argument_specs.yml.

The table stands between two marker lines; where a README has none yet, it is appended. ``--check`` only compares.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- BEGIN variables: written by `make readme` from meta/argument_specs.yml -->"
END = "<!-- END variables -->"


def markup(text: Any) -> str:
    """Ansible's documentation markup, as far as it occurs in role specs, in Markdown on one line of a table."""
    paragraphs = text if isinstance(text, list) else [text or ""]
    line = " ".join(" ".join(str(p).split()) for p in paragraphs)
    line = re.sub(r"\bL\(([^,()]+),\s*([^)]+)\)", r"[\1](\2)", line)
    line = re.sub(r"\b[UI]\(([^)]*)\)", r"\1", line)
    line = re.sub(r"\bB\(([^)]*)\)", r"**\1**", line)
    line = re.sub(r"\b[COVEMP]\(([^)]*)\)", r"`\1`", line)
    return line.replace("|", "\\|")


def default_of(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{text}`".replace("|", "\\|")


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = str(option.get("type", "str"))
        if kind == "list" and option.get("elements"):
            kind = f"list of {option['elements']}"
        text = markup(option.get("description"))
        if option.get("choices"):
            text += " Choices: " + ", ".join(f"`{c}`" for c in option["choices"]) + "."
        yield f"| `{prefix}{name}` | {kind} | {default_of(option)} | {text} |"
        yield from rows(option.get("options") or {}, f"{prefix}{name}.")


def table(role: Path) -> str:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    out = []
    for entry, spec in specs.items():
        options = spec.get("options") or {}
        if len(specs) > 1:
            out += [f"### Entry point `{entry}`", "", markup(spec.get("short_description")), ""]
        if not options:
            out += ["It takes no variables.", ""]
            continue
        out += ["| Variable | Type | Default | Meaning |", "|---|---|---|---|", *rows(options), ""]
    return "\n".join([BEGIN, "", *out, END])


def with_table(readme: str, new: str) -> str:
    before, begin, rest = readme.partition(BEGIN)
    if not begin:
        return readme.rstrip() + "\n\n## Variables\n\n" + new + "\n"
    _old, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{END!r} is missing after {BEGIN!r}")
    return before + new + after


def main(argv: list[str]) -> int:
    check = "--check" in argv
    stale = []
    for spec in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        role = spec.parent.parent
        readme = role / "README.md"
        old = readme.read_text(encoding="utf-8") if readme.exists() else f"# Role `gpuserve.inference.{role.name}`\n"
        new = with_table(old, table(role))
        if new == old and readme.exists():
            continue
        stale.append(str(readme.relative_to(ROOT)))
        if not check:
            readme.write_text(new, encoding="utf-8")
    for path in stale:
        print(f"{path}: variable table {'is stale, run: make readme' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
