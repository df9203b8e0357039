#!/usr/bin/env python3
"""A converged host, asked again: site as a whole and each of its stages by tag, with the remote calls counted.

stages.py INVENTORY [ARGUMENT OF ansible-playbook]...: prints a line a run; ends with 1 where one failed, changed
something, called more often than it may, or did not do what its tag stands for.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# tags, how many modules may run on the host at most, and what must be among them
RUNS = (
    ("", 5, ("host_info", "vllm_release", "gateway_config", "vllm_ready")),
    ("host", 1, ("host_info",)),
    ("plan", 1, ("host_info",)),
    ("engine", 1, ("host_info",)),
    ("model", 1, ("host_info",)),
    ("instances", 3, ("host_info", "vllm_release", "vllm_ready")),
    ("gateway", 2, ("host_info", "gateway_config")),
    ("verify", 2, ("host_info", "vllm_ready")),
)


def play(tags: str, words: list[str], out: str) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    env = {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks" / "seconds" / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "remote_calls",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "REMOTE_CALLS_OUT": out,
    }
    command = ["ansible-playbook", "gpuserve.inference.site", *words, *(["--tags", tags] if tags else [])]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600, check=False)
    record = Path(out).read_text(encoding="utf-8").splitlines()[-1] if os.path.getsize(out) else "{}"
    return done, json.loads(record)


def main() -> int:
    inventory, *words = sys.argv[1:]
    wrong = []
    for tags, most, wanted in RUNS:
        with tempfile.NamedTemporaryFile() as out:
            done, record = play(tags, ["--inventory", inventory, *words], out.name)
        calls = [str(call["module"]).rpartition(".")[2] for call in record.get("calls", [])]
        name = f"--tags {tags}" if tags else "all of site"
        print(f"{name}: {len(calls)} remote calls ({', '.join(calls)}), {record.get('seconds')} s")
        if done.returncode != 0:
            cause = re.findall(r"^.*(?:FAILED|ERROR).*$", done.stdout + done.stderr, re.M)[:2] or done.stderr[-300:]
            wrong.append(f"{name} failed: {cause}")
        elif record["changed"]:
            wrong.append(f"{name} changed {record['changed']} on a converged host")
        elif len(calls) > most:
            wrong.append(f"{name}: {len(calls)} remote calls where {most} do: {', '.join(calls)}")
        elif not set(wanted) <= set(calls):
            wrong.append(f"{name}: ran {', '.join(calls)}, and not all of {', '.join(wanted)}")
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
