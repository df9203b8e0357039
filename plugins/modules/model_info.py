#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_info
short_description: Read what serving a model takes from its files
version_added: 0.1.0
author:
  - gpuserve contributors (@gpuserve)
description:
  - Reads the architecture, data type, quantization, dimensions, kinds of attention layers and the exact size of the
    weights of a model, from a directory or from a Hugging Face hub.
  - Only C(config.json), its companions, and the headers of the safetensors files are read. No weight is loaded, and no
    code that comes with a model is ever run.
  - Where the weights are not there, their size is computed from C(config.json), which is how a server is planned
    before anything is downloaded.
requirements:
  - huggingface_hub on the host, if O(repo) is used
options:
  path:
    description:
      - Directory that holds the model's C(config.json).
      - One of O(path) and O(repo) is needed.
    type: path
  repo:
    description:
      - Repository on the hub, as C(organisation/name).
      - Nothing large is downloaded. The JSON files go to the cache, the safetensors headers are read by range requests.
    type: str
  revision:
    description:
      - Branch, tag or commit of O(repo).
    type: str
    default: main
  cache_dir:
    description:
      - Cache of huggingface_hub to use, by default that of the user who runs the module (E(HF_HOME)).
    type: path
  offline:
    description:
      - Ask no network, answer from the cache only.
    type: bool
    default: false
  allow_pickle:
    description:
      - Accept a model whose weights are pickled only. Loading a pickle can run any code, so such a model is refused
        unless this is set.
    type: bool
    default: false
  allow_unknown:
    description:
      - Accept an architecture that is not in the list of those vLLM serves.
    type: bool
    default: false
  require_weights:
    description:
      - Fail where the weights are not there or not complete, instead of computing their size.
    type: bool
    default: false
extends_documentation_fragment:
  - gpuserve.inference._hub
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.info_module
seealso:
  - module: gpuserve.inference.model_fetch
  - module: gpuserve.inference.gpu_info
  - module: gpuserve.inference.topology_plan
"""

EXAMPLES = r"""
- name: Read a model that is on the host
  gpuserve.inference.model_info:
    path: /srv/models/meta-llama--Llama-3.1-8B-Instruct@0e9e39f249a1
  register: found

- name: Say what it is
  ansible.builtin.debug:
    msg: "{{ found.model.architecture }}, {{ (found.model.weight_bytes / 1024**3) | round(2) }} GiB"

- name: Read a model before it is downloaded
  gpuserve.inference.model_info:
    repo: Qwen/Qwen3-8B-FP8
    revision: main
    token: "{{ vault_hf_token }}"
  register: found

- name: Answer from the cache only
  gpuserve.inference.model_info:
    repo: Qwen/Qwen3-8B-FP8
    offline: true
