#!/usr/bin/env bash
# ansible_lint.sh: the production profile over a clean copy, so that nothing is installed into, or taken from, the
# user's own collections and caches.
set -euo pipefail
. "$(dirname "$0")/common.sh"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export_collection "$copy"
cd "$copy/ansible_collections/gpuserve/inference"
git init -q . && git add -A   # ansible-lint asks git for the files
export ANSIBLE_COLLECTIONS_PATH=$copy ANSIBLE_HOME=$copy/home
ansible-lint --offline --strict --nocolor -q
