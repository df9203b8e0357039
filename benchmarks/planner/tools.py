# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other estimators: an environment each, outside the repository, and one question file through each of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.benchmarks.planner.places import MODELS, config_of, home

HERE = Path(__file__).resolve().parent
LIMIT = 900  # seconds for one estimator


@dataclass(frozen=True)
class Tool:
    name: str  # of its environment and of requirements-NAME.txt
    driver: str
    estimators: tuple[str, ...]


TOOLS = (
    Tool("accelerate", "ask_accelerate.py", ("accelerate",)),
    Tool("hf-mem", "ask_hf_mem.py", ("hf-mem",)),
    Tool("kvfit", "ask_kvfit.py", ("kvfit",)),
    Tool("llm-d-planner", "ask_llm_d_planner.py", ("llm-d-planner",)),
    Tool("aiconfigurator", "ask_aiconfigurator.py", ("AIConfigurator", "AIConfigurator naive")),
)
# what was looked for and cannot be run, with the reason
ABSENT = {"kvplan": "0.1.1 is named in public posts, but the package index has no package of that name"}


def requirements(name: str) -> Path:
    return HERE / f"requirements-{name}.txt"


def python_of(name: str) -> Path:
    return home() / name / "bin" / "python"


def installed(name: str) -> bool:
    stamp = home() / name / "requirements.sha256"
    return python_of(name).exists() and stamp.is_file() and stamp.read_text() == _digest(requirements(name))


def install(name: str) -> Optional[str]:
    """Makes the environment, or says in one line why it cannot be made."""
    where = home() / name
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(where)],
        [str(python_of(name)), "-m", "pip", "install", "--quiet", "--requirement", str(requirements(name))],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            return lines[-1] if lines else f"{command[0]} ended with {done.returncode}"
    (where / "requirements.sha256").write_text(_digest(requirements(name)))
    return None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def has_kv_scales(directory: str) -> bool:
    """Whether the checkpoint brings scales for an 8-bit KV cache, which vLLM then uses without being told."""
    config = config_of(directory)
    quant = config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config") or {}
    return bool(quant.get("kv_cache_scheme") or quant.get("kv_cache_quant_algo"))


def run_driver(name: str, driver: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """A driver's answer, or {"error": ...}. It gets no network settings and no credentials of the user."""
    empty = home() / "no-home"
    empty.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(empty), "HF_HOME": str(empty), "LANG": "C.UTF-8"}
    environment.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", PYTHONDONTWRITEBYTECODE="1")
    try:
        done = subprocess.run(
            [str(python_of(name)), str(HERE / "drivers" / driver)],
            input=json.dumps(job), capture_output=True, text=True, env=environment, timeout=LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {LIMIT} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    # what a tool quotes of its input names the model, not where this checkout lies
    data: dict[str, Any] = json.loads(done.stdout.replace(f"{MODELS}/", "").replace(f"{home() / 'models'}/", ""))
    return data


def checkpoints(models: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What a published checkpoint of each model (name -> directory) holds: {"bytes", "tensors", "text"} or {"error"}.

    Kept between runs.
    """
    folder = home() / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    driver = HERE / "drivers" / "ask_checkpoint.py"
    found: dict[str, dict[str, Any]] = {}
    files: dict[str, Path] = {}
    for model, directory in models.items():
        key = _digest(driver)[:12] + _digest(Path(directory) / "config.json")[:12]
        files[model] = folder / f"{model}-{key}.json"
        if files[model].is_file():
            found[model] = json.loads(files[model].read_text())
    missing = {m: {"dir": d} for m, d in models.items() if m not in found}
    if missing:
        data = run_driver("accelerate", driver.name, {"models": missing})
        for model in missing:
            found[model] = (data.get("answers") or {}).get(model) or {"error": data.get("error", "no answer")}
            if "bytes" in found[model]:
                files[model].write_text(json.dumps(found[model]))
    return found
