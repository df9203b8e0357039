# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any host, any model, any options: a plan that breaks no invariant, or an InputError or PlanError of one line."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError  # noqa: E402
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model  # noqa: E402
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import (  # noqa: E402
    OPTIONS,
    PlanRequest,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._planner import plan_from_options  # noqa: E402
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.fuzzing import (  # noqa: E402
    anything,
    check_line,
    fuzz,
    spoiled,
    st,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.model_files import MODELS  # noqa: E402
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import (  # noqa: E402
    CARDS,
    GIB,
    cards,
    load,
)
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_invariants import (  # noqa: E402
    check_plan,
)

NAMES = sorted(p.name for p in MODELS.iterdir() if (p / "config.json").is_file())
MODEL_DICTS = [read_model(str(MODELS / name)).to_dict() for name in NAMES] + list(load("models.json").values())
UNKNOWN = [{**m, "known_architecture": False} for m in MODEL_DICTS[::9]]
PATHS = ("NVL", "PIX", "PXB", "PHB", "NODE", "SYS")


def plan_or_error(options: dict[str, Any]) -> Any:
    """The plan, checked; None where it is refused in the right way."""
    before = copy.deepcopy(options)
    try:
        plan = plan_from_options(options)
    except (InputError, PlanError) as error:
        check_line(error)
        if isinstance(error, PlanError):
            json.dumps([c.to_dict() for c in error.candidates], allow_nan=False)
        return None
    assert repr(options) == repr(before)  # what was given is left as it was; repr, because NaN equals nothing
    check_plan(plan, PlanRequest.from_options(options))
    assert plan_from_options(before) == plan
    return plan


# ---------------------------------------------------------------- hosts


@st.composite  # type: ignore[untyped-decorator]
def hosts(draw: Any) -> dict[str, Any]:
    """One to eight cards, mostly of one kind and idle; with links, or without."""
    count = draw(st.integers(1, 8))
    kinds = draw(st.lists(st.sampled_from(sorted(CARDS)), min_size=1, max_size=2))
    mixed = draw(st.integers(0, 3)) == 0
    gpus = cards(*(kinds[draw(st.integers(0, len(kinds) - 1)) if mixed else 0] for _n in range(count)))
    plain = draw(st.booleans())
    for gpu in gpus if not plain else ():
        _lived_in(draw, gpu)
    out: dict[str, Any] = {"gpus": gpus}
    if draw(st.booleans()):
        out["links"] = _links(draw, count)
    return out


def _lived_in(draw: Any, gpu: dict[str, Any]) -> None:
    """A card as it may be found: busy, ill, sliced, without a UUID."""
    usable = gpu["memory_total_bytes"] - gpu["memory_reserved_bytes"]
    what = draw(st.sampled_from(["idle", "idle", "busy", "full", "ours", "warn", "fail", "mig", "no uuid", "numa"]))
    if what in ("busy", "full"):
        gpu["memory_free_bytes"] = 0 if what == "full" else draw(st.integers(0, usable))
    elif what == "ours":
        held = draw(st.integers(0, usable))
        gpu["memory_free_bytes"] = usable - held
        gpu["processes"] = [{"pid": 4000 + gpu["index"], "memory_bytes": held, "name": "vllm"}]
    elif what in ("warn", "fail"):
        gpu["health"] = {"verdict": what, "reasons": ["too hot"]}
    elif what == "mig":
        gpu["mig_mode"] = "enabled"
        slices = draw(st.integers(0, 7))
        gpu["mig_devices"] = [
            {
                "uuid": f"MIG-{gpu['index']}-{n}", "name": f"{gpu['name']} MIG 1g", "memory_total_bytes": usable // 8,
                "memory_free_bytes": draw(st.sampled_from([usable // 8, usable // 16])),
            }
            for n in range(slices)
        ]  # fmt: skip
    elif what == "no uuid":
        gpu["uuid"] = ""
    else:
        gpu["numa_node"] = draw(st.integers(-1, 1))


def _links(draw: Any, count: int) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = [[{} for _j in range(count)] for _i in range(count)]
    joined = draw(st.sampled_from([0, 0, 2, 4, 18]))
    for i in range(count):
        for j in range(i, count):
            path = draw(st.sampled_from(PATHS)) if i != j else "X"
            nvlinks = joined if path == "NVL" else 0
            cell = {"nvlink_count": nvlinks, "p2p": draw(st.booleans()), "path": path}
            rows[i][j] = rows[j][i] = cell
    return rows


numbers = st.fixed_dictionaries(
    {
        "input_tokens": st.sampled_from([1, 128, 1000, 30000]),
        "output_tokens": st.sampled_from([1, 128, 1000]),
        "concurrency": st.sampled_from([1, 3, 16, 256, 5000]),
    },
    optional={
        "name": st.sampled_from(["latency", "mixed", "throughput"]),
        "ttft_ms": st.sampled_from([1, 200.5, 10**5]),
        "tpot_ms": st.sampled_from([0.5, 20, 10**4]),
    },
)
settings = st.fixed_dictionaries(
    {"model": st.sampled_from(MODEL_DICTS + UNKNOWN)},
    optional={
        "workload": st.one_of(st.sampled_from(["latency", "mixed", "throughput"]), numbers),
        "topology": st.sampled_from(["auto", "data_parallel", "tensor_parallel", "hybrid"]),
        "single_endpoint": st.booleans(),
        "tensor_parallel_size": st.sampled_from([0, 0, 1, 2, 4]),
        "replicas": st.sampled_from([0, 0, 1, 2, 3]),
        "max_model_len": st.sampled_from(["auto", 1, 16, 2048, 8191, 32768, 131072]),
        "gpu_memory_utilization": st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.97, 1.0]),
        "max_num_seqs": st.sampled_from([0, 1, 17, 256, 4096]),
        "max_num_batched_tokens": st.sampled_from([0, 4096, 16384]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8", "bfloat16"]),
        "kv_cache_sizing": st.sampled_from(["utilization", "pinned"]),
        "enforce_eager": st.booleans(),
        "max_cudagraph_capture_size": st.sampled_from([0, 0, 64, 1024, "auto"]),
        "vllm_version": st.sampled_from(["0.26.0", "0.29.1", "0.32.0", "0.33.0", "0.40.0"]),
        "gpu_ids": st.sampled_from(["all", [0], [0, 1], ["GPU-0001"], ["MIG-0-0", "MIG-0-1"], "0,1"]),
        "own_pids": st.sampled_from([[], [4000, 4001]]),
        "base_port": st.sampled_from([1024, 8001, 65530]),
        "reserved_ports": st.sampled_from([[], [8002], [8001]]),
        "public_endpoint": st.just({"host": "0.0.0.0", "port": 443}),
        "rehearsal": st.booleans(),
        "device": st.sampled_from(["auto", "auto", "auto", "cpu"]),
        "host": st.sampled_from([{"cpus": 8, "memory_bytes": 64 * GIB}, {"cpus": [3, 1], "memory_bytes": 900 * GIB}]),
        "extra_args": st.sampled_from([[], ["--enable-prefix-caching"]]),
    },
)
asked = st.builds(lambda host, options: {**host, **options}, hosts(), settings)


@fuzz(180)
@hypothesis.given(host=hosts(), model=st.sampled_from(MODEL_DICTS + UNKNOWN))
def test_any_host_and_any_model(host: dict[str, Any], model: dict[str, Any]) -> None:
    plan_or_error({**host, "model": model})


@fuzz(300)
@hypothesis.given(options=asked)
def test_any_sound_options(options: dict[str, Any]) -> None:
    plan_or_error(options)


@fuzz(350)
@hypothesis.given(options=spoiled(asked))
def test_spoiled_options(options: dict[str, Any]) -> None:
    plan_or_error(options)


@fuzz(120)
@hypothesis.given(
    options=asked, junk=st.dictionaries(st.sampled_from([*OPTIONS, "modle", ""]), anything, min_size=1, max_size=2)
)
def test_junk_for_an_option(options: dict[str, Any], junk: dict[str, Any]) -> None:
    plan_or_error({**options, **junk})


@fuzz(120)
@hypothesis.given(model=spoiled(st.sampled_from(MODEL_DICTS)), host=hosts())
def test_spoiled_models(model: dict[str, Any], host: dict[str, Any]) -> None:
    plan_or_error({**host, "model": model})


def test_the_fuzz_is_not_idle() -> None:
    """Sound hosts lead to plans often enough that the invariants are really put to the test."""
    made = []

    @fuzz(60)
    @hypothesis.given(options=asked)
    def count(options: dict[str, Any]) -> None:
        try:
            made.append(bool(plan_from_options(options)))
        except (InputError, PlanError):
            made.append(False)

    count()
    assert sum(made) > len(made) / 5
