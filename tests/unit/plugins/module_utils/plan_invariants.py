# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every plan, whatever was asked."""

from __future__ import annotations

import json
import math
from typing import Any, Iterator, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils._plan_request import PlanRequest
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import argument

PARTS = (
    "weight_bytes_per_gpu", "activation_bytes_per_gpu", "persistent_bytes_per_gpu", "non_torch_bytes_per_gpu",
    "cuda_graph_bytes_per_gpu", "kv_cache_bytes_per_gpu",
)  # fmt: skip


def check_plan(plan: Mapping[str, Any], request: PlanRequest) -> None:
    json.dumps(plan, allow_nan=False)
    check_texts(plan)
    for prediction in (plan["prediction"], *(c["prediction"] for c in plan["candidates"])):
        for name, value in numbers(prediction):
            assert value >= 0, name
    check_shape(plan, request)
    check_candidates(plan)
    check_arguments(plan, request)
    check_cache(plan, request)
    if plan["device"] == "cuda" or plan["rehearsal"]:
        check_cards(plan, request)
        check_memory(plan, request)


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from numbers(inner, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from numbers(inner, name)
    elif isinstance(value, (int, float)):
        assert math.isfinite(value), name
        yield name, value


def check_texts(plan: Mapping[str, Any]) -> None:
    texts = [plan["reason"], *plan["warnings"], *plan["advice"], *(c["why"] for c in plan["candidates"])]
    assert all(texts)
    assert all(text.isprintable() for text in texts), texts


def check_shape(plan: Mapping[str, Any], request: PlanRequest) -> None:
    """Instances, replicas and topology agree with each other and with what was asked."""
    replicas, tp = plan["replicas"], plan["tensor_parallel_size"]
    assert len(plan["instances"]) == replicas >= 1
    assert tp >= 1
    shape = "data_parallel" if tp == 1 else "tensor_parallel" if replicas == 1 else "hybrid"
    assert plan["topology"] == shape
    assert plan["load_balancer"] is (replicas > 1)
    if request.topology != "auto" and not (request.single_endpoint and tp == 1):
        assert plan["topology"] == request.topology
    assert request.replicas in (0, replicas)
    assert request.tensor_parallel_size in (0, tp)
    assert replicas == 1 or not request.single_endpoint
    assert request.max_model_len in (0, plan["max_model_len"])
    assert 1 <= plan["max_model_len"] <= (request.model.max_position_embeddings or 1 << 30)
    names = [i["name"] for i in plan["instances"]]
    assert len(set(names)) == len(names)
    ports = [i["port"] for i in plan["instances"]]
    assert len(set(ports)) == len(ports)
    if not (request.public_endpoint and replicas == 1):
        assert not set(ports) & set(request.reserved_ports)
        assert all(1024 <= port <= 65535 for port in ports)


def check_candidates(plan: Mapping[str, Any]) -> None:
    shapes = [(c["replicas"], c["tensor_parallel_size"]) for c in plan["candidates"]]
    assert len(set(shapes)) == len(shapes)
    chosen = [c for c in plan["candidates"] if c["why"].startswith("chosen")]
    assert len(chosen) == 1
    assert chosen[0]["fits"] is True
    assert (chosen[0]["replicas"], chosen[0]["tensor_parallel_size"]) == (
        plan["replicas"],
        plan["tensor_parallel_size"],
    )


def check_arguments(plan: Mapping[str, Any], request: PlanRequest) -> None:
    for instance in plan["instances"]:
        assert all(isinstance(word, str) for word in instance["args"])
        assert argument(instance, "--port") == str(instance["port"])
        assert argument(instance, "--host") == instance["host"]
        assert argument(instance, "--tensor-parallel-size") == str(plan["tensor_parallel_size"])
        assert argument(instance, "--max-model-len") == str(plan["max_model_len"])
        seqs, batched = (int(argument(instance, f"--max-num-{n}")) for n in ("seqs", "batched-tokens"))
        assert 1 <= seqs <= batched
        assert plan["rehearsal"] or request.max_num_seqs in (0, seqs)
        assert plan["rehearsal"] or request.max_num_batched_tokens in (0, batched)
        if plan["device"] == "cuda":
            assert 0 < float(argument(instance, "--gpu-memory-utilization")) <= 1
            assert ("--enforce-eager" in instance["args"]) >= request.enforce_eager
            if request.max_cudagraph_capture_size:
                wish = argument(instance, "--max-cudagraph-capture-size")
                assert wish == str(request.max_cudagraph_capture_size)


def check_cache(plan: Mapping[str, Any], request: PlanRequest) -> None:
    """Every instance holds at least one request of the longest length."""
    found = plan["prediction"]
    assert found["max_concurrency"] >= 1
    assert found["kv_cache_tokens"] >= plan["max_model_len"]
    assert found["num_gpu_blocks"] >= 1
    assert found["kv_cache_memory_bytes"] <= found["kv_cache_bytes_per_gpu"]
    assert 0 <= found["margin_percent"] <= 100
    if not request.model.known_architecture:
        assert found["margin_percent"] >= 15


def check_cards(plan: Mapping[str, Any], request: PlanRequest) -> None:
    """Every card and slice serves one instance, whole groups are of one kind, and the environment names them."""
    by_index = {g.index: g for g in request.gpus}
    used: set[tuple[int, str]] = set()
    for instance in plan["instances"]:
        gpus, uuids = instance["gpus"], instance["gpu_uuids"]
        assert len(gpus) == len(uuids) == plan["tensor_parallel_size"]
        cards = [by_index[index] for index in gpus]
        for card, uuid in zip(cards, uuids):
            assert card.health.get("verdict") != "fail"
            slices = [m.uuid for m in card.mig_devices] if card.mig_mode == "enabled" else []
            assert uuid in slices if slices else uuid == card.uuid
            key = (card.index, uuid if slices else "")
            assert key not in used
            used.add(key)
            if request.gpu_ids:
                assert {card.index, card.uuid, uuid} & set(request.gpu_ids)
        assert len({card.name for card in cards}) == 1
        if plan["device"] == "cuda":
            visible = instance["env"]["CUDA_VISIBLE_DEVICES"].split(",")
            if all(uuids):
                assert visible == uuids
            else:
                assert visible == [str(index) for index in gpus]
                assert instance["env"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def check_memory(plan: Mapping[str, Any], request: PlanRequest) -> None:
    """The parts fit the smallest card of the plan, and on every card vLLM's start gate is passed."""
    found = plan["prediction"]
    smallest = None
    for instance in plan["instances"]:
        for index, uuid in zip(instance["gpus"], instance["gpu_uuids"]):
            card = next(g for g in request.gpus if g.index == index)
            mig = next((m for m in card.mig_devices if m.uuid == uuid and card.mig_mode == "enabled"), None)
            total = mig.memory_total_bytes if mig else card.cuda_total_bytes
            free = free_bytes(card, request.own_pids) if not mig else mig.memory_free_bytes
            if mig and request.own_pids:
                free = total  # what a slice's engine holds cannot be told apart
            smallest = total if smallest is None else min(smallest, total)
            if plan["device"] == "cuda":  # vLLM refuses to start where less than total x utilisation is free
                assert math.ceil(total * float(argument(instance, "--gpu-memory-utilization"))) <= free
    assert smallest is not None
    assert sum(found[part] or 0 for part in PARTS) <= found["cuda_total_bytes"]
    assert found["budget_bytes"] <= found["cuda_total_bytes"]
    assert any(found["cuda_total_bytes"] == size for size in totals(plan, request))


def free_bytes(card: Any, own_pids: tuple[int, ...]) -> int:
    """What is free once the engines that the plan replaces are gone."""
    ours = [
        p for p in card.processes if p.get("pid") in own_pids or str(p.get("unit") or "").startswith("vllm@")
    ]  # fmt: skip
    if ours and len(ours) == len(card.processes):
        return int(card.cuda_total_bytes)
    return int(min(card.memory_free_bytes + sum(p.get("memory_bytes") or 0 for p in ours), card.cuda_total_bytes))


def totals(plan: Mapping[str, Any], request: PlanRequest) -> Iterator[int]:
    """What the cards of the plan report as theirs."""
    used = {uuid for i in plan["instances"] for uuid in i["gpu_uuids"]}
    for instance in plan["instances"]:
        for card in request.gpus:
            if card.index in instance["gpus"]:
                yield card.cuda_total_bytes
                yield from (m.memory_total_bytes for m in card.mig_devices if m.uuid in used)
