# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A host's endpoint at one glance: a line for each replica, one verdict, and what to do next if something is wrong."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._columns import columns

HEAD = ("replica", "unit", "cards", "KV tokens", "planned", "run", "wait", "rotation", "health", "answer")
_NUMBERS = (3, 4, 5, 6)
_WORST = ("fail", "unknown", "warn", "ok")
_YOUNG = 900.0  # seconds in which a silent engine may still be loading
_DRIFT = 5.0  # percent that the KV cache may differ from the plan before it is worth a word
Row = Mapping[str, Any]


def since(seconds: Optional[float]) -> str:
    """``5 s``, ``12 min``, ``3 h``, ``9 days``."""
    if seconds is None:
        return ""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def _unit(replica: Row) -> str:
    """Its state, for how long, and how often systemd had to start it again."""
    restarts = replica.get("restarts") or 0
    again = f", {restarts} restart{'s' if restarts > 1 else ''}" if restarts else ""
    return f"{replica.get('state') or ''} {since(replica.get('seconds'))}".strip() + again


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _cards(cards: Sequence[Row]) -> str:
    names = {str(card.get("name") or "") for card in cards}
    indexes = ",".join(str(card.get("index")) for card in cards)
    return f"{indexes} {names.pop()}".strip() if len(names) == 1 else indexes


def _health(replica: Row) -> str:
    verdicts = {card.get("verdict") for card in replica.get("cards") or ()}
    return next((word.upper() if word == "fail" else word for word in _WORST if word in verdicts), "")


def _rotation(replica: Row, balanced: bool) -> str:
    owners = sorted({str(mark["by"]) for mark in replica.get("marks") or ()})
    return f"OUT ({', '.join(owners)})" if owners else "in" if balanced else ""


def _answer(outcome: Optional[Row]) -> str:
    if outcome is None:
        return ""
    return f"{outcome['seconds']:.1f} s" if outcome.get("ready") else f"NO ({outcome.get('stage', '')})"


def _cells(replica: Row, outcome: Optional[Row], balanced: bool) -> tuple[str, ...]:
    kv = (outcome or {}).get("kv") or {}
    return (
        str(replica["name"]),
        _unit(replica),
        _cards(replica.get("cards") or ()),
        _number(kv.get("kv_cache_tokens") or replica.get("kv_cache_tokens")),
        _number(replica.get("planned_kv_cache_tokens")),
        _number(replica.get("running")),
        _number(replica.get("waiting")),
        _rotation(replica, balanced),
        _health(replica),
        _answer(outcome),
    )


def render_endpoint(endpoint: Row, outcomes: Sequence[Row] = (), line: str = "") -> str:
    """``outcomes``: vllm_ready's instances, of this host's replicas and its gateway. ``line``: where it is served."""
    replicas = endpoint.get("replicas") or []
    if not replicas:
        return "no replica runs here\nNOT SERVING. Next: run the playbook gpuserve.inference.site\n"
    asked = {str(outcome["name"]): outcome for outcome in outcomes}
    balanced = bool(endpoint.get("balanced"))
    table = [_cells(replica, asked.get(str(replica["name"])), balanced) for replica in replicas]
    kept = [n for n in range(len(HEAD)) if any(cells[n] for cells in table)]
    lines = columns(
        [HEAD[n] for n in kept],
        [[cells[n] for n in kept] for cells in table],
        numbers=[place for place, n in enumerate(kept) if n in _NUMBERS],
    )
    problems = _problems(endpoint, asked)
    lines += [f"! {what}" for what, _next in problems]
    lines += [f"? {what}" for what in endpoint.get("unknown") or ()]
    lines += [line] if line else []
    lines.append(_verdict(replicas, asked, problems))
    return "\n".join(lines) + "\n"


def _serves(replica: Row, asked: Mapping[str, Row]) -> bool:
    outcome = asked.get(str(replica["name"]))
    up = outcome.get("ready") if outcome is not None else replica.get("state") == "running"
    return bool(up) and not replica.get("marks")


