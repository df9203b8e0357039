# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _host


def _tree(root, files):
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(root)


@pytest.mark.parametrize(("text", "cores"), [("0-2,8\n", [0, 1, 2, 8]), ("3", [3]), ("", []), ("0,2", [0, 2])])
def test_cpu_list(text, cores):
    assert _host.parse_cpu_list(text) == cores


def test_cpu_flags(tmp_path):
    files = {
        "x86/cpuinfo": "model name\t: EPYC\nflags\t\t: fpu avx512_bf16\n\nflags\t\t: fpu\n",
        "arm/cpuinfo": "Features\t: fp bf16\n",
    }
    root = _tree(tmp_path, files)
    assert _host.cpu_flags(f"{root}/x86") == {"fpu", "avx512_bf16"}
    assert _host.cpu_flags(f"{root}/arm") == {"fp", "bf16"}
    assert _host.cpu_flags(f"{root}/none") == frozenset()


def test_one_thread_of_each_core(tmp_path):
    pairs = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    files = {f"devices/system/cpu/cpu{n}/topology/thread_siblings_list": text for n, text in pairs.items()}
    assert _host.physical_cores(_tree(tmp_path, files), [0, 1, 2, 3]) == [0, 1]
    assert _host.physical_cores(str(tmp_path / "nothing"), [0, 1]) == [0, 1]


def test_memory(tmp_path):
    proc = _tree(tmp_path, {"meminfo": "MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:  50 kB\n"})
    assert _host.memory(proc) == {"total_bytes": 102400, "available_bytes": 51200}


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"


def test_listeners_name_process_and_unit(tmp_path):
    proc = _tree(
        tmp_path,
        {
            "net/tcp": HEAD
            + ROW.format(address="0100007F:1F41", state="0A", inode=111)
            + ROW.format(address="00000000:1F40", state="0A", inode=222)
            + ROW.format(address="0100007F:9999", state="01", inode=333),
            "net/tcp6": HEAD + ROW.format(address="0" * 32 + ":0016", state="0A", inode=444),
            "7/comm": "vllm\n",
            "7/cgroup": "1:name=systemd:/system.slice/system-vllm.slice/vllm@gpu0.service\n",
        },
    )
    os.makedirs(f"{proc}/7/fd")
    os.symlink("socket:[111]", f"{proc}/7/fd/3")
    rows = [(r["address"], r["port"], r["pid"], r["process"], r["unit"]) for r in _host.listeners(proc)]
    assert rows == [
        ("::", 22, 0, "", ""),
        ("0.0.0.0", 8000, 0, "", ""),
        ("127.0.0.1", 8001, 7, "vllm", "vllm@gpu0.service"),
    ]


def test_pids_of_our_units(tmp_path):
    proc = _tree(
        tmp_path,
        {
            "5/cgroup": "0::/system.slice/system-vllm.slice/vllm@gpu0.service\n",
            "6/cgroup": "0::/system.slice/nginx.service\n",
            "12/cgroup": "0::/system.slice/system-vllm.slice/vllm@gpu1.service\n",
        },
    )
    assert _host.unit_pids("vllm@", proc) == [5, 12]


@pytest.mark.parametrize(
    ("outer", "inner", "readable"),
    [(0o755, 0o755, True), (0o711, 0o755, True), (0o700, 0o755, False), (0o755, 0o750, False)],
)
def test_path_state(tmp_path, monkeypatch, outer, inner, readable):
    model = tmp_path / "outer" / "model"
    model.mkdir(parents=True)
    model.chmod(inner)
    (tmp_path / "outer").chmod(outer)
    real = os.stat

    def stat(path, *args, **kwargs):
        return (
            os.stat_result((0o40755, *real(path)[1:]))
            if not str(path).startswith(str(tmp_path / "outer"))
            else real(path, *args, **kwargs)
        )

    monkeypatch.setattr(os, "stat", stat)  # pytest's own parents are private to the user
    state = _host.path_state(str(model))
    assert state["exists"] and state["readable_by_service"] is readable
    if not readable:
        assert state["blocked_at"] == str(model.parent if outer == 0o700 else model)


def test_path_that_is_not_there(tmp_path):
    assert _host.path_state(str(tmp_path / "no"))["exists"] is False


def test_disk_of_a_path_that_is_not_there_yet(tmp_path):
    assert _host.disk(str(tmp_path / "a" / "b"))["measured_at"] == str(tmp_path)
    assert _host.disk(str(tmp_path / "a" / "b"))["usable"]
    (tmp_path / "file").touch()
    assert not _host.disk(str(tmp_path / "file" / "b"))["usable"]


def test_addresses(tmp_path):
    net = tmp_path / "net"
    net.mkdir()
    (net / "fib_trie").write_text(
        "Main:\n  |-- 0.0.0.0\n     /0 universe UNICAST\n  |-- 10.0.0.0\n     /24 link UNICAST\n"
        "  |-- 10.0.0.5\n     /32 host LOCAL\n  |-- 10.0.0.255\n     /32 link BROADCAST\n"
    )
    (net / "if_inet6").write_text("fe80000000000000000000000000000a 02 40 20 80 eth0\n")
    assert _host.addresses(str(tmp_path)) == ["10.0.0.5", "fe80::a"]
    (tmp_path / "sys" / "net" / "ipv4").mkdir(parents=True)
    (tmp_path / "sys" / "net" / "ipv4" / "ip_nonlocal_bind").write_text("1\n")
    assert _host.addresses(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "marker"), [('{"lock_sha256": "x"}', {"lock_sha256": "x"}), ("{", {}), ("[]", {}), ("", {})]
)
def test_markers(tmp_path, text, marker):
    (tmp_path / "engines" / "a").mkdir(parents=True)
    (tmp_path / "engines" / "a" / _host.MARKER).write_text(text)
    (tmp_path / "engines" / "unfinished").mkdir()
    found = _host.environment_markers([f"{tmp_path}/engines/*"])
    assert found == ({f"{tmp_path}/engines/a": marker} if marker else {})


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"-v": (0, "", "nginx version: nginx/1.22.1"), "-t": (0, "", "ok")}, ("1.22.1", True, "")),
        (
            {
                "-v": (0, "", "nginx/1.30.4"),
                "-t": (1, "", 'nginx: [emerg] unknown directive "x" in /etc/a:1\nnginx: test failed'),
            },
            ("1.30.4", False, 'unknown directive "x" in /etc/a:1'),
        ),
    ],
)
def test_nginx(answers, expected):
    found = _host.nginx(lambda command: answers[command[1]], "/usr/sbin/nginx")
    assert (found["version"], found["config_ok"], found["config_error"]) == expected


def test_no_nginx():
    assert _host.nginx(lambda command: (1, "", ""), None)["installed"] is False


@pytest.mark.parametrize(
    ("text", "plan"), [(None, None), ("{", None), ("[]", None), ('{"topology": "x"}', {"topology": "x"})]
)
def test_what_is_kept(tmp_path, text, plan):
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    assert _host.kept(str(path)) == plan


def test_os_release(tmp_path):
    (tmp_path / "os").write_text('PRETTY_NAME="D"\nVERSION_ID="12"\nID=debian\n')
    assert _host.operating_system(str(tmp_path / "os")) == {"id": "debian", "version_id": "12"}
