#!/usr/bin/env bash
# engine.sh [MODEL...]: starts the real CPU engine on models of a few layers, and compares its KV cache with the planner's.
# ENGINE_PYTHON names the interpreter of an environment with vLLM's CPU build; without it one is made from the role's
# newest lock in .cache/engine (a minute or two, once), from the indexes that pip is configured to use.
set -euo pipefail
. "$(dirname "$0")/common.sh"
mkdir -p "$ROOT/.cache/engine" "$ROOT/.cache/opt/cache/uv"

python=${ENGINE_PYTHON:-}
if [ -z "$python" ]; then
    tools/deps.sh test
    lock=$(find roles/vllm/files/locks -name 'vllm-*-cpu.txt' | sort -V | tail -n 1)
    version=$(basename "$lock" -cpu.txt)
    home=$ROOT/.cache/engine/vllm
    # built as the role builds it, by the collection's own module; pip's settings say from where
    with_python=$(command -v python3.11 || command -v python)
    arguments="path='$home' lock=\"{{ lookup('ansible.builtin.file', '$ROOT/$lock') }}\" python='$with_python'"
    # the downloads are those of the test machines, which have this directory as /opt/gpuserve
    arguments+=" uv='$(command -v uv)' cache_dir='$ROOT/.cache/opt/cache/uv'"
    arguments+=" aliases=\"{{ [{'name': 'vllm', 'version': '${version#vllm-}+cpu'}] }}\""
    ansible localhost -m gpuserve.inference.python_env -a "$arguments" >"$ROOT/.cache/engine.log" ||
        { tail -n 20 "$ROOT/.cache/engine.log"; exit 1; }
    python=$home/bin/python
fi
PYTHONPATH=$ROOT/.venv/collections:$PYTHONPATH "$python" -W ignore tests/engine/kv_blocks.py "$@" 2>"$ROOT/.cache/engine.log" || {
    tail -n 20 "$ROOT/.cache/engine.log"
    exit 1
}
echo "engine: passed in $SECONDS s"
