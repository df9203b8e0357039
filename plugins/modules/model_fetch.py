#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_fetch
short_description: Download a model into a directory of its own
version_added: 0.1.0
author:
  - gpuserve contributors (@gpuserve)
description:
  - Downloads the files vLLM needs of one revision of a Hugging Face repository into C(dest/organisation--name@commit).
  - Each commit has its own directory, so a new revision never touches the files a running engine uses.
  - Weights, tokenizer and configuration are fetched, code is not. Weights that a repository holds twice come once.
  - An interrupted download is taken up where it stopped. Each file is compared with the hub's checksum, and a
    manifest with size, time and SHA-256 of every file is written last. A directory with a manifest is complete, and a
    later run only checks that its files are there in the right size. M(gpuserve.inference.model_verify) compares more.
  - Where the manifest C(.gpuserve-model.json) was removed, every file is compared with the hub's checksum again, and
    what is missing or damaged is downloaded anew.
requirements:
  - huggingface_hub on the host
options:
  repo:
    description:
      - Repository on the hub, as C(organisation/name).
    type: str
    required: true
  revision:
    description:
      - Branch, tag or commit. With a full commit, a model that is there already is found without a network.
    type: str
    default: main
  dest:
    description:
      - Directory under which the model's own directory is made.
    type: path
    required: true
  owner:
    description:
      - User who is to own the directory and its files, by default left as it is.
    type: str
  group:
    description:
      - Group that is to own them, by default left as it is.
    type: str
  file_mode:
    description:
      - Octal mode of the files.
    type: str
    default: '0644'
  directory_mode:
    description:
      - Octal mode of the directories.
    type: str
    default: '0755'
  offline:
    description:
      - Ask no network. Succeeds only where the revision is there already.
    type: bool
    default: false
  allow_pickle:
    description:
      - Fetch a model whose weights are pickled only. Loading a pickle can run any code.
    type: bool
    default: false
  workers:
    description:
      - How many files are downloaded at a time.
    type: int
    default: 8
  log:
    description:
      - File that is told when the download starts, when it is complete, and every ten seconds how much of it has been
        compared with the hub's checksums.
    type: path
  progress:
    description:
      - File that says in one line how far it is, while it runs. The action plugin of the same name sets and reads it.
    type: path
extends_documentation_fragment:
  - gpuserve.inference._hub
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.no_diff
seealso:
  - module: gpuserve.inference.model_info
  - module: gpuserve.inference.model_verify
"""

EXAMPLES = r"""
- name: Fetch a model
  gpuserve.inference.model_fetch:
    repo: Qwen/Qwen3-8B-FP8
    dest: /srv/models
    group: vllm
  register: fetched

- name: Read it
  gpuserve.inference.model_info:
    path: "{{ fetched.path }}"

- name: Fetch a gated model at one commit, with the Python of vLLM's environment, which has huggingface_hub
  gpuserve.inference.model_fetch:
    repo: meta-llama/Llama-3.1-8B-Instruct
    revision: 0e9e39f249a16976918f6564b8830bc894c89659
    dest: /srv/models
    token: "{{ vault_hf_token }}"
  vars:
    ansible_python_interpreter: /opt/gpuserve/vllm/bin/python
"""

RETURN = r"""
path:
  description: The model's directory. In check mode the one it would have.
  returned: success
  type: str
  sample: /srv/models/Qwen--Qwen3-8B-FP8@220b46e3b2f1
revision:
  description: The commit that the revision resolved to.
  returned: success
  type: str
size_bytes:
  description: Size of the files.
  returned: success
  type: int
files:
  description: Names of the files, relative to RV(path).
  returned: success
  type: list
  elements: str
"""

import grp
import pwd
import re
import traceback
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_fetch import fetch_model, hand_over
from ansible_collections.gpuserve.inference.plugins.module_utils._model_hub import HubMissing, HubModel
from ansible_collections.gpuserve.inference.plugins.module_utils._progress import Beat


def mode_of(text: str, option: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise InputError(f"{option}: {text!r} is not an octal mode; write it like '0644'")
    return int(text, 8)


def id_of(name: str | None, kind: str) -> int:
    if not name:
        return -1
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if kind == "owner" else grp.getgrnam(name).gr_gid
    except KeyError:
        raise InputError(f"{kind}: {name!r} does not exist on this host; create it first") from None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "repo": {"type": "str", "required": True},
            "revision": {"type": "str", "default": "main"},
            "dest": {"type": "path", "required": True},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "file_mode": {"type": "str", "default": "0644"},
            "directory_mode": {"type": "str", "default": "0755"},
            "offline": {"type": "bool", "default": False},
            "token": {"type": "str", "no_log": True},
            "endpoint": {"type": "str"},
            "mirror": {"type": "path"},
            "allow_pickle": {"type": "bool", "default": False},
            "workers": {"type": "int", "default": 8},
            "log": {"type": "path"},
            "progress": {"type": "path"},
        },
        supports_check_mode=True,
    )
    p = module.params
    try:
        owner, group = id_of(p["owner"], "owner"), id_of(p["group"], "group")
        file_mode, directory_mode = mode_of(p["file_mode"], "file_mode"), mode_of(p["directory_mode"], "directory_mode")
        if p["workers"] < 1:
            raise InputError(f"workers: {p['workers']} is too few; give 1 or more")
        hub = HubModel(p["repo"], p["revision"], None, p["token"], p["endpoint"], p["offline"], p["mirror"])
        with Beat(p["progress"] or "") as beat:
            done = fetch_model(
                hub,
                p["dest"],
                allow_pickle=p["allow_pickle"],
                check_mode=module.check_mode,
                workers=p["workers"],
                log=p["log"] or "",
                follow=beat.follow,
            )
        changed = done.changed
        if Path(done.path).is_dir():
            handed = hand_over(Path(done.path), owner, group, file_mode, directory_mode, module.check_mode)
            changed = changed or handed
    except HubMissing as exc:
        module.fail_json(msg=f"{missing_required_lib('huggingface_hub')}. {exc}", exception=traceback.format_exc())
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(
        changed=changed, path=done.path, revision=done.revision, size_bytes=done.size_bytes, files=done.files
    )


if __name__ == "__main__":
    main()
