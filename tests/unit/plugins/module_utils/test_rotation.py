# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import shutil

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import (
    Rotation,
    RotationError,
    Upstream,
    upstream_conf,
    upstreams_from,
)

TWO = [Upstream("gpu0", 8001), Upstream("gpu1", 8002)]
MASTER = 50


class Nginx:
    """systemctl and nginx of a machine whose workers live in a directory that looks like /proc."""

    def __init__(self, proc):
        self.proc, self.active, self.refuses, self.stubborn, self.reloads = proc, True, "", False, 0
        (proc / "sys" / "kernel" / "random").mkdir(parents=True)
        self.boot("one")
        self.slept, self.leaving = 0, []
        self.worker(60)

    def boot(self, name):
        (self.proc / "sys" / "kernel" / "random" / "boot_id").write_text(f"{name}\n")

    def worker(self, pid, title="nginx: worker process"):
        (self.proc / str(pid)).mkdir(exist_ok=True)
        (self.proc / str(pid) / "stat").write_text(f"{pid} (nginx) S {MASTER} 1 1 0")
        (self.proc / str(pid) / "cmdline").write_text(f"{title}\0")

    def __call__(self, command):
        if command[-1] == "-t":
            return (1, "", f"nginx: [emerg] {self.refuses}\nnginx: test failed") if self.refuses else (0, "", "ok")
        if command[1] == "show":
            return 0, f"ActiveState={'active' if self.active else 'inactive'}\nMainPID={MASTER}\n", ""
        assert command[1:] == ["reload", "nginx.service"]
        self.reloads += 1
        if not self.stubborn:
            self.leaving = [path.name for path in self.proc.glob("[0-9]*")]
        return 0, "", ""

    def sleep(self, _seconds):
        """The new workers come first, then the old ones close their doors."""
        self.slept += 1
        if self.slept % 2:
            self.worker(60 + self.reloads)
        else:
            for pid in self.leaving:
                self.worker(pid, "nginx: worker process is shutting down")


@pytest.fixture
def nginx(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: "/usr/sbin/nginx")
    (tmp_path / "proc").mkdir()
    return Nginx(tmp_path / "proc")


@pytest.fixture
def rotation(tmp_path, nginx):
    return Rotation(
        nginx, str(tmp_path / "etc"), str(tmp_path / "proc"), str(tmp_path / "run"), lambda: 1000.0, nginx.sleep
    )


@pytest.fixture
def conf(tmp_path):
    return tmp_path / "etc" / "gateway" / "upstream.conf"


def test_out_and_back(rotation, nginx, conf):
    assert rotation.set_upstreams(TWO) and not rotation.set_upstreams(TWO)
    assert "server 127.0.0.1:8001 max_fails=0; # gpu0\n" in conf.read_text()
    assert rotation.take_out(["gpu0"], "roll", "a restart") and not rotation.take_out(["gpu0"], "roll", "again")
    assert "server 127.0.0.1:8001 max_fails=0 down; # gpu0, out by roll\n" in conf.read_text()
    assert rotation.look().in_rotation() == ["gpu1"]
    assert [(m.by, m.reason, m.since) for m in rotation.look().out("gpu0")] == [("roll", "a restart", 1000.0)]
    reloads = nginx.reloads
    assert rotation.take_out(["gpu0"], "watch", "silent")  # remembered; nginx sends nothing there already
    assert rotation.put_back(["gpu0"], "roll") and rotation.look().in_rotation() == ["gpu1"]
    assert rotation.put_back(["gpu0"], "watch") and rotation.look().in_rotation() == ["gpu0", "gpu1"]
    assert nginx.reloads > reloads
    assert not rotation.put_back(["gpu0", "gpu1"], None)


def test_it_waits_until_the_old_workers_accept_nothing(rotation, nginx):
    rotation.set_upstreams(TWO)
    nginx.slept = 0
    rotation.take_out(["gpu1"], "operator")
    assert nginx.slept == 2  # one more worker is not enough


