# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a start add up to the whole, a variant differs in what it says, and a start that fails is told."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[3] / "benchmarks" / "restart" / "restart.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("restart_restart", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


restart = load()


def job(tmp_path: Path) -> Any:
    return restart.Job(["vllm", "serve", "/m"], {"A": "b"}, "/m", tmp_path, 9, 1000)


def test_phases_add_up_and_come_in_the_order_of_the_log() -> None:
    found = restart.phases({"weights": 5.0, "imports": 2.0}, 9.0, 9.5)
    assert found == {"imports": 2.0, "weights": 3.0, "healthy": 4.0, "first token": 0.5}


def test_a_mark_counts_when_it_is_first_seen_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = restart.Log(path)
    path.write_text("INFO vLLM API server version 0.32.0\nINFO Loading wei")
    log.look(1.0)
    path.write_text("INFO vLLM API server version 0.32.0\nINFO Loading weights took 1 s\nINFO Model loading took 2 s\n")
    log.look(2.0)
    log.look(3.0)
    assert log.seen == {"imports": 1.0, "weights": 2.0}


@pytest.mark.parametrize(
    ("text", "gib"),
    [
        ("INFO Graph capturing finished in 5 secs, took 0.98 GiB\n", 0.98),
        ("INFO Graph capturing finished in 1 sec, took 12 GiB\n", 12.0),
        ("INFO Skipping CUDA graph capture\n", None),
    ],
)
def test_what_graphs_took_is_read_from_the_log(text: str, gib: float | None) -> None:
    assert restart.graphs_gib(text) == gib


def test_variants_differ_in_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/x")
    made = {
        name: job(tmp_path).engine(name, one, tmp_path / "c", str(tmp_path)) for name, one in restart.VARIANTS.items()
    }
    for name in ("pinned", "quick", "all"):
        assert made[name].words[3:5] == ["--kv-cache-memory-bytes", "1000"]
    assert made["warm"].words == ["vllm", "serve", "/m"] and made["warm"].env["A"] == "b"
    assert made["rare_gc"].env["PYTHONPATH"] == f"{tmp_path}:/x" and "PYTHONPATH" not in made["warm"].env
    assert "gc.set_threshold(" in (tmp_path / "sitecustomize.py").read_text(encoding="utf-8")
    assert made["plan"].env["VLLM_ENABLE_STARTUP_PLAN"] == "1" != made["warm"].env.get("VLLM_ENABLE_STARTUP_PLAN")
    assert made["cold"].env["VLLM_CACHE_ROOT"] == str(tmp_path / "c" / "vllm")
    begun = [made[name].env.get("VLLM_WORKER_MULTIPROC_METHOD") for name in ("warm", "fork", "quick")]
    assert begun == [None, "fork", "fork"]
    assert made["cold"].env["TMPDIR"] == str(tmp_path)


def test_nothing_that_a_start_began_outlives_it(tmp_path: Path) -> None:
    script = "sleep 300 & echo $! >child; exec sleep 0.1"
    engine = restart.Engine("x", ["sh", "-c", f"cd {tmp_path}; {script}", "sh"], {}, 9)
    engine.start(tmp_path)
    engine.process.wait(10)
    child = int((tmp_path / "child").read_text())
    restart.end(engine)
    try:
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "gone"
    assert state in ("gone", "Z")


def test_a_cold_start_finds_nothing_and_a_warm_one_what_its_prime_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def start(_job: Any, name: str, variant: Any, cache: Path) -> dict[str, Any]:
        seen.append((name, cache.exists()))
        cache.mkdir(parents=True, exist_ok=True)
        if variant is restart.VARIANTS["eager"]:
            raise RuntimeError("eager-prime ended with status 1")
        return {"seconds": 4.0 if name.startswith("cold") else 1.0, "phases": {"imports": 1.0}}

    monkeypatch.setattr(restart, "start", start)
    runs = restart.measure(job(tmp_path), ["cold", "warm", "eager"], 2, {})
    cold = [there for name, there in seen if name.startswith("cold")]
    warm = [there for name, there in seen if name.startswith("warm")]
    assert cold == [False, False] and warm == [True, True]  # what the cold start before it left
    assert [run["repeat"] for run in runs if run["variant"] == "eager"] == [-1], "what fails is not tried again"
    assert json.loads((tmp_path / "results.json").read_text())["runs"] == runs
    assert "| warm | 1.0 (1.0..1.0) | 0.25 |" in (tmp_path / "results.md").read_text()


def test_a_cache_is_shared_by_those_that_compile_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def start(_job: Any, name: str, _variant: Any, cache: Path) -> dict[str, Any]:
        seen.append((name, cache.name, cache.exists()))
        cache.mkdir(parents=True, exist_ok=True)
        return {"seconds": 1.0, "phases": {}}

    monkeypatch.setattr(restart, "start", start)
    restart.measure(job(tmp_path), ["warm", "plan", "fork"], 1, {})
    plain = [name for name, cache, _there in seen if cache == "plain" and not name.endswith("prime")]
    assert sorted(plain) == ["fork-0", "warm-0"]
    assert sorted(row for row in seen if "fork" not in row[0] and "prime" not in row[0]) == [
        ("plan-0", "plan", True), ("warm-0", "plain", True),
    ]  # fmt: skip
    assert sorted((cache, there) for name, cache, there in seen if name.endswith("prime")) == [
        ("plain", False), ("plan", False),
    ]  # fmt: skip
    assert restart.plan_of(["warm", "pinned", "cold"], 2)[0] == ("cold", 0)


def test_pages_are_dropped_where_a_container_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = tmp_path / "drop_caches"
    monkeypatch.setattr(restart, "DROP", (tmp_path / "no" / "such", bound))
    assert restart.drop_pages() and bound.read_text() == "3\n"
    monkeypatch.setattr(restart, "DROP", (tmp_path / "no" / "such",))
    assert not restart.drop_pages()


def test_another_model_is_served_with_the_replicas_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    host = restart.engines.Applied(
        ["gpu0"], [8001], [["GPU-a"]], "0", ["vllm", "serve", "/m", "--load-format", "dummy", "--seed", "1"], {}, "m",
        "/m", "0.26.0", "key", 1000,
    )  # fmt: skip
    monkeypatch.setattr(restart.engines, "applied", lambda: host)
    made, _version = restart.job_of(restart.arguments(["out", "--model", "/w", "--load-format", "auto"]))
    one = ["--tensor-parallel-size", "1"]
    assert made.words == ["vllm", "serve", "/w", "--seed", "1", *one, "--load-format", "auto"]
    made, _version = restart.job_of(restart.arguments(["out"]))
    assert made.words == [*host.words, *one]


@pytest.mark.parametrize("words", [[], ["out", "--repeats", "0"], ["out", "--only", "hot"]])
def test_bad_arguments(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        restart.arguments(words)
    with pytest.raises(argparse.ArgumentTypeError, match="there are cold, pages"):
        restart.variants("hot")
