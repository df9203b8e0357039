# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules, their tests and the dashboard use only figures that something writes, and the dashboard is whole."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.gpuserve.inference.plugins.module_utils._metrics import HELP
from jinja2 import Environment
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/monitoring"
# what the real engine printed
ENGINE = {
    re.match(r"[\w:]+", line)[0]
    for line in (ROOT / "tests/fixtures/metrics/vllm-0.32.0.prom").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}
KNOWN = ENGINE | set(HELP) | {"up", "ALERTS"}
DASHBOARD = json.loads((ROLE / "files/dashboard.json").read_text(encoding="utf-8"))


def figures(expr):
    return set(re.findall(r"\b(?:vllm:|gpuserve_)\w+", re.sub(r'"[^"]*"', "", expr)))


def rules():
    text = (ROLE / "templates/rules.yml.j2").read_text(encoding="utf-8")
    held = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    return yaml.safe_load(Environment(trim_blocks=True).from_string(text).render(**held))["groups"][0]["rules"]


def exprs():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_rules_and_panels_use_figures_that_there_are():
    used = set().union(*map(figures, exprs() + [rule["expr"] for rule in rules()]))
    assert len(used) > 15
    assert used - KNOWN == set()
    assert "vllm:time_to_first_token_secs_bucket" not in KNOWN


def test_every_rule_is_tested_firing_and_quiet_and_says_what_to_do():
    names = {rule["alert"] for rule in rules()}
    tests = yaml.safe_load((ROOT / "tests/fixtures/metrics/rules_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {
        alert
        for test in tests
        for s in test["promql_expr_test"][0]["exp_samples"]
        for alert in re.findall(r"Gpuserve\w+", s["labels"])
    }
    quiet = {"Gpuserve" + test["name"].split(",")[0] for test in tests if test["name"].endswith(", quiet")}
    assert fired == names == quiet
    for rule in rules():
        assert rule["annotations"]["summary"] and rule["annotations"]["do"]
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_dashboard_is_whole():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not places & mine, panel["title"]
        places |= mine
        assert panel["type"] in ("timeseries", "stat")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert refs and len(set(refs)) == len(refs)
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    assert used == variables == {"datasource", "instance"}


def test_the_page_can_write_every_unit():
    page = (ROLE / "files/dashboard.html").read_text(encoding="utf-8")
    units = {panel["fieldConfig"]["defaults"]["unit"] for panel in DASHBOARD["panels"]}
    table = page[page.index("const units") : page.index("};", page.index("const units"))]
    assert units <= set(re.findall(r"(\w+): v =>", table))


SCHEMA = Draft202012Validator(
    yaml.safe_load((ROOT / "tests/fixtures/metrics/dashboard_schema.yml").read_text(encoding="utf-8"))
)


def test_grafana_takes_the_dashboard():
    Draft202012Validator.check_schema(SCHEMA.schema)
    assert [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(DASHBOARD)] == []


@pytest.mark.parametrize(
    ("where", "held"),
    [
        (("panels", 0, "options", "textMode"), "values"),
        (("panels", 0, "options", "wideLayout"), None),
        (("panels", 4, "options", "legend", "showLegend"), None),
        (("panels", 4, "options", "tooltip", "sort"), "descending"),
        (("panels", 4, "targets", 0, "query"), "up"),
        (("panels", 4, "gridPos", "w"), "8"),
        (("panels", 4, "fieldConfig", "overrides"), None),
        (("templating", "list", 1, "refresh"), 3),
        (("schemaVersion",), "38"),
    ],
)
def test_what_grafana_would_refuse_is_refused(where, held):
    broken = copy.deepcopy(DASHBOARD)
    inside = broken
    for step in where[:-1]:
        inside = inside[step]
    if held is None:
        del inside[where[-1]]
    else:
        inside[where[-1]] = held
    assert not SCHEMA.is_valid(broken)