def test_a_reload_that_nginx_sleeps_through(rotation, nginx):
    rotation.set_upstreams(TWO)
    nginx.stubborn = True
    with pytest.raises(_nginx.NginxError, match="its workers go on as before"):
        rotation.take_out(["gpu1"], "operator")
    nginx.stubborn, before = False, nginx.reloads
    assert not rotation.take_out(["gpu1"], "operator"), "the files say so already"
    assert nginx.reloads == before + 1, "but nginx had not read them"
    rotation.take_out(["gpu1"], "operator")
    assert nginx.reloads == before + 1


def test_killed_between_the_file_and_the_reload(rotation, nginx, monkeypatch):
    """Else the next run would believe that nothing comes any more, and stop a replica that still gets requests."""
    rotation.set_upstreams(TWO)

    def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_nginx.Nginx, "reload", killed)
        with pytest.raises(KeyboardInterrupt):
            rotation.take_out(["gpu0"], "roll")
    before = nginx.reloads
    rotation.take_out(["gpu0"], "roll")
    assert nginx.reloads == before + 1 and rotation.look().in_rotation() == ["gpu1"]


def test_refused_by_nginx(rotation, nginx, conf):
    rotation.set_upstreams(TWO)
    before = conf.read_text()
    nginx.refuses = 'unknown directive "nonsense" in /etc/nginx/conf.d/own.conf:1'
    with pytest.raises(InputError, match=r'the old ones are back: unknown directive "nonsense"'):
        rotation.take_out(["gpu0"], "watch")
    assert conf.read_text() == before and rotation.look().marks == []


def test_a_stopped_nginx_reads_it_later(rotation, nginx, conf):
    nginx.active = False
    assert rotation.set_upstreams(TWO) and nginx.reloads == 0 and "8002" in conf.read_text()


def test_check_mode_touches_nothing(rotation, tmp_path):
    assert rotation.set_upstreams(TWO, check=True) and rotation.take_out(["gpu0"], "operator", check=True)
    assert not (tmp_path / "etc").exists() and not (tmp_path / "run").exists()


def test_check_mode_tells_what_would_be(rotation):
    changed, state = rotation.change(TWO, out=["gpu0"], by="operator", reason="a fan", check=True)
    assert changed and state.in_rotation() == ["gpu1"] and state.owners() == {"gpu0": ["operator"]}
    assert rotation.change(TWO, out=["gpu0"], by="operator", reason="a fan") == (True, state)
    changed, state = rotation.change(back=["gpu0"], by=None, check=True)
    assert changed and state.in_rotation() == ["gpu0", "gpu1"]
    assert rotation.look().in_rotation() == ["gpu1"]
    assert rotation.change(out=["gpu0"], by="operator", check=True)[0] is False
    with pytest.raises(InputError, match="by is None"):
        rotation.change(out=["gpu1"], by=None)


def test_marks_without_a_gateway(rotation, nginx, conf):
    assert rotation.take_out(["gpu0"], "operator", "a test")
    assert not conf.exists() and nginx.reloads == 0 and len(rotation.look().marks) == 1
    assert rotation.set_upstreams(TWO) and rotation.look().in_rotation() == ["gpu1"]


def test_what_a_boot_mends(rotation, nginx, conf):
    rotation.set_upstreams(TWO)
    for by in ("operator", "roll", "watch", "health"):
        rotation.take_out(["gpu0" if by in ("watch", "health") else "gpu1"], by)
    nginx.boot("two")
    assert sorted(mark.by for mark in rotation.look().marks) == ["operator", "roll"]
    assert conf.read_text().count("down") == 2
    assert rotation.sync() and conf.read_text().count("down") == 1 and not rotation.sync()


def test_upstreams_that_are_gone_take_their_marks_along(rotation):
    rotation.set_upstreams(TWO)
    rotation.take_out(["gpu0", "gpu1"], "operator")
    rotation.set_upstreams([Upstream("gpu0-1", 8001)])
    assert rotation.look().marks == [] and rotation.look().in_rotation() == ["gpu0-1"]


