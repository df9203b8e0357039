# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: bench_html
short_description: Show what a benchmark measured as an HTML page
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - Turns a record of P(gpuserve.inference.bench_result#filter) into one HTML page that needs no other file and no
    script.
  - It plots throughput, TTFT and TPOT against the load with the spread of the repeats, and throughput against the speed
    that one user gets, beside the planner's prediction. It tells who won, what failed and why, every number, and what
    it was measured with.
positional: _input
options:
  _input:
    description: The record, as P(gpuserve.inference.bench_result#filter) returns it in C(record).
    type: dict
    required: true
  host:
    description: Name of the host, for the headline.
    type: str
    default: ""
  driver:
    description: Version of the cards' driver.
    type: str
    default: ""
seealso:
  - plugin: gpuserve.inference.bench_result
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write the page of a benchmark on the controller
  ansible.builtin.copy:
    content: "{{ vllm_benchmark.record | gpuserve.inference.bench_html(host=inventory_hostname) }}"
    dest: benchmark.html
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.gpuserve.inference.plugins.module_utils._bench_html import render_page
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError


def bench_html(record: Any, host: str = "", driver: str = "") -> str:
    try:
        return render_page(record, host, driver)
    except GpuserveError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"bench_html": bench_html}
