# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What vLLM's own code plans for a KV cache, written as rows that tests/unit/.../test_kv_truth.py compares with.

    PYTHON=/path/to/an/environment/with/vllm/bin/python        # the CPU build will do; no card, no weights, no network
    $PYTHON tests/truth/oracle/kv_oracle.py --out tests/truth/kv/0.32.0.json [--capability 90] [--models NAME ...]

For each config the real model class is built on the "meta" device under a pretended CUDA card (kv_platform.py), its
layers are asked for their KV cache, and ``get_kv_cache_configs`` sizes it from several amounts of memory. Another
release's Python code runs in the same environment: ORACLE_RELEASE=0.29.0 PYTHONPATH=WHERE/vLLM/0.29.0/LIES (0.27 and
0.28 ran over an environment of 0.26, 0.29 to 0.31 over one of 0.32). ``--variants`` adds rows with an fp8 cache, block
size 64, without the hybrid manager, and with prefix caching on and off; ``--configs`` takes configs from a JSON file.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
FIXTURES = HERE.parents[1] / "fixtures" / "models"
GIB = 1024**3
# Configs may leave out what the library of the day does not default to.
NEEDED = {"deepseek_v2": {"n_group": 1, "topk_group": 1}}


class Ranks:
    def __init__(self, size: int) -> None:
        self._size = size

    def size(self) -> int:
        return self._size

    def rank(self) -> int:
        return 0


class Group:
    """A process group of ``size`` ranks, seen from rank 0, that nobody ever talks through."""

    def __init__(self, size: int) -> None:
        self.world_size = size
        self.rank = self.rank_in_group = self.local_rank = self.first_rank = 0
        self.last_rank = size - 1
        self.ranks = list(range(size))
        self.is_first_rank = self.is_last_rank = True
        self.unique_name = "oracle"
        self.device_group = self.cpu_group = Ranks(size)
        self.device_communicator = None
        self.use_device_communicator = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: args[0] if args else None


def pretend_groups(tp: int) -> None:
    import torch
    import vllm.distributed.parallel_state as state

    for name in ("_WORLD", "_TP", "_EP", "_EPLB"):
        setattr(state, name, Group(tp))
    for name in ("_PP", "_DP", "_DCP", "_PCP", "_INNER_DP_WORLD"):
        setattr(state, name, Group(1))
    state._NODE_COUNT = 1
    try:
        from vllm.v1.worker.workspace import init_workspace_manager
    except ImportError:
        return
    init_workspace_manager(torch.device("meta"))


def build(directory: Path, tp: int, **kwargs: Any) -> Any:
    """The engine's configuration, with the model's layers built on the meta device and registered in it."""
    import kv_platform
    import torch
    import vllm.model_executor.models.registry as registry
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.torch_utils import set_default_torch_dtype

    registry._run_in_subprocess = lambda fn: fn()  # the child would not know of the pretended card
    text = json.loads((directory / "config.json").read_text())
    overrides = {k: v for k, v in NEEDED.get(text.get("model_type"), {}).items() if k not in text}
    args = EngineArgs(
        model=str(directory),
        tensor_parallel_size=tp,
        skip_tokenizer_init=True,
        load_format="dummy",
        distributed_executor_backend="mp",
        hf_overrides=overrides,
        **kwargs,
    )
    config = args.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
    pretend_groups(tp)
    config.device_config.device = torch.device("meta")
    dtype = set_default_torch_dtype(config.model_config.dtype)
    with set_current_vllm_config(config), dtype, torch.device("meta"), kv_platform.on_meta():
        initialize_model(vllm_config=config, model_config=config.model_config)
    return config


def layer_specs(config: Any) -> dict[str, Any]:
    from vllm.config import set_current_vllm_config
    from vllm.platforms import current_platform
    from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

    current_platform.update_block_size_for_backend(config)
    with set_current_vllm_config(config):
        specs = get_kv_cache_spec(config)
    try:  # one layout for the whole model, from 0.29 on
        from vllm.v1.attention.backends.utils import resolve_kv_cache_layout

        resolve_layout(config, resolve_kv_cache_layout, specs)
    except ImportError:
        pass
    return specs


def resolve_layout(config: Any, resolve: Any, specs: dict[str, Any]) -> None:
    from vllm.v1.worker import gpu_worker

    worker = object.__new__(gpu_worker.Worker)
    worker.vllm_config = config
    worker.model_runner = None
    names = worker.get_supported_kv_cache_layouts()
    resolve(config, [names], list(specs.values()))


def plan(config: Any, specs: dict[str, Any], available: int, length: int, auto: bool) -> Any:
    """(blocks, tokens, concurrency, length) or None where vLLM would refuse to start."""
    from vllm.v1.core.kv_cache_utils import (
        generate_scheduler_kv_cache_config,
        get_kv_cache_capacity,
        get_kv_cache_configs,
    )

    config.model_config.max_model_len = length
    config.model_config.original_max_model_len = -1 if auto else length
    try:
        made = get_kv_cache_configs(config, [dict(specs)], [available])
    except (ValueError, NotImplementedError) as exc:
        if "memory" not in str(exc):
            raise
        return None
    tokens, concurrency = get_kv_cache_capacity(config, generate_scheduler_kv_cache_config(made))
    return made[0].num_blocks, tokens, round(concurrency, 6), config.model_config.max_model_len


