# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's endpoint at one glance: what is looked at, and how it is told."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._endpoint import look
from ansible_collections.gpuserve.inference.plugins.module_utils._endpoint_table import render_endpoint, since
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ProbeError
from ansible_collections.gpuserve.inference.plugins.module_utils._gpu_health import CardHealth
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Rotation
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.engine_fakes import (
    CACHE,
    FakeEngine,
    Systemd,
    load,
)

# ---------------------------------------------------------------- looking

A, B = "GPU-aaaaaaaa", "GPU-bbbbbbbb"
CARDS = (
    CardHealth(uuid=A, index=0, name="NVIDIA GeForce RTX 5090"),
    CardHealth(uuid=B, index=1, name="NVIDIA GeForce RTX 5090", fails=["Xid 79: fallen off the bus"]),
)


@pytest.fixture
def host(tmp_path):
    """Two replicas as the role leaves them on a host; the first one answers, the second has failed."""
    engine, silent = FakeEngine().start(), FakeEngine()
    engine.metrics = (200, CACHE + load(3, 1))
    etc, folder = tmp_path / "etc", tmp_path / "etc" / "releases" / "abc"
    (etc / "instances").mkdir(parents=True)
    folder.mkdir(parents=True)
    rows = [
        {"name": "gpu0", "gpus": [0], "gpu_uuids": [A], "port": engine.port},
        {"name": "gpu1", "gpus": [1], "gpu_uuids": [B], "port": silent.port},
    ]
    plan = {
        "topology": "data_parallel",
        "model": {"served_model_name": "tiny"},
        "instances": rows,
        "prediction": {"kv_cache_tokens": 900000},
    }
    for path in (etc / "plan.json", folder / "plan.json"):
        path.write_text(json.dumps(plan))
    for row in rows:
        (folder / f"{row['name']}.args").write_text("")
        os.symlink(folder / f"{row['name']}.args", etc / "instances" / f"{row['name']}.args")
    mark = {"name": "gpu1", "by": "roll", "reason": "release abc", "since": 5.0}
    upstreams = [{"name": row["name"], "port": row["port"], "host": "127.0.0.1"} for row in rows]
    (etc / "rotation.json").write_text(json.dumps({"upstreams": upstreams, "marks": [mark]}))
    systemd = Systemd()
    systemd.set("vllm@gpu0.service", ExecMainStartTimestampMonotonic="400000000", NRestarts="2")
    systemd.set("vllm@gpu1.service", ActiveState="failed", SubState="failed", Result="exit-code", MainPID="0")
    yield etc, systemd
    engine.stop()
    silent.stop()


def seen(host, cards=CARDS):
    etc, systemd = host
    rotation = Rotation(systemd.run, str(etc), run_dir=str(etc))

    def health(run, path):
        if isinstance(cards, Exception):
            raise cards
        return cards

    return look(systemd.run, rotation, str(etc), health, now=lambda: 1000.0)


def test_everything_is_seen_in_one_look(host):
    out = seen(host)
    first, second = out.replicas
    assert (out.topology, out.model, out.balanced, out.unknown) == ("data_parallel", "tiny", True, [])
    assert (first.state, first.seconds, first.restarts) == ("running", 600.0, 2)
    assert (first.running, first.waiting) == (3, 1)
    assert (first.kv_cache_tokens, first.planned_kv_cache_tokens) == (896912, 900000)
    assert first.cards == [{"index": 0, "name": "RTX 5090", "verdict": "ok", "reasons": []}]
    assert (second.state, second.result, second.seconds, second.running) == ("failed", "exit-code", None, None)
    assert second.cards[0]["verdict"] == "fail" and "Xid 79" in second.cards[0]["reasons"][0]
    assert [mark["by"] for mark in second.marks] == ["roll"]


def test_what_cannot_be_seen_is_named_and_the_rest_is_told(host):
    out = seen(host, ProbeError("the driver does not answer; reboot the host"))
    assert out.unknown == ["the health of the cards: the driver does not answer; reboot the host"]
    assert out.replicas[0].running == 3
    assert out.replicas[0].cards == [{"index": 0, "name": "", "verdict": "unknown", "reasons": []}]


def test_without_systemd_the_state_is_unknown(host):
    host[1].there = False
    assert {replica.state for replica in seen(host).replicas} == {"unknown"}


def test_a_host_that_serves_nothing(tmp_path):
    out = look(Systemd().run, Rotation(Systemd().run, str(tmp_path), run_dir=str(tmp_path)), str(tmp_path))
    assert out.replicas == [] and out.topology == ""
    assert render_endpoint(out.to_dict()).splitlines() == [
        "no replica runs here",
        "NOT SERVING. Next: run the playbook gpuserve.inference.site",
    ]


# ---------------------------------------------------------------- telling


def replica(name, **more):
    card = {"index": int(name[-1]), "name": "RTX 5090", "verdict": "ok", "reasons": []}
    row = {
        "name": name,
        "unit": f"vllm@{name}.service",
        "state": "running",
        "restarts": 0,
        "seconds": 7300.0,
        "cards": [card],
        "kv_cache_tokens": 94848,
        "planned_kv_cache_tokens": 94848,
        "running": 0,
        "waiting": 0,
        "marks": [],
    }
    return {**row, **more}


def outcome(name, ready=True, **more):
    return {"name": name, "ready": ready, "seconds": 0.42, "stage": "ready" if ready else "health", "kv": {}, **more}


def endpoint(*replicas, **more):
    return {"replicas": list(replicas), "balanced": True, "unknown": [], **more}


BOTH = (outcome("gpu0"), outcome("gpu1"), outcome("gateway"))


