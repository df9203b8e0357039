# shellcheck shell=bash disable=SC2034,SC2119,SC2120
# Sourced by the gates: where they are, and how they say so.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
ROOT=$PWD
COLLECTION=$ROOT/.venv/collections/ansible_collections/gpuserve/inference
export PATH=$ROOT/.venv/bin:$PATH
export ANSIBLE_CONFIG=$ROOT/ansible.cfg
export PYTHONDONTWRITEBYTECODE=1

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
    local name=$1 started=$EPOCHREALTIME output rc took
    shift
    set +e
    output=$(set -e; "$@" 2>&1)
    rc=$?
    set -e
    took=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    if [ "$rc" -eq 0 ]; then
        printf '  ok    %-22s %6s s\n' "$name" "$took"
    else
        printf '  FAIL  %-22s %6s s\n' "$name" "$took"
        printf '%s\n' "$output" | sed 's/^/        /'
        FAILED+=("$name")
    fi
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
