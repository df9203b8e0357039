#!/usr/bin/env bash
# test.sh: all gates. Stops at the first that fails; the table at the end says where the time went.
# sanity runs beside engine, build and the beginning of molecule, since none of them keeps two cores busy; its words follow
# theirs. So does the root of molecule's machines, which is mostly downloaded.
set -uo pipefail
. "$(dirname "$0")/common.sh"

stages=(lint unit engine build sanity molecule)
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

stage lint
stage unit
if [ -z "$failed" ]; then
    beside=$(mktemp)
    { tools/deps.sh machine && tests/machines/machine build; } >"$beside.root" 2>&1 & # molecule waits for it, and tells why
    root=$!
    (
        started=$SECONDS rc=0
        run sanity >"$beside" 2>&1 || rc=$?
        echo "$rc $((SECONDS - started))" >"$beside.rc"
    ) &
    sanity=$!
    trap 'kill "$sanity" "$root" 2>/dev/null; rm -f "$beside" "$beside.rc" "$beside.root"' EXIT
    stage engine
    stage build
    wait "$root"
    stage molecule
    echo "== sanity (it ran beside engine, build and molecule)"
    wait "$sanity"
    cat "$beside"
    read -r rc took <"$beside.rc" || { rc=1 took=0; }
    judge sanity "$rc" "$took"
    trap - EXIT
    rm -f "$beside" "$beside.rc" "$beside.root"
fi

echo
for stage in "${stages[@]}"; do printf '%-10s %s\n' "$stage" "${result[$stage]:-not run}"; done
if [ -n "$failed" ]; then
    echo "test: FAILED at $failed after $SECONDS s; again with: make $failed"
    exit 1
fi
echo "test: passed in $SECONDS s"