def kind_of(spec: Any) -> str:
    return type(spec).__name__.replace("Spec", "").replace("Attention", "")


def block_bytes(config: Any, groups: Any) -> int:
    from vllm.v1.core import kv_cache_utils as utils

    try:
        return int(utils._pool_bytes_per_block(config, groups))
    except TypeError:  # 0.29 to 0.31: the groups alone
        return int(utils._pool_bytes_per_block(groups))


def row(config: Any, specs: dict[str, Any], few: bool) -> dict[str, Any]:
    from vllm.v1.core import kv_cache_utils as utils

    groups = utils.get_kv_cache_groups(config, dict(specs))
    limit = config.model_config.max_model_len
    bytes_a_block = block_bytes(config, groups) if groups else 0
    backends = sorted({x.get_attn_backend().get_name() for x in layers_of(config)})
    out: dict[str, Any] = {
        "dtype": str(config.model_config.dtype).replace("torch.", ""),
        "cache_dtype": config.cache_config.cache_dtype,
        "block_size": config.cache_config.block_size,
        "mamba_cache_mode": config.cache_config.mamba_cache_mode,
        "prefix_caching": bool(config.cache_config.enable_prefix_caching),
        "layout": getattr(config.cache_config, "kv_cache_layout", None),
        "backends": backends,
        "bytes_per_block": bytes_a_block,
        "limit": limit,
        "groups": [[kind_of(g.kv_cache_spec), len(g.layer_names), g.kv_cache_spec.block_size] for g in groups],
        "cases": [],
    }
    if not groups:
        return out
    lengths = sorted({limit, min(limit, 16000), min(limit, 4099)}, reverse=True)
    batches = [config.scheduler_config.max_num_batched_tokens, 2048]
    if not any(kind in ("SlidingWindow", "ChunkedLocal") for kind, *_ in out["groups"]):
        batches = batches[:1]  # only windows depend on what is in flight
    for batch in dict.fromkeys(batches):
        config.scheduler_config.max_num_batched_tokens = batch
        for length in lengths[: 2 if few else 3]:
            config.model_config.max_model_len = length
            need = utils._max_memory_usage_bytes_from_groups(config, groups)
            sizes = [need // 3, need + bytes_a_block, need + bytes_a_block - 1, need - 1, need * 7 // 2 + 12345]
            for size in [*sizes[: 3 if few else 5], 50 * GIB]:
                fixed = plan(config, specs, size, length, False)
                auto = plan(config, specs, size, length, True)
                out["cases"].append([batch, length, size, *(fixed[:3] if fixed else (0, 0, 0)), auto[3] if auto else 0])
    return out


def layers_of(config: Any) -> list[Any]:
    return [x for x in config.compilation_config.static_forward_context.values() if hasattr(x, "get_attn_backend")]


def variants(everything: bool) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [{}]
    if everything:
        out += [{"kv_cache_dtype": "fp8"}, {"disable_hybrid_kv_cache_manager": True}, {"block_size": 64}]
        out += [{"enable_prefix_caching": False}, {"enable_prefix_caching": True}]
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--capability", type=int, default=90, help="80, 89, 90, 100 or 120")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--configs", type=Path, help="a JSON file of configs by name, instead of the fixtures")
    parser.add_argument("--tp", default="1,2,4,8")
    parser.add_argument("--few", action="store_true", help="fewer memory sizes a model")
    parser.add_argument("--variants", action="store_true", help="also fp8, no hybrid manager, block size 64, ...")
    args = parser.parse_args()
    import kv_platform

    kv_platform.pretend(args.capability)
    import vllm

    if args.configs:
        configs = json.loads(args.configs.read_text())
    else:
        configs = {p.name: json.loads((p / "config.json").read_text()) for p in sorted(FIXTURES.iterdir())}
    wanted = args.models or list(configs)
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in wanted:
            directory = Path(scratch) / name
            directory.mkdir()
            (directory / "config.json").write_text(json.dumps(configs[name]))
            for extra in variants(args.variants):
                for tp in map(int, args.tp.split(",")):
                    try:
                        config = build(directory, tp, **extra)
                        found = row(config, layer_specs(config), args.few)
                        rows.append({"model": name, "tp": tp, "extra": extra, **found})
                    except Exception as exc:
                        where = traceback.extract_tb(exc.__traceback__)[-1]
                        reason = str(exc).strip().replace("\n", " ")[:300]
                        place = f"{Path(where.filename).name}:{where.lineno}"
                        failed.append(f"{name} tp={tp} {extra}: {type(exc).__name__} {reason} ({place})")
                        print("FAILED", failed[-1], flush=True)
                    gc.collect()
    release = os.environ.get("ORACLE_RELEASE") or vllm.__version__.split("+")[0]
    head = {"release": release, "capability": args.capability, "failed": failed}
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
    args.out.write_text(f'{json.dumps(head)[:-1]}, "rows": [\n{lines}\n]}}\n')
    print(f"{len(rows)} rows, {len(failed)} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
