# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients of the gateway: what the inventory may say, and how keys come, change and go."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_clients as clients_of
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._gateway_clients import Client, Wish, changed

KEY = "k" * 8
NOW = 1_800_000_000.0


def maker():
    numbers = itertools.count(1)
    return lambda: f"made-key-{next(numbers)}"


def keys(clients):
    return [(c.name, c.key, c.origin, c.until) for c in clients]


@pytest.mark.parametrize(
    ("value", "given", "unnamed"),
    [
        (None, {}, False),
        ([], {}, False),
        ({}, {}, False),
        (["a" * 8, "b" * 8], {"key1": "a" * 8, "key2": "b" * 8}, True),
        ({"alice": KEY}, {"alice": KEY}, False),
        ([{"name": "alice", "key": KEY}], {"alice": KEY}, False),
    ],
)
def test_ways_to_give_keys(value, given, unnamed):
    assert clients_of.given_clients(value) == (given, unnamed)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["short"], ["key 1 of gateway_api_keys", "8 to 512 letters"]),
        ([12345678], ["key 1 of gateway_api_keys"]),
        (["good-enough", 'a"b; }zzzz'], ["key 2 of gateway_api_keys"]),
        (["good-enough", "good-enough"], ["key 2", "another client's"]),
        ([KEY + "\n"], ["key 1"]),
        (["$http_host" + KEY], ["key 1"]),
        ({"alice": "short"}, ["the key of 'alice'"]),
        ({"a b": KEY}, ["'a b' is no name"]),
        ({'x"; return 200; set $y "': KEY}, ["is no name"]),
        ([{"name": "alice"}], ["entry 1 needs a name and a key"]),
        ([{"name": "alice", "key": KEY, "rate": 1}], ["entry 1 needs a name and a key"]),
        ([{"name": "alice", "key": KEY}, {"name": "alice", "key": "x" * 9}], ["'alice' is given twice"]),
        ("secret-as-a-string", ["neither a list of keys nor a dictionary"]),
    ],
)
def test_bad_keys_are_named_and_not_shown(value, words):
    with pytest.raises(InputError) as error:
        clients_of.given_clients(value)
    for word in words:
        assert word in str(error.value)
    for secret in ("short", KEY, "good-enough", "secret-as-a-string"):
        assert secret not in str(error.value)


def test_a_default_client_only_where_there_is_nobody():
    (made,) = changed(NOW, [], Wish(given={}, default=True), maker())
    assert (made.name, made.key, made.origin) == ("default", "made-key-1", "made")
    assert changed(NOW, [made], Wish(given={}, default=True), maker()) == [made]
    assert keys(changed(NOW, [], Wish(given={"alice": KEY}, default=True), maker())) == [("alice", KEY, "given", 0)]
    assert changed(NOW, [], Wish(given={}), maker()) == []


def test_rotation_keeps_the_old_key_for_the_grace_and_the_new_one_first():
    present = [Client("default", "old-key-1"), Client("bob", "bobs-key-1")]
    after = changed(NOW, present, Wish(rotate=["default"], grace=60), maker())
    assert keys(after) == [
        ("bob", "bobs-key-1", "made", 0),
        ("default", "made-key-1", "made", 0),
        ("default", "old-key-1", "made", NOW + 60),
    ]
    assert len(changed(NOW + 59, after, Wish(), maker())) == 3
    assert len(changed(NOW + 61, after, Wish(), maker())) == 2
    assert keys(changed(NOW, after, Wish(expire=["default"]), maker())) == keys(after[:2])
    assert len(changed(NOW, present, Wish(rotate=["default"]), maker())) == 2


def test_add_and_remove_are_idempotent():
    one = changed(NOW, [], Wish(add=["alice"]), maker())
    assert changed(NOW, one, Wish(add=["alice"]), maker()) == one
    assert changed(NOW, one, Wish(remove=["alice", "nobody"]), maker()) == []


def test_the_inventory_decides_over_what_it_gave():
    present = [
        Client("made", "made-key-9"),
        Client("alice", "old-key-1", "given"),
        Client("bob", "bobs-key-1", "given"),
    ]
    after = changed(NOW, present, Wish(given={"alice": "new-key-1"}, grace=60))
    assert keys(after) == [
        ("made", "made-key-9", "made", 0),
        ("alice", "new-key-1", "given", 0),
        ("alice", "old-key-1", "given", NOW + 60),
    ]
    # the same again changes nothing; without a word of the inventory what it gave stays
    assert changed(NOW, after, Wish(given={"alice": "new-key-1"}, grace=60)) == after
    assert changed(NOW, after, Wish()) == after
    # taken back within the grace
    assert keys(changed(NOW, after, Wish(given={"alice": "old-key-1"}))) == [
        ("made", "made-key-9", "made", 0),
        ("alice", "old-key-1", "given", 0),
    ]


def test_a_key_that_leaves_a_list_is_refused_at_once():
    present = changed(NOW, [], Wish(given={"key1": "first-key", "key2": "second-key"}, unnamed=True, grace=60))
    after = changed(NOW, present, Wish(given={"key1": "second-key"}, unnamed=True, grace=60))
    assert keys(after) == [("key1", "second-key", "listed", 0)]


def test_a_given_name_takes_over_one_made_here():
    present = [Client("alice", "made-key-1")]
    after = changed(NOW, present, Wish(given={"alice": "given-key"}, grace=60))
    assert keys(after) == [("alice", "given-key", "given", 0), ("alice", "made-key-1", "made", NOW + 60)]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(rotate=["nobody"]), ["no client 'nobody'", "alice, bob"]),
        (Wish(rotate=["alice"]), ["given in gateway_api_keys: rotate it there"]),
        (Wish(remove=["alice"]), ["given in gateway_api_keys: remove it there"]),
        (Wish(add=["a/b"]), ["'a/b' is no name"]),
    ],
)
def test_wishes_that_cannot_be_met(wish, words):
    with pytest.raises(InputError) as error:
        changed(NOW, [Client("alice", KEY, "given"), Client("bob", "bobs-key-1")], wish, maker())
    for word in words:
        assert word in str(error.value)
    assert KEY not in str(error.value)


def test_the_file_is_read_as_it_was_written():
    clients = [Client("alice", KEY, "given"), Client("a", "x" * 43), Client("alice", "o" * 9, "given", NOW)]
    text = clients_of.render(clients)
    assert clients_of.parse(text, "f") == clients
    assert text.splitlines()[-1] == "alice  ooooooooo  given  until 2027-01-15T08:00:00Z"


@pytest.mark.parametrize("line", ["alice", "alice short made", f"alice {KEY} found", f"alice {KEY} made until soon"])
def test_a_spoilt_file_is_named_by_its_line(line):
    with pytest.raises(InputError, match="line 2 of /f is not 'NAME KEY") as error:
        clients_of.parse(f"# comment\n{line}\n", "/f")
    assert KEY not in str(error.value)


def test_no_key_is_in_a_client_that_is_printed():
    assert KEY not in repr(Client("alice", KEY))
