# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""hf-mem with ``experimental=True``: unchanged, over a transport that answers as the hub would, from local files.

It gives weights, and KV bytes of a batch of requests of max_model_len; it knows neither cards nor tensor parallelism.
A card's share is its figure over the tensor parallel size, and "fits" is its total for one request against the cards'
memory. It names no size of a KV cache.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import struct
import sys
import warnings

warnings.simplefilter("ignore")


def main() -> None:
    import httpx2

    runner = importlib.import_module("hf_mem.run")  # the package's own name `run` is a function

    job = json.load(sys.stdin)
    files: dict[str, dict[str, bytes]] = {}
    for name, model in job["models"].items():
        with open(os.path.join(model["dir"], "config.json"), "rb") as handle:
            files[name] = {"config.json": handle.read()}
        if model.get("tensors"):
            header = {
                n: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]} for n, dtype, shape in model["tensors"]
            }
            raw = json.dumps(header).encode()
            files[name]["model.safetensors"] = struct.pack("<Q", len(raw)) + raw

    def respond(request):
        path = request.url.path
        listing = re.fullmatch(r"/api/models/local/(.+)/tree/main", path)
        if listing:
            names = files[listing.group(1)]
            return httpx2.Response(200, json=[{"path": n, "type": "file"} for n in names])
        one = re.fullmatch(r"/local/(.+)/resolve/main/(.+)", path)
        if not one or one.group(2) not in files[one.group(1)]:
            return httpx2.Response(404)
        content = files[one.group(1)][one.group(2)]
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if span:
            return httpx2.Response(206, content=content[int(span.group(1)) : int(span.group(2)) + 1])
        return httpx2.Response(200, content=content)

    real = httpx2.AsyncClient

    class Local(real):
        def __init__(self, **given):
            given.pop("http2", None)
            super().__init__(transport=httpx2.MockTransport(respond), **given)

    runner.httpx2.AsyncClient = Local
    known: dict[tuple, object] = {}

    def estimate(name: str, length: int, dtype: str):
        key = (name, length, dtype)
        if key not in known:
            try:
                known[key] = runner.run(
                    model_id=f"local/{name}", experimental=True, max_model_len=length, kv_cache_dtype=dtype
                )
            except Exception as error:
                known[key] = f"{type(error).__name__}: {error}"[:300]
        return known[key]

    answers = {}
    for ask in job["asks"]:
        dtype = ask["kv_cache_dtype"]
        if dtype == "auto" and b'"quantization_config"' in files[ask["model"]]["config.json"]:
            # its own auto takes an 8-bit cache for 8-bit weights; vLLM's keeps 16 bits unless there are scales for it
            dtype = "fp8" if job["models"][ask["model"]].get("kv_scales") else "bfloat16"
        found = estimate(ask["model"], ask["length"], dtype if dtype != "float16" else "bfloat16")
        if isinstance(found, str):
            answers[ask["id"]] = {"error": found}
            continue
        tp = ask["tp"]
        answers[ask["id"]] = {
            "weights": found.memory / tp,
            "request": found.kv_cache / tp if found.kv_cache is not None else None,
            "fits": found.total_memory <= ask["memory"] * tp if found.kv_cache is not None else None,
        }
    json.dump({"version": runner.__version__, "answers": {"hf-mem": answers}}, sys.stdout)


if __name__ == "__main__":
    main()
