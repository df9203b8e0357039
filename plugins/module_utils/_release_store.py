# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The releases that a host keeps, and the symbolic links that say which of them is in use.

A release is a directory of files named after their contents. Each instance is linked to the release it was started
from, ``plan.json`` to the last one whose instances all answered, ``previous`` to the one that was so before it.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils._engine_cache import key_in
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._files import not_written, read_text, write_text
from ansible_collections.gpuserve.inference.plugins.module_utils._instances import CONFIG_DIR, UNIT_PATH

ENDS = ("args", "env")
HELD = {"previous": "held-previous", "plan.json": "held.json"}  # the last one says that something is held
_ID = re.compile(r"[0-9a-f]{12}\Z")


@dataclass(frozen=True)
class Release:
    """What ``release.json`` says. ``instances``: name, digest, gpus, host, port. ``targets``: of vllm_ready."""

    id: str
    instances: tuple[dict[str, Any], ...]
    targets: tuple[dict[str, Any], ...]
    command: tuple[str, ...] = ()
    model_path: str = ""

    @property
    def names(self) -> list[str]:
        return [str(row["name"]) for row in self.instances]

    def digest(self, name: str) -> str:
        return next((str(row["digest"]) for row in self.instances if row["name"] == name), "")

    def target(self, name: str) -> Optional[dict[str, Any]]:
        return next((row for row in self.targets if row["name"] == name), None)

    def place(self, name: str) -> Any:
        """Cards and address of an instance: where these change, it cannot be replaced one by one."""
        for row in self.instances:
            if row["name"] == name:
                return row.get("gpus"), row.get("host"), row.get("port")
        return None

    def digests(self) -> dict[str, str]:
        return {str(row["name"]): str(row["digest"]) for row in self.instances}


