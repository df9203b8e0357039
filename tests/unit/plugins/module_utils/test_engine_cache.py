# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _cache_run
from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_cache as ec

COMMAND = ["/e/vllm-1/bin/vllm", "serve", "/m"]
WORDS = ["--host", "127.0.0.1", "--port", "8001", "--max-model-len", "512", "--enforce-eager"]
ENV = {"CUDA_VISIBLE_DEVICES": "GPU-a", "VLLM_A": "b"}
KEY = ec.cache_key(COMMAND, WORDS, ENV)
TEXT = f'A="b"\nCUDA_VISIBLE_DEVICES="GPU-a"\n{ec.VARIABLE}="{KEY}"\n'


@pytest.fixture
def places(tmp_path):
    made = ec.Places(*(str(tmp_path / name) for name in ("root", "private", "cards")))
    for name in ("root", "private/gpu0", "private/gpu1"):
        (tmp_path / name).mkdir(parents=True)
    for number, uuid in enumerate(("GPU-a", "GPU-b")):
        card(made, number, uuid, "NVIDIA H200")
    return made


def card(places, number, uuid, model):
    folder = Path(places.cards, f"0000:0{number}:00.0")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 1\nGPU UUID: \t {uuid}\n")


def cache(places, name="gpu0", text=TEXT):
    made = _cache_run.cache_of(name, text.replace("GPU-a", "GPU-b") if name == "gpu1" else text, places)
    assert made is not None
    return made


def write(places, name="gpu0", **files):
    for path, text in {"vllm/torch_compile_cache/k/rank_0_0/model": "compiled", **files}.items():
        file = Path(places.own(name, KEY), path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def tree(path):
    return {str(p.relative_to(path)): p.read_text() for p in sorted(Path(path).rglob("*")) if p.is_file()}


def started_and_sealed(places, **files):
    first = cache(places)
    assert first.prepare() == ""
    write(places, **files)
    assert first.seal().endswith("MiB")
    return first


# ---- which replicas may share


@pytest.mark.parametrize(
    ("command", "words", "environment", "same"),
    [
        # what differs between replicas, and what nothing is compiled for
        (COMMAND, [*WORDS[:3], "8002", *WORDS[4:]], {**ENV, "CUDA_VISIBLE_DEVICES": "GPU-b", ec.VARIABLE: "x"}, True),
        (COMMAND, ["--host=::1", *WORDS[4:]], ENV, True),
        (COMMAND, [*WORDS, "--seed", "7", "--shutdown-timeout", "9", "--portable"], {**ENV, "HF_TOKEN": "x"}, True),
        (COMMAND, WORDS, {**ENV, "VLLM_API_KEY": "another"}, True),
        # what something is
        (["/e/vllm-2/bin/vllm", *COMMAND[1:]], WORDS, ENV, False),
        ([*COMMAND[:2], "/other"], WORDS, ENV, False),
        (COMMAND, [*WORDS[:5], "1024", *WORDS[6:]], ENV, False),
        (COMMAND, [*WORDS[:4], "--max_model_len=1024", *WORDS[6:]], ENV, False),
        (COMMAND, WORDS[:-1], ENV, False),
        (COMMAND, [*WORDS, "-O3"], ENV, False),
        (COMMAND, [*WORDS, "--compilation-config", "{}"], ENV, False),
        (COMMAND, WORDS, {**ENV, "VLLM_A": "c"}, False),
        (COMMAND, WORDS, {**ENV, "VLLM_CPU_OMP_THREADS_BIND": "0-1"}, False),
    ],
)
def test_key(command, words, environment, same):
    assert (ec.cache_key(command, words, environment) == KEY) is same


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (TEXT, KEY),
        (f"{ec.VARIABLE}={KEY}", KEY),
        (f'{ec.VARIABLE}="../../etc"', ""),
        (f'{ec.VARIABLE}="abc"', ""),
        ("", ""),
    ],
)
def test_key_of_an_environment_file(text, key):
    assert ec.key_in(text) == key


