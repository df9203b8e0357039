#!/usr/bin/env bash
# build.sh: builds the collection into build/, checks what the archive holds, installs it elsewhere and uses it there.
set -euo pipefail
. "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ANSIBLE_HOME=$work/home # nothing of the user's, and no other collection of theirs
export ANSIBLE_COLLECTIONS_PATH=$work/installed
unset ANSIBLE_CONFIG
archive() { ls build/gpuserve-inference-*.tar.gz; }

build() {
    rm -rf build && mkdir build
    export_collection "$work/source"
    ansible-galaxy collection build --force --output-path build "$work/source/ansible_collections/gpuserve/inference"
}
contents() { # what a user needs, and nothing of the workshop
    local list bad must missing=""
    list=$(tar --list --file "$(archive)")
    bad=$(grep -E '(^|/)(\.(git|venv|cache|ansible|ci|mypy_cache|ruff_cache|pytest_cache)[^/]*/?|__pycache__|build/|tests/output|tools/|molecule/|benchmarks/)|\.pyc$|\.tar\.gz$' <<<"$list" || true)
    [ -z "$bad" ] || { echo "does not belong in the archive:"; echo "$bad"; return 1; }
    for must in README.md LICENSE LICENSES/GPL-3.0-or-later.txt MANIFEST.json meta/runtime.yml meta/execution-environment.yml \
        requirements.txt bindep.txt plugins/modules/topology_plan.py roles/vllm/meta/argument_specs.yml playbooks/site.yml; do
        grep -qxF "$must" <<<"$list" || missing+=" $must"
    done
    [ -z "$missing" ] || { echo "missing in the archive:$missing"; return 1; }
}
install_it() { ansible-galaxy collection install --no-deps --offline --pre -p "$work/installed" "$(archive)"; }
plugins_listed() { # each module and filter documents itself from the installed copy
    local name names
    names=$(cd plugins/modules && for name in [!_]*.py; do echo "gpuserve.inference.${name%.py}"; done)
    # shellcheck disable=SC2086 # one name a word
    (cd "$work" && ansible-doc --type module --json $names >/dev/null && ansible-doc --type filter --json gpuserve.inference.topology_plan >/dev/null)
}
playbooks_parse() {
    local book
    cd "$work" && printf '[gpu]\nexample ansible_connection=local\n' >hosts.ini
    for book in "$ROOT"/playbooks/*.yml; do
        book=${book##*/}
        ansible-playbook --inventory hosts.ini --syntax-check "gpuserve.inference.${book%.yml}" || return 1
    done
}
module_runs() { # the planner's own small example, answered by the installed copy
    cd "$work" && ansible localhost -m gpuserve.inference.gpu_info | grep -E 'SUCCESS|libnvidia-ml|driver'
}
execution_environment() { # ansible-builder takes the definition of the guide, and finds what the collection needs
    local found line
    cd "$work"
    awk '/^    version: 3$/ { on = 1 } on && /^[^ ]/ { exit } on { print substr($0, 5) }' \
        "$ROOT/docs/docsite/rst/guide_automation.rst" >definition.yml
    ansible-builder create --file definition.yml --context "$work/context"
    grep -q 'gpuserve.inference' "$work/context/_build/requirements.yml" || return 1
    found=$(ansible-builder introspect --sanitize "$work/installed")
    while read -r line; do
        grep -qF -- "$line" <<<"$found" || { echo "ansible-builder does not find: $line"; echo "$found"; return 1; }
    done < <(grep -hv '^#' "$ROOT/requirements.txt" "$ROOT/bindep.txt")
}
importer() { # what Galaxy and Automation Hub check on upload
    local log
    cp "$(archive)" "$work/"
    cd "$work"
    log=$(GALAXY_IMPORTER_RUN_ANSIBLE_LINT=false GALAXY_IMPORTER_CHECK_REQUIRED_TAGS=true \
        python -m galaxy_importer.main "$(basename "$work"/*.tar.gz)" 2>&1) || { echo "$log"; return 1; }
    if grep -E '^(ERROR|CRITICAL)|WARNING' <<<"$log"; then echo "$log"; return 1; fi
}

check "build" build
check "archive" contents
check "galaxy-importer" importer
check "install" install_it
check "ansible-doc" plugins_listed
check "ansible-builder" execution_environment
check "module" module_runs
check "playbooks by name" playbooks_parse
[ ${#FAILED[@]} -gt 0 ] || echo "  $(archive) ($(stat -c %s "$(archive)") bytes)"
finish build