def _verdict(replicas: Sequence[Row], asked: Mapping[str, Row], problems: Sequence[tuple[str, str]]) -> str:
    serving = sum(_serves(replica, asked) for replica in replicas)
    word = "replica serves" if len(replicas) == 1 else "replicas serve"
    door = asked.get("gateway")
    closed = door is not None and not door.get("ready")
    through = "" if door is None else ", the gateway does NOT answer" if closed else ", the gateway answers"
    count = f"{serving} of {len(replicas)} {word}{through}"
    if not problems:
        return f"OK: {count}; nothing to do"
    head = "NOT SERVING" if serving == 0 or closed else "DEGRADED" if serving < len(replicas) else "SERVING, but look"
    nexts = list(dict.fromkeys(then for _what, then in problems if then))
    more = f" (then {len(nexts) - 1} more: the lines above)" if len(nexts) > 1 else ""
    return f"{head}: {count}. Next: {nexts[0]}{more}" if nexts else f"{head}: {count}"


def _problems(endpoint: Row, asked: Mapping[str, Row]) -> list[tuple[str, str]]:
    """What is wrong and what to do about it, the worst first."""
    found: list[tuple[int, str, str]] = []
    for replica in endpoint.get("replicas") or ():
        found += _of_replica(replica, asked.get(str(replica["name"])))
    door = asked.get("gateway")
    if door is not None and not door.get("ready"):
        then = str(door.get("advice") or "run gpuserve.inference.site again, or read journalctl -u nginx on the host")
        rank = 5 if any(rank < 5 for rank, _what, _then in found) else 0  # silent replicas explain a silent gateway
        found.append((rank, f"gateway: {door.get('error') or 'no answer'}", then))
    return [(f"{what}; {then}" if then else what, then) for _rank, what, then in sorted(found, key=lambda f: f[0])]


_BACK = {
    "roll": "a rollout ended half way: run it (site or rolling_update) again",
    "watch": "the watch restarts it by itself: look again in a minute (journalctl -u gpuserve-watch tells)",
    "health": "it comes back by itself when its card is well: see to the card",
}


def _of_replica(replica: Row, outcome: Optional[Row]) -> list[tuple[int, str, str]]:
    name, unit, state = replica["name"], replica.get("unit") or "", str(replica.get("state") or "")
    found: list[tuple[int, str, str]] = []
    bad = [card for card in replica.get("cards") or () if card.get("verdict") in ("fail", "warn")]
    for card in bad:
        rank = 1 if card["verdict"] == "fail" else 6
        reasons = "; ".join(str(reason) for reason in card.get("reasons") or ())
        then = "gpu_health tells more, the guide Never down what each verdict means"
        found.append((rank, f"{name}: card {card.get('index')} {card['verdict']}s: {reasons}", then))
    if outcome is not None and not outcome.get("ready"):
        young = (replica.get("seconds") or _YOUNG) < _YOUNG and outcome.get("stage") == "health"
        then = f"it was started {since(replica.get('seconds'))} ago: look again later, or follow journalctl -fu {unit}"
        if not young:
            then = str(
                outcome.get("advice") or f"read journalctl -u {unit} -n 100 on the host, mend it, run site again"
            )
        found.append((2, f"{name}: {outcome.get('error') or 'no answer'}", then))
    elif outcome is None and state != "running":
        then = f"read journalctl -u {unit} -n 100 on the host, mend it, run site again"
        found.append((2, f"{name}: {unit} is {state or 'unknown'}", then))
    for mark in replica.get("marks") or ():
        by = str(mark["by"])
        back = f"gpuserve.inference.drain -e gpuserve_drain={name} -e gpuserve_drain_state=back puts it back"
        reason = f" ({mark['reason']})" if mark.get("reason") else ""
        found.append((3, f"{name}: out of rotation by {by}{reason}", _BACK.get(by, back)))
    difference = ((outcome or {}).get("kv") or {}).get("difference_percent")
    if difference is not None and abs(difference) > _DRIFT:
        then = "if something else holds memory of the card end it, then run site again: it plans anew"
        found.append((7, f"{name}: its KV cache differs by {difference:+.1f} % from the plan", then))
    return found
