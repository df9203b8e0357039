# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The unit that every replica runs under, as systemd itself judges it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = ROOT / "roles/vllm/templates/vllm@.service.j2"
MOST = 2.0


def rendered(*hosts):
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        vllm_prefix="/opt/gpuserve",
        __vllm_tools="/opt/gpuserve/tools",
        vllm_shutdown_timeout=120,
        vllm_plan={"instances": [{"host": host} for host in hosts or ["127.0.0.1"]]},
    )
    assert "{%" not in text and "{{" not in text
    return text


def settings(text):
    """Every ``Name=value`` of the unit; a name may come more than once."""
    return [tuple(line.split("=", 1)) for line in text.splitlines() if re.match(r"[A-Z]\w*=", line)]


def score(text, tmp_path):
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "vllm@.service"
    unit.write_text(text)
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True, check=False
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is too old to judge a file")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found.group(1))


@pytest.mark.parametrize("hosts", [("127.0.0.1", "127.0.0.1"), ("0.0.0.0",)])
def test_exposure(hosts, tmp_path):
    assert score(rendered(*hosts), tmp_path) <= MOST


# so that the test above is known to be able to fail
@pytest.mark.parametrize("name", ["CapabilityBoundingSet", "SystemCallFilter"])
def test_exposure_without_a_setting(name, tmp_path):
    text = "".join(line for line in rendered().splitlines(keepends=True) if not line.startswith(f"{name}="))
    assert score(text, tmp_path) > MOST


def test_engines_behind_the_gateway_reach_nothing_but_this_host():
    assert ("IPAddressDeny", "any") in settings(rendered("127.0.0.1", "127.0.0.1"))


def test_an_engine_with_the_public_port_can_be_reached():
    assert not [name for name, _value in settings(rendered("0.0.0.0")) if name.startswith("IPAddress")]


def test_what_engines_need_stays_allowed():
    unit = settings(rendered())
    names = [name for name, _value in unit]
    assert "MemoryDenyWriteExecute" not in names and "PrivateDevices" not in names  # compilers; the cards
    assert [value for name, value in unit if name == "SystemCallFilter"] == [
        "@system-service", "~@privileged", "pidfd_getfd",
    ]  # fmt: skip


def test_stopping_asks_the_main_process_only_and_outlasts_its_own_timeout():
    unit = dict(settings(rendered()))
    assert (unit["KillMode"], unit["TimeoutStopSec"]) == ("mixed", "150")


def test_the_cache_is_seen_to_outside_the_sandbox_and_never_stops_a_start():
    unit = settings(rendered())
    assert [value for name, value in unit if name.startswith("Exec")] == [
        "+/opt/gpuserve/bin/vllm-instance --wait-for-cards %i /opt/gpuserve/tools",
        "+-/opt/gpuserve/bin/vllm-instance --cache prepare %i",
        "/opt/gpuserve/bin/vllm-instance %i",
        "+-/opt/gpuserve/bin/vllm-instance --cache ended %i",
    ]


def test_no_secret_is_in_the_unit():
    assert not [value for name, value in settings(rendered()) if name == "Environment" and "KEY" in value.upper()]
