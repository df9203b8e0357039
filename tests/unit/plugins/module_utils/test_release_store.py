# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils import _release_apply as apply
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Mark
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.release_host import Host


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def look(host, serving=("gpu0", "gpu1"), marked=(), by="roll"):
    def out(name):
        return [Mark(name, by, "fan")] if name in marked else []

    return apply.Look(host, lambda row: row["name"] in serving, out, host.proc, host.unit_dir)


def test_links_lead_to_a_release(host):
    one = host.write()
    assert host.store.point("gpu0", one.id, check=True) and not os.listdir(f"{host.etc}/instances")
    assert host.store.point("gpu0", one.id) and not host.store.point("gpu0", one.id)
    assert sorted(os.listdir(f"{host.etc}/instances")) == ["gpu0.args", "gpu0.env"]
    with open(f"{host.etc}/instances/gpu0.args", encoding="utf-8") as handle:
        assert "--port" in handle.read()
    assert host.store.of("gpu0") == one.id


def test_plain_files_of_an_earlier_version_become_links(host):
    one = host.write()
    for path in ("plan.json", "instances/gpu0.env", "instances/gpu0.args"):
        with open(f"{host.etc}/{path}", "w", encoding="utf-8") as handle:
            handle.write("{}")
    assert (host.store.good(), host.store.of("gpu0"), host.store.names()) == ("", "", ["gpu0"])
    host.store.point("gpu0", one.id)
    host.store.finish(one.id)
    with open(f"{host.etc}/plan.json", encoding="utf-8") as handle:
        assert json.load(handle)["instances"][0]["name"] == "gpu0"
    assert (host.store.good(), host.store.of("gpu0"), host.store.previous()) == (one.id, one.id, "")


def test_the_release_before_is_kept_and_older_ones_are_removed(host):
    one, two, three = (host.write(words=(f"--{name}",)) for name in "abc")
    for release in (one, two, three):
        host.store.finish(release.id)
    assert (host.store.good(), host.store.previous()) == (three.id, two.id)
    host.store.point("gpu0", one.id)
    assert host.store.prune() == []  # an instance still reads it
    host.store.point("gpu0", three.id)
    assert host.store.prune(check=True) == [one.id] and one.id in host.store.ids()
    assert host.store.prune() == [one.id]
    assert host.store.ids() == sorted([two.id, three.id])


def test_which_caches_are_still_needed(host):
    """Which engine and which model decide; where a release does not say, nothing may be thrown away."""
    one, two = host.write(), host.write(words=("--seed", "7"))
    assert len(host.store.cache_keys()) == 1
    three = host.write(model="/other")
    assert len(host.store.cache_keys()) == 2
    host.runs(three)
    host.store.finish(three.id)
    assert set(host.store.prune()) == {one.id, two.id}
    assert len(host.store.cache_keys()) == 1
    with open(f"{host.etc}/releases/{three.id}/gpu0.env", "w", encoding="utf-8") as handle:
        handle.write('A="b"\n')
    assert host.store.cache_keys() is None


def test_another_text_of_the_same_processes_is_nothing_to_go_back_to(host):
    one, two = host.write(), host.write(words=("--a",))
    host.store.finish(one.id)
    host.store.finish(two.id)
    three = host.write(words=("--a",), reason="said otherwise")
    assert three.id != two.id and three.digests() == two.digests()
    host.store.finish(three.id)
    assert (host.store.good(), host.store.previous()) == (three.id, one.id)


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"id": "x"}'])
def test_a_release_that_is_not_whole_is_named(host, text):
    one = host.write()
    if text is None:
        os.unlink(f"{host.store.folder(one.id)}/release.json")
    else:
        with open(f"{host.store.folder(one.id)}/release.json", "w", encoding="utf-8") as handle:
            handle.write(text)
    with pytest.raises(InputError, match=f"release '{one.id}' cannot be read from .*; kept on this host: {one.id}"):
        host.store.load(one.id)


def fresh(host):
    return host.write(), {}


def as_wanted(host):
    one = host.write()
    host.runs(one)
    return one, {}


def other_text(host):
    host.runs(host.write())
    return host.write(words=("--a",)), {}


def half_way(host):
    host.runs(host.write())
    two = host.write(words=("--a",))
    host.runs(two, "gpu0")
    return two, {}


def half_way_and_marked(host):
    two, _more = half_way(host)
    return two, {"marked": ("gpu0",)}


def second_was_taken_out(host):
    two, _more = other_text(host)
    return two, {"marked": ("gpu1",)}


def second_is_out_by_the_watch(host):
    two, _more = other_text(host)
    return two, {"marked": ("gpu1",), "by": "watch"}


