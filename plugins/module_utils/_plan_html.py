# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A plan as one HTML page that needs nothing else: no script, no image, no font, no network."""

from __future__ import annotations

import shlex
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._html import Html, el, join
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_bars import (
    CardMemory,
    cards_of,
    draw,
    legend,
    of_prediction,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_style import STYLE
from ansible_collections.gpuserve.inference.plugins.module_utils._plan_view import (
    Row,
    View,
    count,
    figure,
    gib,
    grouped,
    mapping,
    number,
    plain,
    read_plan,
    sequence,
    shape_of,
    speed_note,
)

TOPOLOGIES = {"data_parallel": "Data parallel", "tensor_parallel": "Tensor parallel", "hybrid": "Hybrid"}
GENERATOR = "gpuserve.inference plan_html"


def render_page(
    plan: Any, gpus: Optional[Sequence[Any]] = None, own_pids: Optional[Sequence[int]] = None, host: str = ""
) -> str:
    """The page of one host. ``gpus`` as gpu_info returns them name the cards and show those that stay idle."""
    try:
        view = read_plan(plan)
        cards = cards_of(view, gpus or (), own_pids or ())
        names = _card_names(gpus or ())
        body = _failed(view) if view.error else _planned(view, cards)
    except InputError as error:
        raise InputError(f"plan_html: {error}") from None
    over = el("div", " · ".join(word for word in ("Plan", plain(host), names) if word), class_="over")
    return page(f"{view.model if not view.error else 'Nothing fits'}: {plain(host) or 'plan'}", over, body)


def page(title: str, *body: Any, generator: str = GENERATOR, style: str = "") -> str:
    """A whole document, with ``style`` on top of its own; the policy forbids what the page does not have."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name_="generator", content=generator),
        el("title", title),
        el("style", Html(STYLE + style)),
    )
    return f"<!DOCTYPE html>\n{el('html', head, Html(chr(10)), el('body', el('main', *body)), lang='en')}\n"


def section(title: str, *children: Any, class_: Optional[str] = None) -> Html:
    return join(Html("\n"), el("section", el("h2", title), *children, class_=class_))


def decision(view: View) -> str:
    """ "Data parallel: 2 replicas of one card"."""
    name = plain(view.plan["topology"])
    replicas, tp = number(view.plan, "replicas"), number(view.plan, "tensor_parallel_size")
    unit = "card" if view.on_cards else "rank"
    many = f"{count(replicas)} replica{'' if replicas == 1 else 's'}"
    return f"{TOPOLOGIES.get(name, name)}: {many} of {count(tp)} {unit}{'' if tp == 1 else 's'}"


def _card_names(gpus: Sequence[Any]) -> str:
    counts: dict[str, int] = {}
    for gpu in sequence(gpus, "gpus"):
        name = plain(mapping(gpu, "gpus").get("name") or "card")
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{many} x {name}" for name, many in counts.items())


# ---------------------------------------------------------------- a plan


def _planned(view: View, cards: list[CardMemory]) -> Html:
    plan = view.plan
    parts = [
        el("h1", view.model),
        el("p", decision(view), class_="decision"),
        el("p", plain(plan.get("reason") or "")),
        el("p", _setting_words(plan), class_="soft"),
        _tiles(view),
        _list("Advice", view.words("advice"), "note"),
        _list("Warnings", view.words("warnings"), "warn"),
        _memory(view, cards),
        _candidates(view),
        _instances(view),
        _meaning(view),
    ]
    return join(*parts)


def _tiles(view: View) -> Html:
    plan, p = view.plan, view.prediction
    tokens, margin, replicas = number(p, "kv_cache_tokens"), number(p, "margin_percent"), number(plan, "replicas")
    chosen = next((row for row in view.rows if row.chosen), None)
    speeds = Row("", 0, 0, True, "", True, {**(chosen.prediction if chosen else {}), **p})
    load = number(speeds.prediction, "speed_concurrency")
    at = f"with {count(load)} under way" if load else "one stream"
    together = count(tokens * replicas) if tokens is not None and replicas and replicas > 1 else "-"
    tiles = [
        ("Longest request", count(number(plan, "max_model_len")), "", "tokens, max_model_len"),
        ("KV of an instance", count(tokens), "", "tokens" if margin is None else f"tokens ± {margin:g} %"),
        ("KV of all", together, "", f"tokens, {count(replicas)} instances"),
        ("Requests at once", figure(number(p, "max_concurrency"), 2), "", "of full length, an instance"),
        ("Time a token", figure(speeds.number("tpot_ms"), 1), "ms", f"TPOT, {at}"),
        ("First token", figure(speeds.number("ttft_ms"), 0), "ms", f"TTFT, {at}"),
        ("Output", count(speeds.number("output_tokens_per_s")), "tok/s", f"of all, {at}"),
    ]
    made = [
        el("div", el("dt", name), el("dd", value, el("span", f" {unit}") if unit else None, el("small", small)))
        for name, value, unit, small in tiles
        if value != "-"
    ]
    return el("dl", *made, class_="tiles")


def _setting_words(plan: Mapping[str, Any]) -> str:
    device = "a rehearsal on the processor" if plan.get("rehearsal") else f"device {plain(plan.get('device'))}"
    balancer = "balancer in front" if plan.get("load_balancer") else "no balancer needed"
    return f"vLLM {plain(plan.get('vllm_version'))} · workload {plain(plan.get('workload'))} · {device} · {balancer}"


def _list(title: str, sentences: Sequence[str], class_: str) -> Optional[Html]:
    return section(title, el("ul", *(el("li", s) for s in sentences)), class_=class_) if sentences else None


def _memory(view: View, cards: list[CardMemory]) -> Optional[Html]:
    if not cards:
        return None
    used = [card for card in cards if card.usable or not view.on_cards]
    shares = {f"{card.usable / card.total:.0%}" for card in used if card.total}
    most = f" ({shares.pop()} of a card)" if len(shares) == 1 else ""
    limit = (
        f"The dashed line is what vLLM may use{most}; what lies beyond is left for CUDA itself and for what the cards "
        "exchange."
    )
    return section(
        "Memory of each card" if view.on_cards else "Memory of each rank",
        el("p", "Predicted, in GiB. ", limit if view.on_cards else "", class_="soft"),
        legend(used or cards),
        _bars(cards),
    )


def _bars(cards: Sequence[CardMemory]) -> Html:
    scale = max(card.span for card in cards)
    made = []
    for card in cards:
        usable = f"usable {gib(card.usable)} of {gib(card.total)} GiB" if card.usable else f"{gib(card.total)} GiB"
        title = el("span", el("b", card.label), f" {card.note}")
        made.append(el("div", el("div", title, el("span", usable), class_="card-head"), draw(card, scale)))
    return el("div", *made, class_="cards")


# ---------------------------------------------------------------- candidates

COLUMNS = (
    ("KV tokens, each", "kv_cache_tokens", count, False),
    ("KV tokens, all", "kv_cache_tokens", count, True),
    ("longest request", "max_model_len", count, False),
    ("requests at once", "max_concurrency", lambda v: figure(v, 2), False),
    ("TPOT ms", "tpot_ms", lambda v: figure(v, 1), False),
    ("TTFT ms", "ttft_ms", lambda v: figure(v, 0), False),
    ("output tokens/s", "output_tokens_per_s", count, False),
)


def _candidates(view: View) -> Optional[Html]:
    if not view.rows:
        return None
    columns = [c for c in COLUMNS if any(row.fits and row.number(c[1]) is not None for row in view.rows)]
    judged = any(row.fits and row.targets is not None for row in view.rows)
    bars = {id(row): of_prediction(row.prediction, row.shape) for row in view.rows if not view.error and _drawn(row)}
    scale = max((card.span for card in bars.values() if card.total), default=0)
    head = [el("th", "Candidate"), el("th", "fits")]
    head += [el("th", title, class_="n") for title, *_rest in columns]
    head += [el("th", "targets")] if judged else []
    head += [el("th", "memory of a card")] if bars else []
    rows = []
    for group in grouped(view.rows):
        row = group[0]
        why = row.why + ("" if all(r.why == row.why for r in group) else ", and so on")
        name = [el("b", shape_of(group)), el("span", TOPOLOGIES.get(row.topology, row.topology).lower())]
        if row.chosen:
            name.append(el("div", "chosen", class_="tag"))
        cells = [el("td", *name, class_="name"), el("td", _yes(row.fits), data_label="fits")]
        for title, key, text, together in columns:
            value = (row.together(key) if together else row.number(key)) if row.fits else None
            cells.append(el("td", text(value), class_="n empty" if value is None else "n", data_label=title))
        if judged:
            cells.append(_targets(row))
        if bars:
            card = bars.get(id(row))
            cells.append(el("td", draw(card, scale, small=True) if card else "", class_="memory"))
        cells.append(el("td", why, class_="why"))
        rows.append(join(Html("\n"), el("tr", *cells, class_="chosen" if row.chosen else None)))
    table = el("table", el("thead", el("tr", *head, el("th", "why"))), el("tbody", *rows),
               class_="candidates stack")  # fmt: skip
    notes = ["Figures of a range of shapes are those of its first."] if columns and len(rows) < len(view.rows) else []
    notes += speed_note(view.rows)
    return section("Candidates", table, el("p", " ".join(notes), class_="soft") if notes else None)


def _targets(row: Row) -> Html:
    if not row.fits or row.targets is None:
        return el("td", class_="empty")
    return el("td", "met" if row.targets else "missed", class_="yes" if row.targets else "no", data_label="targets")


def _yes(fits: bool) -> Html:
    return el("span", "yes", class_="yes") if fits else el("span", "no", class_="no")


def _drawn(row: Row) -> bool:
    return bool(row.number("weight_bytes_per_gpu") and row.number("cuda_total_bytes"))


# ---------------------------------------------------------------- the rest


def _instances(view: View) -> Optional[Html]:
    made = []
    model = mapping(view.plan.get("model"), "plan.model")
    path = plain(model.get("path") or model.get("name") or "MODEL")
    for instance in view.instances:
        cards = ", ".join(plain(i) for i in sequence(instance.get("gpus"), "plan.instances.gpus"))
        where = f"{plain(instance.get('host') or '127.0.0.1')}:{plain(instance.get('port'))}"
        env = mapping(instance.get("env"), "plan.instances.env")
        words = [f"{plain(key)}={shlex.quote(plain(value))}" for key, value in sorted(env.items())]
        args = sequence(instance.get("args"), "plan.instances.args")
        words += ["vllm", "serve", *(shlex.quote(plain(word)) for word in (path, *args))]
        on = f"card {cards}" if cards and "," not in cards else f"cards {cards}" if cards else "the processor"
        title = el("div", el("b", plain(instance.get("name"))), f" on {on}, listens on {where}")
        made.append(el("div", title, el("pre", *_command(words)), class_="instance"))
    return section("Instances", *made) if made else None


def _command(words: Sequence[str]) -> list[Any]:
    """Words that do not break at their hyphens."""
    return [part for word in words for part in (el("span", word), " ")][:-1]


def _meaning(view: View) -> Html:
    margin = number(view.prediction, "margin_percent")
    words = (
        "Everything here is predicted from the model's files and the cards' data, before anything is installed or "
        "started. GiB are 2^30 bytes. KV tokens are what an engine logs as its GPU KV cache size"
    )
    words += "" if margin is None else f"; the figure of the chosen candidate may be off by {margin:g} %"
    speed = (
        " Speeds come from the cards' data sheets and serve to rank the candidates." if speed_note(view.rows) else ""
    )
    return section(
        "What these figures are",
        el("p", f"{words}.{speed} The playbook gpuserve.inference.verify shows what the running engines report."),
    )


def _failed(view: View) -> Html:
    """What a card would have to hold in each arrangement that was weighed, against what it can."""
    cards = []
    for group in grouped(view.rows):
        if _drawn(group[0]):
            note = TOPOLOGIES.get(group[0].topology, group[0].topology).lower()
            cards.append(of_prediction(group[0].prediction, shape_of(group), note=note))
    need = None
    if cards:
        words = "Predicted, in GiB. The dashed line is what vLLM may use of a card."
        bars = [el("p", words, class_="soft"), legend(cards), _bars(cards)]
        need = section("What a card would have to hold", *bars)
    parts = [
        el("h1", "Nothing fits"),
        section("Why", el("p", view.error), class_="bad"),
        _list("Advice", view.words("advice"), "note"),
        need,
        _candidates(view),
    ]
    return join(*parts)
