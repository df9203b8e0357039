#!/usr/bin/env bash
# pip.sh ENV ARGUMENT...: what `pip install ARGUMENT...` does in the environment ENV, by uv, which takes a quarter of the time.
# uv is asked for no index but those that pip is configured with. Where it fails, pip itself has the last word.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/machines/host-settings.sh
. "$here/../tests/machines/host-settings.sh"

env=$1
shift
read_pip_settings "$env/bin/python"
# what the user set for uv itself stays
given() { # VARIABLE VALUE
    if [ -z "${!1:-}" ] && [ -n "$2" ]; then export "$1=$2"; fi
}
given UV_DEFAULT_INDEX "$(pip_values index-url | sed -n 1p)"
given UV_EXTRA_INDEX_URL "$(pip_values extra-index-url | join)"
given UV_FIND_LINKS "$(pip_values find-links | paste -sd , -)"
given UV_INSECURE_HOST "$(pip_values trusted-host | join)"
given UV_NO_INDEX "$(pip_values no-index | sed -n 's/^\(1\|[Tt]rue\|[Yy]es\|[Oo]n\)$/true/p')"
given SSL_CERT_FILE "$(pip_values cert | sed -n 1p)"
given UV_INDEX_STRATEGY unsafe-best-match # as pip does
given UV_KEYRING_PROVIDER "$(pip_values keyring-provider | grep -x 'subprocess\|disabled' || true)"

uv=$here/../.venv/bin/uv
if [ -x "$uv" ] && "$uv" --quiet pip install --compile-bytecode --python "$env/bin/python" "$@"; then exit 0; fi
exec "$env/bin/python" -m pip install --disable-pip-version-check --no-input "$@"
