# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway's certificate, with the real openssl."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _certificate
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not there")
NAMES = ["llm.example.com", "192.0.2.7", "::1"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def hold(folder, names=tuple(NAMES), days=365, clock=time.time, check=False):
    both, public = str(folder / "self-signed.pem"), str(folder / "certificate.pem")
    return _certificate.hold_self_signed(run, both, public, names, days, 120, clock, check)


def test_made_once_and_again_for_other_names_or_long_before_its_end(tmp_path):
    folder = tmp_path / "tls"
    assert hold(folder, check=True) == "there is none"
    assert not folder.exists()
    assert hold(folder) == "there is none"
    assert (folder / "self-signed.pem").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in (folder / "certificate.pem").read_text()
    first = _certificate.read(run, str(folder / "self-signed.pem"))
    assert first.names == frozenset(NAMES)
    assert first.days_left(time.time()) in (364, 365)
    assert hold(folder) == ""
    assert hold(folder, clock=lambda: time.time() + 240 * 86400) == ""
    assert hold(folder, clock=lambda: time.time() + 250 * 86400).startswith("it ends in 11")
    assert hold(folder, names=["other.example.com"]) == "it is for other names"
    (folder / "self-signed.pem").write_text("spoilt")
    assert hold(folder) == "it cannot be read"
    assert sorted(path.name for path in folder.iterdir()) == ["certificate.pem", "self-signed.pem"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    for name in ("one", "two"):
        hold(folder / name)
    return folder


def test_files_that_belong_together(pair):
    both = str(pair / "one" / "self-signed.pem")
    assert _certificate.check_files(run, both, both, time.time()) == []
    (warning,) = _certificate.check_files(run, both, both, time.time() + 350 * 86400)
    assert "ends in 1" in warning


def test_files_that_cannot_be_used(pair, tmp_path):
    one, two = str(pair / "one" / "self-signed.pem"), str(pair / "two" / "self-signed.pem")
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    binary, chain = tmp_path / "binary.der", tmp_path / "chain.pem"
    subprocess.run(["openssl", "x509", "-in", one, "-outform", "DER", "-out", str(binary)], check=True)
    chain.write_text(
        (pair / "one" / "certificate.pem").read_text() + (pair / "two" / "certificate.pem").read_text()[:200]
    )
    cases = [
        (str(binary), one, 0, f"gateway_tls_certificate {binary} holds no certificate"),
        (str(chain), one, 0, f"gateway_tls_certificate {chain} and gateway_tls_key {one} cannot be read to their end"),
        ("/no/such.pem", one, 0, "gateway_tls_certificate /no/such.pem is not there"),
        (one, "/no/such.pem", 0, "gateway_tls_key /no/such.pem is not there"),
        (str(nothing), one, 0, "holds no certificate"),
        (one, str(pair / "one" / "certificate.pem"), 0, "holds no private key"),
        (one, two, 0, f"gateway_tls_key {two} does not belong to gateway_tls_certificate {one}"),
        (one, one, 400 * 86400, "ended 3"),
    ]
    for certificate, key, later, words in cases:
        with pytest.raises(InputError) as error:
            _certificate.check_files(run, certificate, key, time.time() + later)
        assert words in str(error.value)


def test_what_others_are_verified_with(pair, tmp_path):
    _certificate.check_authority(str(pair / "one" / "certificate.pem"))
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path, words in [
        (empty, f"gateway_upstream_ca {empty} holds no certificate; give a PEM file that begins with"),
        (
            "/no/such.pem",
            "gateway_upstream_ca /no/such.pem cannot be read on this host .No such file or directory.; put",
        ),
    ]:
        with pytest.raises(InputError, match=words):
            _certificate.check_authority(str(path))


def test_what_comes_from_the_controller_is_looked_at_too(pair):
    one, two = ((pair / name / "self-signed.pem").read_text() for name in ("one", "two"))
    paths = ("/home/me/chain.pem", "/home/me/key.pem")
    assert _certificate.check_files(run, *paths, time.time(), (one, one)) == []
    for texts, words in [
        ((one, two), "gateway_tls_key /home/me/key.pem does not belong to gateway_tls_certificate /home/me/chain.pem"),
        (("", one), "gateway_tls_certificate /home/me/chain.pem holds no certificate"),
        (
            ("0\udc82", one),
            "gateway_tls_certificate /home/me/chain.pem holds no certificate",
        ),  # read as text, but it is not
        ((one, ""), "gateway_tls_key /home/me/key.pem holds no private key"),
    ]:
        for able in (run, None):  # a host without openssl
            with pytest.raises(InputError, match=words):
                _certificate.check_files(able, *paths, time.time(), texts)
