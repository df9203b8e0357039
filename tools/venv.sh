#!/usr/bin/env bash
# venv.sh [base|test]: builds .venv, or leaves it as it is where nothing changed since.
#   base  Ansible and the libraries the collection uses
#   test  that, and every tool the gates run
set -euo pipefail
cd "$(dirname "$0")/.."

level=${1:-base}
requirements=(tests/requirements-controller.txt)
[ "$level" = base ] || requirements+=(tests/requirements-{lint,unit,molecule,docs}.txt)

# the place is part of the stamp, because the scripts in bin/ name their interpreter by full path
wanted() { { pwd; cat "${requirements[@]}" tests/constraints.txt; } | sha256sum | cut -d' ' -f1; }

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

stamp=.venv/.stamp-$level
hash=$(wanted)
current=$(version .venv/bin/python)
# without PYTHON an environment that works is kept, whichever interpreter it was made with
python=${PYTHON:-.venv/bin/python}
if [ -n "$current" ] && [ "$(version "$python")" = "$current" ]; then
    [ "$(cat "$stamp" 2>/dev/null)" != "$hash" ] || exit 0
else
    current=
fi

started=$SECONDS
tools/deps.sh python
if [ -z "$current" ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(tools/python.sh)
    echo ".venv: new environment with $python"
    rm -rf .venv
    "$python" -m venv .venv
fi
rm -f .venv/.stamp-*
echo ".venv: installing the pinned packages ($level)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # the pinned uv, which installs the rest
    .venv/bin/python -m pip install --disable-pip-version-check --no-input -c tests/constraints.txt uv || return 1
    # shellcheck disable=SC2046 # one -r a file
    tools/pip.sh .venv -c tests/constraints.txt $(printf -- '-r %s ' "${requirements[@]}")
}
if ! install >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "venv: pip could not install the pinned packages (its last words are above); is a package index reachable? See: pip config list" >&2
    exit 1
fi

# Ansible finds the collection by name; the link makes the working tree that collection
mkdir -p .venv/collections/ansible_collections/gpuserve
ln -sfn ../../../.. .venv/collections/ansible_collections/gpuserve/inference
if [ "$level" = test ]; then
    echo "$hash" >"$stamp"
    requirements=(tests/requirements-controller.txt)
    stamp=.venv/.stamp-base
    hash=$(wanted)
fi
echo "$hash" >"$stamp"
echo ".venv: ready in $((SECONDS - started)) s; use it with: . .venv/bin/activate"
