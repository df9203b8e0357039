#!/usr/bin/env bash
# test.sh: all gates. Stops at the first that fails; the table at the end says where the time went.
# build and sanity run beside molecule, for what it leaves of the cores; their words and verdicts follow its own.
# What `make engine` does is done in molecule's cpu_serving, in the environment that the role installs there. What later
# gates download and install is made beside lint and unit, where a core is idle; where that fails, the gate that needs it
# tries again and tells why.
set -uo pipefail
. "$(dirname "$0")/common.sh"

stages=(lint unit build sanity molecule)
declare -A result
failed=""
judge() { # STAGE RC SECONDS
    local verdict=passed
    [ "$2" -eq 0 ] || verdict=FAILED failed="${failed:-$1}"
    result[$1]=$(printf '%-8s %5d s' "$verdict" "$3")
}
stage() { # STAGE
    local started=$SECONDS rc=0
    [ -z "$failed" ] || return 0
    echo "== $1"
    make --no-print-directory "$1" ARGS= SCENARIOS= || rc=$?
    judge "$1" "$rc" $((SECONDS - started))
}

gently() { # COMMAND...: in a session of its own, since kernels that group processes by session have priorities for those only
    setsid sh -c '{ echo 19 >/proc/self/autogroup; } 2>/dev/null; exec nice -n 19 "$@"' gently "$@" &
    # shellcheck disable=SC2064 # this child
    trap "kill -- -$! 2>/dev/null" TERM
    wait "$!"
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
tools/venv.sh test || exit 1 # its uv makes the others
beside cores
stage lint
stage unit
if [ -z "$failed" ]; then
    wait "${made[@]}"
    made=()
    (
        for stage in build sanity; do
            started=$SECONDS rc=0
            gently make --no-print-directory "$stage" ARGS= >"$work/$stage" 2>&1 || rc=$?
            echo "$rc $((SECONDS - started))" >"$work/$stage.rc"
            [ "$rc" -eq 0 ] || break
        done
    ) &
    made=($!)
    stage molecule
    wait "${made[0]}"
    for stage in build sanity; do
        [ -e "$work/$stage" ] || break
        echo "== $stage (it ran beside molecule)"
        cat "$work/$stage"
        read -r rc took <"$work/$stage.rc" || { rc=1 took=0; }
        judge "$stage" "$rc" "$took"
    done
    made=()
fi

echo
for stage in "${stages[@]}"; do printf '%-10s %s\n' "$stage" "${result[$stage]:-not run}"; done
if [ -n "$failed" ]; then
    echo "test: FAILED at $failed after $SECONDS s; again with: make $failed"
    exit 1
fi
echo "test: passed in $SECONDS s"
