#!/usr/bin/env bash
# molecule.sh [SCENARIO...]: runs molecule scenarios (without arguments all that are gates) and ends with one line that counts
# them. MOLECULE_COMMAND=converge (or another) replaces the whole test sequence.
# Named scenarios run one after another. All of them run in two lanes side by side: those with real engines in one; the
# others in the other, with a machine, ports and downloads of its own, whose words follow when both are done. The first lane
# helps with what is left of them when its own are done. What measures real engines under load comes last and alone.
# MOLECULE_LANES=1 puts all into one lane, MOLECULE_LANES=2 named ones into two.
set -uo pipefail
. "$(dirname "$0")/common.sh"

# name them to run them. faults takes a quarter of an hour, and what it does most is done to real engines in data_parallel
# too; switch plays what the others play, on engines that it has started anyway
ON_DEMAND='faults security tensor_parallel'
LIGHT='fleet rolling bad_input supply monitoring benchmark' # no engine, or the stand-in; the longest first
ALONE=' data_parallel fleet '                  # real engines whose load is what the idle machine can carry
LANES_NEED_GIB=8                               # two real engines of 2.3 GiB, a small machine, and two Ansibles

scenarios=("$@")
lanes=${MOLECULE_LANES:-1}
if [ ${#scenarios[@]} -eq 0 ]; then
    lanes=${MOLECULE_LANES:-2}
    # rolling starts an engine fifteen times; real ones are replaced under load in data_parallel
    export GPUSERVE_TEST_STANDIN=${GPUSERVE_TEST_STANDIN-1}
    # one server of each kind; ten by FLEET_HOSTS, or where fleet is named
    [ "${FLEET_ENGINE:-}" = vllm ] || export FLEET_HOSTS=${FLEET_HOSTS:-6}
    for config in molecule/*/molecule.yml; do
        [ -e "$config" ] || { echo "molecule: no scenario under molecule/"; exit 0; }
        config=${config%/molecule.yml} scenario=${config#molecule/}
        [[ " $ON_DEMAND " == *" $scenario "* ]] || scenarios+=("$scenario")
    done
fi
# without the stand-in, these have real engines too
[ -n "${GPUSERVE_TEST_STANDIN:-}" ] || LIGHT='fleet bad_input supply benchmark'
[ "${FLEET_ENGINE:-}" != vllm ] || LIGHT=${LIGHT/fleet/}
if [ "$lanes" = 2 ] && [ "$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)" -lt "$LANES_NEED_GIB" ]; then
    echo "molecule: less than $LANES_NEED_GIB GiB of memory are free, so scenarios run one after another"
    lanes=1
fi
tools/deps.sh test machine || exit 1

# the working tree is the collection under test, whatever is installed elsewhere
export ANSIBLE_COLLECTIONS_PATH=$ROOT/.venv/collections
cd "$COLLECTION" || exit 1
mkdir -p "$ROOT/.cache/molecule"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

play() { # SCENARIO: all of it, or what is left of one that was set up before
    local rc=0
    if [ ! -e "$work/set-up.$1" ]; then
        molecule "${MOLECULE_COMMAND:-test}" --scenario-name "$1"
        return
    fi
    { [ -s "$work/set-up.$1" ] && molecule verify --scenario-name "$1" && molecule side-effect --scenario-name "$1"; } || rc=1
    molecule destroy --scenario-name "$1" && return "$rc"
}
set_up() { # SCENARIO: its machine and what is to serve there, for play
    : >"$work/set-up.$1"
    echo "-- $1: set up while the other lane ends"
    molecule destroy --scenario-name "$1" && molecule converge --scenario-name "$1" && echo ready >"$work/set-up.$1"
}
lane() { # FILE SCENARIO...: a line for each in FILE
    local file=$1 scenario started
    shift
    for scenario in "$@"; do
        # both lanes take from the second's scenarios, each once
        [[ " ${second[*]} " != *" $scenario "* ]] || mkdir "$work/of.$scenario" 2>/dev/null || continue
        [ -e "molecule/$scenario/molecule.yml" ] || { echo "molecule: no scenario '$scenario' under molecule/"; echo "failed $scenario 0" >>"$file"; continue; }
        echo "-- $scenario"
        started=$SECONDS
        if play "$scenario"; then
            echo "passed $scenario $((SECONDS - started))" >>"$file"
            echo "-- $scenario: passed in $((SECONDS - started)) s"
        else
            echo "failed $scenario $((SECONDS - started))" >>"$file"
            echo "-- $scenario: FAILED after $((SECONDS - started)) s"
        fi
    done
}

first=() second=() last=()
for scenario in "${scenarios[@]}"; do
    if [ "$lanes" != 2 ]; then first+=("$scenario")
    elif [[ " $LIGHT " == *" $scenario "* ]]; then second+=("$scenario")
    elif [[ $ALONE == *" $scenario "* ]]; then last+=("$scenario")
    else first+=("$scenario"); fi
done
# in the order of LIGHT
[ ${#second[@]} -eq 0 ] || mapfile -t second < <(for scenario in $LIGHT; do [[ " ${second[*]} " != *" $scenario "* ]] || echo "$scenario"; done)
touch "$work/first" "$work/second"
beside=
if [ ${#second[@]} -gt 0 ]; then
    # the root that all machines share is made once
    tests/machines/machine build || exit 1
    (
        export GPUSERVE_TEST_MACHINE=molecule-two GPUSERVE_TEST_PORT=28000 GPUSERVE_TEST_KEEP=$ROOT/.cache/two
        lane "$work/second" "${second[@]}"
    ) >"$work/output" 2>&1 </dev/null &
    beside=$!
fi
lane "$work/first" "${first[@]}"
if [ -n "$beside" ]; then
    # monitoring removes what is below /opt/gpuserve at its end, the engine of those that are still to come too
    GPUSERVE_TEST_KEEP=$ROOT/.cache/help lane "$work/first" "${second[@]}"
    # only what it measures needs the idle machine
    [ -n "${MOLECULE_COMMAND:-}" ] || [ ${#last[@]} -eq 0 ] || set_up "${last[0]}"
    wait "$beside"
    echo "-- the other lane: $(awk '{ print $2 }' "$work/second" | xargs)"
    cat "$work/output"
fi
lane "$work/first" "${last[@]}"

awk '{ printf "-- %-16s %s %5d s\n", $2, $1, $3 }' "$work/first" "$work/second"
passed=$(cat "$work/first" "$work/second" | grep -c '^passed')
failed=$(cat "$work/first" "$work/second" | awk '$1 == "failed" { print $2 }' | xargs)
missing=$((${#scenarios[@]} - passed - $(wc -w <<<"$failed")))
[ "$missing" -eq 0 ] || failed+=" and $missing that did not end"
echo "molecule: $passed passed, $((${#scenarios[@]} - passed)) failed${failed:+ ($failed)}, $SECONDS s"
[ "$passed" -eq ${#scenarios[@]} ]
