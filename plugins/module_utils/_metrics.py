# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Figures of a host in the text format that Prometheus reads: its cards, its replicas, its nginx, its certificate."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_card import Ask

# nvml.h, nvmlTemperatureSensors_t
_GPU_SENSOR = 0

HELP = {
    "gpuserve_look_timestamp_seconds": "When these figures were taken, in seconds since 1970",
    "gpuserve_look_ok": "1 where the cards could be looked at",
    "gpuserve_gpu_info": "A card",
    "gpuserve_gpu_health": "Verdict on a card from NVML and the kernel log: 0 well, 1 needs a look, 2 must not serve",
    "gpuserve_gpu_memory_total_bytes": "Memory of a card",
    "gpuserve_gpu_memory_used_bytes": "Memory of a card that is in use, what the driver holds included",
    "gpuserve_gpu_power_watts": "Power that a card draws",
    "gpuserve_gpu_temperature_celsius": "Temperature of a card",
    "gpuserve_gpu_utilization_ratio": "Part of the time in which something ran on a card",
    "gpuserve_gpu_throttled": "1 where the hardware slows a card down: heat, or power",
    "gpuserve_replica_in_rotation": "1 where the gateway sends requests to a replica",
    "gpuserve_replica_info": "A replica as it was planned",
    "gpuserve_gateway_up": "1 where nginx answered",
    "gpuserve_gateway_connections": "Connections of nginx, by what they do",
    "gpuserve_gateway_requests_total": "Requests to nginx since it was started",
    "gpuserve_certificate_end_timestamp_seconds": "When the certificate of the gateway ends, in seconds since 1970",
}
HEALTH = {"ok": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True)
class Sample:
    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


def sample(metric: str, value: float, /, **labels: object) -> Sample:
    return Sample(metric, float(value), tuple((key, str(held)) for key, held in labels.items()))


def render(samples: Iterable[Sample]) -> str:
    """The text; samples of one name come together, as the format wants it."""
    by_name: dict[str, list[Sample]] = {}
    for one in samples:
        by_name.setdefault(one.name, []).append(one)
    lines = []
    for name, rows in by_name.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} {kind}"]
        for row in rows:
            labels = ",".join(f'{key}="{_escaped(held)}"' for key, held in row.labels)
            lines.append(f"{name}{{{labels}}} {row.value:.17g}" if labels else f"{name} {row.value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# ---------------------------------------------------------------- the cards


@dataclass(frozen=True)
class Draw:
    """What only matters while a card works; None where a card does not say."""

    power_watts: Optional[float] = None
    temperature: Optional[float] = None
    utilization: Optional[float] = None
    throttled: Optional[bool] = None


def read_draw(nvml: Any, index: int, slowdowns: int) -> Draw:
    """Of one card. ``slowdowns``: the bits of nvmlClocksEventReasons that mean it is slowed down."""
    ask = Ask(nvml)
    handle = ask("nvmlDeviceGetHandleByIndex", index)
    if handle is None:
        return Draw()
    power = ask("nvmlDeviceGetPowerUsage", handle)
    heat = ask("nvmlDeviceGetTemperature", handle, _GPU_SENSOR)
    use = ask("nvmlDeviceGetUtilizationRates", handle)
    reasons = ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if reasons is None:
        reasons = ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    return Draw(
        None if power is None else power / 1000,
        None if heat is None else float(heat),
        None if use is None else use.gpu / 100,
        None if reasons is None else bool(int(reasons) & slowdowns),
    )


def card_samples(health: Sequence[Any], draws: Mapping[int, Draw]) -> list[Sample]:
    """``health``: CardHealth of each card, also of those that are gone."""
    found = []
    for card in health:
        who = {"gpu": "" if card.index is None else card.index, "uuid": card.uuid}
        found.append(sample("gpuserve_gpu_info", 1, **who, name=card.name, pci_bus_id=card.address))
        found.append(sample("gpuserve_gpu_health", HEALTH[card.verdict], **who))
        if card.gpu is not None and card.gpu.memory_total_bytes:
            total = card.gpu.memory_total_bytes
            found.append(sample("gpuserve_gpu_memory_total_bytes", total, **who))
            found.append(sample("gpuserve_gpu_memory_used_bytes", total - card.gpu.memory_free_bytes, **who))
        draw = draws.get(card.index, Draw())
        for name, value in (
            ("gpuserve_gpu_power_watts", draw.power_watts),
            ("gpuserve_gpu_temperature_celsius", draw.temperature),
            ("gpuserve_gpu_utilization_ratio", draw.utilization),
            ("gpuserve_gpu_throttled", draw.throttled),
        ):
            if value is not None:
                found.append(sample(name, value, **who))
    return found


# ---------------------------------------------------------------- nginx and the replicas


def nginx_samples(status: Optional[str]) -> list[Sample]:
    """From the page of stub_status; None where nginx did not answer."""
    if status is None:
        return [sample("gpuserve_gateway_up", 0)]
    counts = re.search(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s*$", status, re.M)
    states = dict(re.findall(r"(Active connections|Reading|Writing|Waiting):\s*(\d+)", status))
    if counts is None or len(states) != 4:
        return [sample("gpuserve_gateway_up", 0)]
    found = [sample("gpuserve_gateway_up", 1), sample("gpuserve_gateway_requests_total", int(counts.group(3)))]
    names = {"Active connections": "active", "Reading": "reading", "Writing": "writing", "Waiting": "waiting"}
    return found + [sample("gpuserve_gateway_connections", int(states[key]), state=name) for key, name in names.items()]


def replica_samples(plan: Mapping[str, Any], in_rotation: Sequence[str]) -> list[Sample]:
    found = []
    for row in plan.get("instances") or ():
        gpus = ",".join(str(card) for card in row.get("gpus") or ())
        labels = {"gpus": gpus, "topology": plan.get("topology", ""), "tp": plan.get("tensor_parallel_size", "")}
        found.append(sample("gpuserve_replica_info", 1, replica=row["name"], **labels))
        found.append(sample("gpuserve_replica_in_rotation", row["name"] in in_rotation, replica=row["name"]))
    return found


def scrape_targets(plan: Mapping[str, Any], status: str, instance: str) -> str:
    """For file_sd of Prometheus, so that it follows the plan: every replica, by the gateway's status listener."""
    rows = [
        {
            "targets": [status],
            "labels": {"__metrics_path__": f"/metrics/{row['name']}", "replica": row["name"], "instance": instance},
        }
        for row in plan.get("instances") or ()
    ]
    return json.dumps(rows, indent=2) + "\n"
