#!/usr/bin/env bash
# demo.sh: a throwaway systemd machine with two simulated GPUs becomes an OpenAI-compatible endpoint, and is asked a
# question. demo.sh clean: removes the machine and what it kept for the next time.
# GPUSERVE_DEMO_PORT (default: the first free one from 8000) is the endpoint's port on 127.0.0.1.
set -euo pipefail
. "$(dirname "$0")/common.sh"

NAME=demo
MACHINE=$ROOT/tests/machines/machine
export GPUSERVE_CACHE=${GPUSERVE_CACHE:-$ROOT/.cache}
KEEP=$GPUSERVE_CACHE/demo

[ "$(id -u)" = 0 ] || { echo "demo: it boots a machine, which needs root: sudo make $([ "${1:-}" = clean ] && echo demo-clean || echo demo)"; exit 1; }

if [ "${1:-}" = clean ]; then
    "$MACHINE" destroy "$NAME"
    rm -rf "$KEEP" "$GPUSERVE_CACHE/opt" "$GPUSERVE_CACHE/apt"
    # the Debian root is shared with the tests; it goes with the last machine
    [ -n "$("$MACHINE" status | tail -n +2)" ] || "$MACHINE" clean
    rmdir "$GPUSERVE_CACHE" 2>/dev/null || true
    echo "demo: nothing is left of it (.venv stays; 'make clean' removes that too)"
    exit 0
fi

step() { printf '\n\033[1m== %3d s  %s\033[0m\n' "$SECONDS" "$*"; }

free_port() { # FROM COUNT: the first of COUNT free neighbouring ports
    local port=$1 n
    while :; do
        for ((n = 0; n < $2; n++)); do
            ! (exec 3<>"/dev/tcp/127.0.0.1/$((port + n))") 2>/dev/null || { port=$((port + n + 1)); continue 2; }
        done
        echo "$port"
        return
    done
}

discard() { # its engines need no time to finish their work
    "$MACHINE" ssh "$NAME" systemctl kill --signal=KILL 'vllm@*' >/dev/null 2>&1 </dev/null || true
    "$MACHINE" destroy "$NAME"
}

step "a machine: Debian with systemd, two simulated RTX 5090"
discard
"$MACHINE" build
mkdir -p "$KEEP" "$GPUSERVE_CACHE/opt" "$GPUSERVE_CACHE/apt" # what is downloaded is kept, and shared with the tests
python3 tests/fixtures/tiny_model/make.py "$KEEP/tiny-llama"
"$MACHINE" boot "$NAME" --gpus rtx5090x2 --bind-ro "$KEEP/tiny-llama:/srv/models/tiny-llama" \
    --bind "$GPUSERVE_CACHE/opt:/opt/gpuserve" --bind "$GPUSERVE_CACHE/apt:/var/cache/apt/archives"
"$MACHINE" inventory "$NAME" >"$KEEP/inventory.yml"
PORT=${GPUSERVE_DEMO_PORT:-$(free_port 8000 4)}
cat >"$KEEP/settings.yml" <<SETTINGS
# the settings of the demo: what an operator would put into the inventory
vllm_model: /srv/models/tiny-llama
vllm_rehearsal: true # the cards are simulated, so the processor does their work
vllm_base_port: $((PORT + 1))
gateway_listen: 127.0.0.1:$PORT
gateway_status_listen: 127.0.0.1:$((PORT + 3))
gateway_replica_header: true
SETTINGS
export ANSIBLE_DISPLAY_SKIPPED_HOSTS=false
play() { ansible-playbook -i "$KEEP/inventory.yml" -e "@$KEEP/settings.yml" "$@"; }

step "the plan, nothing is changed yet: ansible-playbook gpuserve.inference.plan"
play gpuserve.inference.plan

step "the same for real: ansible-playbook gpuserve.inference.site"
play gpuserve.inference.site

step "a question through the gateway, with the key that the machine made for itself"
key() { "$MACHINE" ssh "$NAME" "awk '\$1 == \"default\" {print \$2}' /etc/gpuserve/gateway/clients" </dev/null; }
KEY=$(key)
export KEY
ask() { # prints the answer; who gave it goes to $KEEP/served-by
    python3 - "http://127.0.0.1:$PORT/v1/chat/completions" "$KEEP/served-by" <<'PYTHON'
import json, os, sys, urllib.request
body = {"model": "tiny-llama", "messages": [{"role": "user", "content": "Who serves me?"}], "max_tokens": 16}
request = urllib.request.Request(sys.argv[1], json.dumps(body).encode(), {
    "Content-Type": "application/json", "Authorization": "Bearer " + os.environ["KEY"]})
with urllib.request.urlopen(request, timeout=60) as answer:
    open(sys.argv[2], "w").write(answer.headers["X-Served-By"] or "")
    print(json.dumps(json.load(answer), indent=2))
PYTHON
}
ask
echo "(the model is 1 MB of random weights, so the words mean nothing; the engine that made them is the real one)"

step "both replicas answer in turn"
replicas=()
for n in 1 2 3 4; do
    ask >/dev/null
    replica=$(cat "$KEEP/served-by")
    echo "request $n was answered by $replica"
    replicas+=("$replica")
done
[ "$(printf '%s\n' "${replicas[@]}" | sort -u | wc -l)" = 2 ] || { echo "demo: only one replica answered"; exit 1; }

step "done. Where to look next"
cat <<NEXT
  the key               tests/machines/machine ssh demo cat /etc/gpuserve/gateway/clients
  the endpoint          curl -H 'Authorization: Bearer KEY' http://127.0.0.1:$PORT/v1/models
  its health            curl http://127.0.0.1:$((PORT + 3))/health
  its state             .venv/bin/ansible-playbook -i ${KEEP#"$ROOT"/}/inventory.yml -e @${KEEP#"$ROOT"/}/settings.yml gpuserve.inference.verify
  the other topology    the same with gpuserve.inference.site and -e vllm_topology=tensor_parallel
  inside                tests/machines/machine ssh demo systemctl status 'vllm@*' nginx
  the plan on the host  tests/machines/machine ssh demo cat /etc/gpuserve/plan.json
  your own servers      README.md
  remove all of it      make demo-clean
NEXT
