# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: bench_result
short_description: Which of the measured arrangements of a host's cards is fastest
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - A candidate's figure at a number of requests at once is its output tokens a second, at a rate the time of a request
    turned over. Its score is the geometric mean over all loads of its figure as a share of the best one.
  - The planned arrangement stays the winner where no other one is better by more than two in a hundred.
positional: _input
options:
  _input:
    description:
      - What was measured. For each label, such as V(2xTP1), C(points) and C(load), as
        RV(gpuserve.inference.vllm_bench#module:points) has them, or C(error).
    type: dict
    required: true
  plan:
    description: The plan with all candidates, as RV(gpuserve.inference.topology_plan#module:plan).
    type: dict
    required: true
  gpus:
    description: The cards of the host, as RV(gpuserve.inference.gpu_info#module:gpus).
    type: list
    elements: dict
    required: true
  wishes:
    description:
      - The settings C(max_model_len) and C(workload) that the plan was made for, and C(asked), what was asked, as
        options of M(gpuserve.inference.vllm_bench).
    type: dict
    required: true
  times:
    description:
      - Seconds that all of it took, C(took_s), that were estimated, C(estimated_s), and until what served before was
        back, C(back_s).
    type: dict
"""

EXAMPLES = r"""
- name: Show who won
  ansible.builtin.debug:
    msg: "{{ (measured | gpuserve.inference.bench_result(plan=vllm_plan, gpus=cards.gpus, wishes={})).text }}"
"""

RETURN = r"""
_value:
  description:
    - C(winner), the label of the fastest one, empty where none carried the load. C(scores), C(text), a table for
      people, and C(record), which O(gpuserve.inference.topology_plan#module:measured) takes.
  type: dict
"""

from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._bench_report import result


def bench_result(
    measured: Any,
    plan: dict[str, Any],
    gpus: list[dict[str, Any]],
    wishes: dict[str, Any],
    times: Optional[dict[str, Any]] = None,
) -> dict[str, Any]:
    return result(measured, plan, gpus, wishes, times=times)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"bench_result": bench_result}
