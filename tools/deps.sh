#!/usr/bin/env bash
# deps.sh GROUP...: makes sure that the Debian or Ubuntu packages of these groups are there.
#   python   an interpreter that can make virtual environments
#   test     what the unit tests compile with
#   machine  what boots the throwaway systemd machines of the demo and of molecule
# As root it installs what is missing; otherwise it says in one line what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

# apt's locks do not wait for each other, and gates run side by side
mkdir -p .cache
exec 9>.cache/deps.lock
flock 9

missing=()
need() { command -v "$1" >/dev/null || missing+=("${@:2}"); } # COMMAND PACKAGE...

for group in "$@"; do
    case $group in
        python)
            if python=$(tools/python.sh 2>/dev/null); then
                # Debian splits the bundled pip off into a package of its own
                "$python" -c 'import ensurepip, venv' 2>/dev/null ||
                    missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
            elif [ -z "${PYTHON:-}" ]; then # an interpreter named by hand is not replaced
                if command -v python3 >/dev/null; then missing+=(python3.11 python3.11-venv); else missing+=(python3 python3-venv); fi
            fi
            ;;
        test) need gcc gcc libc6-dev; need git git ;;
        machine) tests/machines/machine deps ;;
        *) echo "deps.sh: unknown group '$group' (python, test, machine)" >&2; exit 2 ;;
    esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]} (Debian's names); install them with this system's package manager" >&2
    exit 1
elif [ "$(id -u)" -ne 0 ]; then
    echo "missing packages; run: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install ${missing[*]} (its last words are above)" >&2
    exit 1
fi
