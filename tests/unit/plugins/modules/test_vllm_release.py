# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vllm_release and vllm_roll as Ansible calls them."""

from __future__ import annotations

import fcntl
import json
import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _release_apply, _roll_host
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_drain import Drained
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_wait import Outcome
from ansible_collections.gpuserve.inference.plugins.module_utils._roll import Hands
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.plugins.modules import vllm_release, vllm_roll
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import Clock
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.release_host import Host, plan
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call


@pytest.fixture
def host(tmp_path, monkeypatch):
    made = Host(tmp_path)
    rotation = Rotation(made, made.etc, run_dir=f"{tmp_path}/run")
    bad = made.bad = set()

    def serves(row):
        return made.store.of(row["name"]) not in bad

    def look(_run):
        return _release_apply.Look(made, serves, rotation.look().out, made.proc, made.unit_dir)

    def hands(run, say, doing):
        clock = Clock()
        return Hands(
            look(run),
            rotation,
            lambda rows, timeout: [Outcome(row["name"], serves(row), error="died") for row in rows],
            lambda row: Drained(row["name"], True, running=0, waiting=0),
            clock,
            clock.sleep,
            say,
        )

    for module in (vllm_release, vllm_roll):
        monkeypatch.setattr(module, "ReleaseStore", lambda: made.store)
    monkeypatch.setattr(vllm_release, "Rotation", lambda run: rotation)
    monkeypatch.setattr(vllm_release, "look_at", look)
    monkeypatch.setattr(_roll_host, "hands_on", hands)
    for module, name in ((vllm_release, "LOCK"), (_roll_host, "LOCK")):
        monkeypatch.setattr(module, name, f"{tmp_path}/run/roll.lock")
    for module, name in ((vllm_release, "WAIT"), (_roll_host, "WAIT")):
        monkeypatch.setattr(module, name, 0)
    made.rotation = rotation
    return made


def release(host, made, check=False, **options):
    return call(vllm_release, {"release": getattr(made, "id", made), **options}, check)


def roll(host, name, made, check=False, **options):
    return call(vllm_roll, {"name": name, "release": getattr(made, "id", made), **options}, check)


def test_from_nothing_to_another_release_and_back(host):
    one = host.write()
    step = release(host, one)
    assert (step["mode"], step["good"], step["changed"]) == ("at_once", "", False)
    started = release(host, one, state="started")
    assert [unit["action"] for unit in started["units"]] == ["start", "start"]
    assert release(host, one, state="good")["good"] == one.id
    assert not release(host, one, state="good")["changed"]

    two = host.write(words=("--a",))
    step = release(host, two)
    assert (step["mode"], step["roll"], step["good"]) == ("rolling", ["gpu0", "gpu1"], one.id)
    for name in step["roll"]:
        out = roll(host, name, two)
        assert out["changed"] and out["former"] == one.id
        assert out["line"].startswith(f"{name}: take_out 0.0 s")
    assert release(host, two, state="good")["changed"]

    step = release(host, "previous", state="found")
    assert (step["release"], step["changed"]) == (one.id, False)
    assert release(host, "previous")["mode"] == "rolling"


def test_what_was_tried_is_removed_when_the_holding_ends(host):
    one = host.write()
    release(host, one, state="started")
    release(host, one, state="good")
    assert call(vllm_release, {"state": "held"})["release"] == one.id
    two = host.write(words=("--a",))
    release(host, two, state="started")
    release(host, two, state="good", trying=True)
    assert release(host, "previous", state="found")["held"] == one.id
    release(host, "held", state="started")
    release(host, "held", state="good", trying=True)
    assert set(host.store.ids()) == {one.id, two.id}
    ended = call(vllm_release, {"state": "unheld"})
    assert ended["changed"] and ended["release"] == one.id and len(ended["removed"]) == 1
    assert (host.store.ids(), host.store.good(), host.store.previous()) == ([one.id], one.id, "")
    assert not call(vllm_release, {"state": "unheld"})["changed"]


def test_check_mode_needs_no_files(host):
    one = host.write()
    rows = [{"name": "gpu0", "digest": "new", "port": 8001}, {"name": "gpu1", "digest": "new", "port": 8002}]
    fresh = release(host, "0123456789ab", True, instances=rows)
    assert fresh["mode"] == "at_once" and not os.listdir(f"{host.etc}/instances")
    host.runs(one)
    for row, kept in zip(rows, one.instances):
        row.update(gpus=kept["gpus"])
    before = list(host.orders)
    assert release(host, "0123456789ab", True, instances=rows)["roll"] == ["gpu0", "gpu1"]
    out = roll(host, "gpu0", "0123456789ab", True, digest="new", port=8001)
    assert out["changed"] and out["stages"][0]["stage"] == "read_ahead"
    assert host.orders == before


