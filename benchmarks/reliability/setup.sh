#!/usr/bin/env bash
# setup.sh [up|down|inventory]: a machine with two real replicas (vLLM's processor engine) behind the gateway, set up by
# the playbook site. GPUSERVE_TEST_MACHINE and GPUSERVE_TEST_PORT name another machine and other ports.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
name=${GPUSERVE_TEST_MACHINE:-reliability}
port=${GPUSERVE_TEST_PORT:-18000}
files=$root/.cache/reliability
machine=$root/tests/machines/machine
export PATH=$root/.venv/bin:$PATH ANSIBLE_CONFIG=$root/ansible.cfg

inventory() {
    mkdir -p "$files"
    cat >"$files/hosts.yml" <<YAML
all:
  hosts:
    $name:
      ansible_host: 127.0.0.1
      ansible_port: $((port - 15710))
      ansible_user: root
      ansible_ssh_private_key_file: $root/.cache/machines/id_ed25519
      ansible_ssh_common_args: -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
      ansible_python_interpreter: /usr/bin/python3
      gateway_listen: 127.0.0.1:$port
      gateway_replica_header: true
      vllm_base_port: $((port + 1))
      vllm_model: /srv/models/tiny-llama
      vllm_rehearsal: true
YAML
}

up() {
    inventory
    # the small model of the tests, with room for a stream of many minutes
    python3 tests/fixtures/tiny_model/make.py "$files/tiny-llama"
    sed -i 's/"max_position_embeddings": 2048/"max_position_embeddings": 524288/' "$files/tiny-llama/config.json"
    sed -i 's/"model_max_length": 2048/"model_max_length": 524288/' "$files/tiny-llama/tokenizer_config.json"
    mkdir -p .cache/opt .cache/apt
    "$machine" destroy "$name"
    "$machine" boot "$name" --port $((port - 15710)) --gpus rtx5090x2 --bind-ro "$files/tiny-llama:/srv/models/tiny-llama" \
        --bind "$root/.cache/opt:/opt/gpuserve" --bind "$root/.cache/apt:/var/cache/apt/archives"
    ansible-playbook -i "$files/hosts.yml" gpuserve.inference.site
}

case ${1:-up} in
    up) up ;;
    down) "$machine" destroy "$name" ;;
    inventory) inventory; echo "$files/hosts.yml" ;;
    *) echo "usage: setup.sh [up|down|inventory]" >&2; exit 2 ;;
esac
