#!/usr/bin/env bash
# python.sh: prints the interpreter for .venv: $PYTHON where set, else the first suitable one on PATH.
set -euo pipefail

suitable() { # the range in which the pinned ansible-core runs as a controller
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    suitable "$PYTHON" && command -v "$PYTHON" && exit 0
    echo "PYTHON=$PYTHON cannot be used: ansible-core needs Python 3.11, 3.12 or 3.13" >&2
    exit 1
fi
for name in python3.11 python3 python3.12 python3.13; do
    suitable "$name" && command -v "$name" && exit 0
done
echo "no Python 3.11, 3.12 or 3.13 on PATH; install one, or name it with PYTHON=/path/to/python" >&2
exit 1
