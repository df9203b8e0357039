# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""From the release in use to another one: what has to be done, and the way that stops everything at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._release_store import Release, ReleaseStore
from ansible_collections.gpuserve.inference.plugins.module_utils._rotation import Mark
from ansible_collections.gpuserve.inference.plugins.module_utils._run import Run
from ansible_collections.gpuserve.inference.plugins.module_utils._systemd import daemon_reload, show
from ansible_collections.gpuserve.inference.plugins.module_utils._units import (
    UnitChange,
    converge_units,
    present_units,
    running_digest,
    unit_name,
)

BY = "roll"  # whose mark a replica carries while it is replaced


@dataclass(frozen=True)
class Look:
    """How the host is asked; tests give their own. ``serves`` takes a row of vllm_ready's instances, ``out`` a name."""

    run: Run
    serves: Callable[[Mapping[str, Any]], bool]
    out: Callable[[str], Sequence[Mark]] = lambda name: ()
    proc: str = "/proc"
    unit_dir: str = "/etc/systemd/system"

    def digest(self, name: str) -> str:
        """The digest of what runs now; empty where nothing does."""
        state = show(self.run, unit_name(name), "ActiveState", "MainPID")
        if state.get("ActiveState") not in ("active", "activating"):
            return ""
        return running_digest(int(state.get("MainPID") or 0), self.proc)


@dataclass
class Step:
    """``mode``: V(none), V(rolling) with the instances in ``roll``, or V(at_once); ``why`` in one line for people.

    ``kept``: instances that serve and go on as they are, where the others are replaced at once.
    """

    mode: str
    why: str = ""
    roll: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    changed: bool = False
    units: list[UnitChange] = field(default_factory=list)


def wanted_release(store: ReleaseStore, release: str) -> str:
    """The id that ``previous`` stands for: the last good release where it is not in use everywhere, else the one
    before it. ``held`` is the one that is held."""
    if release == "held":
        if not store.held():
            raise InputError("nothing is held on this host, so there is nothing to go back to; run the playbook site")
        return store.held()
    if release != "previous":
        return release
    if store.held():  # a benchmark was interrupted, and what is good now is one of those it tried
        return store.held()
    good = store.good()
    if not good:
        raise InputError("this host has no good release yet, so there is none to go back to; run the playbook site")
    if any(store.of(name) != good for name in store.load(good).names):
        return good
    before = store.previous()
    if not before:
        raise InputError(
            f"release {good} is the first that was good on this host, so there is none to go back to;"
            " change the settings and run the playbook site"
        )
    return before


def compare(
    store: ReleaseStore,
    wanted: Release,
    look: Look,
    restart: str = "rolling",
    check: bool = False,
    force: bool = False,
) -> Step:
    """What leads to ``wanted``. Where nothing has to be restarted, links and unit are put right at once."""
    names = wanted.names
    present = sorted(
        {unit[len("vllm@") : -len(".service")] for unit in present_units(look.run, look.unit_dir)} | set(store.names())
    )
    if not present:
        return Step("at_once", "nothing runs here yet")
    if sorted(names) != present:
        same = [name for name in names if not force and look.digest(name) == wanted.digest(name)]
        return Step(
            "at_once",
            f"the instances change from {', '.join(present)} to {', '.join(names)}",
            kept=[name for name in same if look.serves(wanted.target(name) or {}) and not look.out(name)],
        )
    other = [name for name in names if force or look.digest(name) != wanted.digest(name)]
    marked = [name for name in names if any(mark.by == BY for mark in look.out(name))]
    if not other and not marked:
        changed = _put_right(store, wanted, look.run, check)
        return Step("none", "every instance runs as wanted", changed=changed)
    for name in names:
        release = store.of(name)
        if not release:
            return Step("at_once", f"no release is kept of what {name} runs")
        if store.load(release).place(name) != wanted.place(name):
            return Step("at_once", f"{name} gets other cards or another port")
    if restart == "at_once":
        return Step("at_once", "as asked for")
    serving = [name for name in names if look.serves(wanted.target(name) or {})]
    if not serving:
        return Step("at_once", "no instance serves now, so there is nothing to keep up")
    # whoever is down or out already comes first: the host never has two of them away because of this
    up = [name for name in serving if not look.out(name)]
    roll = sorted({*other, *marked}, key=lambda name: (name in up, names.index(name)))
    kept = [mark for name in names for mark in look.out(name) if mark.by in ("operator", "health")]
    if kept and set(roll) & set(up):
        why = f": {kept[0].reason}" if kept[0].reason else ""
        raise InputError(
            f"{kept[0].name} is out of rotation (by {kept[0].by}{why}), so no other replica of this host may be"
            " restarted one by one; put it back first (playbook drain with gpuserve_drain_state=back), or restart all"
            " with vllm_restart=at_once"
        )
    return Step("rolling", f"{len(roll)} of {len(names)} instances, one after the other", roll)


def _put_right(store: ReleaseStore, wanted: Release, run: Run, check: bool) -> bool:
    changed = bool(store.drop([name for name in store.names() if name not in wanted.names], check))
    for name in wanted.names:
        changed |= store.point(name, wanted.id, check)
    if store.install_unit(wanted.id, check):
        changed = True
        if not check:
            daemon_reload(run)
    return changed


def start_at_once(store: ReleaseStore, wanted: Release, look: Look, check: bool = False) -> list[UnitChange]:
    """Stop whatever is not as wanted, then start all of it; the files change in between."""
    return converge_units(
        look.run,
        wanted.digests(),
        check=check,
        proc=look.proc,
        unit_dir=look.unit_dir,
        between=lambda: _linked(store, wanted, look.run),
    )


def _linked(store: ReleaseStore, wanted: Release, run: Run) -> None:
    _put_right(store, wanted, run, False)


def unneeded(paths: Sequence[str], kept: Sequence[Release]) -> list[str]:
    """Directories of engines or models that no kept release names."""
    named = [word for release in kept for word in (*release.command, release.model_path)]
    return [path for path in paths if not any(word == path or word.startswith(f"{path}/") for word in named)]
