#!/usr/bin/env bash
# unit.sh [pytest's options or paths]: the unit tests with plain pytest, from the path by which Ansible knows the collection.
set -euo pipefail
. "$(dirname "$0")/common.sh"

tools/deps.sh test
cd "$COLLECTION"
PYTHONPATH=$ROOT/.venv/collections python -m pytest -q "$@"
echo "unit: passed in $SECONDS s"