@pytest.mark.parametrize(
    ("visible", "second", "kind"),
    [
        ("GPU-a", "NVIDIA H200", "NVIDIA H200"),
        ("GPU-a,GPU-b", "NVIDIA H200", "NVIDIA H200"),
        ("GPU-a,GPU-b", "NVIDIA A100", None),
        ("GPU-b", "NVIDIA A100", "NVIDIA A100"),
        ("0", "NVIDIA H200", "NVIDIA H200"),
        ("0", "NVIDIA A100", None),
        ("GPU-elsewhere", "NVIDIA A100", None),
        ("", "NVIDIA A100", ""),
    ],
)
def test_kind_of_cards(places, visible, second, kind):
    card(places, 1, "GPU-b", second)
    assert ec.card_kind(visible, places.cards) == kind


def test_kind_of_cards_without_a_driver(tmp_path):
    assert ec.card_kind("GPU-a", str(tmp_path)) is None


# ---- from the first replica to the second


def test_the_second_replica_begins_with_what_the_first_compiled(places):
    started_and_sealed(places, **{"vllm/modelinfos/m.json": "{}"})
    assert "begun with" in cache(places, "gpu1").prepare()
    assert tree(places.own("gpu1", KEY)) == tree(places.own("gpu0", KEY))
    assert oct(os.stat(places.seeds).st_mode & 0o777) == "0o700"


def test_triton_is_told_where_its_kernels_lie_now(places):
    told = {"child_paths": {"k.cubin": f"/var/cache/gpuserve/gpu0/{KEY}/triton/AB/k.cubin"}, "more": 1}
    other = {"triton/AB/__grp__broken.json": "{", "triton/CD/__grp__list.json": "[]"}
    files = {"triton/AB/__grp__k.json": json.dumps(told), "triton/AB/k.cubin": "kernel", **other}
    started_and_sealed(places, **files)
    assert cache(places, "gpu1").prepare() != ""
    own = places.own("gpu1", KEY)
    found = json.loads(Path(own, "triton/AB/__grp__k.json").read_text())
    assert found == {"child_paths": {"k.cubin": f"{places.root}/gpu1/{KEY}/triton/AB/k.cubin"}, "more": 1}
    assert {path: Path(own, path).read_text() for path in other} == other


def test_it_is_a_copy(places):
    started_and_sealed(places)
    cache(places, "gpu1").prepare()
    write(places, "gpu1", **{"vllm/torch_compile_cache/k/rank_0_0/model": "changed"})
    assert "changed" not in str(tree(places.seeds)) + str(tree(places.own("gpu0", KEY)))


def test_a_restart_keeps_its_own(places):
    first = started_and_sealed(places)
    write(places, own="x")
    assert first.prepare() == ""
    assert tree(places.own("gpu0", KEY))["own"] == "x"


def test_what_is_left_out(places):
    """An older release writes the engine's key there; a link and a pipe are nobody's cache."""
    first = cache(places)
    first.prepare()
    write(places, **{"vllm/k/cache_key_factors.json": "secret", "vllm/startup_plan/a.json": "bytes", "a.1.tmp": "half"})
    own = Path(places.own("gpu0", KEY))
    Path(places.private, "secret").write_text("of root")
    (own / "link").symlink_to(Path(places.private, "secret"))
    (own / "folder").symlink_to(places.private)
    os.mkfifo(own / "pipe")
    first.seal()
    assert list(tree(places.seeds)) == [
        f"{ec.seed_name(KEY, 'NVIDIA H200')}/files/vllm/torch_compile_cache/k/rank_0_0/model",
        f"{ec.seed_name(KEY, 'NVIDIA H200')}/manifest.json",
    ]


def test_programs_stay_programs(places):
    first = cache(places)
    first.prepare()
    write(places)
    Path(places.own("gpu0", KEY), "vllm/torch_compile_cache/k/rank_0_0/model").chmod(0o755)
    first.seal()
    cache(places, "gpu1").prepare()
    assert os.access(Path(places.own("gpu1", KEY), "vllm/torch_compile_cache/k/rank_0_0/model"), os.X_OK)


# ---- what is not trusted


def test_a_cache_that_root_did_not_begin_is_not_sealed(places):
    first = cache(places)
    first.prepare()
    write(places)
    first.prepare()
    assert first.seal() == ""
    assert not first.has_seed


