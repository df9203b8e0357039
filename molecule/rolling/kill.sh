#!/usr/bin/env bash
# kill.sh MARKS COMMAND...: runs a playbook, and ends it with SIGKILL as soon as MARKS names a replica that is being replaced.
set -u
marks=$1
shift
"$@" >/dev/null 2>&1 &
player=$!
for _ in $(seq 1200); do
    kill -0 "$player" 2>/dev/null || { echo "it ended before it could be killed"; exit 1; }
    if $marks | grep -q '"by": "roll"'; then
        kill -KILL "$player"
        echo "killed"
        exit 0
    fi
    sleep 0.2
done
echo "nothing was taken out"
exit 1
