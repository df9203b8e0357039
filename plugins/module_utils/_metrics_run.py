# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Writes this host's figures to a file: what gpuserve-metrics.timer starts every few seconds. No Ansible here."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any, Callable, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _certificate
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._gpu_health import HostHealth, served_by
from ansible_collections.gpuserve.inference.plugins.module_utils._health_look import judged
from ansible_collections.gpuserve.inference.plugins.module_utils._metrics import (
    Draw,
    Sample,
    card_samples,
    nginx_samples,
    read_draw,
    render,
    replica_samples,
    sample,
    scrape_targets,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml import probe
from ansible_collections.gpuserve.inference.plugins.module_utils._nvml_health import SLOWDOWNS
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run, local_run
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Probe
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_look import cards as planned_cards
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_look import read_json
from ansible_collections.gpuserve.inference.plugins.module_utils._watch_run import WARNING, say

_SLOW = sum(SLOWDOWNS)
_ETC = "/etc/gpuserve"
_RUN = "/run/gpuserve/metrics"


def look_at_cards(run: Run, etc: str) -> tuple[HostHealth, dict[int, Draw]]:
    draws: dict[int, Draw] = {}

    def read_draws(nvml: Any, seen: Probe) -> None:
        draws.update((gpu.index, read_draw(nvml, gpu.index, _SLOW)) for gpu in seen.gpus)

    found = probe(also=read_draws)
    return judged(found.gpus, served_by(planned_cards(etc)), run), draws


def nginx_status(url: str) -> Optional[str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as answer:
            return str(answer.read(4096).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None


def collect(
    run: Run,
    etc: str,
    plan: Mapping[str, Any],
    nginx_url: str,
    certificate: str,
    rotation: Rotation,
    now: float,
    look: Callable[[Run, str], tuple[HostHealth, dict[int, Draw]]],
) -> list[Sample]:
    """What cannot be had is left out, and says so by a figure of its own; the rest is told all the same."""
    found = [sample("gpuserve_look_timestamp_seconds", now)]
    try:
        health, draws = look(run, etc)
        found += [sample("gpuserve_look_ok", 1), *card_samples(health.cards, draws)]
    except GpuserveError as exc:
        say(WARNING, f"nothing is known of the cards: {exc}")
        found.append(sample("gpuserve_look_ok", 0))
    found += nginx_samples(nginx_status(nginx_url))
    try:
        found += replica_samples(plan, rotation.look().in_rotation())
    except (GpuserveError, OSError) as exc:
        say(WARNING, f"nothing is known of the rotation: {exc}")
    if certificate:
        try:
            ends = _certificate.read(run, certificate).ends
            found.append(sample("gpuserve_certificate_end_timestamp_seconds", ends, file=certificate))
        except GpuserveError as exc:
            say(WARNING, str(exc))
            found.append(sample("gpuserve_certificate_end_timestamp_seconds", 0, file=certificate))
    return found


def main() -> int:
    with open(f"{_ETC}/monitoring/metrics.json", encoding="utf-8") as handle:
        settings = json.load(handle)
    status = str(settings["status"])
    plan = read_json(f"{_ETC}/plan.json")
    samples = collect(
        local_run,
        _ETC,
        plan,
        f"http://{status}/nginx",
        str(settings["certificate"]),
        Rotation(local_run),
        time.time(),
        look_at_cards,
    )
    # the targets first: whoever sees the figures finds these too
    write_text(f"{_RUN}/replicas.json", scrape_targets(plan, status, str(settings["instance"])))
    write_text(f"{_RUN}/host.prom", render(samples))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
