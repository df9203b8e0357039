# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What vLLM's own model classes hold on a rank after loading, found without a GPU: the rows of tests/truth/weights/.

    VENV/bin/python tests/truth/oracle/weights.py tests/fixtures/models/* tests/truth/weights/configs.json --out ROWS

VENV has vLLM's CPU build; towers need torchvision too, Gemma 3n's timm (their Python code is enough, any version).
Each model is built on the meta device, where tensors have shapes but no memory, by vLLM's own ``initialize_model`` in a
world of ``--tp`` ranks seen from the first, and brought into its kernels' form by ``process_weights_after_loading``.
Everything alive on "the card" is then summed by storage: parameters, buffers, and what is neither. The platform claims
to be a CUDA card of the given compute capability (``_fake_cuda.py``), so kernels are chosen as there, except those
whose Python packages the CPU build lacks: Triton kernels for MXFP4 (Marlin is chosen instead, as on Ada or sm120), and
FlashInfer's. Configs whose model code is remote cannot be built. A refusal is a row as well: vLLM's words.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    VLLM_LOGGING_LEVEL=os.environ.get("ORACLE_LOG", "CRITICAL"),
    CUDA_VISIBLE_DEVICES="",
    VLLM_USE_PRECOMPILED="0",
    VLLM_NO_USAGE_STATS="1",
    TOKENIZERS_PARALLELISM="false",
    TORCHDYNAMO_DISABLE="1",
)
sys.path.insert(0, str(Path(__file__).parent))

import _fake_cuda as fake
import torch

BATCH = int(os.environ.get("ORACLE_BATCH", "8192"))  # models that keep inputs for later layers own buffers of so many


def live() -> list[torch.Tensor]:
    """Every tensor on the card that something still holds, registered with a module or not."""
    gc.collect()
    return [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor) and o.device.type == "meta"]


def build(config_dir: str, tp: int) -> tuple[dict[str, Any], torch.nn.Module]:
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.layers.rotary_embedding import _ROPE_DICT
    from vllm.model_executor.model_loader import utils as loader_utils
    from vllm.model_executor.model_loader.utils import initialize_model, process_weights_after_loading
    from vllm.model_executor.models import registry
    from vllm.utils.torch_utils import set_default_torch_dtype

    loader_utils.record_metadata_for_reloading = lambda model: None  # keeps meta tensors, which we would count

    with contextlib.suppress(Exception):  # DeepGEMM's product, called to unpack MLA's matrices
        torch.library.register_fake("vllm::fp8_gemm_nt_op", lambda *a, **k: None)

    # would look into the weight files which layers are quantized: here all of them
    def all_of_them(config: Any, *args: Any, **kwargs: Any) -> None:
        if hasattr(config, "modules_in_block_to_quantize") and not config.modules_in_block_to_quantize:
            config.modules_in_block_to_quantize = [""]

    for name in ("auto_gptq", "gptq_marlin", "gptq"):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(f"vllm.model_executor.layers.quantization.{name}")
            for cls in vars(module).values():
                if isinstance(cls, type) and "maybe_update_config" in vars(cls):
                    cls.maybe_update_config = all_of_them
    registry._run_in_subprocess = lambda fn: fn()  # a child would not have our platform
    _ROPE_DICT.clear()
    fake.set_world(1)
    args = EngineArgs(
        model=config_dir,
        tokenizer=config_dir,
        skip_tokenizer_init=True,
        load_format="dummy",
        enforce_eager=True,
        max_num_batched_tokens=BATCH,
        max_num_seqs=1024,
        tensor_parallel_size=tp,
        distributed_executor_backend="mp" if tp > 1 else "uni",
        disable_log_stats=True,
        trust_remote_code=False,
    )
    vllm_config = args.create_engine_config()
    fake.set_world(tp)
    model_config = vllm_config.model_config
    gc.collect()
    seen = {t.untyped_storage()._cdata for t in live()}
    meta = torch.device("meta")
    with set_current_vllm_config(vllm_config), set_default_torch_dtype(model_config.dtype), fake.OnMeta(), meta:
        model = initialize_model(vllm_config=vllm_config)
        process_weights_after_loading(model, model_config, meta)
    gc.collect()
    params, buffers = 0, 0
    for kind, items in (("p", model.named_parameters()), ("b", model.named_buffers())):
        for _name, tensor in items:
            key = tensor.untyped_storage()._cdata
            if tensor.device.type != "meta" or key in seen:
                continue
            seen.add(key)
            size = tensor.untyped_storage().nbytes()
            if kind == "p":
                params += size
            else:
                buffers += size
    other = 0
    for tensor in live():
        key = tensor.untyped_storage()._cdata
        if key not in seen:
            seen.add(key)
            other += tensor.untyped_storage().nbytes()
            if os.environ.get("ORACLE_OTHER") and tensor.untyped_storage().nbytes() > 2**20:
                print(
                    "other",
                    type(tensor).__name__,
                    tuple(tensor.shape),
                    tensor.dtype,
                    [type(r).__name__ for r in gc.get_referrers(tensor)][:6],
                )
    return {
        "class": type(model).__name__,
        "dtype": str(model_config.dtype),
        "params": params,
        "buffers": buffers,
        "other": other,
    }, model


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+", help="directories with a config.json, or FILE.json#NAME,NAME (all if none)")
    p.add_argument("--tp", default="1,2,4,8")
    p.add_argument("--capability", default="9.0", help="compute capability of the card to be")
    p.add_argument("--list", action="store_true", help="every parameter and buffer")
    p.add_argument("--out", help="add the rows to this JSON file")
    a = p.parse_args()
    major, minor = map(int, a.capability.split("."))
    fake.install((major, minor), 140, "NVIDIA H200")
    from vllm.version import __version__

    release = ".".join(__version__.split("+")[0].split(".")[:2])
    with tempfile.TemporaryDirectory() as scratch:
        for directory in find(a.models, Path(scratch)):
            for tp in map(int, a.tp.split(",")):
                row = measure(directory, tp, a.list)
                print(directory.name, tp, json.dumps(row), flush=True)
                if a.out:
                    add_row(Path(a.out), directory.name, f"{release}/{a.capability}", tp, row)


def find(words: list[str], scratch: Path) -> list[Path]:
    out = []
    for word in words:
        file, _, names = word.partition("#")
        if not file.endswith(".json"):
            out.append(Path(word))
            continue
        for name, config in json.loads(Path(file).read_text(encoding="utf-8")).items():
            if not names or name in names.split(","):
                (scratch / name).mkdir()
                (scratch / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
                out.append(scratch / name)
    return out


def measure(directory: Path, tp: int, listing: bool) -> dict[str, Any]:
    try:
        row, model = build(str(directory), tp)
    except Exception as exc:  # whatever vLLM raises is the row
        if os.environ.get("ORACLE_TRACE"):
            traceback.print_exc()
        return {"error": " ".join(f"{type(exc).__name__}: {exc}".split())[:400]}
    if listing:
        for name, t in [*model.named_parameters(), *model.named_buffers()]:
            print("   ", name, tuple(t.shape), str(t.dtype).removeprefix("torch."), t.device.type)
    return row


def add_row(path: Path, model: str, release: str, tp: int, row: dict[str, Any]) -> None:
    """{model: {"release/capability": {tp: [parameter bytes, buffer bytes, other bytes] or vLLM's refusal}}}"""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    short = row.get("error") or [row["params"], row["buffers"], row["other"]]
    rows.setdefault(model, {}).setdefault(release, {})[str(tp)] = short
    text = ",\n".join(f"{json.dumps(m)}: {json.dumps(r)}" for m, r in sorted(rows.items()))
    path.write_text("{\n" + text + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
