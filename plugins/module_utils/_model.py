# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""A model's directory -> Model. Only JSON and safetensors headers are read: no weight is loaded, no code run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.gpuserve.inference.plugins.module_utils import _model_config as conf
from ansible_collections.gpuserve.inference.plugins.module_utils import _model_weights as files
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import ModelError
from ansible_collections.gpuserve.inference.plugins.module_utils._model_architectures import WEIGHTS_CHECKED
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check import MOST_BYTES
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check_quant import check_quantization
from ansible_collections.gpuserve.inference.plugins.module_utils._model_check_sums import check_fields
from ansible_collections.gpuserve.inference.plugins.module_utils._model_formula import (
    moe_width,
    parts,
)
from ansible_collections.gpuserve.inference.plugins.module_utils._model_json import read_json
from ansible_collections.gpuserve.inference.plugins.module_utils._model_kv import kv_layout
from ansible_collections.gpuserve.inference.plugins.module_utils._model_manifest import MANIFEST
from ansible_collections.gpuserve.inference.plugins.module_utils._model_quant import Scheme, scheme_of, total_bytes
from ansible_collections.gpuserve.inference.plugins.module_utils._model_towers import exact_towers, tower_parts
from ansible_collections.gpuserve.inference.plugins.module_utils._types import Model


@dataclass(frozen=True)
class Remote:
    """What a hub says of the weight files that are not on this machine."""

    shards: Mapping[str, files.Tensors]
    pickles: tuple[tuple[str, int], ...] = ()  # (name, size)


def read_model(
    path: str,
    *,
    allow_pickle: bool = False,
    allow_unknown: bool = False,
    name: str = "",
    revision: str = "",
    trust_config_only: bool = True,
    remote: Optional[Remote] = None,
) -> Model:
    """The model in the directory ``path``.

    ``trust_config_only`` False demands weights; True lets a config without any be planned from its dimensions.
    """
    directory = Path(path)
    try:
        if not directory.exists():
            raise ModelError(f"{path}: no such directory; give the directory that holds the model's config.json")
        if not directory.is_dir():
            raise ModelError(f"{path}: not a directory; give the directory that holds the model's config.json")
        return _read(directory, allow_pickle, allow_unknown, name, revision, trust_config_only, remote)
    except (OSError, RuntimeError) as exc:  # a folder that may not be entered, a name too long, a loop of links
        where, why = getattr(exc, "filename", None) or path, getattr(exc, "strerror", None) or exc
        raise ModelError(f"{where}: cannot be read ({why}); check its owner and mode") from exc


def _read(
    directory: Path,
    allow_pickle: bool,
    allow_unknown: bool,
    name: str,
    revision: str,
    trust_config_only: bool,
    remote: Optional[Remote],
) -> Model:
    config = conf.load_config(directory)
    architecture = conf.architecture_of(config)
    known, warnings = conf.check_architecture(architecture, config, allow_unknown)
    fields, multimodal = conf.read_fields(config, architecture)
    text = fields.text
    model_types = (str(config.get("model_type") or ""), str(text.get("model_type") or ""))
    warnings += check_fields(fields)
    quant, where = conf.quantization_of(config, text, directory)
    warnings += check_quantization(quant, where, allow_unknown, fields.layers)
    tasks = conf.tasks_of(architecture, (directory / "modules.json").is_file())

    shards, missing, pickled = _find_weights(directory, remote)
    named = conf.config_dtype(config, text) or files.header_dtype(shards)
    dtype = conf.served_dtype(named, model_types, tasks != ("generate",))
    scheme = scheme_of(quant) if quant else None
    tied = conf.tied_embeddings(config, fields, multimodal)
    estimate = _from_config(fields, config, dtype, scheme, tied, multimodal)
    if shards and not missing:
        weights = files.from_headers(shards, dtype, fields.layers, int(scheme.bits) if scheme else 0)
        explicit = any(isinstance(p.get("tie_word_embeddings"), bool) for p in (config, text))
        if not weights.weight_bytes:
            raise ModelError(f"{directory}: {', '.join(shards):.200} hold no weights; download them again")
        if tied and weights.has_lm_head and not explicit:
            tied = False  # the class ties by default, the checkpoint says otherwise; vLLM believes the checkpoint
    else:
        weights = _without_headers(directory, missing, pickled, allow_pickle, trust_config_only, estimate, named, dtype)
    if multimodal and weights.source == "config" and exact_towers(config, fields) is None:
        weights.warnings.append("the vision or audio part's weights are estimated; with the files here they are exact")
    if max(weights.weight_bytes, weights.checkpoint_bytes, weights.parameters, estimate.parameters) > MOST_BYTES:
        raise ModelError(
            f"config.json: its dimensions make {estimate.parameters:.3g} parameters, more than any model has; the file "
            "is damaged, download it again"
        )
    if weights.source == "config" and known and architecture not in WEIGHTS_CHECKED:
        weights.warnings.append(
            f"the weights of {architecture} are computed by general rules that were not checked against vLLM for it; "
            "they may be off by 15 %, with the files here they are exact"
        )
    length, more = conf.max_length(fields, config, directory)
    manifest = read_json(directory / MANIFEST)
    if isinstance(manifest, dict):
        name, revision = name or str(manifest.get("repo") or ""), revision or str(manifest.get("revision") or "")
    return Model(
        architecture=architecture,
        dtype=dtype,
        weight_bytes=weights.weight_bytes,
        layers=fields.layers,
        heads=fields.heads,
        kv_heads=fields.kv_heads,
        head_dim=fields.num("qk_nope_head_dim") + fields.num("qk_rope_head_dim") if fields.is_mla else fields.head_dim,
        vocab_size=fields.num("vocab_size", "n_vocab"),
        max_position_embeddings=length,
        hidden_size=fields.hidden,
        intermediate_size=fields.intermediate,
        parameters=weights.parameters or estimate.parameters,
        quantization=str(quant["quant_method"]) if quant else None,
        kv_layout=kv_layout(fields, dtype),
        tie_word_embeddings=tied,
        experts=fields.experts,
        experts_per_token=fields.experts_per_token,
        moe_intermediate_size=moe_width(fields) if fields.experts else 0,
        multimodal=multimodal,
        tasks=tasks,
        weight_bytes_source=weights.source,
        known_architecture=known,
        name=name or directory.resolve().name,
        path="" if remote is not None else str(directory.resolve()),
        revision=revision,
        config={**fields.defaults, **text},
        outer_config={k: v for k, v in config.items() if k not in conf.TEXT_PARTS and text.get(k, ...) != v},
        quantization_config=quant,
        weight_groups=weights.groups,
        has_weights=weights.source != "config",
        checkpoint_bytes=weights.checkpoint_bytes,
        draft_weight_bytes=weights.draft_bytes,
        warnings=(*warnings, *more, *weights.warnings),
    )


