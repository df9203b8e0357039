# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of the kernel log in the spellings of driver branches and of the tools that show them."""

from __future__ import annotations

import json
import os
import time

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _kernel_log
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._kernel_log import read_log
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.kernel_logs import (
    ADDRESSES,
    BOOTED,
    dmesg,
    entry,
    healthy,
    journal,
    xid,
)

ONE = "0000:01:00"
# message -> address, number, process
XIDS = {
    "NVRM: Xid (PCI:0000:01:00): 79, pid=1122, GPU has fallen off the bus.": (ONE, 79, 1122),  # branch 450
    "NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.": (ONE, 79, 0),
    "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.": (ONE, 79, 0),  # branch 550
    "NVRM: Xid (0000:01:00): 14001, Channel 00000001": (ONE, 14001, 0),  # branch 300
    "NVRM: Xid (PCI:0000:01:00): 31, pid=79749, name=exe, Ch 0000000a, MMU Fault: faulted @ 0x7": (ONE, 31, 79749),
    "NVRM: Xid (PCI:0000:01:00): 43, pid=48, name=a 79, b, Ch 00000008": (ONE, 43, 48),
    "NVRM: Xid (PCI:0000:10:1C): 63, pid=1850, Row Remapper: New row marked": ("0000:10:1c", 63, 1850),
    "NVRM: Xid (PCI:0018:01:00): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 13": ("0018:01:00", 145, 0),
    "NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7194, name=python3, Contained": (ONE, 94, 7194),
    "NVRM: Xid (PCI:0000:01:00 GPU-I:05 GPU-CI:00): 13, pid=9, name=x, Graphics": (ONE, 13, 9),
    "NVRM: Xid (PCI:0000:01:00): 45, pid=18, name=p, Ch 00000001 caused by previous Xid 149": (ONE, 45, 18),
    "NVRM: Xid (PCI:0000:01:00): 48": (ONE, 48, 0),
    "NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.": (ONE, 79, 0),
    "NVRM: GPU at 0000:01:00.0 has fallen off the bus.": (ONE, 79, 0),
}
NOT_XIDS = [
    "NVRM: Xid error: xyz, invalid data",
    "NVRM: Xid (invalid): some error",
    "NVRM: Xid (PCI:0000:01:00): abc, pid=1",
    "NVRM: Xid : 32, pid=2280636",
    "NVRM: GPU at PCI:0000:01:00: GPU-8d3f1c52-6b7e-4c1a-9f0d-2e5a7c9b1d34",
    "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Severity 1 Engine instance 30 Sub-engine instance 00",
    "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Data {0x50610002, 0x10100030}",
    "audit: name='NVRM: Xid (PCI:0000:01:00): 79, x'",
    "{",
    '{"MESSAGE": null, "SYSLOG_IDENTIFIER": "NVRM"}',
    '{"MESSAGE": {"NVRM": 1}}',
]
FORMS = {
    "plain": lambda m: m,
    "dmesg": lambda m: f"[ 7201.123456] {m}",
    "dmesg with level": lambda m: f"<3>[12345.678901] {m}",
    "dmesg -T": lambda m: f"[Fri Aug 30 11:43:09 2024] {m}",
    "syslog": lambda m: f"May  9 07:08:57 gpu-7 kernel: [680111.646286] {m}",
    "rsyslog": lambda m: f"2026-11-23T16:00:00.123456+01:00 gpu-7 kernel: {m}",
    "kmsg": lambda m: f"3,1234,7201123456,-;{m}",
    "kmsg with caller": lambda m: f"3,1234,7201123456,-,caller=T12;{m}",
    "journal": entry,
    "journal, through /dev/kmsg": lambda m: entry(m.split(": ", 1)[1], identifier=m.split(": ", 1)[0]),
    "journal, bytes": lambda m: json.dumps({"MESSAGE": list(m.encode() + b"\xff"), "SYSLOG_IDENTIFIER": "kernel"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("message", XIDS)
def test_xids(form: str, message: str) -> None:
    log = read_log([FORMS[form](message)], booted=BOOTED)
    assert [(event.address, event.xid, event.pid) for event in log.events] == [XIDS[message]]


@pytest.mark.parametrize("form", [name for name in FORMS if "through" not in name])
@pytest.mark.parametrize("message", NOT_XIDS)
def test_what_is_no_xid(form: str, message: str) -> None:
    log = read_log([FORMS[form](message)], booted=BOOTED)
    assert (log.events, log.switch_events) == ([], [])


@pytest.mark.parametrize("show", [dmesg, journal, "\n".join])
def test_healthy_day(show) -> None:
    text = show(healthy())
    log = read_log(text.splitlines(), booted=BOOTED)
    assert log.lines > 450
    assert (log.events, log.switch_events) == ([], [])


SXID = "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): {}"


@pytest.mark.parametrize(
    ("text", "number", "fatal"),
    [
        ("20034, Fatal, Link 30 LTSSM Fault Up", 20034, True),
        ("12028, Non-fatal, Link 32 egress non-posted PRIV error (First)", 12028, False),
        ("24007, Fatal, Link 30 sourcetrack timeout error", 24007, True),
    ],
)
def test_switches(text: str, number: int, fatal: bool) -> None:
    log = read_log([SXID.format(text)])
    assert log.events == []
    assert [(e.address, e.xid, e.fatal) for e in log.switch_events] == [("0000:05:00", number, fatal)]


def test_off_the_bus_is_told_twice_and_counted_once() -> None:
    messages = [xid(79), f"NVRM: GPU {ONE}.0: GPU has fallen off the bus.", xid(79, ADDRESSES[1])]
    assert [event.address for event in read_log(messages).events] == [ONE, ADDRESSES[1]]


def test_driver_names_the_card() -> None:
    line = "NVRM: GPU at PCI:0000:81:00: GPU-8D3F1C52-6b7e-4c1a-9f0d-2e5a7c9b1d34"
    assert read_log([line]).uuids == {"0000:81:00": "GPU-8d3f1c52-6b7e-4c1a-9f0d-2e5a7c9b1d34"}


LOADED = "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024"
MARK = _kernel_log.RESET_MARK.format(address=ONE)
RECOVERY = "GPU recovery action changed from {} to {}"
LEFT = {
    "nothing clears": ([xid(48), xid(94)], [48, 94]),
    "driver loaded": ([xid(48), SXID.format("20034, Fatal, x"), LOADED], []),
    "open driver loaded": ([xid(48), LOADED.replace("x86_64", "Open")], []),
    "loaded before": ([LOADED, xid(48)], [48]),
    "reset": ([xid(48), MARK], []),
    "reset, and again": ([xid(48), MARK, xid(95)], [95]),
    "another card's reset": ([xid(48, ADDRESSES[1]), MARK], [48]),
    "recovery wanted": ([xid(154, text=RECOVERY.format("0x0 (None)", "0x1 (GPU Reset Required)"))], [154]),
    "recovery done": (
        [
            xid(154, text=RECOVERY.format("0x0 (None)", "0x4 (Drain and Reset)")),
            xid(154, text=RECOVERY.format("0x4 (Drain and Reset)", "0x0 (None)")),
        ],
        [],
    ),
    "tests of the log": ([xid(14), xid(106)], []),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_still_counts(case: str) -> None:
    messages, left = LEFT[case]
    log = read_log(messages)
    assert [event.xid for event in log.events] == left
    assert log.switch_events == []


def test_reset_mark_through_the_journal() -> None:
    identifier, _colon, rest = MARK.partition(": ")
    assert read_log([entry(xid(48)), entry(rest, identifier=identifier)]).events == []


@pytest.mark.parametrize("show", [dmesg, journal])
def test_only_since(show) -> None:
    text = show([xid(48), xid(79), xid(95)])
    log = read_log(text.splitlines(), since=BOOTED + 1, booted=BOOTED)
    assert [(event.xid, event.time) for event in log.events] == [(79, BOOTED + 1), (95, BOOTED + 2)]


def test_without_a_time_it_counts() -> None:
    assert len(read_log([FORMS["dmesg -T"](xid(48))], since=BOOTED, booted=BOOTED).events) == 1
    assert len(read_log([dmesg([xid(48)])], since=BOOTED).events) == 1  # the boot's time is not known


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("boot", 0.0),
        ("1795500000", 1795500000.0),
        ("@1795500000.5", 1795500000.5),
        ("2026-11-23T16:00:00Z", 1795449600.0),
        ("2026-11-23 17:00:00+01:00", 1795449600.0),
    ],
)
def test_since(text: str, seconds: float) -> None:
    assert _kernel_log.parse_since(text) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "2026-13-01", "1 hour ago", "99999999999999999999"])
def test_since_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="give boot, seconds since 1970, or a time such as"):
        _kernel_log.parse_since(text)


@pytest.mark.parametrize(("when", "text"), [(None, ""), (BOOTED, "2026-11-24T06:00:00Z"), (1e30, "")])
def test_times_are_shown(when, text: str) -> None:
    assert _kernel_log.show_time(when) == text


def test_this_host() -> None:
    booted = _kernel_log.boot_time()
    assert 0 < booted < time.time()
    mine = _kernel_log.process_starts([os.getpid(), 2**22 + 1], booted)
    assert set(mine) == {os.getpid()}
    assert booted <= mine[os.getpid()]
    assert _kernel_log.boot_time("/nonexistent") == 0