class ReleaseStore:
    """``etc`` is the collection's directory below /etc, ``unit_path`` the template unit that systemd reads."""

    def __init__(self, etc: str = CONFIG_DIR, unit_path: str = UNIT_PATH) -> None:
        self.etc = etc
        self.unit_path = unit_path

    # ---- looking

    def folder(self, release: str) -> str:
        return f"{self.etc}/releases/{release}"

    def ids(self) -> list[str]:
        found = (os.path.basename(path) for path in glob.glob(f"{self.etc}/releases/*"))
        return sorted(name for name in found if _ID.match(name))

    def good(self) -> str:
        """The last release that was good; empty where there was none, or where it dates from before releases."""
        return self._named_by(f"{self.etc}/plan.json")

    def previous(self) -> str:
        return self._named_by(f"{self.etc}/previous")

    def of(self, name: str) -> str:
        """The release that an instance is linked to; empty where its files are plain ones, or gone."""
        return self._named_by(f"{self.etc}/instances/{name}.env")

    def names(self) -> list[str]:
        """Instances that have files, of whatever kind."""
        found = (os.path.basename(path) for path in glob.glob(f"{self.etc}/instances/*.*"))
        return sorted({name.rpartition(".")[0] for name in found if name.rpartition(".")[2] in ENDS})

    def _named_by(self, link: str) -> str:
        try:
            target = os.readlink(link)
        except OSError:
            return ""
        words = target.split("/")
        release = words[words.index("releases") + 1] if "releases" in words[:-1] else ""
        return release if _ID.match(release) and os.path.isdir(self.folder(release)) else ""

    def load(self, release: str) -> Release:
        path = f"{self.folder(release)}/release.json"
        try:
            with open(path, encoding="utf-8") as handle:
                data = json.load(handle)
            return Release(
                str(data["id"]),
                tuple(data["instances"]),
                tuple(data["targets"]),
                tuple(data.get("command") or ()),
                str(data.get("model_path") or ""),
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            kept = ", ".join(self.ids()) or "none"
            raise InputError(
                f"release {release!r} cannot be read from {path} ({type(exc).__name__}); kept on this host: {kept}"
            ) from exc

    # ---- changing

    def point(self, name: str, release: str, check: bool = False) -> bool:
        """Link an instance's files to those of a release. Done while the instance is stopped, or where both agree."""
        changed = False
        for end in ENDS:
            link = f"{self.etc}/instances/{name}.{end}"
            changed |= _link(link, f"../releases/{release}/{name}.{end}", check)
        return changed

    def drop(self, names: list[str], check: bool = False) -> list[str]:
        """Remove the files of instances that are gone; returns which had some."""
        gone = []
        for name in names:
            for end in ENDS:
                path = f"{self.etc}/instances/{name}.{end}"
                if os.path.lexists(path):
                    gone.append(name)
                    if not check:
                        os.unlink(path)
        return sorted(set(gone))

    def install_unit(self, release: str, check: bool = False) -> bool:
        """Give systemd a release's unit; whether it must reread its units."""
        wanted = read_text(f"{self.folder(release)}/vllm@.service")
        if wanted is None or wanted == read_text(self.unit_path):
            return False
        if not check:
            write_text(self.unit_path, wanted)
        return True

    def finish(self, release: str, check: bool = False) -> bool:
        """This release is good now, and what was good before becomes the one to go back to.

        A release that starts the very same processes takes the place of the former one, but is none to go back from.
        """
        before = self.good()
        new = self.load(release)
        changed = _link(f"{self.etc}/plan.json", f"releases/{release}/plan.json", check)
        if before and before != release and self.load(before).digests() != new.digests():
            changed |= _link(f"{self.etc}/previous", f"releases/{before}", check)
        return changed

    def prune(self, check: bool = False) -> list[str]:
        """Remove the releases that nothing needs any more; returns their ids."""
        kept = self.kept()
        gone = [release for release in self.ids() if release not in kept]
        for release in gone:
            if not check:
                shutil.rmtree(self.folder(release))
        return gone

    def kept(self) -> set[str]:
        """The good one, the one before it, what is held, and those that an instance is linked to."""
        held = {self._named_by(f"{self.etc}/{link}") for link in HELD.values()}
        return {self.good(), self.previous(), *held, *(self.of(name) for name in self.names())} - {""}

    def cache_keys(self) -> Optional[set[str]]:
        """Which compiled caches the releases on this host need; None where one of them does not say."""
        found = [key_in(read_text(path) or "") for path in glob.glob(f"{self.etc}/releases/*/*.env")]
        return set(found) if all(found) else None

    # ---- trying others for a while

    def held(self) -> str:
        """The release that serves when the trying is over; empty where nothing is held."""
        return self._named_by(f"{self.etc}/{HELD['plan.json']}")

    def hold(self, check: bool = False) -> bool:
        """Keep what is good now, and what it would go back to, until ``unhold``.

        What is held already stays so: whoever held it was interrupted, and what serves now is one of those tried.
        """
        if self.held() or not self.good():
            return False
        for link, held in HELD.items():
            release = self._named_by(f"{self.etc}/{link}")
            if release:
                _link(f"{self.etc}/{held}", f"releases/{release}/plan.json", check)
            elif os.path.lexists(f"{self.etc}/{held}") and not check:
                os.unlink(f"{self.etc}/{held}")  # of a holding whose end was interrupted
        return True

    def unhold(self, check: bool = False) -> bool:
        """The trying is over. Where what was held is good again, it goes back to what it would have gone back to."""
        if not self.held():
            return False
        if not check:
            if self.good() == self.held():
                before = self._named_by(f"{self.etc}/{HELD['previous']}")
                if before:
                    _link(f"{self.etc}/previous", f"releases/{before}", check)
                elif os.path.lexists(f"{self.etc}/previous"):
                    os.unlink(f"{self.etc}/previous")
            for held in reversed(HELD.values()):
                if os.path.lexists(f"{self.etc}/{held}"):
                    os.unlink(f"{self.etc}/{held}")
        return True


def _link(path: str, target: str, check: bool) -> bool:
    if os.path.islink(path) and os.readlink(path) == target:
        return False
    if not check:
        temporary = os.path.join(os.path.dirname(path), f".gpuserve-{os.path.basename(path)}")
        try:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.symlink(target, temporary)
            os.replace(temporary, path)  # in one step: there is always one that can be read
        except OSError as exc:
            raise not_written(path, exc) from exc
    return True
