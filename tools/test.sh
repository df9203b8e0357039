#!/usr/bin/env bash
# test.sh: the gates in order. Stops at the first that fails; the table at the end says where the time went.
set -uo pipefail
. "$(dirname "$0")/common.sh"

stages=(lint unit engine sanity build molecule)
declare -A result
failed=""
for stage in "${stages[@]}"; do
    echo "== $stage"
    started=$SECONDS
    if make --no-print-directory "$stage" ARGS= SCENARIOS=; then verdict=passed; else verdict=FAILED failed=$stage; fi
    result[$stage]=$(printf '%-8s %5d s' "$verdict" $((SECONDS - started)))
    [ -z "$failed" ] || break
done

echo
for stage in "${stages[@]}"; do printf '%-10s %s\n' "$stage" "${result[$stage]:-not run}"; done
if [ -n "$failed" ]; then
    echo "test: FAILED at $failed after $SECONDS s; again with: make $failed"
    exit 1
fi
echo "test: passed in $SECONDS s"
