#!/usr/bin/env python3
"""cases.py MACHINE: spoils what a rollout would take, one byte at a time. Each must be refused in one line that names
the file, while the old service serves on untouched; what was cut off half-way must be taken up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

ROOT = os.environ["MOLECULE_PROJECT_DIRECTORY"]
HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = "/var/lib/gpuserve/models/example--tiny-llama@111111111111"
FETCHED = "/var/lib/gpuserve/models/example--tiny-llama@222222222222"  # else a good copy is kept, as it should be
NEXT = "/srv/mirror/example--tiny-llama@222222222222"
WHEEL = "/srv/wheels/idna-*.whl"
LOCK = f"{ROOT}/.cache/molecule/small.lock"

OTHER_TOOLS = {"gpu_host_prefix": "/opt/second"}
ENGINE = {"vllm_install_method": "uv", "vllm_lock_file": LOCK, "vllm_rehearsal": True, "vllm_prefix": "/opt/third"}

# what is spoiled, what the operator wants, what the last line must say (nothing: it must work)
CASES = [
    (WHEEL, OTHER_TOOLS, r"building /opt/second/tools failed: .*DO NOT MATCH THE HASHES"),
    (WHEEL, ENGINE, r"building /opt/third/engines/\S+ failed: .*Hash mismatch"),
    (f"{NEXT}/model.safetensors", {"vllm_model_revision": "next"}, r"model\.safetensors: is not the recorded file"),
    (f"{NEXT}/tokenizer.json", {"vllm_model_revision": "next"}, r"tokenizer\.json: is not the recorded file"),
    (f"{MODELS}/model.safetensors", {"vllm_max_num_seqs": 7}, r"model\.safetensors: is not the recorded file"),
    (f"{MODELS}/tokenizer.json", {"vllm_max_num_seqs": 7}, r"tokenizer\.json: is not the recorded file"),
    ("", {**OTHER_TOOLS, "half_built": "/opt/second/tools"}, ""),
    ("", {"vllm_model_revision": "next"}, ""),
]
# in a wheel a byte that the archive itself does not check, so that only the lock can tell
FLIP = (
    'p=$(ls -d {path}) && cp -p $p /srv/kept && python3 -c \'import sys; f = open(sys.argv[1], "r+b"); f.seek(0, 2); '
    'n = 10 if sys.argv[1].endswith(".whl") else f.tell() // 2; '
    "f.seek(n); b = f.read(1)[0]; f.seek(n); f.write(bytes([b ^ 1]))' $p"
)
MEND = "p=$(ls -d {path}) && cp -p /srv/kept $p"
ASK = (
    "import sys, urllib.request as r; print(r.urlopen('http://127.0.0.1:' + sys.argv[1] + '/health', timeout=9).status)"
)
SERVES = (
    f'systemctl show -P MainPID vllm@gpu0 vllm@gpu1 | xargs; for port in 8001 8002; do python3 -c "{ASK}" $port; done'
)


def on_host(command: str) -> str:
    words = [f"{ROOT}/tests/machines/machine", "ssh", sys.argv[1], command]
    return subprocess.run(words, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout.strip()


def rollout(settings: dict) -> tuple[int, str]:
    words = ["ansible-playbook", "gpuserve.inference.site", "-i", f"{HERE}/inventory.py", "-e", json.dumps(settings)]
    # molecule asks for colours, which would stand between the words
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "json"
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    said = re.findall(r'^fatal: .*"msg": "((?:[^"\\]|\\.)*)"', done.stdout + done.stderr, re.M)
    return done.returncode, said[-1] if said else done.stdout[-600:]


def main() -> None:
    lock = f"{ROOT}/roles/gpu_host/files/tools.lock"
    with open(lock, encoding="utf-8") as handle:
        idna = re.search(r"^idna==.*?(?=^\S)", handle.read(), re.M | re.S)
    with open(LOCK, "w", encoding="utf-8") as handle:
        handle.write("# one package, in the place of an engine\n" + (idna.group(0) if idna else ""))
    wrong = []
    for path, settings, wanted in CASES:
        before = on_host(SERVES)
        if path:
            on_host(f"rm -rf {FETCHED}; {FLIP.format(path=path)}")
        half = settings.pop("half_built", "") if "half_built" in settings else ""
        if half:  # an install that was cut off: files, but no mark that it is whole
            on_host(f"rm -f {half}/.gpuserve.json; rm -rf {half}/bin/*; echo broken >{half}/bin/python")
        code, line = rollout(settings)
        after = on_host(SERVES)
        if path:
            on_host(MEND.format(path=path))
        if wanted:
            fine = code != 0 and re.search(wanted, line) is not None and after == before and after.endswith("200\n200")
        else:
            fine = code == 0
        print(
            "ok  " if fine else "BAD ", path or "nothing spoiled", settings, "->", line.strip().splitlines()[-1][:300]
        )
        if not fine:
            wrong.append(f"{path}: {code} {line} {before} {after}")
    tools = on_host("/opt/second/tools/bin/uv --version")
    serving = on_host("grep -l 222222222222 /etc/gpuserve/instances/*.args | wc -l")
    print(f"tools taken up: {tools}; replicas that serve the next revision: {serving}")
    if wrong or not tools.startswith("uv ") or serving != "2":
        sys.exit("\n".join(wrong) or "the last two rollouts did not do what they should")


if __name__ == "__main__":
    main()
