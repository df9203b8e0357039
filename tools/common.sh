# shellcheck shell=bash disable=SC2034,SC2119,SC2120
# Sourced by the gates: where they are, and how they say so.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
ROOT=$PWD
COLLECTION=$ROOT/.venv/collections/ansible_collections/gpuserve/inference
export PATH=$ROOT/.venv/bin:$PATH
export ANSIBLE_CONFIG=$ROOT/ansible.cfg
export PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$ROOT/tools/rare_gc${PYTHONPATH:+:$PYTHONPATH}
# releases of ansible-core that are promised beside the pinned one (tools/core.sh)
CORES='2.18 2.21'

# Every file of the project as it stands, committed or not; NUL-separated, for xargs -0 and tar --null.
project_files() { # [PATTERN...]
    git ls-files -z --cached --others --exclude-standard -- "$@" | while IFS= read -r -d '' file; do
        if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
    done
}

# A clean copy of the project under the path by which Ansible knows a collection, whatever the checkout is called.
export_collection() { # DIR: makes DIR/ansible_collections/gpuserve/inference
    local target=$1/ansible_collections/gpuserve/inference
    mkdir -p "$target"
    project_files | tar --null --files-from=- --create --file=- | tar --extract --file=- --directory="$target"
}

# Runs one check quietly; its output appears only where it fails. A check that is a function ends at its first error,
# so this must not itself be called where bash ignores errors (in a condition).
FAILED=()
check() { # NAME COMMAND...
    local name=$1 started=$EPOCHREALTIME output rc
    shift
    set +e
    output=$(set -e; "$@" 2>&1)
    rc=$?
    set -e
    told "$name" "$rc" "$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')" "$output"
}
told() { # NAME RC SECONDS OUTPUT
    if [ "$2" -eq 0 ]; then
        printf '  ok    %-26s %6s s\n' "$1" "$3"
    else
        printf '  FAIL  %-26s %6s s\n' "$1" "$3"
        printf '%s\n' "$4" | sed 's/^/        /'
        FAILED+=("$1")
    fi
}

# The same beside what follows; it is told by `collect`, which must come before `finish`.
BESIDE=() BESIDE_PIDS=() BESIDE_DIR=
check_beside() { # NAME COMMAND...
    local name=$1 dir
    shift
    [ -n "$BESIDE_DIR" ] || BESIDE_DIR=$(mktemp -d)
    dir=$BESIDE_DIR/${#BESIDE[@]}
    mkdir "$dir"
    (
        started=$EPOCHREALTIME
        set +e
        (set -e; "$@") >"$dir/output" 2>&1
        echo $? >"$dir/rc"
        awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }' >"$dir/took"
    ) &
    BESIDE_PIDS+=($!)
    BESIDE+=("$name")
}
collect() {
    local number
    for number in "${!BESIDE[@]}"; do
        wait "${BESIDE_PIDS[number]}" || true
        # without a verdict it was killed
        told "${BESIDE[number]}" "$(cat "$BESIDE_DIR/$number/rc" 2>/dev/null || echo 1)" \
            "$(cat "$BESIDE_DIR/$number/took" 2>/dev/null || echo '?')" "$(cat "$BESIDE_DIR/$number/output")"
    done
    rm -rf "$BESIDE_DIR"
    BESIDE=() BESIDE_PIDS=() BESIDE_DIR=
}

# The closing line of a gate, and its exit status.
finish() { # GATE
    if [ ${#FAILED[@]} -eq 0 ]; then
        echo "$1: passed in $SECONDS s"
    else
        echo "$1: FAILED in $SECONDS s: ${FAILED[*]}"
        exit 1
    fi
}

# A home for ansible-test, which keeps an environment for each sanity test there: they are there the next time, and the user's
# home stays clean. pip's settings stay the user's.
gate_home() { # DIR
    local name pip
    mkdir -p "$1/.ansible/test/cache" "$1/.cache"
    for name in .config .pip .netrc .cache/pip; do
        if [ -e "${HOME:?}/$name" ]; then ln -sfn "$HOME/$name" "$1/$name"; fi
    done
    # It fetches a bootstrap script of pip, unless its cache has one. The one put there uses the pip that comes with Python,
    # so nothing but pip's own index is needed.
    pip=$(python -c '
import sys, types
from ansible_test._internal.python_requirements import get_venv_packages
version = "%d.%d" % sys.version_info[:2]
print(get_venv_packages(types.SimpleNamespace(version=version))["pip"].replace(".", "_"))')
    echo 'import ensurepip; ensurepip.bootstrap(default_pip=True)' >"$1/.ansible/test/cache/get_pip_$pip.py"
}