def only_the_drained_one_is_left(host):
    two, _more = half_way(host)
    return two, {"marked": ("gpu1",), "by": "operator"}


def second_is_down(host):
    two, _more = other_text(host)
    return two, {"serving": ("gpu0",)}


def crashed(host):
    one, _more = as_wanted(host)
    host.units["vllm@gpu1.service"] = ("failed", 0)
    return one, {"serving": ("gpu0",)}


def nobody_serves(host):
    two, _more = other_text(host)
    return two, {"serving": ()}


def other_names(host):
    host.runs(host.write())
    return host.write(names=("gpu0-1",)), {}


def other_port(host):
    host.runs(host.write())
    return host.write(port=9001), {}


def plain_files(host):
    host.runs(host.write())
    for name in os.listdir(f"{host.etc}/instances"):
        os.unlink(f"{host.etc}/instances/{name}")
        with open(f"{host.etc}/instances/{name}", "w", encoding="utf-8") as handle:
            handle.write("")
    return host.write(words=("--a",)), {}


def other_unit(host):
    host.runs(host.write())
    return host.write(unit="[Unit]\n# other\n"), {}


CASES = [
    (fresh, "at_once", [], "nothing runs here yet"),
    (as_wanted, "none", [], "every instance runs as wanted"),
    (other_text, "rolling", ["gpu0", "gpu1"], "2 of 2 instances, one after the other"),
    (other_unit, "rolling", ["gpu0", "gpu1"], "2 of 2 instances, one after the other"),
    (half_way, "rolling", ["gpu1"], "1 of 2 instances, one after the other"),
    (half_way_and_marked, "rolling", ["gpu0", "gpu1"], "2 of 2 instances, one after the other"),
    (second_was_taken_out, "rolling", ["gpu1", "gpu0"], "2 of 2 instances, one after the other"),
    (second_is_out_by_the_watch, "rolling", ["gpu1", "gpu0"], "2 of 2 instances, one after the other"),
    (only_the_drained_one_is_left, "rolling", ["gpu1"], "1 of 2 instances, one after the other"),
    (second_is_down, "rolling", ["gpu1", "gpu0"], "2 of 2 instances, one after the other"),
    (crashed, "rolling", ["gpu1"], "1 of 2 instances, one after the other"),
    (nobody_serves, "at_once", [], "no instance serves now, so there is nothing to keep up"),
    (other_names, "at_once", [], "the instances change from gpu0, gpu1 to gpu0-1"),
    (other_port, "at_once", [], "gpu0 gets other cards or another port"),
    (plain_files, "at_once", [], "no release is kept of what gpu0 runs"),
]


@pytest.mark.parametrize(("make", "mode", "roll", "why"), CASES, ids=[case[0].__name__ for case in CASES])
def test_what_leads_to_a_release(host, make, mode, roll, why):
    wanted, more = make(host)
    orders = list(host.orders)
    step = apply.compare(host.store, wanted, look(host, **more))
    assert (step.mode, step.roll, step.why) == (mode, roll, why)
    assert host.orders == orders, "looking starts and stops nothing"


def one_more(host, **more):
    host.runs(host.write(names=("gpu0",)))
    return apply.compare(host.store, host.write(names=("gpu0", "gpu1")), look(host, **more))


def test_where_one_is_added_the_other_goes_on(host):
    step = one_more(host, serving=("gpu0",))
    assert (step.mode, step.kept) == ("at_once", ["gpu0"])


@pytest.mark.parametrize("more", [{"serving": ()}, {"serving": ("gpu0",), "marked": ("gpu0",)}])
def test_what_does_not_serve_does_not_go_on(host, more):
    assert one_more(host, **more).kept == []


@pytest.mark.parametrize("by", ["operator", "health"])
def test_nothing_is_begun_where_one_is_kept_out(host, by):
    wanted, _more = other_text(host)
    with pytest.raises(InputError, match=rf"gpu1 is out of rotation \(by {by}: fan\), so no other replica"):
        apply.compare(host.store, wanted, look(host, marked=("gpu1",), by=by))


def test_asked_to_do_it_at_once(host):
    wanted, _more = other_text(host)
    assert apply.compare(host.store, wanted, look(host), "at_once").mode == "at_once"


def test_links_and_unit_that_somebody_changed_are_put_right(host):
    one, _more = as_wanted(host)
    os.unlink(f"{host.etc}/instances/gpu0.env")
    with open(host.store.unit_path, "a", encoding="utf-8") as handle:
        handle.write("# edited\n")
    assert apply.compare(host.store, one, look(host), check=True).changed and not host.orders
    assert apply.compare(host.store, one, look(host)).changed
    assert (host.store.of("gpu0"), host.orders) == (one.id, ["daemon-reload"])
    assert not apply.compare(host.store, one, look(host)).changed