def test_all_is_well():
    table = render_endpoint(
        endpoint(replica("gpu0", running=12, waiting=3), replica("gpu1", restarts=1)), BOTH, "tiny is served at X"
    )
    assert table.splitlines() == [
        "replica  unit                    cards       KV tokens  planned  run  wait  rotation  health  answer",
        "-------  ----------------------  ----------  ---------  -------  ---  ----  --------  ------  ------",
        "gpu0     running 2 h             0 RTX 5090     94,848   94,848   12     3  in        ok      0.4 s",
        "gpu1     running 2 h, 1 restart  1 RTX 5090     94,848   94,848    0     0  in        ok      0.4 s",
        "tiny is served at X",
        "OK: 2 of 2 replicas serve, the gateway answers; nothing to do",
    ]


def last(*replicas, asked=BOTH):
    return render_endpoint(endpoint(*replicas), asked).splitlines()[-1]


CRASHED = outcome("gpu1", False, error="vllm@gpu1.service has failed: CUDA out of memory", advice="lower max_num_seqs")
MARK = {"by": "operator", "reason": "playbook drain"}


@pytest.mark.parametrize(
    ("change", "asked", "verdict"),
    [
        (
            {"state": "failed"},
            [outcome("gpu0"), CRASHED, outcome("gateway")],
            "DEGRADED: 1 of 2 replicas serve, the gateway answers. Next: lower max_num_seqs",
        ),
        (
            {"state": "failed"},
            [],
            "DEGRADED: 1 of 2 replicas serve. "
            "Next: read journalctl -u vllm@gpu1.service -n 100 on the host, mend it, run site again",
        ),
        (
            {"seconds": 130.0},
            [outcome("gpu0"), outcome("gpu1", False, error="Connection refused"), outcome("gateway")],
            "DEGRADED: 1 of 2 replicas serve, the gateway answers. "
            "Next: it was started 2 min ago: look again later, or follow journalctl -fu vllm@gpu1.service",
        ),
        (
            {"marks": [MARK]},
            BOTH,
            "DEGRADED: 1 of 2 replicas serve, the gateway answers. Next: gpuserve.inference.drain "
            "-e gpuserve_drain=gpu1 -e gpuserve_drain_state=back puts it back",
        ),
        (
            {"marks": [{"by": "roll", "reason": "release abc"}]},
            BOTH,
            "DEGRADED: 1 of 2 replicas serve, the gateway answers. "
            "Next: a rollout ended half way: run it (site or rolling_update) again",
        ),
        (
            {},
            [outcome("gpu0"), outcome("gpu1"), outcome("gateway", False, error="no answer on port 8000")],
            "NOT SERVING: 2 of 2 replicas serve, the gateway does NOT answer. "
            "Next: run gpuserve.inference.site again, or read journalctl -u nginx on the host",
        ),
        (
            {"cards": [{"index": 1, "name": "RTX 5090", "verdict": "warn", "reasons": ["throttled by heat"]}]},
            BOTH,
            "SERVING, but look: 2 of 2 replicas serve, the gateway answers. "
            "Next: gpu_health tells more, the guide Never down what each verdict means",
        ),
        (
            {},
            [outcome("gpu0"), outcome("gpu1", kv={"kv_cache_tokens": 1, "difference_percent": -20.0})],
            "SERVING, but look: 2 of 2 replicas serve. "
            "Next: if something else holds memory of the card end it, then run site again: it plans anew",
        ),
    ],
)
def test_the_verdict_says_what_to_do_next(change, asked, verdict):
    assert last(replica("gpu0"), replica("gpu1", **change), asked=asked) == verdict


def test_the_worst_comes_first_and_the_others_stand_above():
    failing = {"index": 1, "name": "RTX 5090", "verdict": "fail", "reasons": ["Xid 79"]}
    lines = render_endpoint(
        endpoint(replica("gpu0"), replica("gpu1", cards=[failing], marks=[MARK], state="failed")),
        [outcome("gpu0"), CRASHED, outcome("gateway")],
    ).splitlines()
    assert [line.split(";")[0] for line in lines if line.startswith("!")] == [
        "! gpu1: card 1 fails: Xid 79",
        "! gpu1: vllm@gpu1.service has failed: CUDA out of memory",
        "! gpu1: out of rotation by operator (playbook drain)",
    ]
    assert lines[-1].endswith("(then 2 more: the lines above)")
    assert "FAIL" in lines[3] and "OUT (operator)" in lines[3] and "NO (health)" in lines[3]


def test_one_replica_and_no_gateway():
    lines = render_endpoint(endpoint(replica("gpu0"), balanced=False), [outcome("gpu0")]).splitlines()
    assert "rotation" not in lines[0]
    assert lines[-1] == "OK: 1 of 1 replica serves; nothing to do"


def test_nobody_serves_when_all_are_out():
    out = [replica("gpu0", marks=[MARK]), replica("gpu1", marks=[MARK])]
    assert last(*out).startswith("NOT SERVING: 0 of 2 replicas serve")


def test_a_processor_has_no_cards_and_what_is_unknown_is_said():
    table = render_endpoint(endpoint(replica("cpu0", cards=[]), unknown=["the rotation: locked"]), [outcome("cpu0")])
    assert "cards" not in table.splitlines()[0] and "health" not in table.splitlines()[0]
    assert "? the rotation: locked" in table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (5.9, "5 s"), (119, "119 s"), (180, "3 min"), (7300, "2 h"), (8e5, "9 days")],
)
def test_how_long_ago(seconds, text):
    assert since(seconds) == text
