#!/usr/bin/env bash
# lint.sh: every check that reads the project without running it.
set -euo pipefail
. "$(dirname "$0")/common.sh"

scripts() { # shell scripts by their first line, whatever their name
    project_files | xargs -0 grep -lZIE -m1 '^#!.*\b(ba)?sh\b|^# shellcheck shell=' -- | while IFS= read -r -d '' file; do
        if head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b|^# shellcheck shell='; then printf '%s\0' "$file"; fi
    done
}
syntax() { scripts | xargs -0 -n 1 bash -n; }
shell_style() { scripts | xargs -0 shellcheck --external-sources --source-path=SCRIPTDIR; }
types() { # by package name: by path mypy would see each file under two names
    MYPYPATH=$ROOT/.venv/collections mypy --strict -p ansible_collections.gpuserve.inference.plugins.module_utils
}
yaml() { project_files '*.yml' '*.yaml' '.yamllint' '.ansible-lint' | xargs -0 yamllint --strict; }
docs() { (cd "$COLLECTION" && antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all --skip-rstcheck .); }
changelog() { (cd "$COLLECTION" && antsibull-changelog lint); }
headers() { # each source file says its licence
    local bad
    bad=$(project_files 'plugins/**.py' 'tests/**.py' 'benchmarks/**.py' 'tools/*.py' | xargs -0 grep -L 'SPDX-License-Identifier: GPL-3.0-or-later\|GNU General Public License v3.0+')
    [ -z "$bad" ] || { echo "no licence header in:"; echo "$bad"; return 1; }
}
words() { # a package registry is the host's choice; names of one machine do not belong in a project
    local found
    found=$(project_files | xargs -0 grep -nIE 'pyp[i]\.[a-z]|pythonhost[e]d|download\.pytorc[h]|registry\.npmj[s]|(^|[^a-zA-Z0-9_.-])/wor[k]/' -- || true)
    [ -z "$found" ] || { echo "$found"; echo "registry host names and machine paths do not belong in the project"; return 1; }
}

git rev-parse --git-dir >/dev/null 2>&1 || { echo "lint: run it in a git checkout (git init makes one)" >&2; exit 1; }
# it takes two thirds of the time, on one core
check_beside "ansible-lint" tools/ansible_lint.sh
check "ruff" ruff check --quiet --output-format concise .
check "mypy --strict" types
check "yamllint" yaml
check "bash -n" syntax
check "shellcheck" shell_style
check "licence headers" headers
check "words" words
check "role tables" python tools/role_readme.py --check
check "antsibull-changelog" changelog
check "antsibull-docs" docs
collect
finish lint
