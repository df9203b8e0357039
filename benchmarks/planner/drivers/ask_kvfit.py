# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kvfit's command line with ``--json``: unchanged, with what it fetches from the hub answered from local files.

Its runtime reserve is for the user to supply and stays at its default, 0. It counts whole requests; the tokens here are
the KV memory it reports over the KV bytes it reports for one request, times the request's length, without rounding
down to whole requests.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys

GIB = 1024**3


def main() -> None:
    import kvfit
    from kvfit import cli, hf

    job = json.load(sys.stdin)
    models = job["models"]

    def fetch(url: str, **_options):
        name = url.split("/local/", 1)[1].split("/")[0]
        model = models[name]
        if url.endswith("/config.json"):
            with open(os.path.join(model["dir"], "config.json"), encoding="utf-8") as handle:
                return json.load(handle)
        tensors = model.get("tensors") or []
        if url.endswith("model.safetensors.index.json"):
            return {"weight_map": {n: "model-00001-of-00001.safetensors" for n, _dtype, _shape in tensors}}
        counts: dict[str, int] = {}
        for _name, dtype, shape in tensors:
            counts[dtype] = counts.get(dtype, 0) + math.prod(shape)
        siblings = [{"rfilename": "model.safetensors.index.json", "size": 1}] if tensors else []
        if tensors:
            siblings.append({"rfilename": "model-00001-of-00001.safetensors", "size": model["bytes"]})
        return {"sha": "local", "siblings": siblings, "safetensors": {"parameters": counts}}

    hf._fetch_json = fetch
    answers = {}
    for ask in job["asks"]:
        argv = [f"local/{ask['model']}", "--json", "--hardware", f"custom:{ask['memory'] / GIB!r}"]
        argv += ["--gpus", str(ask["tp"]), "--tp", str(ask["tp"]), "--context", str(ask["length"])]
        argv += ["--utilization", repr(ask["utilization"]), "--allow-context-overflow"]
        dtype = ask["kv_cache_dtype"]
        argv += ["--kv-dtype", {"auto": "auto", "bfloat16": "bf16", "float16": "fp16"}.get(dtype, dtype)]
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = cli.main(argv)
        except Exception as error:
            answers[ask["id"]] = {"error": f"{type(error).__name__}: {error}"[:300]}
            continue
        if code not in (0, 1) or not out.getvalue():
            answers[ask["id"]] = {
                "error": (err.getvalue().strip().splitlines() or ["no answer"])[0].removeprefix("kvfit: ")[:300]
            }
            continue
        layout = json.loads(out.getvalue())["layouts"][0]
        one = layout["kv_per_sequence_per_rank_gib"]
        if layout["verdict"] == "unsupported" or not one:
            answers[ask["id"]] = {"error": layout["reason"]}
            continue
        left = layout["budget_per_rank_gib"] - layout["weights_per_rank_gib"] - layout["fixed_cache_per_rank_gib"]
        left -= layout["runtime_reserve_per_rank_gib"]
        answers[ask["id"]] = {
            "weights": layout["weights_per_rank_gib"] * GIB,
            "tokens": max(left / one * ask["length"], 0),
            "request": one * GIB,
            "fits": layout["verdict"] == "fits",
        }
    json.dump({"version": kvfit.__version__, "answers": {"kvfit": answers}}, sys.stdout)


if __name__ == "__main__":
    main()
