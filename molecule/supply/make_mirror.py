#!/usr/bin/env python3
"""make_mirror.py ROOT DIR: in DIR a mirror of models with records, and a copy of the wheels that a test may spoil."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

REVISIONS = {"main": "1" * 40, "next": "2" * 40}


def main() -> None:
    root, made = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.rmtree(made / "mirror", ignore_errors=True)
    for seed, (branch, commit) in enumerate(REVISIONS.items(), 1):
        target = made / "mirror" / f"example--tiny-llama@{commit[:12]}"
        subprocess.run(
            [sys.executable, str(root / "tests/fixtures/tiny_model/make.py"), str(target), str(seed)], check=True
        )
        files = {
            path.name: {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in sorted(target.iterdir())
        }
        record = {"repo": "example/tiny-llama", "revision": commit, "requested": branch, "files": files}
        (target / ".gpuserve-model.json").write_text(json.dumps(record), encoding="utf-8")
    shutil.rmtree(made / "wheels-of-test", ignore_errors=True)
    shutil.copytree(made / "wheels", made / "wheels-of-test")


if __name__ == "__main__":
    main()