def test_one_at_a_time(rotation, tmp_path):
    rotation.set_upstreams(TWO)
    with open(tmp_path / "run" / "rotation.lock", "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RotationError, match="another program"):
            rotation.take_out(["gpu0"], "watch")
    assert rotation.take_out(["gpu0"], "watch")


def test_a_broken_record_is_an_empty_one(rotation, tmp_path):
    rotation.set_upstreams(TWO)
    (tmp_path / "etc" / "rotation.json").write_text('{"upstreams": [{}]}')
    assert rotation.look().upstreams == [] and rotation.set_upstreams(TWO)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"port": 0}], "port 0 of upstream '127.0.0.1:0' is out of range"),
        ([{"port": "x"}], "port 'x'"),
        ([{"port": 1, "host": "a b;"}], "upstream host 'a b;' cannot be used"),
        ([{"port": 1, "name": "x; evil"}], "upstream name 'x; evil' cannot be used"),
        ([{"port": 1, "name": "a"}, {"port": 2, "name": "a"}], "'a' is given twice; give each name once"),
        ([{"port": 1, "name": "a"}, {"port": 1, "name": "b"}], "'127.0.0.1:1' is given twice; give each place once"),
    ],
)
def test_bad_upstreams(rows, message):
    with pytest.raises(InputError, match=message):
        upstreams_from(rows)


def test_no_upstreams_and_unknown_owners(rotation):
    with pytest.raises(InputError, match="give at least one"):
        rotation.set_upstreams([])
    with pytest.raises(InputError, match="by is 'me'; give one of operator, roll, watch, health"):
        rotation.take_out(["gpu0"], "me")
    with pytest.raises(InputError, match="no name of an instance"):
        rotation.take_out(["gpu0;"], "roll")


def test_other_hosts_may_be_left_out_by_nginx_for_a_while(rotation, conf):
    rotation.set_upstreams(upstreams_from([{"host": "10.0.0.7", "port": 8000}, {"host": "::1", "port": 8001}]))
    assert "server 10.0.0.7:8000 max_fails=3 fail_timeout=10s; # 10.0.0.7:8000\n" in conf.read_text()
    assert "server [::1]:8001 max_fails=0; # 1:8001\n" in conf.read_text()
    assert "down" not in upstream_conf(rotation.look())


def test_a_gateway_before_hosts_asks_all_of_them_before_it_gives_up(rotation, conf):
    last = conf.parent / "upstream-last.conf"
    rotation.set_upstreams(upstreams_from([{"name": "gpu0", "port": 8001}]))
    assert not last.exists()
    rotation.set_upstreams(upstreams_from([{"name": "a", "host": "10.0.0.7", "port": 8000}]))
    assert last.read_text() == conf.read_text().replace("max_fails=3 fail_timeout=10s", "max_fails=0")
    assert rotation.take_out(["a"], "operator")
    assert "server 10.0.0.7:8000 max_fails=0 down; # a, out by operator\n" in last.read_text()


def test_titles_of_workers_that_vanish(nginx, tmp_path):
    (tmp_path / "proc" / "61").mkdir()  # a process that ended while it was looked at
    assert _nginx.workers(MASTER, str(tmp_path / "proc")) == {60: "nginx: worker process"}


def test_no_more_requests_than_a_replica_may_have(rotation, conf):
    bounded = [Upstream("gpu0", 8001, max_conns=4), Upstream("gpu1", 8002, max_conns=4)]
    rotation.set_upstreams(bounded)
    assert rotation.look().upstreams == bounded
    assert "server 127.0.0.1:8001 max_fails=0 max_conns=4; # gpu0\n" in conf.read_text()
    last = conf.with_name("upstream-last.conf").read_text()
    assert "max_conns" not in last and "8001" in last  # where all have as many, all take more


def test_a_bound_that_is_none():
    with pytest.raises(InputError, match="max_conns 'x' of upstream 'gpu0' cannot be used; give 0 to 65535"):
        upstreams_from([{"name": "gpu0", "port": 1, "max_conns": "x"}])
