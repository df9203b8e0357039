#!/usr/bin/env bash
# sanity.sh: ansible-test's sanity tests and unit tests, over a clean copy and without containers.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# ansible-test makes an environment for each sanity test and fetches a pip bootstrap script for them, unless its cache
# has one. The one put there uses the pip that comes with Python, so nothing but pip's own index is needed. A home of
# its own keeps these environments for the next run and the user's home clean; pip's settings stay the user's.
home=$ROOT/.cache/ansible-test
mkdir -p "$home/.ansible/test/cache" "$home/.cache"
for name in .config .pip .netrc .cache/pip; do
    if [ -e "${HOME:?}/$name" ]; then ln -sfn "$HOME/$name" "$home/$name"; fi
done
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
pip=$(python -c "
import types
from ansible_test._internal.python_requirements import get_venv_packages
print(get_venv_packages(types.SimpleNamespace(version='$version'))['pip'].replace('.', '_'))")
echo 'import ensurepip; ensurepip.bootstrap(default_pip=True)' >"$home/.ansible/test/cache/get_pip_$pip.py"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export_collection "$copy"
export HOME=$home ANSIBLE_COLLECTIONS_PATH=$copy
cd "$copy/ansible_collections/gpuserve/inference"
unset ANSIBLE_CONFIG # it belongs to work from the checkout
export PIP_QUIET=1

# what galaxy.yml leaves out is no part of the collection; ruff and shellcheck read it in the lint gate
workshop=(--exclude molecule/ --exclude benchmarks/ --exclude tests/machines/ --exclude tests/engine/ --exclude tests/truth/
    --exclude tools/)
check "ansible-test sanity" ansible-test sanity "${workshop[@]}" --python "$version" --color no "$@"
# the oldest Python of managed hosts (tests/config.yml), where this machine has one
if python3.9 -c '' 2>/dev/null; then
    check "sanity on Python 3.9" ansible-test sanity --test compile --test import --python 3.9 --color no
fi
[ $# -gt 0 ] || check "ansible-test units" ansible-test units --python "$version" --color no
finish sanity
