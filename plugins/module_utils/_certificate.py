# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The gateway's TLS certificate, through openssl: is it usable, and one of our own for a start."""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run

DAY = 86400
SOON = 21  # days before its end from which on a certificate is spoken of


@dataclass(frozen=True)
class Certificate:
    """``names``: DNS names and addresses that it is for."""

    ends: float  # seconds since 1970
    names: frozenset[str]
    public_key: str

    def days_left(self, now: float) -> int:
        return int((self.ends - now) // DAY)


def read(run: Run, path: str, name: str = "") -> Certificate:
    """The first certificate of a PEM file; InputError where there is none."""
    words = ["openssl", "x509", "-in", path, "-noout", "-enddate", "-pubkey", "-ext", "subjectAltName"]
    code, out, _err = run(words)
    end = re.search(r"notAfter=(.+)", out)
    if code != 0 or end is None:
        raise InputError(f"{name or path} holds no {_PEM[0][1]}")
    names = re.findall(r"(?:DNS|IP Address):([^,\s]+)", out)
    return Certificate(ssl.cert_time_to_seconds(end.group(1).strip()), frozenset(map(_plain, names)), _public(out))


def _public(text: str) -> str:
    match = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", text, re.S)
    return match.group(0) if match else ""


def _plain(name: str) -> str:
    """openssl writes ::1 as 0:0:0:0:0:0:0:1."""
    return "::1" if name == "0:0:0:0:0:0:0:1" else name


def check_files(
    run: Optional[Run], certificate: str, key: str, now: float, texts: Optional[tuple[str, str]] = None
) -> list[str]:
    """Whether the two files can be used together: InputError where not, else what is worth a warning.

    ``texts`` is what they hold where they are on the controller. Without ``run`` there is no openssl here, and when a
    certificate ends is not known.
    """
    names = (f"gateway_tls_certificate {certificate}", f"gateway_tls_key {key}")
    if texts is not None:
        with tempfile.TemporaryDirectory(prefix="gpuserve-") as work:  # for root alone
            copies = (f"{work}/certificate", f"{work}/key")
            for copy, text in zip(copies, texts):
                write_text(copy, text.encode(errors="replace").decode(), 0o600)
            return _check(run, copies, names, now)
    warnings = _check(run, (certificate, key), names, now)
    if os.stat(key).st_mode & 0o004:
        warnings.append(f"every user of this host can read the private key {key}; chmod 600 it")
    return warnings


_PEM = (
    (
        r"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----",
        "certificate; give a PEM file that begins with -----BEGIN CERTIFICATE-----",
    ),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "private key that needs no password; give an unencrypted PEM file"),
)


def _check(run: Optional[Run], paths: tuple[str, str], names: tuple[str, str], now: float) -> list[str]:
    for path, name, (begin, what) in zip(paths, names, _PEM):
        if not os.path.isfile(path):
            raise InputError(f"{name} is not there; put the PEM file there, or set gateway_tls to self_signed")
        try:
            with open(path, encoding="ascii", errors="replace") as handle:
                text = handle.read()
        except OSError as exc:
            raise InputError(f"{name} cannot be read ({exc.strerror}); see its owner and permissions") from exc
        if not re.search(begin, text):  # openssl would take other formats too, nginx does not
            raise InputError(f"{name} holds no {what}")
    strangers = f"{names[1]} does not belong to {names[0]}; give two that were made together"
    warnings = []
    if run is not None:
        found = read(run, paths[0], names[0])
        code, out, _err = run(["openssl", "pkey", "-in", paths[1], "-passin", "pass:", "-pubout"])
        if code != 0:
            raise InputError(f"{names[1]} holds no {_PEM[1][1]}")
        if _public(out) != found.public_key:
            raise InputError(strangers)
        left = found.days_left(now)
        if found.ends <= now:
            raise InputError(f"the certificate in {names[0]} ended {-left} days ago; renew it")
        if left < SOON:
            warnings.append(f"the certificate in {names[0]} ends in {left} days; renew it")
    try:  # as nginx does, with the certificates after the first one
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*paths, password=str)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise InputError(strangers) from exc
        if exc.library == "PEM" or "PEM lib" in str(exc):
            raise InputError(
                f"{names[0]} and {names[1]} cannot be read to their end ({exc.reason or 'spoilt PEM'}); "
                "copy both again, whole"
            ) from exc
        # what else the policy of this Python has against them is for nginx to judge
    return warnings


def check_authority(path: str) -> None:
    """InputError where nginx could verify nobody with the certificates in this file."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise InputError(f"gateway_upstream_ca {path} holds no {_PEM[0][1]}") from exc
    except OSError as exc:
        raise InputError(
            f"gateway_upstream_ca {path} cannot be read on this host ({exc.strerror}); put the PEM file there"
        ) from exc


def subject_names(names: Sequence[str]) -> str:
    return ",".join(f"{'IP' if ':' in name or re.fullmatch(r'[0-9.]+', name) else 'DNS'}:{name}" for name in names)


def hold_self_signed(
    run: Run,
    path: str,
    public: str,
    names: Sequence[str],
    days: int,
    renew: int,
    clock: Callable[[], float],
    check: bool = False,
) -> str:
    """Key and certificate in one file of root's at ``path``, the certificate alone at ``public``.

    Made anew where it is missing or spoilt, is for other names, or has fewer than ``renew`` days left. Returns why,
    empty where it was good.
    """
    why = _why(run, path, public, names, renew, clock())
    if not why or check:
        return why
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gpuserve-", dir=folder) as work:  # for root alone
        key, certificate = f"{work}/key", f"{work}/certificate"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        words += ["-keyout", key, "-out", certificate, "-days", str(days), "-subj", f"/CN={names[0][:64]}"]
        words += ["-addext", f"subjectAltName={subject_names(names)}", "-addext", "extendedKeyUsage=serverAuth"]
        code, out, err = run(words)
        if code != 0:
            said = [line for line in (err + "\n" + out).splitlines() if line.strip()]
            raise InputError(f"openssl made no certificate for {', '.join(names)}: {said[-1] if said else 'no word'}")
        both = _text(certificate) + _text(key)
        write_text(public, _text(certificate))
        write_text(path, both, 0o600)
    return why


def _text(path: str) -> str:
    with open(path, encoding="ascii") as handle:
        return handle.read()


def _why(run: Run, path: str, public: str, names: Sequence[str], renew: int, now: float) -> str:
    if not os.path.exists(path) or not os.path.exists(public):
        return "there is none"
    found: Optional[Certificate]
    try:
        found = read(run, path)
    except InputError:
        return "it cannot be read"
    if found.names != frozenset(names):
        return "it is for other names"
    if found.days_left(now) < renew:
        return f"it ends in {found.days_left(now)} days"
    return ""
