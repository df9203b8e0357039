# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _metrics, _metrics_run
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ProbeError
from ansible_collections.gpuserve.inference.plugins.module_utils._gpu_health import CardHealth, HostHealth
from ansible_collections.gpuserve.inference.plugins.module_utils._metrics import Draw
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Gpu
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import COLLECTIONS, changed_profile

STUB = "Active connections: 3 \nserver accepts handled requests\n 16 15 31 \nReading: 0 Writing: 1 Waiting: 2 \n"
PLAN = {
    "topology": "hybrid",
    "tensor_parallel_size": 2,
    "instances": [{"name": "gpu0-1", "gpus": [0, 1]}, {"name": "gpu2-3", "gpus": [2, 3]}],
}
GPU = Gpu(0, "GPU-a", "Card", memory_total_bytes=100, memory_reserved_bytes=5, memory_free_bytes=40)


def lines(samples):
    return [line for line in _metrics.render(samples).splitlines() if not line.startswith("#")]


def test_render_brings_samples_of_a_name_together_and_escapes_labels():
    text = _metrics.render(
        [
            _metrics.sample("gpuserve_gpu_info", 1, name='a "b"\\\n'),
            _metrics.sample("gpuserve_gateway_requests_total", 7),
            _metrics.sample("gpuserve_gpu_info", 1, name="c"),
        ]
    )
    assert text.splitlines() == [
        "# HELP gpuserve_gpu_info A card",
        "# TYPE gpuserve_gpu_info gauge",
        'gpuserve_gpu_info{name="a \\"b\\"\\\\\\n"} 1',
        'gpuserve_gpu_info{name="c"} 1',
        "# HELP gpuserve_gateway_requests_total Requests to nginx since it was started",
        "# TYPE gpuserve_gateway_requests_total counter",
        "gpuserve_gateway_requests_total 7",
    ]


def test_a_timestamp_keeps_its_seconds():
    assert lines([_metrics.sample("gpuserve_look_timestamp_seconds", 1796022345.5)])[0].endswith(" 1796022345.5")


def test_cards():
    sick = CardHealth(uuid="GPU-b", fails=["gone"])
    found = lines(
        _metrics.card_samples([CardHealth("GPU-a", 0, "Card", "00:01", GPU), sick], {0: Draw(310.5, 61, 0.87, True)})
    )
    assert found == [
        'gpuserve_gpu_info{gpu="0",uuid="GPU-a",name="Card",pci_bus_id="00:01"} 1',
        'gpuserve_gpu_info{gpu="",uuid="GPU-b",name="",pci_bus_id=""} 1',
        'gpuserve_gpu_health{gpu="0",uuid="GPU-a"} 0',
        'gpuserve_gpu_health{gpu="",uuid="GPU-b"} 2',
        'gpuserve_gpu_memory_total_bytes{gpu="0",uuid="GPU-a"} 100',
        'gpuserve_gpu_memory_used_bytes{gpu="0",uuid="GPU-a"} 60',
        'gpuserve_gpu_power_watts{gpu="0",uuid="GPU-a"} 310.5',
        'gpuserve_gpu_temperature_celsius{gpu="0",uuid="GPU-a"} 61',
        'gpuserve_gpu_utilization_ratio{gpu="0",uuid="GPU-a"} 0.87',
        'gpuserve_gpu_throttled{gpu="0",uuid="GPU-a"} 1',
    ]


def test_what_a_card_does_not_say_is_left_out():
    assert not [line for line in lines(_metrics.card_samples([CardHealth("GPU-a", 0, gpu=GPU)], {})) if "power" in line]


@pytest.mark.parametrize(
    ("reasons", "throttled"), [(0x0, False), (0x1, False), (0x4, False), (0x8, True), (0x40, True), (0x80 | 0x1, True)]
)
def test_only_the_hardware_throttles(reasons, throttled):
    class NVMLError(Exception):
        value = 3

    def missing(*_args):
        raise NVMLError()

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlDeviceGetHandleByIndex=lambda index: "handle",
        nvmlDeviceGetPowerUsage=lambda handle: 310500,
        nvmlDeviceGetTemperature=lambda handle, sensor: 61,
        nvmlDeviceGetUtilizationRates=missing,
        nvmlDeviceGetCurrentClocksEventReasons=lambda handle: reasons,
    )
    assert _metrics.read_draw(nvml, 0, _metrics_run._SLOW) == Draw(310.5, 61, None, throttled)


def test_nginx():
    assert lines(_metrics.nginx_samples(STUB)) == [
        "gpuserve_gateway_up 1",
        "gpuserve_gateway_requests_total 31",
        'gpuserve_gateway_connections{state="active"} 3',
        'gpuserve_gateway_connections{state="reading"} 0',
        'gpuserve_gateway_connections{state="writing"} 1',
        'gpuserve_gateway_connections{state="waiting"} 2',
    ]


