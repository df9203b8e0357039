# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports as files."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_report import file_name, write_reports
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, plan

PLAN = plan(cards("5090", "5090"))
REFUSED = {"failed": True, "msg": "nothing is large enough", "candidates": []}


def test_files_of_one_host(tmp_path):
    changed, files = write_reports(str(tmp_path / "new" / "plans"), "gpu1", {"plan": PLAN, "changed": False})
    assert changed
    assert [os.path.basename(f) for f in files] == ["gpu1.json", "gpu1.html"]
    assert json.loads((tmp_path / "new/plans/gpu1.json").read_text(encoding="utf-8")) == PLAN
    assert sorted(os.listdir(tmp_path / "new/plans")) == ["gpu1.html", "gpu1.json"]


def test_the_same_plan_is_the_same_file(tmp_path):
    write_reports(str(tmp_path), "gpu1", PLAN)
    before = {f: (f.stat().st_mtime_ns, f.stat().st_ino) for f in tmp_path.iterdir()}
    turned = json.loads(json.dumps(dict(reversed(list(PLAN.items())))))
    assert write_reports(str(tmp_path), "gpu1", turned)[0] is False
    assert {f: (f.stat().st_mtime_ns, f.stat().st_ino) for f in tmp_path.iterdir()} == before
    assert write_reports(str(tmp_path), "gpu1", {**PLAN, "reason": "because"})[0] is True


def test_several_hosts_have_an_index(tmp_path):
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "broken.html").write_text("", encoding="utf-8")
    hosts = [f"gpu{n}.example.com" for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda h: write_reports(str(tmp_path), h, REFUSED if h.startswith("gpu3") else PLAN), hosts))
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'href="([^"]*)"', index) == sorted(f"{h}.html" for h in hosts)
    assert index.count("nothing fits") == 1
    assert "nothing is large enough" in index
    assert index.count("Data parallel: 2 replicas of 1 card") == 11
    assert not list(tmp_path.glob("*.new"))
    assert write_reports(str(tmp_path), hosts[0], PLAN)[0] is False


def test_nothing_fits(tmp_path):
    write_reports(str(tmp_path), "gpu1", REFUSED)
    held = json.loads((tmp_path / "gpu1.json").read_text(encoding="utf-8"))
    assert held == {"msg": "nothing is large enough", "candidates": []}


@pytest.mark.parametrize(
    "host", ["../../etc/x", "a/b", "a_b", "index", "INDEX", "", ".", "fe80::1", "ü", "n" * 300, "-x"]
)
def test_names_of_files(host, tmp_path):
    name = file_name(host)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}", name)
    assert name.lower() != "index"
    assert (name == host) is (host == "a_b")
    write_reports(str(tmp_path), host, PLAN)
    assert sorted(os.listdir(tmp_path)) == [f"{name}.html", f"{name}.json"]


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"report directory .*/file/x: .*vllm_plan_report_dir"):
        write_reports(str(tmp_path / "file" / "x"), "gpu1", PLAN)


def test_no_plan_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="a plan as topology_plan returns it"):
        write_reports(str(tmp_path / "d"), "gpu1", {})
    with pytest.raises(InputError, match="JSON cannot"):
        write_reports(str(tmp_path / "d"), "gpu1", {**PLAN, "more": float("nan")})
    assert not (tmp_path / "d").exists()
