#!/usr/bin/env bash
# unit.sh [pytest's options or paths]: the unit tests with plain pytest, from the path by which Ansible knows the collection.
set -euo pipefail
. "$(dirname "$0")/common.sh"

tools/deps.sh test
cd "$COLLECTION"
# Tests are independent of each other, and those of a file share what is dear to make. A worker more than cores: some tests
# wait for a clock. A single test is not worth the workers.
workers=(-n "$(($(nproc) + 1))" --dist loadfile)
[ $# -eq 0 ] || workers=()
PYTHONPATH=$ROOT/.venv/collections:$PYTHONPATH python -m pytest -q "${workers[@]}" "$@"
echo "unit: passed in $SECONDS s"
