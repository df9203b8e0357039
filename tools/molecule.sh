#!/usr/bin/env bash
# molecule.sh [SCENARIO...]: runs molecule scenarios one after another (without arguments all that are gates) and ends with
# one line that counts them. MOLECULE_COMMAND=converge (or another) replaces the whole test sequence.
set -uo pipefail
. "$(dirname "$0")/common.sh"

# takes a quarter of an hour: name it to run it. What it does most is done to real engines in data_parallel too.
ON_DEMAND='faults'

scenarios=("$@")
if [ ${#scenarios[@]} -eq 0 ]; then
    # rolling starts an engine fifteen times; real ones are replaced under load in data_parallel
    export GPUSERVE_TEST_STANDIN=${GPUSERVE_TEST_STANDIN-1}
    for config in molecule/*/molecule.yml; do
        [ -e "$config" ] || { echo "molecule: no scenario under molecule/"; exit 0; }
        config=${config%/molecule.yml} scenario=${config#molecule/}
        [[ " $ON_DEMAND " == *" $scenario "* ]] || scenarios+=("$scenario")
    done
fi
tools/deps.sh test machine || exit 1

# the working tree is the collection under test, whatever is installed elsewhere
export ANSIBLE_COLLECTIONS_PATH=$ROOT/.venv/collections
passed=() failed=()
cd "$COLLECTION" || exit 1
for scenario in "${scenarios[@]}"; do
    [ -e "molecule/$scenario/molecule.yml" ] || { echo "molecule: no scenario '$scenario' under molecule/"; failed+=("$scenario"); continue; }
    echo "-- $scenario"
    started=$SECONDS
    if molecule "${MOLECULE_COMMAND:-test}" --scenario-name "$scenario"; then
        passed+=("$scenario")
        echo "-- $scenario: passed in $((SECONDS - started)) s"
    else
        failed+=("$scenario")
        echo "-- $scenario: FAILED after $((SECONDS - started)) s"
    fi
done
echo "molecule: ${#passed[@]} passed, ${#failed[@]} failed${failed[*]:+ (${failed[*]})}, $SECONDS s"
[ ${#failed[@]} -eq 0 ]
