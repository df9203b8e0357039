# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules gateway_keys and gateway_certificate: what they return, and what they refuse."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.gpuserve.inference.plugins.modules import gateway_certificate, gateway_keys
from ansible_collections.gpuserve.inference.tests.unit.plugins.modules.engine_module import call

SECRET = "a-key-nobody-may-see"


def test_check_mode_says_what_would_be_held_and_shows_no_key():
    said = call(gateway_keys, {"clients": {"alice": SECRET}, "add": "bob,eve", "_ansible_diff": True}, check_mode=True)
    assert set(yaml.safe_load(gateway_keys.RETURN)) <= set(said)
    assert said["changed"]
    assert ("alice", "given") in [(row["name"], row["origin"]) for row in said["clients"]]
    assert {"bob", "eve"} <= {row["name"] for row in said["clients"]}
    assert SECRET not in str(said)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clients": [SECRET, "short"]}, ["key 2 of gateway_api_keys"]),
        ({"clients": SECRET}, ["neither a list of keys nor a dictionary"]),
        ({"rotate": ["nobody-of-that-name"]}, ["there is no client 'nobody-of-that-name' on this host"]),
        ({"add": ["a b"]}, ["'a b' is no name for a client"]),
        ({"upstream": "elsewhere"}, ["must be one of: engines, gateways, unchanged"]),
    ],
)
def test_bad_input_is_one_line_without_a_key(options, words):
    said = call(gateway_keys, options, check_mode=True)
    assert said["failed"]
    for word in words:
        assert word in said["msg"]
    assert "\n" not in said["msg"]
    assert SECRET not in said["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "one of the following is required: certificate, self_signed"),
        ({"certificate": "/a"}, "required together: certificate, key"),
        ({"certificate": "/no/such.pem", "key": "/no/such.pem"}, "/no/such.pem is not there"),
        ({"self_signed": "/no/such"}, "names is empty"),
    ],
)
def test_certificates_that_cannot_be(options, words):
    said = call(gateway_certificate, options, check_mode=True)
    assert said["failed"]
    assert words in said["msg"]


def test_a_certificate_would_be_made():
    said = call(gateway_certificate, {"self_signed": "/no/such", "names": ["a.example.com"]}, check_mode=True)
    assert (said["changed"], said["reason"]) == (True, "there is none")