def _find_weights(
    directory: Path, remote: Optional[Remote]
) -> tuple[dict[str, files.Tensors], list[str], list[tuple[str, int]]]:
    if remote is not None:
        return dict(remote.shards), [], list(remote.pickles)
    names, missing = files.shard_names(directory)
    shards = {} if missing else {n: files.read_header(directory / n) for n in names}
    files.check_names(shards)
    pickled = [] if names or missing else [(p.name, p.stat().st_size) for p in files.pickles(directory)]
    return shards, missing, pickled


def _from_config(
    fields: conf.Fields, config: Mapping[str, Any], dtype: str, scheme: Optional[Scheme], tied: bool, multimodal: bool
) -> files.Weights:
    listed = list(parts(fields, tied))
    if multimodal:
        listed += tower_parts(config, fields)
    listed = [p for p in listed if not p.extra]
    element = files.DTYPE_BYTES[dtype]
    groups = total_bytes(listed, element, scheme)
    count = sum(p.size for p in listed)
    total = sum(groups.values())
    return files.Weights("config", weight_bytes=total, checkpoint_bytes=total, parameters=count, groups=groups)


def _without_headers(
    directory: Path,
    missing: list[str],
    pickled: list[tuple[str, int]],
    allow_pickle: bool,
    trust_config_only: bool,
    estimate: files.Weights,
    named: Optional[str],
    dtype: str,
) -> files.Weights:
    """Sizes where not every shard is here: from the index, from allowed pickles, or computed."""
    # float32 files are served in half the size
    shrink = files.DTYPE_BYTES[dtype] / 4 if named in (None, "float32") else 1.0
    if missing:
        shown = missing[0] + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        if not trust_config_only:
            raise ModelError(f"{directory}: {files.INDEX} names {shown}, not here; finish the download")
        warning = (
            f"{shown} named in {files.INDEX} not here: vLLM cannot load this directory until the download is complete"
        )
        total = files.index_total(directory)
        estimate.warnings.append(warning)
        if total is None:
            return estimate
        return files.Weights(
            "index", int(total * shrink) if named == "float32" else total, total, parameters=estimate.parameters,
            groups={}, warnings=[warning],
        )  # fmt: skip
    if pickled:
        if not allow_pickle:
            raise ModelError(
                f"{directory}: weights are pickled only ({pickled[0][0]}), and loading a pickle can run code; "
                "convert them to safetensors, or set allow_pickle (vllm_allow_pickle) if you trust their source"
            )
        size = sum(n for _name, n in pickled)
        warning = f"weights are pickled ({pickled[0][0]}): loading them can run code, and their size is the files' size"
        return files.Weights(
            "pickle",
            int(size * shrink) if named == "float32" else size,
            size,
            parameters=estimate.parameters,
            warnings=[warning],
        )
    if not trust_config_only:
        raise ModelError(f"{directory}: no *.safetensors files here; finish the download or give another directory")
    return estimate
