#!/usr/bin/env bash
# sanity.sh [ansible-test sanity's options]: ansible-test's sanity tests and unit tests, over a clean copy and without
# containers; then the same collection under the other releases of ansible-core that it promises (tools/core.sh).
set -euo pipefail
. "$(dirname "$0")/common.sh"

home=$ROOT/.cache/ansible-test
gate_home "$home"
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export_collection "$copy"

# the other releases beside this one: neither uses both cores all the time
if [ $# -eq 0 ]; then
    for core in $CORES; do
        export_collection "$copy/$core"
        if python=$(tools/core.sh "$core" --python); then
            check_beside "ansible-core $core, ${python##*/}" tools/core.sh "$core" "$python" "$copy/$core"
        else
            echo "  skip  ansible-core $core: this machine has no Python that runs it ($(tools/core.sh "$core" --needs))"
        fi
    done
fi

export HOME=$home ANSIBLE_COLLECTIONS_PATH=$copy
cd "$copy/ansible_collections/gpuserve/inference"
unset ANSIBLE_CONFIG # it belongs to work from the checkout
export PIP_QUIET=1

# what galaxy.yml leaves out is no part of the collection; ruff and shellcheck read it in the lint gate
workshop=(--exclude molecule/ --exclude benchmarks/ --exclude tests/machines/ --exclude tests/engine/ --exclude tests/truth/
    --exclude tools/)
if [ $# -gt 0 ]; then
    check "ansible-test sanity" ansible-test sanity "${workshop[@]}" --python "$version" --color no "$@"
else
    check "ansible-test sanity" ansible-test sanity "${workshop[@]}" --skip-test pylint --python "$version" --color no
    # half of pylint's time would be the unit tests, which ruff reads in the lint gate
    check "ansible-test pylint" ansible-test sanity "${workshop[@]}" --exclude tests/unit/ --test pylint --python "$version" --color no
fi
# the oldest Python of managed hosts (tests/config.yml), where this machine has one
if python3.9 -c '' 2>/dev/null; then
    check "sanity on Python 3.9" ansible-test sanity --test compile --test import --python 3.9 --color no
fi
# `make unit` ran every test already. What ansible-test does differently matters to the plugins that Ansible loads: its own
# import path, a process for each test. The core imports no Ansible, and the import test above loads it without one. Nor does
# it matter to tests that only start Ansible, which finds the plugins in its own way; other releases run those above.
if [ $# -eq 0 ]; then
    playing=()
    for name in bad_input gpu_info plan_report; do playing+=(--exclude "tests/unit/plugins/action/test_$name.py"); done
    check "ansible-test units" ansible-test units "${playing[@]}" --python "$version" --color no \
        tests/unit/plugins/modules/ tests/unit/plugins/action/ tests/unit/plugins/filter/
fi
collect
finish sanity
