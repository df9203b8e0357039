# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: bench_estimate
short_description: How long a benchmark of a host will take
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - For each candidate its start, the client's own work and the repeats of every load, and at the end the start of what
    served before. Runs go by the speed that the planner predicts at their load; a processor's is not predicted.
  - What an earlier benchmark of the same host took goes before all predictions.
positional: _input
options:
  _input:
    description: The plan, made with O(gpuserve.inference.topology_plan#module:loads).
    type: dict
    required: true
  candidates:
    description: What is measured, as P(gpuserve.inference.bench_candidates#filter) returns them.
    type: list
    elements: dict
    required: true
  load:
    description: What is asked, as RV(gpuserve.inference.vllm_bench#module:load).
    type: dict
    required: true
  repeats:
    description: How often each load is measured.
    type: int
    required: true
  gpus:
    description: The cards of the host, as RV(gpuserve.inference.gpu_info#module:gpus).
    type: list
    elements: dict
    required: true
  wishes:
    description: As those of P(gpuserve.inference.bench_result#filter).
    type: dict
    required: true
  record:
    description: The record of an earlier benchmark of this host, where there is one.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: See how long it will take
  ansible.builtin.debug:
    msg: >-
      {{ (vllm_plan | gpuserve.inference.bench_estimate(candidates=found, load=asked, repeats=3, gpus=cards.gpus,
      wishes={})).text }}
  vars:
    found: "{{ (vllm_plan | gpuserve.inference.bench_candidates).candidates }}"
    asked:
      input_tokens: 512
      output_tokens: 128
      points:
        - label: 16 at once
          concurrency: 16
          rate: 0
          requests: 128
"""

RETURN = r"""
_value:
  description:
    - C(seconds) of all, none where they are not known, C(text) for people, C(back_s), and C(candidates), by label the
      C(start_s), the C(client_s), the C(runs) with the seconds of a run by load, and what is to come after it,
      C(after_s).
  type: dict
"""

from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._bench_report import conditions
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_time import estimate


def bench_estimate(
    plan: dict[str, Any],
    candidates: list[dict[str, Any]],
    load: dict[str, Any],
    repeats: int,
    gpus: list[dict[str, Any]],
    wishes: dict[str, Any],
    record: Optional[dict[str, Any]] = None,
) -> dict[str, Any]:
    labels = [row["label"] for row in candidates]
    now = conditions(plan, gpus, wishes).to_dict()
    return estimate(plan, labels, load, int(repeats), record or {}, now).to_dict()


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"bench_estimate": bench_estimate}
