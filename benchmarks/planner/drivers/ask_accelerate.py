# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``accelerate estimate-memory`` over local configs: its own code, with the look-up of the hub answered from the file.

It gives the size of the loaded model in each dtype. A card's share is taken as the total over the tensor parallel size.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import types

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def config_of(directory: str) -> dict:
    with open(os.path.join(directory, "config.json"), encoding="utf-8") as handle:
        return json.load(handle)


def dtype_of(config: dict) -> str:
    """The column of its table that a user would read for this checkpoint."""
    text = config.get("text_config") or {}
    quant = config.get("quantization_config") or text.get("quantization_config") or {}
    method = str(quant.get("quant_method") or "")
    if method:
        bits = quant.get("bits") or next(
            (g["weights"]["num_bits"] for g in (quant.get("config_groups") or {}).values()), 4 if "4" in method else 8
        )
        return "int4" if int(bits) == 4 else "int8"
    return "float16"  # also of a float32 checkpoint: vLLM serves it in 16 bits


def main() -> None:
    import accelerate
    import torch
    from accelerate.commands import estimate

    job = json.load(sys.stdin)
    estimate.verify_on_hub = lambda repo, token=None: types.SimpleNamespace(
        config={k: v for k, v in config_of(repo).items() if k != "auto_map"}, library_name="transformers"
    )
    sizes, answers = {}, {}
    for name, model in job["models"].items():
        args = argparse.Namespace(
            model_name=model["dir"],
            library_name="transformers",
            trust_remote_code=False,
            dtypes=[dtype_of(config_of(model["dir"]))],
        )
        try:
            # on the meta device its empty model takes no memory at all, not even while stacked experts are made
            with contextlib.redirect_stdout(sys.stderr), torch.device("meta"):
                sizes[name] = estimate.gather_data(args)[0][2]
        except Exception as error:
            sizes[name] = f"{type(error).__name__}: {error}"[:300]
    for ask in job["asks"]:
        size = sizes[ask["model"]]
        answers[ask["id"]] = {"error": size} if isinstance(size, str) else {"weights": size / ask["tp"]}
    json.dump({"version": accelerate.__version__, "answers": {"accelerate": answers}}, sys.stdout)


if __name__ == "__main__":
    main()
