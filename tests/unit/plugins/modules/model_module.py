# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules model_info and model_fetch run as Ansible runs them: JSON in, JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

# the folder that holds ansible_collections, and before it this process's own search path
COLLECTIONS = Path(os.path.abspath(__file__)).parents[7]
PACKAGE = "ansible_collections.gpuserve.inference.plugins.modules"


def run_module(name: str, options: dict[str, Any], env: Optional[dict[str, str]] = None, path: str = "") -> Any:
    """What the module ``name`` answers; ``path`` goes first on its PYTHONPATH."""
    search = os.pathsep.join(filter(None, [path, str(COLLECTIONS), *sys.path]))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING_FACE"))}
    done = subprocess.run(
        [sys.executable, "-m", f"{PACKAGE}.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": options}),
        env={**clean, "PYTHONPATH": search, "NO_PROXY": "*", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    assert (done.returncode == 0) == (not result.get("failed"))
    return result


def without_hub(directory: Path) -> str:
    """A folder for PYTHONPATH in which huggingface_hub cannot be imported."""
    package = directory / "hides" / "huggingface_hub"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('hidden')\n", encoding="ascii")
    return str(package.parent)