@pytest.mark.parametrize("said", [None, "", "<html>404</html>", "Active connections: 3"])
def test_an_nginx_that_does_not_answer_is_down(said):
    assert lines(_metrics.nginx_samples(said)) == ["gpuserve_gateway_up 0"]


def test_replicas_and_where_they_are_scraped():
    assert lines(_metrics.replica_samples(PLAN, ["gpu2-3"])) == [
        'gpuserve_replica_info{replica="gpu0-1",gpus="0,1",topology="hybrid",tp="2"} 1',
        'gpuserve_replica_info{replica="gpu2-3",gpus="2,3",topology="hybrid",tp="2"} 1',
        'gpuserve_replica_in_rotation{replica="gpu0-1"} 0',
        'gpuserve_replica_in_rotation{replica="gpu2-3"} 1',
    ]
    rows = json.loads(_metrics.scrape_targets(PLAN, "127.0.0.1:8090", "h"))
    assert [row["labels"]["__metrics_path__"] for row in rows] == ["/metrics/gpu0-1", "/metrics/gpu2-3"]
    assert rows[0]["targets"] == ["127.0.0.1:8090"]
    assert json.loads(_metrics.scrape_targets({}, "127.0.0.1:8090", "h")) == []


def test_what_cannot_be_had_does_not_hide_the_rest(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(_metrics_run, "nginx_status", lambda url: STUB)
    rotation = SimpleNamespace(look=lambda: SimpleNamespace(in_rotation=lambda: ["gpu0-1"]))

    def broken(run, etc):
        raise ProbeError("the driver is gone")

    def run(words):
        return 1, "", ""

    found = lines(_metrics_run.collect(run, str(tmp_path), PLAN, "http://x", "/no/cert.pem", rotation, 5.0, broken))
    assert "gpuserve_look_ok 0" in found and "gpuserve_gateway_up 1" in found
    assert 'gpuserve_replica_in_rotation{replica="gpu0-1"} 1' in found
    assert 'gpuserve_certificate_end_timestamp_seconds{file="/no/cert.pem"} 0' in found
    assert "the driver is gone" in capsys.readouterr().out

    def seen(run, etc):
        return HostHealth(), {}

    well = _metrics_run.collect(run, str(tmp_path), PLAN, "http://x", "", rotation, 5.0, seen)
    assert "gpuserve_look_ok 1" in lines(well)


_LOOK = """
import json
import pynvml
from ansible_collections.gpuserve.inference.plugins.module_utils import _health_look, _metrics_run

starts = []
for name in ("nvmlInit", "nvmlInitWithFlags"):
    def counted(*given, real=getattr(pynvml, name), name=name):
        starts.append(name)
        return real(*given)
    setattr(pynvml, name, counted)
_health_look.read_kernel_log = lambda run, which: ("", [], "")
health, draws = _metrics_run.look_at_cards(None, "/nonexistent")
print(json.dumps([len(starts), [card.verdict for card in health.cards], [d.power_watts for d in draws.values()]]))
"""


def test_a_look_starts_nvml_once(fake_nvml, tmp_path):
    profile = changed_profile("rtx5090x2", tmp_path, 1, ["power = 310000"])
    done = subprocess.run(
        [sys.executable, "-c", _LOOK],
        env={**fake_nvml.environment(profile), "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    starts, verdicts, watts = json.loads(done.stdout)
    assert (starts, verdicts, watts) == (1, ["ok", "ok"], [None, 310.0])


def test_a_look_reads_the_plan_once_and_writes_both_files(monkeypatch, tmp_path):
    (tmp_path / "monitoring").mkdir()
    held = {"status": "127.0.0.1:8090", "certificate": "", "instance": "h"}
    (tmp_path / "monitoring/metrics.json").write_text(json.dumps(held), encoding="utf-8")
    reads = []

    def read(path):
        reads.append(path)
        return PLAN

    rotation = SimpleNamespace(look=lambda: SimpleNamespace(in_rotation=lambda: ["gpu0-1"]))
    for name, value in (
        ("_ETC", str(tmp_path)),
        ("_RUN", str(tmp_path / "run")),
        ("read_json", read),
        ("nginx_status", lambda url: STUB),
        ("Rotation", lambda run: rotation),
        ("look_at_cards", lambda run, etc: (HostHealth(), {})),
    ):
        monkeypatch.setattr(_metrics_run, name, value)
    assert _metrics_run.main() == 0
    assert reads == [f"{tmp_path}/plan.json"]
    assert len(json.loads((tmp_path / "run/replicas.json").read_text(encoding="utf-8"))) == 2
    figures = (tmp_path / "run/host.prom").read_text(encoding="utf-8")
    assert 'gpuserve_replica_in_rotation{replica="gpu2-3"} 0' in figures.splitlines()
