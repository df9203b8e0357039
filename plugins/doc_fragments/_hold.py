# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that hold files take, as module_utils/_hold.py reads it."""

    DOCUMENTATION = r"""
options: {}
"""

    # the files, and what follows when one changed
    FILES = r"""
options:
  files:
    description: The files that shall be there. Parent directories are made as needed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the file.
        type: path
        required: true
      content:
        description: Content of the file. Left out where O(secrets) has it.
        type: str
      mode:
        description: Permissions in octal.
        type: str
        default: "0644"
      owner:
        description: Owning user.
        type: str
        default: root
      group:
        description: Owning group.
        type: str
        default: root
      replaces:
        description: File that this one takes over from. Where this one is new, the diff compares it with that.
        type: path
      program:
        description: Whether a diff shows only the size and sha256 of the file, for files that nobody reads there.
        type: bool
        default: false
  secrets:
    description:
      - Contents that must appear in no log and no diff, by the path of their file.
      - They stand apart because Ansible hides a parameter as a whole, but not one with several lines inside another.
    type: dict
    default: {}
  purge:
    description: Shell patterns. A file that matches and is not in O(files) is removed.
    type: list
    elements: str
    default: []
  absent:
    description: Files and whole directories to remove.
    type: list
    elements: path
    default: []
  tidy:
    description: Directories to remove where nothing is left in them.
    type: list
    elements: path
    default: []
  keys:
    description:
      - Files that hold a random key, 43 letters, digits, C(-) and C(_) on one line, readable by root alone.
      - Made where they are missing, otherwise never changed, and never shown. A key so made does not leave the host.
    type: list
    elements: path
    default: []
  daemon_reload:
    description: Whether systemd rereads its units when a file changed.
    type: bool
    default: false
  timers:
    description:
      - Timer units. Each is enabled and started where it is not, and restarted when a file changed.
    type: list
    elements: str
    default: []
  retired:
    description:
      - Units that shall not run. Each that runs or is enabled is stopped and disabled, before any file is removed.
    type: list
    elements: str
    default: []
"""

    # the program that uses them
    USE = r"""
options:
  validate:
    description: Command that must succeed once the files are written.
    type: list
    elements: str
    default: []
  unit:
    description:
      - A unit that uses the files. It is enabled and started where it is not, and reloaded when a file changed.
    type: str
"""
