#!/usr/bin/env bash
# run.sh [FIGURE...]: sets up a machine with two replicas (setup.sh), measures, removes it. REPEATS, MINUTES and KEEP=1
# (leave the machine) change that; GPUSERVE_TEST_MACHINE and GPUSERVE_TEST_PORT choose another machine and ports.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=benchmarks/reliability
export PATH=$PWD/.venv/bin:$PATH ANSIBLE_CONFIG=$PWD/ansible.cfg
name=${GPUSERVE_TEST_MACHINE:-reliability}
[ "${KEEP:-}" = 1 ] || trap '$here/setup.sh down' EXIT
$here/setup.sh up
roll=()
if [ -e playbooks/rolling_update.yml ]; then
    # a variable that says nothing makes a release that differs
    roll=(--roll-command "ansible-playbook -i $($here/setup.sh inventory) gpuserve.inference.rolling_update
        -e '{\"vllm_environment\": {\"GPUSERVE_ROLL\": \"{number}\"}}'")
fi
python $here/figures.py "$@" --url "http://127.0.0.1:${GPUSERVE_TEST_PORT:-18000}" \
    --reach "tests/machines/machine ssh $name" --repeats "${REPEATS:-3}" --minutes "${MINUTES:-10}" "${roll[@]}" \
    --json .cache/reliability/results.json
