# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contest's variants must differ in what they say they do, and its shares must be of the same repeat."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_settings import numbers_below

HERE = Path(__file__).resolve().parents[3] / "benchmarks" / "gateway"

SITE = """\
upstream gpuserve {
    zone gpuserve 256k;
    include /etc/gpuserve/gateway/upstream.conf;
    keepalive 64;
}
server {
    listen 8000;
    proxy_set_header Connection "";
}
server {
    listen 127.0.0.1:8080;
}
"""


def load(name: str) -> ModuleType:
    """As contest.py itself does: it is run as a file, on hosts without the collection."""
    sys.path.insert(0, str(HERE))
    try:
        spec = importlib.util.spec_from_file_location(f"gateway_{name}", HERE / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(HERE))
    return module


contest, doors, engines, report = (load(name) for name in ("contest", "doors", "engines", "report"))


def test_a_variant_listens_elsewhere_and_changes_nothing_else() -> None:
    made = doors.site_with(SITE, 9110)
    assert made.replace("listen 127.0.0.1:9110", "listen 8000").replace("127.0.0.1:9111", "127.0.0.1:8080") == SITE


def test_the_balancing_stands_before_the_servers() -> None:
    made = doors.site_with(SITE, 9110, balancing="random two least_conn")
    assert made.index("random two least_conn;") < made.index(doors.UPSTREAM) < made.index("keepalive 64")


def test_affinity_is_what_the_gateway_has() -> None:
    template = (HERE.parents[1] / "roles/gateway/templates/gpuserve.conf.j2").read_text(encoding="utf-8")
    lines = (
        doors.BY_PROMPT.replace("contest_", "gpuserve_")
        .replace("{512}", "{{ '{' }}{{ gateway_affinity_prompt_bytes }}{{ '}' }}")
        .splitlines()
    )
    key, inside = lines[0].split()[1], lines[1:3]
    assert key == "$request_body" and all(line in template for line in inside)
    assert (
        f'"~^({numbers_below(1024)})$" contest_any;' in doors.BY_PROMPT
        and "$content_length $gpuserve_upstream" in template
    )

    lines = doors.BY_HEADER.replace("$contest_", "$gpuserve_").splitlines()
    assert '"" gpuserve' in lines[2] and lines[0].startswith("map $http_")
    assert "map {{ __gateway_settings.affinity_key }} $gpuserve_upstream {" in template


def test_paths_go_to_the_upstream_that_is_named() -> None:
    paths = "proxy_pass http://gpuserve/v1/completions;\nproxy_pass http://gpuserve/health;\n"
    made = doors.site_with(SITE + paths, 9110, upstream="$contest_upstream")
    assert "proxy_pass http://$contest_upstream/v1/completions$is_args$args;" in made
    assert "proxy_pass http://gpuserve/health;" in made


def test_other_servers_and_settings() -> None:
    made = doors.site_with(
        SITE, 9110, servers=["unix:/run/a.sock"], settings={"proxy_set_header Connection": "close"}
    )  # fmt: skip
    assert "server unix:/run/a.sock max_fails=0;" in made and doors.UPSTREAM not in made
    assert "proxy_set_header Connection close;" in made


