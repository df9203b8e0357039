#!/usr/bin/env python3
"""Each bad input through the real playbook: it must fail with one clear line and leave the host as it was."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

ROOT = os.environ["MOLECULE_PROJECT_DIRECTORY"]
INVENTORY = f"{ROOT}/molecule/shared/inventory.yml"
MACHINE = f"{ROOT}/tests/machines/machine"

HIDE_DRIVER = (
    "mount --bind /srv/fakepci /sys/bus/pci/devices && mv /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1 /srv/ && ldconfig"
)
SHOW_DRIVER = "umount /sys/bus/pci/devices; mv /srv/libnvidia-ml.so.1 /usr/lib/x86_64-linux-gnu/ && ldconfig"
MISMATCH = "cp /etc/fake-nvml.profile /srv/good.profile && printf 'init_error = 18\n' >/etc/fake-nvml.profile"
MATCH = "cp /srv/good.profile /etc/fake-nvml.profile"
BREAK_NGINX = "echo 'nonsense on;' >/etc/nginx/conf.d/own.conf"
MEND_NGINX = "rm /etc/nginx/conf.d/own.conf"

# what the operator wrote, what the last line must say, what the host needs before and after
CASES = [
    ({"vllm_model": "/srv/models/none"}, r"/srv/models/none", None, None),
    ({"vllm_model": "/srv/models/empty"}, r"/srv/models/empty.*config\.json", None, None),
    ({"vllm_model": "/srv/models/mystery"}, r"MysteryForCausalLM", None, None),
    ({"vllm_model": "/srv/models/pickled"}, r"pytorch_model\.bin.*safetensors", None, None),
    ({"vllm_model": "models/tiny/x"}, r'vllm_model is "models/tiny/x"; give the absolute path', None, None),
    ({"vllm_model": ""}, r'vllm_model is ""; give the absolute path', None, None),
    ({"vllm_topology": "fast"}, r"vllm_topology.*auto, data_parallel, tensor_parallel, hybrid.*fast", None, None),
    ({"vllm_workload": "quick"}, r"vllm_workload.*latency, throughput, mixed.*quick", None, None),
    ({"vllm_gpus": [7]}, r"7.*0.*1", None, None),
    ({"vllm_gpus": ["GPU-nope"]}, r"GPU-nope", None, None),
    ({"vllm_gpus": [0, 0]}, r"twice", None, None),
    ({"vllm_base_port": 70000}, r"70000.*1024.*65535", None, None),
    ({"vllm_base_port": 18500}, r"port 18500 for gpu0 is taken by python3 \(PID \d+, squatter\.service\)", None, None),
    ({"gateway_listen": "127.0.0.1:18500"}, r"port 18500 for the gateway is taken by python3", None, None),
    ({"gateway_listen": "http"}, r'gateway_listen "http" is not PORT or ADDRESS:PORT', None, None),
    ({"vllm_topology": "tensor_parallel", "vllm_model": "/srv/models/odd-heads"}, r"3.*head", None, None),
    ({"vllm_tensor_parallel_size": 4}, r"4.*2", None, None),
    ({"vllm_max_model_len": 99999}, r"max_model_len 99999 is beyond the model's 2048", None, None),
    ({"vllm_max_model_len": "long"}, r"max_model_len 'long' is not usable", None, None),
    ({"vllm_gpu_memory_utilization": 1.5}, r"gpu_memory_utilization 1\.5 is out of range", None, None),
    ({"vllm_version": "0.1.0"}, r"vllm_version 0\.1\.0.*0\.32\.0", None, None),
    ({"vllm_install_method": "existing"}, r"vllm_command is empty", None, None),
    ({"vllm_extra_args": ["--port", "9"]}, r"--port is set by the plan", None, None),
    ({"vllm_prefix": "/opt/small"}, r"vLLM needs \d+ GiB free below /opt/small, 0\.\d GiB are", None, None),
    ({"gateway_api_keys": ["good-enough", 'a"b']}, r"key 2 of gateway_api_keys cannot be used; give 8", None, None),
    ({}, r"nginx's present configuration does not parse.*nonsense.*own\.conf", BREAK_NGINX, MEND_NGINX),
    ({"vllm_rehearsal": False}, r"driver", HIDE_DRIVER, SHOW_DRIVER),
    ({"vllm_rehearsal": False}, r"(?i)driver.*(mismatch|differ)", MISMATCH, MATCH),
]

FINGERPRINT = (
    "(find /etc /opt /usr /srv /var/lib /var/cache -xdev -path /var/lib/systemd -prune -o -path '*/__pycache__' -prune "
    "-o -printf '%p %y %s %m\n'; dpkg -l) | sha256sum"
)


def on_host(command):
    return subprocess.run([MACHINE, "ssh", "molecule", command], check=True, capture_output=True, text=True).stdout


def try_case(settings, expected, before, after):
    """The line that the operator saw, and what was wrong with it (nothing is good)."""
    if before:
        on_host(before)
    try:
        fingerprint = on_host(FINGERPRINT)
        command = ["ansible-playbook", "-i", INVENTORY, "--limit", "molecule", "-e", json.dumps(settings)]
        env = {
            **os.environ,
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_DISPLAY_FAILED_STDERR": "0",
        }
        run = subprocess.run(
            [*command, "gpuserve.inference.site"], capture_output=True, text=True, env=env, timeout=300
        )
        changed = on_host(FINGERPRINT) != fingerprint
    finally:
        if after:
            on_host(after)
    failures = re.findall(r"fatal: \[molecule\]: FAILED! => (\{.*?\n\}|\{.*\})", run.stdout, re.S)
    lines = []
    for failure in failures:
        data = json.loads(failure)
        lines += data.get("argument_errors") or [data.get("msg", "")]
    line = lines[0] if lines else ""
    wrong = []
    if run.returncode == 0:
        wrong.append("the playbook succeeded")
    if len(lines) != 1 or "\n" in line:
        wrong.append(f"{len(lines)} messages instead of one line")
    if not re.search(expected, line):
        wrong.append(f"the line does not match {expected}")
    if changed or not re.search(r"changed=0\b", run.stdout):
        wrong.append("the host was changed")
    return line or run.stdout[-2000:] + run.stderr[-2000:], wrong


def main():
    failed = 0
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    cases = [case for case in CASES if only in json.dumps(case[0])]
    for settings, expected, before, after in cases:
        line, wrong = try_case(settings, expected, before, after)
        failed += bool(wrong)
        print(f"{'FAIL ' + '; '.join(wrong) if wrong else 'ok'}: {json.dumps(settings)}\n    {line}", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
