#!/usr/bin/env bash
# core.sh CORE PYTHON COPY: the collection in COPY under another release of ansible-core than the pinned one: sanity tests
# of what Ansible loads, unit tests of modules, plugins and roles' specs, and the syntax of every playbook.
# core.sh CORE PYTHON: only the environment for that is made.
# core.sh CORE --python: the interpreter that would be used here, if any. core.sh CORE --needs: which would do.
# The environments are kept in .cache/cores.
set -euo pipefail
. "$(dirname "$0")/common.sh"

core=$1
case $core in
    2.18) pythons=(3.11 3.12 3.13) ;;
    2.21) pythons=(3.13 3.12 3.14) ;; # its controllers need 3.12
    *) echo "core.sh: unknown release '$core' (2.18, 2.21)" >&2; exit 2 ;;
esac
case $2 in
    --needs) echo "Python ${pythons[*]}"; exit 0 ;;
    --python)
        for version in "${pythons[@]}"; do
            # a shim of pyenv may stand for an interpreter that is not chosen here; the real one is asked for its name
            for found in "python$version" ~/.pyenv/versions/"$version".*/bin/"python$version"; do
                "$found" -c 'import ensurepip, sys; print(sys.executable)' 2>/dev/null && exit 0
            done
        done
        exit 1
        ;;
esac
python=$2

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
env=$ROOT/.cache/cores/$core-py$version
needs=("ansible-core==$core.*" nvidia-ml-py huggingface_hub PyYAML -r "$ROOT/tests/requirements-unit.txt")
stamp=$(cat "$ROOT/tests/constraints.txt" "$ROOT/tests/requirements-unit.txt" "$ROOT/tools/core.sh" | sha256sum)
if [ "$(cat "$env/.stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$env"
    "$python" -m venv "$env"
    # each release of ansible-core has a resolvelib of its own
    grep -vE '^(ansible-core|resolvelib)==' "$ROOT/tests/constraints.txt" >"$env/constraints.txt"
    tools/pip.sh "$env" -c "$env/constraints.txt" "${needs[@]}"
    echo "$stamp" >"$env/.stamp"
fi
[ $# -gt 2 ] || exit 0
copy=$3
export PATH=$env/bin:$PATH
gate_home "$env/home"
export HOME=$env/home ANSIBLE_HOME=$copy/home ANSIBLE_COLLECTIONS_PATH=$copy PIP_QUIET=1
unset ANSIBLE_CONFIG
ansible --version | sed -n 1p
cd "$copy/ansible_collections/gpuserve/inference"
git init -q . && git add -A # ansible-test asks git for the files

ansible-test sanity --test validate-modules --test action-plugin-docs --test runtime-metadata --test ignores \
    --python "$version" --color no
# what the core says of each bad value is the same under every release
refusals=tests/unit/plugins/action/test_bad_input.py
PYTHONPATH=$copy:$PYTHONPATH python -m pytest -q -n 2 --dist loadfile tests/unit/plugins/modules tests/unit/plugins/action tests/unit/plugins/filter \
    tests/unit/test_collection --deselect "$refusals::test_model_info_refuses_each_in_one_line" \
    --deselect "$refusals::test_topology_plan_refuses_each_in_one_line"
printf '[gpu]\nexample ansible_connection=local\n' >"$copy/hosts.ini"
books=()
for book in playbooks/*.yml; do
    book=${book##*/}
    books+=("gpuserve.inference.${book%.yml}")
done
ansible-playbook --inventory "$copy/hosts.ini" --syntax-check "${books[@]}"
