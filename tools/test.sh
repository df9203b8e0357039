#!/usr/bin/env bash
# test.sh: all gates. Stops at the first that fails; the table at the end says where the time went.
# sanity runs beside build and the beginning of molecule, since none of them keeps two cores busy; its words follow theirs.
# What `make engine` does is done in molecule's cpu_serving, in the environment that the role installs there. What later
# gates download and install is made beside lint and unit, where a core is idle; where that fails, the gate that needs it
# tries again and tells why.
set -uo pipefail
. "$(dirname "$0")/common.sh"

stages=(lint unit build sanity molecule)
declare -A result
failed=""
run() { make --no-print-directory "$1" ARGS= SCENARIOS=; }
judge() { # STAGE RC SECONDS
    local verdict=passed
    [ "$2" -eq 0 ] || verdict=FAILED failed="${failed:-$1}"
    result[$1]=$(printf '%-8s %5d s' "$verdict" "$3")
}
stage() { # STAGE
    local started=$SECONDS rc=0
    [ -z "$failed" ] || return 0
    echo "== $1"
    run "$1" || rc=$?
    judge "$1" "$rc" $((SECONDS - started))
}

made=() work=$(mktemp -d)
trap 'kill "${made[@]}" 2>/dev/null; rm -rf "$work"' EXIT
beside() { "$@" >"$work/words" 2>&1 </dev/null & made+=($!); }
root() { tools/deps.sh machine && nice tests/machines/machine build; }
cores() {
    local core python
    for core in $CORES; do
        if python=$(tools/core.sh "$core" --python); then nice tools/core.sh "$core" "$python"; fi
    done
}

[ "$(id -u)" -ne 0 ] || beside root
beside cores
stage lint
stage unit
if [ -z "$failed" ]; then
    wait "${made[@]}"
    made=()
    (
        started=$SECONDS rc=0
        run sanity >"$work/sanity" 2>&1 || rc=$?
        echo "$rc $((SECONDS - started))" >"$work/sanity.rc"
    ) &
    made=($!)
    stage build
    stage molecule
    echo "== sanity (it ran beside build and molecule)"
    wait "${made[0]}"
    cat "$work/sanity"
    read -r rc took <"$work/sanity.rc" || { rc=1 took=0; }
    judge sanity "$rc" "$took"
    made=()
fi

echo
for stage in "${stages[@]}"; do printf '%-10s %s\n' "$stage" "${result[$stage]:-not run}"; done
if [ -n "$failed" ]; then
    echo "test: FAILED at $failed after $SECONDS s; again with: make $failed"
    exit 1
fi
echo "test: passed in $SECONDS s"
