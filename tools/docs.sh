#!/usr/bin/env bash
# docs.sh: the collection's documentation as a site of static pages in build/docs. Warnings are errors, and nothing is
# asked of the network.
set -euo pipefail
. "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$work/source
site=$ROOT/build/docs
mkdir -m 0755 "$source"

pages() { # a page of each plugin and role, the guides, and an index of them
    ANSIBLE_COLLECTIONS_PATH=$ROOT/.venv/collections antsibull-docs collection --use-current --squash-hierarchy \
        --fail-on-error --dest-dir "$source" gpuserve.inference
    cp -r "$ROOT/tools/docs/." "$ROOT/docs/docsite/images" "$source"
    # the sidebar has room for names, not for whole titles, and the collection is written in small letters
    sed -i -E -e 's/^    (\w+)_(module|filter|role)$/    \1 \2 <\1_\2>/' -e 's/^Gpuserve\.Inference$/gpuserve.inference/' \
        "$source/index.rst"
}
html() { # -W: every warning ends it
    sphinx-build -q -W --keep-going -j auto -b html -d "$work/doctrees" "$source" "$work/site"
}
complete() { # a module, filter, role or guide without a page would not be missed otherwise
    local name
    for name in plugins/modules/[!_]*.py plugins/filter/[!_]*.py roles/*/ docs/docsite/rst/*.rst; do
        case $name in
            plugins/modules/*) name=$(basename "$name" .py)_module ;;
            plugins/filter/*) name=$(basename "$name" .py)_filter ;;
            roles/*) name=$(basename "$name")_role ;;
            *) name=docsite/$(basename "$name" .rst) ;;
        esac
        [ -s "$work/site/$name.html" ] || { echo "there is no page $name.html"; return 1; }
    done
}
keep() {
    mkdir -p "$ROOT/build"
    rm -rf "$site"
    mv "$work/site" "$site"
}

check "antsibull-docs" pages
check "sphinx -W" html
check "a page for each" complete
[ ${#FAILED[@]} -gt 0 ] || { keep; echo "  $site/index.html"; }
finish docs
