#!/usr/bin/env bash
# engine.sh [MODEL...]: starts the real CPU engine on models of a few layers, and compares its KV cache with the planner's.
# ENGINE_PYTHON names the interpreter of an environment with vLLM's CPU build; without it one is made from the role's
# newest lock in .cache/engine (a few minutes, once). UV_* and ENGINE_UV_ARGS (say "--torch-backend cpu") are uv's.
set -euo pipefail
. "$(dirname "$0")/common.sh"

python=${ENGINE_PYTHON:-}
if [ -z "$python" ]; then
    tools/deps.sh test
    lock=$(find roles/vllm/files/locks -name 'vllm-*-cpu.txt' | sort -V | tail -n 1)
    home=$ROOT/.cache/engine/$(basename "$lock" .txt)-$(sha256sum "$lock" | cut -c 1-12)
    python=$home/bin/python
    if [ ! -e "$home/.complete" ]; then
        uv venv --quiet --clear --python 3.11 "$home"
        read -r -a more <<<"${ENGINE_UV_ARGS:---torch-backend cpu}"
        uv pip install --quiet --python "$python" --require-hashes --no-deps "${more[@]}" -r "$lock"
        touch "$home/.complete"
    fi
fi
PYTHONPATH=$ROOT/.venv/collections "$python" -W ignore tests/engine/kv_blocks.py "$@" 2>"$ROOT/.cache/engine.log" || {
    tail -n 20 "$ROOT/.cache/engine.log"
    exit 1
}
echo "engine: passed in $SECONDS s"