def test_at_once_the_links_change_while_all_is_stopped(host):
    host.runs(host.write())
    wanted = host.write(names=("gpu0", "gpu2"), words=("--a",))
    seen = []
    host.before = lambda order: seen.append((order.split(" ", 1)[0], host.store.of("gpu0")))
    assert apply.start_at_once(host.store, wanted, look(host), check=True) and not seen
    apply.start_at_once(host.store, wanted, look(host))
    assert {of for order, of in seen if order == "stop"} != {wanted.id}
    assert {of for order, of in seen if order == "start"} == {wanted.id}
    assert host.store.names() == ["gpu0", "gpu2"]
    assert apply.compare(host.store, wanted, look(host)).mode == "none"


def test_where_previous_leads(host):
    with pytest.raises(InputError, match="this host has no good release yet"):
        apply.wanted_release(host.store, "previous")
    one, two = host.write(), host.write(words=("--a",))
    host.runs(one)
    host.store.finish(one.id)
    with pytest.raises(InputError, match=f"release {one.id} is the first that was good on this host"):
        apply.wanted_release(host.store, "previous")
    host.runs(two, "gpu0")  # a rollout that stopped half way
    assert apply.wanted_release(host.store, "previous") == one.id
    host.runs(two)
    host.store.finish(two.id)
    assert apply.wanted_release(host.store, "previous") == one.id
    assert apply.wanted_release(host.store, two.id) == two.id


def test_engines_and_models_that_no_release_names(host):
    one = host.write(model="/models/a@1")
    paths = ["/e", "/e2", "/models/a@1", "/models/a@12"]
    assert apply.unneeded(paths, [one]) == ["/e2", "/models/a@12"]


def tried(host, *words):
    """Each becomes good in turn, as releases do that are only tried."""
    for word in words:
        host.store.finish(host.write(words=(f"--{word}",)).id)
        host.store.prune()


def test_what_is_held_outlives_everything_that_is_tried(host):
    one, two = (host.write(words=(f"--{name}",)) for name in "ab")
    for release in (one, two):
        host.store.finish(release.id)
    assert host.store.hold() and not host.store.hold()
    tried(host, "c", "d", "e")
    assert host.store.held() == two.id == apply.wanted_release(host.store, "held")
    # a rollback after a benchmark that was interrupted leads to what served before it
    assert apply.wanted_release(host.store, "previous") == two.id != host.store.good()
    assert {one.id, two.id} <= set(host.store.ids())
    host.store.finish(two.id)
    assert host.store.unhold() and not host.store.unhold()
    # a rollback leads to where it led before, and not to something that was tried
    assert (host.store.good(), host.store.previous(), host.store.held()) == (two.id, one.id, "")
    host.store.prune()
    assert host.store.ids() == sorted([one.id, two.id])


def test_where_there_was_nothing_to_go_back_to_there_is_nothing_again(host):
    one = host.write()
    host.store.finish(one.id)
    host.store.hold()
    tried(host, "c", "d")
    host.store.finish(one.id)
    host.store.unhold()
    assert (host.store.good(), host.store.previous()) == (one.id, "")


def test_another_release_that_is_good_ends_the_holding_and_keeps_its_own_way_back(host):
    one = host.write()
    host.store.finish(one.id)
    host.store.hold()
    tried(host, "c")
    new = host.write(words=("--new",))
    before = host.store.good()
    host.store.finish(new.id)
    host.store.unhold()
    assert (host.store.good(), host.store.previous(), host.store.held()) == (new.id, before, "")


def test_nothing_is_held_where_nothing_was_good(host):
    assert not host.store.hold() and not host.store.held() and not host.store.unhold()
    with pytest.raises(InputError, match="nothing is held on this host"):
        apply.wanted_release(host.store, "held")


def test_check_mode_holds_nothing(host):
    host.store.finish(host.write().id)
    assert host.store.hold(check=True) and not host.store.held()
    host.store.hold()
    assert host.store.unhold(check=True) and host.store.held()


def test_an_end_of_the_holding_that_was_cut_off_leaves_nothing_for_the_next_one(host):
    one, two = (host.write(words=(f"--{name}",)) for name in "ab")
    for release in (one, two):
        host.store.finish(release.id)
    host.store.hold()
    os.unlink(f"{host.etc}/held.json")  # as far as it came
    os.unlink(f"{host.etc}/previous")
    host.store.hold()
    tried(host, "c")
    host.store.finish(two.id)
    host.store.unhold()
    assert (host.store.good(), host.store.previous(), host.store.held()) == (two.id, "", "")