def test_a_plan_is_written_and_compared_in_one_call(host):
    given = {"plan": plan(), "command": ["/e/bin/vllm"], "model_path": "/m", "unit": "[Unit]\n"}
    secret = {"environment": json.dumps({"TOKEN": "nobody-may-see"}), "_ansible_diff": True}
    plain = call(vllm_release, given, True)
    assert plain["release"] == host.write().id  # the same files, so the same name
    assert [row["name"] for row in plain["instances"]] == ["gpu0", "gpu1"]
    assert plain["mode"] == "at_once" and plain["changed"]
    assert {row["action"] for row in plain["files"]} == {"create"}
    hidden = call(vllm_release, {**given, **secret}, True)
    assert hidden["release"] != plain["release"]
    assert "nobody-may-see" not in json.dumps(hidden) and "(hidden)" in json.dumps(hidden["diff"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "state is compared but any of the following are missing: release, plan"),
        ({"plan": {"instances": []}}, "missing parameter(s) required by 'plan': command, model_path, unit"),
        (
            {"plan": plan(), "command": ["v"], "model_path": "/m", "unit": "u", "environment": "A=1"},
            "environment is no JSON",
        ),
    ],
)
def test_what_a_plan_needs(host, options, words):
    said = call(vllm_release, options, True)
    assert said["failed"] and words in said["msg"]


def test_a_release_that_fails(host):
    one, two = host.write(), host.write(words=("--a",))
    host.runs(one)
    host.store.finish(one.id)
    host.bad.add(two.id)
    out = roll(host, "gpu0", two)
    assert out["failed"] and out["rolled_back"] and out["name"] == "gpu0"
    assert out["msg"] == f"gpu0 did not come up with release {two.id}: died; release {one.id} serves there again"


def test_a_restart_without_a_release(host):
    assert "there is no instance 'gpu0' with a release on this host; there are: none" in roll(host, "gpu0", "")["msg"]
    host.runs(host.write())
    assert not roll(host, "gpu0", "")["changed"]
    assert roll(host, "gpu0", "", force=True)["changed"]


def test_the_only_replica_is_a_warning(host, monkeypatch):
    said = []
    monkeypatch.setattr(vllm_roll.AnsibleModule, "warn", lambda self, text, *more, **options: said.append(text))
    host.runs(host.write(names=("gpu0-1",)))
    roll(host, "gpu0-1", "", force=True)
    assert len(said) == 1 and said[0].startswith("gpu0-1 is the only replica of this host")


def test_somebody_else_is_at_it(host, tmp_path):
    host.runs(host.write())
    os.makedirs(f"{tmp_path}/run", exist_ok=True)
    with open(f"{tmp_path}/run/roll.lock", "w", encoding="ascii") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another rollout holds" in roll(host, "gpu0", "", force=True)["msg"]
        assert "another rollout holds" in release(host, "previous")["msg"]


def test_engines_that_no_release_needs_are_removed_where_asked(host, tmp_path):
    one = host.write(model=f"{tmp_path}/models/a")
    host.runs(one)
    for path in ("engines/old", "engines/theirs", "models/a", "models/b"):
        os.makedirs(f"{tmp_path}/{path}")
    for path in (
        "engines/old/.gpuserve.json",
        "engines/old.lock.txt",
        "models/a/.gpuserve-model.json",
        "models/b/.gpuserve-model.json",
    ):
        with open(f"{tmp_path}/{path}", "w", encoding="utf-8") as handle:
            handle.write("{}")
    assert release(host, one, state="good")["removed"] == []
    out = release(host, one, state="good", prune=[f"{tmp_path}/engines/*", f"{tmp_path}/models/*"])
    assert out["removed"] == [f"{tmp_path}/engines/old", f"{tmp_path}/models/b"]
    assert os.listdir(f"{tmp_path}/engines") == ["theirs"]
    assert os.listdir(f"{tmp_path}/models") == ["a"]


@pytest.mark.parametrize("given", ["nothing", "../../etc"])
def test_a_release_that_is_not_there(host, given):
    assert f"release '{given}' cannot be read" in release(host, given)["msg"]
