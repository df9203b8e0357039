# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Models on a Hugging Face hub (or a mirror that speaks its API), through huggingface_hub.

To describe a model, only its JSON files and the first bytes of its safetensors files are asked for.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _model_weights as files
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model import Remote, read_model
from ansible_collections.gpuserve.inference.plugins.module_utils._model_json import read_json
from ansible_collections.gpuserve.inference.plugins.module_utils._model_mirror import find_mirrored
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model

SMALL_FILES = (
    "config.json", "generation_config.json", "tokenizer_config.json", "hf_quant_config.json", "quantize_config.json",
    "quant_config.json", "modules.json", "sentence_bert_config.json", "params.json", files.INDEX,
)  # fmt: skip


class HubMissing(ModelError):
    """huggingface_hub is not installed for the Python that runs this."""


@dataclass(frozen=True)
class HubModel:
    """Which model, from where. ``revision`` is a branch, a tag or a commit."""

    repo: str
    revision: str = "main"
    cache_dir: Optional[str] = None
    token: Optional[str] = None
    endpoint: Optional[str] = None
    offline: bool = False
    mirror: Optional[str] = None  # a directory on this host, asked instead of the hub

    @property
    def label(self) -> str:
        return f"{self.repo}@{self.revision}"


def hub_module() -> Any:
    """huggingface_hub, kept quiet: a module's output belongs to Ansible."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
    except ImportError as exc:
        raise HubMissing(
            f"huggingface_hub cannot be imported ({exc}); install it for this Python, or run the task with vLLM's own "
            "(ansible_python_interpreter), or give a local path"
        ) from exc
    return huggingface_hub


def api_for(model: HubModel) -> Any:
    return hub_module().HfApi(endpoint=model.endpoint, token=model.token)


def read_hub_model(
    model: HubModel, *, allow_pickle: bool = False, allow_unknown: bool = False, trust_config_only: bool = True
) -> Model:
    """The model of a repository at a revision; ``Model.revision`` is the commit it resolved to."""
    if model.mirror:
        found = find_mirrored(model.mirror, model.repo, model.revision)
        return read_model(
            str(found.directory),
            allow_pickle=allow_pickle,
            allow_unknown=allow_unknown,
            trust_config_only=trust_config_only,
            name=model.repo,
            revision=found.commit,
        )
    folder, remote = _cached(model) if model.offline else _online(model)
    return read_model(
        str(folder),
        allow_pickle=allow_pickle,
        allow_unknown=allow_unknown,
        trust_config_only=trust_config_only,
        name=model.repo,
        revision=folder.name,
        remote=remote,
    )


def _cached(model: HubModel) -> tuple[Path, Optional[Remote]]:
    hub = hub_module()
    with explained(model):
        found = hub.try_to_load_from_cache(
            model.repo, "config.json", cache_dir=model.cache_dir, revision=model.revision
        )
    if not isinstance(found, str):
        where = model.cache_dir or hub.constants.HF_HUB_CACHE
        raise ModelError(
            f"{model.label}: not in the cache {where}, and offline; fetch it where there is a network, or give a path"
        )
    return Path(found).parent, None


def _online(model: HubModel) -> tuple[Path, Remote]:
    hub, api = hub_module(), api_for(model)
    with explained(model):
        info = api.model_info(model.repo, revision=model.revision, files_metadata=True)
        present = {s.rfilename: int(s.size or 0) for s in info.siblings or []}
        if not {"config.json", "params.json"} & set(present):
            other = (
                " (it holds GGUF files; use the safetensors repository)"
                if any(n.endswith(".gguf") for n in present)
                else ""
            )
            raise ModelError(f"{model.label}: has no config.json, so it is not a model vLLM can serve{other}")
        folder = None
        for name in SMALL_FILES:
            if name in present:
                # asked for by the name given, so that the cache can answer for that name offline
                path = hub.hf_hub_download(
                    model.repo,
                    name,
                    revision=model.revision,
                    cache_dir=model.cache_dir,
                    token=model.token,
                    endpoint=model.endpoint,
                )
                folder = folder or Path(path).parent
        if folder is None:  # cannot be: config.json or params.json is among them
            raise ModelError(f"{model.label}: has no config.json, so it is not a model vLLM can serve")
        present_shards = [n for n in present if n.endswith(".safetensors") and "/" not in n]
        names, missing = files.choose_shards(present_shards, read_json(folder / files.INDEX), model.label)
        if missing:
            raise ModelError(
                f"{model.label}: incomplete, {files.INDEX} names {missing[0]}, which the repository does not hold"
            )

        def header(name: str) -> files.Tensors:
            found = api.parse_safetensors_file_metadata(model.repo, name, revision=folder.name)
            return {key: (str(t.dtype), tuple(t.shape)) for key, t in found.tensors.items()}

        with ThreadPoolExecutor(max_workers=8) as pool:
            shards = dict(zip(names, pool.map(header, names)))
    pickles = () if names else tuple(sorted((n, s) for n, s in present.items() if is_pickle(n)))
    return folder, Remote(shards, pickles)


def is_pickle(name: str) -> bool:
    return "/" not in name and name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt")) and name not in files.NOT_WEIGHTS


@contextmanager
def explained(model: HubModel) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line that says what to do."""
    try:
        yield
    except ModelError:
        raise
    except Exception as exc:
        message = _reason(exc, model)
        if message is None:
            raise
        raise ModelError(f"{model.label}: {message}") from exc


def _reason(exc: Exception, model: HubModel) -> Optional[str]:
    # by name along the class tree: the classes moved between releases of huggingface_hub, and so did its HTTP library
    kinds = {cls.__name__ for cls in type(exc).__mro__}
    where = model.endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    status = getattr(getattr(exc, "response", None), "status_code", None)
    if "GatedRepoError" in kinds:
        return "gated; accept its licence on the hub with your account, and give that account's token"
    if "RepositoryNotFoundError" in kinds:
        return f"no such repository on {where}, or a private one; check the name, or give a token that may read it"
    if kinds & {"RevisionNotFoundError", "RevisionResolutionError"}:
        return "no such revision; give a branch, a tag or a commit of this repository"
    if "HFValidationError" in kinds:
        return "not a repository's name; write it as ORGANISATION/NAME"
    if kinds & {"OfflineModeIsEnabled"}:
        return "HF_HUB_OFFLINE is set, and it is not in the cache; fetch it where there is a network, or give a path"
    if status in (401, 403):
        return f"{where} refuses the token (HTTP {status}); give one that may read this repository"
    if status is not None:
        return f"{where} answered HTTP {status}; try again later"
    if "EntryNotFoundError" in kinds and "LocalEntryNotFoundError" not in kinds:
        return "a file it lists cannot be found; try again, or give another revision"
    if kinds & {"SafetensorsParsingError", "NotASafetensorsRepoError"}:
        return "one of its safetensors files is damaged; give another revision"
    if kinds & {
        "LocalEntryNotFoundError",
        "ConnectionError",
        "TransportError",
        "TimeoutException",
        "ConnectError",
        "HTTPError",
    }:
        return (
            f"{where} cannot be reached or broke off; run again (a download goes on where it stopped), check the "
            "network and the proxy, or name a mirror or a directory of the model instead"
        )
    return None