@pytest.mark.parametrize(
    ("site", "change"),
    [
        ("server { return 404; }", {}),
        (SITE.replace(doors.UPSTREAM, "server 10.0.0.1:8000;"), {}),
        (SITE, {"settings": {"gzip": "off"}}),
    ],
)
def test_what_cannot_be_changed_is_not_measured(site: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not the file|is not set there"):
        doors.site_with(site, 9110, **change)


def test_words_without_flags() -> None:
    words = ["vllm", "serve", "/m", "--host", "127.0.0.1", "--port", "8001", "--max-model-len", "8192"]
    assert engines.without(words, "--host", "--port") == ["vllm", "serve", "/m", "--max-model-len", "8192"]


def test_what_was_applied_is_read_from_the_host(tmp_path: Path) -> None:
    names = ("gpu0", "gpu1")
    plan = {
        "instances": [
            {"name": name, "port": 8001 + n, "gpus": [n], "gpu_uuids": [f"GPU-{n}"]} for n, name in enumerate(names)
        ],
        "model": {"served_model_name": "m"},
        "vllm_version": "0.32.0",
        "prediction": {"kv_cache_bytes_per_gpu": 1000},
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    (tmp_path / "engine.key").write_text("secret\n", encoding="utf-8")
    (tmp_path / "instances").mkdir()
    words = ["/opt/vllm", "serve", "/srv/m", "--host", "127.0.0.1", "--port", "8001", "--tensor-parallel-size", "1"]
    (tmp_path / "instances" / "gpu0.args").write_text("\n".join(words) + "\n", encoding="utf-8")
    (tmp_path / "instances" / "gpu0.env").write_text('A="1"\nB="two words"\n', encoding="utf-8")
    host = engines.applied(tmp_path)
    assert (host.ports, host.every_card, host.path) == ([8001, 8002], "0,1", "/srv/m")
    assert host.words == ["/opt/vllm", "serve", "/srv/m"]
    assert host.kv_bytes == 1000
    assert host.env == {"A": "1", "B": "two words"}


def test_contestants_and_their_points() -> None:
    assert contest.contestants("gateway,one@16/128") == {"gateway": [], "one": [16, 128]}
    for bad in ("gateways", "one@0", "one@x"):
        with pytest.raises(argparse.ArgumentTypeError):
            contest.contestants(bad)


def test_every_contestant_at_its_points_in_every_repeat_and_no_seed_twice() -> None:
    args = contest.arguments(["/tmp/out", "--only", "gateway,vllm-dp,one@16", "--points", "1,16", "--repeats", "2"])
    host = argparse.Namespace(model="m", path="/srv/m")
    runs = contest.runs_of({name: ["http://h"] for name in args.only}, args, host)
    named = sorted(run["name"] for run in runs)
    assert named == sorted(
        f"{name}/{point}/{repeat}"
        for repeat in (0, 1)
        for name, point in (("gateway", 1), ("vllm-dp", 1), ("gateway", 16), ("vllm-dp", 16), ("one", 16))
    )
    assert len({run["seed"] for run in runs}) == len(runs)


def test_what_is_asked() -> None:
    some = contest.arguments(["/tmp/out", "--range", "0.5"])
    assert contest.prompts(some, 8)[-2:] == ["--random-range-ratio", "0.5"]
    shared = contest.arguments(["/tmp/out", "--prefixes", "64", "--points", "16", "--input", "128"])
    words = contest.prompts(shared, 8)  # of each client
    assert words[words.index("--prefix-repetition-num-prefixes") + 1] == "8"
    assert words[words.index("--prefix-repetition-suffix-len") + 1] == "128"
    runs = contest.runs_of(
        {"gateway": ["http://h"]},
        contest.arguments(["/tmp/out", "--only", "gateway"]),
        argparse.Namespace(model="m", path="/m"),
    )
    assert "random" in runs[0]["words"]


@pytest.mark.parametrize("words", [["--range", "1"], ["--prefixes", "64", "--points", "1"]])
def test_what_cannot_be_asked(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        contest.arguments(["/tmp/out", *words])


def run(name: str, repeat: int, rate: float, failed: int = 0) -> dict[str, Any]:
    times = {"p50": 1000 / rate, "p99": 2000 / rate}
    return {
        "contestant": name, "concurrency": 16, "repeat": repeat, "output_tokens_per_s": rate, "ttft_ms": times,
        "tpot_ms": times, "failed": failed, "requests": 96,
    }  # fmt: skip


def test_shares_are_taken_within_a_repeat() -> None:
    runs = [run("gateway", 0, 100.0), run("vllm-dp", 0, 50.0), run("gateway", 1, 400.0), run("vllm-dp", 1, 400.0)]
    rate = report.FIGURES["output tokens/s"]
    assert report.shares_of(runs, "gateway", "vllm-dp", 16, rate) == [2.0, 1.0]
    table = report.tables(runs, "vllm-dp")
    assert "| 16 | 250.0 (100.0..400.0)<br>1.50 (1.00..2.00) x | 225.0 (50.0..400.0) |" in table


def test_runs_that_failed_are_told_and_give_no_figure() -> None:
    runs = [run("gateway", 0, 100.0, failed=3), run("vllm-dp", 0, 50.0)]
    assert report.shares_of(runs, "gateway", "vllm-dp", 16, report.FIGURES["output tokens/s"]) == []
    assert report.tables(runs, "vllm-dp").endswith("2 runs, 192 requests, 3 failed.")


def test_works_share_engines_and_differ_where_they_say_so() -> None:
    args = contest.arguments(
        ["out", "--points", "16,128", "--rounds", "4", "--work", "same", "--work", "mixed --range 0.5 --only one@1"]
    )
    works = contest.works_of(args)
    assert list(works) == ["same", "mixed"] and [work.out.name for work in works.values()] == ["same", "mixed"]
    assert works["same"].range == 0 and list(works["same"].only) == list(args.only)
    assert works["mixed"].range == 0.5 and works["mixed"].only == {"one": [1]}
    assert all(work.points == [16, 128] and work.rounds == 4 and not work.work for work in works.values())
    assert works["same"].seed != works["mixed"].seed  # the engines would know the prompts


def test_what_does_not_come_up_is_told_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = engines.Applied(["gpu0"], [8001], [["GPU-a"]], "0", ["sh", "-c", "exit 3"], {}, "m", "/m", "1", "k", 0)
    monkeypatch.setattr(sys.modules["doors"], "SITE", tmp_path / "site.conf")
    (tmp_path / "site.conf").write_text(SITE, encoding="utf-8")
    stage = contest.Stage(host, tmp_path)
    assert list(contest.begin(stage, ["gateway", "vllm-dp"], 20.0)) == ["gateway"]
    assert "contest: without vllm-dp: vllm-dp ended with status 3; see its log" in capsys.readouterr().err
    slow = engines.Engine("slow", ["sh", "-c", "sleep 60", "sh"], {}, 9)
    slow.start(tmp_path)
    assert engines.wait([slow], 0.1)[1] == {"slow": "slow is not healthy after 0.1 s; see its log"}
    assert slow.process is None, "it is stopped"


def test_vllms_own_balancer_has_vllms_own_graphs(tmp_path: Path) -> None:
    words = ["vllm", "serve", "/m", "--max-cudagraph-capture-size", "1024"]
    stage = contest.Stage(
        engines.Applied(["gpu0"], [8001], [["GPU-a"]], "0", words, {}, "m", "/m", "1", "k", 9), tmp_path
    )
    contest.CONTESTANTS["vllm-dp"][1](stage)
    assert stage.engines["vllm-dp"].words[3:5] == ["--kv-cache-memory-bytes", "9"]
    assert stage.engine("ours", ["0"], "--x").words == [*words, "--kv-cache-memory-bytes", "9", "--x"]


@pytest.mark.parametrize("words", [["a", "a"], [""], ["../x"], [".5"]])
def test_a_work_needs_a_name_of_its_own(words: list[str]) -> None:
    given = [word for text in words for word in ("--work=" + text,)]
    with pytest.raises(ValueError, match="no name of its own"):
        contest.works_of(contest.arguments(["out", *given]))


def test_without_works_there_is_one() -> None:
    args = contest.arguments(["out"])
    assert contest.works_of(args) == {"": args}