def test_what_the_last_engine_left_for_the_next_one_is_thrown_away(places):
    old = cache(places, text=TEXT.replace(KEY, "a" * 12))
    old.prepare()
    write(places)  # by the replica's user, who can tell the next key
    write(places, **{f"../{'a' * 12}/x": "own", "../other": "x"})
    new = cache(places)
    assert new.prepare() == ""
    assert tree(places.own("gpu0")) == {}
    write(places)
    assert new.seal().endswith("MiB")
    # and back again: what is not in use could not be written meanwhile
    assert oct(os.stat(f"{places.private}/.aside").st_mode & 0o777) == "0o700"
    assert old.prepare() == ""
    assert tree(places.own("gpu0")) == {f"{'a' * 12}/x": "own"}
    write(places, y="planted")
    assert new.prepare() == ""
    assert [*tree(places.own("gpu0", KEY)).values()] == ["compiled"]


def test_nor_one_of_a_seed(places):
    started_and_sealed(places)
    second = cache(places, "gpu1")
    second.prepare()
    assert second.seal() == "" == cache(places).seal()


def test_nor_where_the_state_is_gone(places):
    first = cache(places)
    first.prepare()
    write(places)
    os.unlink(f"{places.state}/gpu0.json")
    assert first.seal() == "" and not first.has_seed


def test_nor_where_the_cards_cannot_be_told(places):
    card(places, 1, "GPU-b", "NVIDIA A100")
    first = cache(places, text=TEXT.replace("GPU-a", "0"))
    first.prepare()
    write(places)
    assert first.seal() == "left out, the kind of its cards cannot be told"


def test_another_kind_of_card_gets_none(places):
    card(places, 1, "GPU-b", "NVIDIA A100")
    started_and_sealed(places)
    assert cache(places, "gpu1").prepare() == ""
    assert tree(places.own("gpu1", KEY)) == {}


def test_another_engine_gets_none(places):
    started_and_sealed(places)
    other = ec.cache_key(["/e/vllm-2/bin/vllm", *COMMAND[1:]], WORDS, ENV)
    second = cache(places, "gpu1", TEXT.replace(KEY, other))
    assert second.prepare() == ""
    assert tree(places.own("gpu1", other)) == {}