"""

RETURN = r"""
model:
  description: The model, as M(gpuserve.inference.topology_plan) takes it.
  returned: success
  type: dict
  contains:
    architecture:
      description: First of the architectures that C(config.json) names.
      type: str
      returned: success
      sample: LlamaForCausalLM
    known_architecture:
      description: Whether it is one that vLLM serves.
      type: bool
      returned: success
    tasks:
      description: What it can be asked for, V(generate), V(embed) or V(classify).
      type: list
      elements: str
      returned: success
      sample: [generate]
    multimodal:
      description: Whether it also takes images, sound or video.
      type: bool
      returned: success
    dtype:
      description: The data type vLLM serves it in by default.
      type: str
      returned: success
      sample: bfloat16
    quantization:
      description: Quantization method in vLLM's spelling, V(none) if there is none.
      type: str
      returned: success
      sample: fp8
    quantization_config:
      description: The quantization part of the model's files.
      type: dict
      returned: success
    outer_config:
      description: What C(config.json) says beside its text part, such as its vision tower.
      type: dict
      returned: success
    parameters:
      description: Number of parameters.
      type: int
      returned: success
      sample: 8030261248
    weight_bytes:
      description: Bytes the weights take when they are loaded.
      type: int
      returned: success
      sample: 16060522496
    weight_bytes_source:
      description: Where that comes from, V(safetensors) (exact), V(index), V(pickle), or V(config) (computed).
      type: str
      returned: success
    weight_groups:
      description:
        - The same by kind of tensor. The kinds are V(embedding), V(lm_head), V(attention), V(mlp), V(experts), V(norm)
          and V(other).
      type: dict
      returned: success
    has_weights:
      description: Whether there are weights, or only a config.
      type: bool
      returned: success
    checkpoint_bytes:
      description: Bytes of the weight files.
      type: int
      returned: success
    draft_weight_bytes:
      description: Bytes of layers that only speculative decoding loads. They are not part of RV(model.weight_bytes).
      type: int
      returned: success
    layers:
      description: Number of layers.
      type: int
      returned: success
      sample: 32
    hidden_size:
      description: Width of the model.
      type: int
      returned: success
      sample: 4096
    intermediate_size:
      description: Width of its feed-forward layers.
      type: int
      returned: success
      sample: 14336
    heads:
      description: Number of attention heads.
      type: int
      returned: success
      sample: 32
    kv_heads:
      description: Number of key and value heads.
      type: int
      returned: success
      sample: 8
    head_dim:
      description: Size of an attention head.
      type: int
      returned: success
      sample: 128
    vocab_size:
      description: Size of the vocabulary.
      type: int
      returned: success
      sample: 128256
    max_position_embeddings:
      description: Longest context in tokens, as vLLM derives it.
      type: int
      returned: success
      sample: 131072
    tie_word_embeddings:
      description: Whether the output head shares the embedding's memory.
      type: bool
      returned: success
    experts:
      description: Number of routed experts of a layer, 0 for a dense model.
      type: int
      returned: success
    experts_per_token:
      description: How many of them a token uses.
      type: int
      returned: success
    moe_intermediate_size:
      description: Width of one expert.
      type: int
      returned: success
    kv_layout:
      description:
        - The layers in groups that keep the same kind of state for past tokens.
        - C(kind) is V(full), V(sliding), V(chunked), V(mla) or V(mamba). Values that do not apply are 0.
        - C(conv_*) and C(recurrent*) are the parts of a recurrent layer's state, C(index_*) the keys of a sparse
          attention's indexer.
      type: list
      elements: dict
      returned: success
      sample:
        - kind: full
          layers: 32
          kv_heads: 8
          head_dim: 128
          v_head_dim: 128
          window: 0
          rank: 0
          state_bytes: 0
          shared_layers: 0
    config:
      description: The text part of C(config.json), with the defaults of its configuration class.
      type: dict
      returned: success
    name:
      description: The repository, or the directory's name.
      type: str
      returned: success
    path:
      description: The directory, empty for a model on a hub.
      type: str
      returned: success
    revision:
      description: The commit, where it is known.
      type: str
      returned: success
    warnings:
      description: What is worth knowing about the model. These are shown as warnings too.
      type: list
      elements: str
      returned: success
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_hub import HubMissing, HubModel, read_hub_model


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "repo": {"type": "str"},
            "revision": {"type": "str", "default": "main"},
            "cache_dir": {"type": "path"},
            "offline": {"type": "bool", "default": False},
            "token": {"type": "str", "no_log": True},
            "endpoint": {"type": "str"},
            "mirror": {"type": "path"},
            "allow_pickle": {"type": "bool", "default": False},
            "allow_unknown": {"type": "bool", "default": False},
            "require_weights": {"type": "bool", "default": False},
        },
        mutually_exclusive=[("path", "repo")],
        required_one_of=[("path", "repo")],
        supports_check_mode=True,
    )
    p = module.params
    rules = {
        "allow_pickle": p["allow_pickle"],
        "allow_unknown": p["allow_unknown"],
        "trust_config_only": not p["require_weights"],
    }
    try:
        if p["path"] is not None:
            model = read_model(p["path"], **rules)
        else:
            hub = HubModel(
                p["repo"], p["revision"], p["cache_dir"], p["token"], p["endpoint"], p["offline"], p["mirror"]
            )
            model = read_hub_model(hub, **rules)
    except HubMissing as exc:
        module.fail_json(msg=f"{missing_required_lib('huggingface_hub')}. {exc}", exception=traceback.format_exc())
    except GpuserveError as exc:
        module.fail_json(msg=str(exc))
    for warning in model.warnings:
        module.warn(warning)
    module.exit_json(changed=False, model=model.to_dict())


if __name__ == "__main__":
    main()
