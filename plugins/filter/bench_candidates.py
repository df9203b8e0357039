# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: bench_candidates
short_description: The arrangements of a host's cards that a benchmark tries
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - All candidates of a plan that fit and use as many cards as any that fits. The plan's own comes first.
  - What cannot run is told in C(problem), for a task that fails with that line alone.
positional: _input, wished, longest
options:
  _input:
    description: The plan, as RV(gpuserve.inference.topology_plan#module:plan).
    type: dict
    required: true
  wished:
    description: Only these, such as V(2xTP1).
    type: list
    elements: str
    default: []
  longest:
    description: Tokens of the longest request that will be asked. V(0) is not known.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: See what would be measured
  ansible.builtin.debug:
    msg: "{{ (vllm_plan | gpuserve.inference.bench_candidates).candidates | map(attribute='label') }}"
"""

RETURN = r"""
_value:
  description:
    - C(candidates), a list of dictionaries of C(label), C(replicas) and C(tensor_parallel_size), and C(problem), one
      line that is empty where there is none.
  type: dict
"""

from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._bench_report import candidates
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError


def bench_candidates(plan: Any, wished: Optional[list[str]] = None, longest: int = 0) -> dict[str, Any]:
    try:
        return {"candidates": candidates(plan, wished or (), int(longest)), "problem": ""}
    except GpuserveError as error:
        return {"candidates": [], "problem": str(error)}


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        return {"bench_candidates": bench_candidates}
