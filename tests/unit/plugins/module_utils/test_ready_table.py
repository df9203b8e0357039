# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.gpuserve.inference.plugins.module_utils._ready_table import render_ready


def test_engine_and_plan_side_by_side():
    kv = {"kv_cache_tokens": 1900000, "planned_kv_cache_tokens": 2000000, "difference_percent": -5.0}
    table = render_ready(
        [
            {"name": "gpu0", "ready": True, "seconds": 1.25, "models": ["tiny"], "kv": kv},
            {
                "name": "gateway",
                "ready": False,
                "seconds": 9.0,
                "stage": "model",
                "models": [],
                "kv": {},
                "error": "no answer",
            },
        ]
    )
    assert table.splitlines() == [
        "instance  state              model  KV tokens    planned  difference",
        "--------  -----------------  -----  ---------  ---------  ----------",
        "gpu0      ready after 1.2 s  tiny   1,900,000  2,000,000     -5.00 %",
        "gateway   NOT READY (model)",
        "! gateway: no answer",
    ]