def test_a_link_in_place_of_the_directory_is_replaced(places, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").write_text("x")
    os.symlink(tmp_path / "elsewhere", places.own("gpu0", KEY))
    cache(places).prepare()
    assert not os.path.islink(places.own("gpu0", KEY)) and (tmp_path / "elsewhere/x").exists()


@pytest.mark.parametrize("harm", ["truncated", "added", "missing", "record"])
def test_a_seed_that_was_harmed_is_not_used(places, harm):
    first = started_and_sealed(places)
    seed = Path(places.seeds, os.listdir(places.seeds)[0])
    model = seed / "files/vllm/torch_compile_cache/k/rank_0_0/model"
    if harm == "truncated":
        model.write_text("com")
    elif harm == "added":
        (seed / "files/more").write_text("x")
    elif harm == "missing":
        model.unlink()
    else:
        (seed / "manifest.json").write_text("{")
    second = cache(places, "gpu1")
    assert "the copy of another replica's cache was removed" in second.prepare()
    assert tree(places.own("gpu1", KEY)) == {} and not first.has_seed
    write(places, "gpu1")
    assert second.seal().endswith("MiB")  # it began with nothing, so the next one may have its


def test_too_much_is_left_out(places, monkeypatch):
    first = cache(places)
    first.prepare()
    write(places)
    monkeypatch.setattr(ec, "room", lambda path: 3)
    assert "left out, it has more than" in first.seal()
    assert os.listdir(places.seeds) == []


def test_an_empty_cache_is_no_seed(places):
    first = cache(places)
    first.prepare()
    assert "there is nothing in it" in first.seal()


# ---- a start that fails


def test_after_a_failure_it_begins_with_the_seed_then_with_nothing(places):
    first = started_and_sealed(places)
    write(places, **{"vllm/torch_compile_cache/k/rank_0_0/model": "com"})
    first.prepare()
    first.ended("ValueError: bad magic")
    said = first.prepare()
    assert "the last start failed (ValueError: bad magic): starting without its cache; begun with" in said
    assert "com" not in tree(places.own("gpu0", KEY)).values()
    first.ended("ValueError: bad magic")
    assert "begun with" not in first.prepare()
    assert tree(places.own("gpu0", KEY)) == {} and not first.has_seed
    write(places)
    first.ended("no such thing")  # nothing of what it began with is to blame
    assert first.prepare() == ""
    assert tree(places.own("gpu0", KEY))


@pytest.mark.parametrize(
    ("environment", "log", "blamed"),
    [
        ({"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "1"},
         "EOFError: Ran out of input", "EOFError"),
        ({"SERVICE_RESULT": "core-dump", "EXIT_CODE": "dumped", "EXIT_STATUS": "BUS"}, "", "ended by SIGBUS"),
        ({"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}, "EOFError: Ran out of input", ""),
        ({"SERVICE_RESULT": "oom-kill", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}, "", ""),
        ({"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}, "", ""),
        ({"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "1"},
         "INFO:     Application startup complete.\nEOFError: Ran out of input", ""),
        ({"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2"},
         "vllm: error: unrecognized arguments: --x", ""),
        ({"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "1"},
         "OSError: [Errno 28] No space left on device", ""),
        ({}, "EOFError: Ran out of input", ""),
    ],
)  # fmt: skip
def test_what_is_blamed_on_the_cache(environment, log, blamed):
    def run(words):
        grep = next((word.partition("=")[2] for word in words if word.startswith("--grep=")), "")
        lines = [line for line in log.splitlines() if grep in line]
        return (0 if lines else 1), "\n".join(lines), ""

    found = _cache_run.failure(run, "vllm@gpu0.service", {**environment, "INVOCATION_ID": "1"})
    assert bool(found) is bool(blamed) and blamed in found


@pytest.mark.parametrize("words", [("prepare", "gpu0"), ("ended", "gpu0"), ("prepare", "gpu9")])
def test_the_program_never_keeps_a_replica_from_starting(places, words, capsys):
    environment = {ec.VARIABLE: KEY, "CUDA_VISIBLE_DEVICES": "GPU-a", "SERVICE_RESULT": "exit-code"}
    assert _cache_run.main(words, environment, lambda _words: (1, "", ""), places) == 0
    assert ("left alone" in capsys.readouterr().out) is (words[1] == "gpu9")


def test_the_program_leaves_a_release_of_before_alone(places):
    assert _cache_run.main(("prepare", "gpu0"), {}, lambda _words: (1, "", ""), places) == 0
    assert os.listdir(Path(places.private, "gpu0")) == []


# ---- what goes


def test_prune(places):
    started_and_sealed(places)
    cache(places, "gpu1").prepare()
    old = "a" * 12
    for name in (f".aside/gpu0/{old}", f".aside/gpu1/{KEY}", f"gpu2/{old}", f".aside/gpu2/{old}", f"gpu3/{KEY}"):
        os.makedirs(f"{places.private}/{name}")
    os.makedirs(f"{places.private}/gpu4")
    os.makedirs(f"{places.private}/.aside/gpu4/{KEY}")
    os.symlink("../private/gpu2", f"{places.root}/gpu2")
    os.makedirs(f"{places.seeds}/{old}-12345678")
    gone = ec.prune(places, {KEY}, ["gpu0", "gpu1"])
    assert [path.replace(str(Path(places.root).parent), "") for path in gone] == [
        f"/root/seeds/{old}-12345678",
        f"/private/.aside/gpu0/{old}",
        f"/private/.aside/gpu2/{old}",
        "/private/gpu2",
        "/root/gpu2",
        "/private/.aside/gpu2",
    ]
    assert sorted(os.listdir(places.private)) == [".aside", "gpu0", "gpu1", "gpu3", "gpu4"]
    assert len(os.listdir(places.seeds)) == 1
    assert ec.prune(places, {KEY}, ["gpu0", "gpu1"]) == []
