# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""From a plan to the files that systemd and the launcher read, and to the digest that says what a process runs."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._engine_cache import VARIABLE, cache_key
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_keys import CLIENTS, ENGINE_KEY
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._preflight import parse_listen
from ansible_collections.gpuserve.inference.plugins.module_utils._units import DIGEST_VARIABLE, unit_name

CONFIG_DIR = "/etc/gpuserve"
UNIT_PATH = "/etc/systemd/system/vllm@.service"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def environment_text(environment: Mapping[str, str]) -> str:
    """An EnvironmentFile: every value in double quotes, with what systemd would expand or end at escaped."""
    lines = []
    for name, value in sorted(environment.items()):
        text = str(value)
        if not _NAME.match(name):
            raise InputError(f"{name!r} is not a name for an environment variable; use letters, digits and _")
        if "\n" in text or "\r" in text or "\0" in text:
            raise InputError(f"environment variable {name} has a line break; give its value on one line")
        lines.append('{}="{}"\n'.format(name, re.sub(r'(["\\$`])', r"\\\1", text)))
    return "".join(lines)


def argument_text(words: Sequence[str]) -> str:
    """An argument file: one word a line, so that nothing has to be quoted."""
    for word in words:
        if "\n" in str(word) or "\0" in str(word):
            raise InputError(f"{word!r} has a line break; an argument must be one line")
    return "".join(f"{word}\n" for word in words)


def instance_files(
    plan: Mapping[str, Any],
    command: Sequence[str],
    model_path: str,
    environment: Mapping[str, str],
    unit: str,
) -> dict[str, Any]:
    """A release: its id as ``release``, ``files`` and ``secrets`` of host_files, ``instances`` and ``targets``.

    ``command`` starts vLLM's command line program, ``environment`` is laid over the plan's own. An instance's digest
    covers all that decides how its process runs: its words, its environment and the unit. The id covers the plan too.
    """
    texts = {"plan.json": json.dumps(plan, indent=2, sort_keys=True) + "\n", "vllm@.service": unit}
    instances = []
    for instance in plan["instances"]:
        name = instance["name"]
        start, variables = [*command, "serve", model_path], {**instance["env"], **environment}
        arguments = argument_text([*start, *instance["args"]])
        body = environment_text({**variables, VARIABLE: cache_key(start, instance["args"], variables)})
        digest = hashlib.sha256("\0".join((unit, arguments, body)).encode()).hexdigest()
        texts[f"{name}.args"] = arguments
        texts[f"{name}.env"] = f'{body}{DIGEST_VARIABLE}="{digest}"\n'
        instances.append(
            {
                "name": name,
                "digest": digest,
                "gpus": list(instance.get("gpus") or []),
                "host": instance.get("host") or "",
                "port": instance["port"],
            }
        )
    release = release_id(texts)
    targets = ready_targets(plan)
    record = {
        "id": release,
        "instances": instances,
        "targets": targets,
        "command": list(command),
        "model_path": model_path,
    }
    # the record comes last: a release that has it is whole
    texts["release.json"] = json.dumps(record, indent=2, sort_keys=True) + "\n"
    files: list[dict[str, Any]] = []
    secrets: dict[str, str] = {}
    for name, text in texts.items():
        path = f"{CONFIG_DIR}/releases/{release}/{name}"
        files.append({"path": path, "mode": "0600" if name.endswith(".env") else "0644"})
        if name.endswith(".env") and environment:  # a variable of the operator's may hold a secret; systemd reads it
            secrets[path] = text
        else:
            files[-1]["content"] = text
        if name != "release.json":
            files[-1]["replaces"] = _in_use(name)
    return {"release": release, "files": files, "secrets": secrets, "instances": instances, "targets": targets}


def release_id(texts: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits that stand for the names and contents of a release's files."""
    parts = [part for name, text in sorted(texts.items()) for part in (name, text)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _in_use(name: str) -> str:
    """Where the present file of that kind is read from."""
    if name == "vllm@.service":
        return UNIT_PATH
    return f"{CONFIG_DIR}/{name}" if name == "plan.json" else f"{CONFIG_DIR}/instances/{name}"


def ready_targets(plan: Mapping[str, Any], door: str = "", door_tls: bool = False) -> list[dict[str, Any]]:
    """What vllm_ready has to ask of a plan's instances, and of the gateway where ``door`` says where it listens."""
    tasks = plan.get("model", {}).get("tasks") or ["generate"]
    prediction = plan.get("prediction", {})
    if plan.get("rehearsal"):  # what is predicted for the cards is not what the processor holds
        prediction = prediction.get("rehearsal", {})
    expected = {key: prediction.get(key) for key in ("kv_cache_tokens", "num_gpu_blocks") if prediction.get(key)}
    common = {"served_model_name": plan.get("model", {}).get("served_model_name", ""), "task": tasks[0]}
    targets = [
        {
            **common,
            "name": instance["name"],
            "host": reachable(instance.get("host") or ""),
            "port": instance["port"],
            "unit": unit_name(instance["name"]),
            "api_key_file": ENGINE_KEY,
            "expected": expected,
        }
        for instance in plan["instances"]
    ]
    listen = parse_listen(door) if door else None
    if listen:
        # the gateway forwards neither /health nor /metrics
        entry = {**common, "name": "gateway", "host": reachable(listen[0]), "port": listen[1], "gateway": True}
        if door_tls:  # asked on the host itself, by an address that no certificate names
            entry.update(scheme="https", validate_certs=False)
        targets.append({**entry, "api_key_file": CLIENTS})
    return targets


def reachable(address: str) -> str:
    """Where a service that listens on ``address`` is reached from its own host."""
    return "127.0.0.1" if address in ("", "0.0.0.0", "*", "::", "[::]", "localhost") else address.strip("[]")
