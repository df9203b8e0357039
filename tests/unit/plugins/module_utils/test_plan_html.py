# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a plan: read as a browser reads it, not compared with a copy."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError, PlanError
from ansible_collections.gpuserve.inference.plugins.module_utils._html import Html, el
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_html import render_page
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import GIB, cards, links, plan
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_mutations import (
    is_one_clear_line,
    mutations,
    rendered,
)

HOST = {"cpus": 2, "memory_bytes": 24 * GIB}
EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&"


class Page(HTMLParser):
    """Text, elements with their attributes, and whether every element is closed."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts, self.bars = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "svg" and "bar" in (dict(attrs).get("class") or "").split():
            self.bars.append({"label": dict(attrs)["aria-label"], "parts": {}})
        if tag == "rect" and "svg" in self.open and self.bars and "x" in dict(attrs):
            self.bars[-1]["parts"][dict(attrs)["class"]] = (percent(attrs, "x"), percent(attrs, "width"))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()
        if tag == "line":
            self.bars[-1]["limit"] = percent(attrs, "x1")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)


def percent(attrs, key):
    value = dict(attrs)[key]
    assert value.endswith("%")
    return float(value[:-1])


def refused(*args, **options):
    with pytest.raises(PlanError) as error:
        plan(*args, **options)
    return {"failed": True, "msg": str(error.value), "candidates": [c.to_dict() for c in error.value.candidates]}


PLANS = {
    "two": (plan(cards("5090", "5090")), cards("5090", "5090")),
    "tp2": (plan(cards("5080", "5080"), links=links(2, p2p=False)), cards("5080", "5080")),
    "sixteen": (plan(cards(*["h200"] * 16)), cards(*["h200"] * 16)),
    "mixed": (plan(cards("5090", "4090")), cards("5090", "4090")),
    "pinned": (plan(cards("5090", "4090"), kv_cache_sizing="pinned"), cards("5090", "4090")),
    "rehearsal": (plan(cards("5090", "5090"), rehearsal=True, host=HOST), cards("5090", "5090")),
    "cpu": (plan([], "llama-3.2-1b", device="cpu", host=HOST), []),
    "refused": (refused(cards("3060", "3060"), max_model_len=100000), cards("3060", "3060")),
}


@pytest.mark.parametrize(("made", "gpus"), PLANS.values(), ids=PLANS)
def test_a_page_that_needs_nothing_else(made, gpus):
    source = render_page(made, gpus, host="gpu1.example.com")
    page = Page(source)
    assert render_page({"plan": made} if "instances" in made else made, gpus, host="gpu1.example.com") == source
    assert {tag for tag, _attrs in page.elements} & {"script", "img", "link", "iframe", "object", "a"} == set()
    assert not re.search(r"https?:|url\(|@import|javascript:| on[a-z]+=", source)
    assert not [
        a for _tag, attrs in page.elements for a in attrs if a in ("src", "href", "style") or a.startswith("on")
    ]
    assert "gpu1.example.com" in page.text


@pytest.mark.parametrize(("made", "gpus"), PLANS.values(), ids=PLANS)
def test_it_tells_what_the_plan_says(made, gpus):
    text = Page(render_page(made, gpus)).text
    said = [made.get("reason"), made.get("msg"), *made.get("warnings", []), *made.get("advice", [])]
    for sentence in filter(None, said):
        assert " ".join(sentence.split()) in text
    for instance in made.get("instances", []):
        assert f"{instance['host']}:{instance['port']}" in text
        assert f"--port {instance['port']} " in text
    for candidate in made["candidates"]:
        if not candidate["fits"]:
            assert candidate["why"] in text
    if "prediction" in made:
        assert f"{made['prediction']['kv_cache_tokens']:,}" in text


def test_bars_are_the_memory_of_each_card():
    made, gpus = PLANS["two"]
    page = Page(render_page(made, gpus))
    p = made["prediction"]
    total = p["cuda_total_bytes"]
    for number in (0, 1):
        card_bar = page.bars[number]
        assert card_bar["label"].startswith(f"Card {number}: weights ")
        for kind, key in [
            ("weights", "weight_bytes_per_gpu"), ("kv", "kv_cache_bytes_per_gpu"),
            ("activations", "activation_bytes_per_gpu"), ("sampler", "persistent_bytes_per_gpu"),
            ("graphs", "cuda_graph_bytes_per_gpu"), ("other", "non_torch_bytes_per_gpu"),
        ]:  # fmt: skip
            assert card_bar["parts"][kind][1] == pytest.approx(100 * p[key] / total, abs=0.002), kind
        assert card_bar["limit"] == pytest.approx(100 * p["budget_bytes"] / total, abs=0.002)
        assert sum(width for _x, width in card_bar["parts"].values()) == pytest.approx(100, abs=0.02)
    candidates = [c for c in made["candidates"] if c["fits"]]
    assert len(page.bars) == 2 + len(candidates)


def test_cards_that_differ_have_bars_that_differ():
    made, gpus = PLANS["mixed"]
    large, small = Page(render_page(made, gpus)).bars[:2]
    assert small["parts"]["weights"] == large["parts"]["weights"]  # one scale for both
    assert large["parts"]["kv"][1] > 1.5 * small["parts"]["kv"][1]
    assert small["limit"] < large["limit"]
    ends = [max(x + width for x, width in card_bar["parts"].values()) for card_bar in (large, small)]
    assert ends[0] == pytest.approx(100, abs=0.02)
    assert ends[1] < 80


def test_memory_of_others_and_idle_cards():
    gpus = cards("5090", "5090", "5090")
    gpus[1]["memory_free_bytes"] -= 9 * GIB
    gpus[1]["processes"] = [{"pid": 7, "name": "python", "memory_bytes": 9 * GIB}]
    made = plan(gpus, gpu_ids=[0, 1])
    page = Page(render_page(made, gpus))
    labels = [card_bar["label"] for card_bar in page.bars[:3]]
    assert "used by others 9.00 GiB" in labels[1]
    assert "used by others" not in labels[0]
    assert labels[2].startswith("Card 2: free ")
    assert "not used by this plan" in page.text
    ours = Page(render_page(plan(gpus, own_pids=[7]), gpus, own_pids=[7]))
    assert not [card_bar for card_bar in ours.bars if "used by others" in card_bar["label"]]


def test_what_does_not_fit_reaches_beyond_the_limit():
    made, gpus = PLANS["refused"]
    page = Page(render_page(made, gpus))
    assert "Nothing fits" in page.text
    assert page.bars
    beyond = [
        card_bar for card_bar in page.bars if max(x + w for x, w in card_bar["parts"].values()) > card_bar["limit"] + 1
    ]
    assert beyond
    assert "Instances" not in page.text


def test_no_candidate_at_all():
    page = Page(render_page({"failed": True, "msg": "no usable card is left: all are sick", "candidates": []}))
    assert "no usable card is left: all are sick" in page.text


def test_every_value_is_escaped():
    made, gpus = copy.deepcopy(PLANS["two"])
    made["model"] = {"served_model_name": EVIL, "name": EVIL, "path": EVIL}
    made.update(
        reason=EVIL, warnings=[EVIL], advice=[EVIL], workload=EVIL, vllm_version=EVIL, topology=EVIL, device=EVIL
    )
    for instance in made["instances"]:
        instance.update(name=EVIL, host=EVIL, port=EVIL, args=[EVIL], env={EVIL: EVIL}, gpu_uuids=[EVIL])
    for candidate in made["candidates"]:
        candidate.update(why=EVIL, topology=EVIL)
    for gpu in gpus:
        gpu["name"] = EVIL
    page = Page(render_page(made, gpus, host=EVIL))
    assert {tag for tag, _attrs in page.elements} & {"script", "img"} == set()
    assert page.text.count(EVIL) > 10


def test_markup_is_only_what_was_made_here():
    assert el("p", "<b>", Html("<i>"), title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<i></p>'
    assert el("rect", x=1) == '<rect x="1"/>'
    assert el("p", None, class_=None) == "<p></p>"
    assert "\x00" not in el("p", "a\x00b")


@pytest.mark.parametrize("value", [None, [], {}, "text", {"plan": {}}, {"instances": []}])
def test_not_a_plan(value):
    with pytest.raises(InputError, match="plan_html: a plan as topology_plan returns it"):
        render_page(value)


@pytest.mark.parametrize("gpus", ["text", [3], [{}], [{"index": 0}], {"index": 0}])
def test_bad_cards(gpus):
    with pytest.raises(InputError, match=r"plan_html: gpus"):
        render_page(PLANS["two"][0], gpus)


@pytest.mark.parametrize("name", ["mixed", "refused"])
def test_one_wrong_value_is_one_line_or_a_good_page(name):
    made, gpus = PLANS[name]
    for what, changed in mutations(made):
        source, error = rendered(lambda plan: render_page(plan, gpus), changed)
        assert not error or is_one_clear_line(error, "plan_html"), what
        assert "<script" not in source, what
        assert not re.search(r'(x|width|x1)="(-|nan|inf)', source), what


def test_no_instances_and_no_memory():
    made, gpus = copy.deepcopy(PLANS["two"])
    made["instances"] = []
    assert "Instances" not in Page(render_page(made, gpus)).text
    for prediction in [made["prediction"], *(c["prediction"] for c in made["candidates"])]:
        prediction.update({key: 0 for key in prediction if key.endswith(("_bytes", "_per_gpu"))})
    Page(render_page(made, gpus))
