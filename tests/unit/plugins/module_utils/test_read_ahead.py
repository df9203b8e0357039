# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _host, _read_ahead


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model [1]"  # what a shell pattern would take for more
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"w" * 2**20)
    (folder / "config.json").write_text("{}")
    return folder


def meminfo(tmp_path, kib):
    (tmp_path / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {kib} kB\n")
    return str(tmp_path)


def test_every_byte_of_the_weights_is_read(model, tmp_path, monkeypatch):
    read = []
    real = open

    def watched(path, *args, **kwargs):
        read.append(str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(_read_ahead, "open", watched, raising=False)
    assert _read_ahead.read_ahead(str(model), meminfo(tmp_path, 2**20)) == "0.0 GiB"
    assert [path for path in read if path.startswith(str(model))] == [str(model / "model.safetensors")]


@pytest.mark.parametrize("kib", [0, 1024, 1279])
def test_what_does_not_fit_is_left(model, tmp_path, kib):
    assert _read_ahead.read_ahead(str(model), meminfo(tmp_path, kib)).startswith("left out, 0.0 GiB of weights do not")


def test_the_limit(model, tmp_path):
    assert _read_ahead.read_ahead(str(model), meminfo(tmp_path, 1281)) == "0.0 GiB"


def test_it_is_never_an_error(model, tmp_path):
    assert _read_ahead.read_ahead(str(tmp_path / "gone"), meminfo(tmp_path, 2**20)) == "0.0 GiB"
    (model / "b.safetensors").symlink_to("nowhere")
    assert _read_ahead.read_ahead(str(model), meminfo(tmp_path, 2**20)).startswith("left out, [Errno 2]")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "meminfo").write_text("MemAvailable:\n")
    for path in ("odd", "missing"):
        assert _host.memory(str(tmp_path / path))["available_bytes"] == 0
