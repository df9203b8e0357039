# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""The table of known causes of an engine's death: what the log says, and what to do.

Wording as of vLLM 0.26 to 0.32 (source files named beside), PyTorch, transformers, huggingface_hub and safetensors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """``permanent``: starting it again as it is cannot help. ``advice`` may use named groups of ``regex``."""

    kind: str
    advice: str
    regex: re.Pattern[str]
    permanent: bool = True


def _cause(kind: str, advice: str, *texts: str, permanent: bool = True) -> Cause:
    return Cause(kind, advice, re.compile("|".join(texts)), permanent)


# The first that is found anywhere in the log wins, so the specific stand before the general.
CAUSES = (
    # vllm/v1/worker/utils.py request_memory
    _cause(
        "gpu_memory_taken",
        "another process holds memory on the card: end it (nvidia-smi shows it) or lower vllm_gpu_memory_utilization",
        r"Free memory on device .* is less than (desired GPU memory utilization|the engine's budget)",
        r"not started: card \S+ has .* GiB free",  # our own _card_wait
        permanent=False,
    ),
    # vllm/v1/core/kv_cache_utils.py _check_enough_kv_cache_memory
    _cause(
        "kv_cache_too_small",
        "set vllm_max_model_len to {len} or less, or give the cache more room: vllm_gpu_memory_utilization, more cards",
        r"To serve at least one request with the models?'s max seq len.*estimated maximum model length is (?P<len>\d+)",
    ),
    _cause(
        "kv_cache_too_small",
        "lower vllm_max_model_len, or give the cache more room: vllm_gpu_memory_utilization, more cards",
        r"To serve at least one request with the models?'s max seq len",
    ),
    _cause(
        "kv_cache_too_small",
        "weights leave no room for the cache: raise vllm_gpu_memory_utilization, use more cards or a quantized model",
        r"No available memory for the cache blocks",
        r"Cannot auto-fit max_model_len",
    ),
    # vllm/v1/worker/cpu_worker.py determine_available_memory
    _cause(
        "host_memory",
        "the host lacks memory for the cache: lower VLLM_CPU_KVCACHE_SPACE or the number of instances",
        r"Available memory on node .* is less than requested",
    ),
    _cause(
        "gpu_out_of_memory",
        "lower vllm_gpu_memory_utilization or vllm_max_model_len, or end other processes on the card",
        r"CUDA out of memory",
        r"CUDA error: out of memory",
        r"torch\.(cuda\.)?OutOfMemoryError",
        permanent=False,
    ),
    # torch/cuda/__init__.py, c10/cuda, NVML
    _cause(
        "driver",
        "check with nvidia-smi: the driver must be loaded, see these cards, and be new enough for the engine's CUDA",
        r"Found no NVIDIA driver",
        r"NVIDIA driver on your system is too old",
        r"CUDA driver version is insufficient",
        r"[Dd]river/library version mismatch",
        r"unsupported display driver / cuda driver combination",
        r"libcuda\.so\.1: cannot open",
        r"NVMLError_DriverNotLoaded",
        r"Failed to infer device type",
        r"CUDA unknown error",
        r"No CUDA GPUs are available",
    ),
    _cause(
        "gpu_architecture",
        "this build of the engine does not support the card's compute capability: choose another vllm_version",
        r"no kernel image is available for execution on the device",
    ),
    _cause(
        "gpu_fault",
        "look for Xid lines with 'journalctl -k'; leave a faulty card out with vllm_gpus",
        r"uncorrectable ECC error",
        r"GPU is lost",
        r"fallen off the bus",
        r"CUDA error: (an illegal|unspecified launch|hardware)",
        permanent=False,
    ),
    _cause(
        "nccl",
        "the cards cannot talk to each other: set NCCL_DEBUG=INFO for the instance and look at /dev/shm, IOMMU and P2P,"
        " or choose vllm_topology data_parallel",
        r"NCCL error",
        r"nccl(UnhandledCuda|System|Internal|Remote|InvalidUsage|InvalidArgument)(Error)?\b",
        r"DistBackendError",
        permanent=False,
    ),
    _cause(
        "shared_memory", "free or enlarge /dev/shm", r"No space left on device.*/dev/shm", r"/dev/shm.*No space left"
    ),
    _cause("disk_full", "free some disk space and start it again", r"No space left on device"),
    # vllm/utils/ompmultiprocessing.py
    _cause(
        "cpu_binding",
        "give each rank cores of its own in VLLM_CPU_OMP_THREADS_BIND, one list a rank, separated by |",
        r"Not enough allowed NUMA nodes to bind threads",
        r"doesn't match local world size",
    ),
    # vllm/entrypoints/launchers/launcher.py create_server_socket
    _cause(
        "port_in_use",
        "free the port or give the instance another",
        r"\[Errno 98\]",
        r"[Aa]ddress already in use",
        permanent=False,
    ),
    _cause("bad_address", "the listen address is not one of this host's", r"\[Errno 99\]", r"Cannot assign requested"),
    # argparse
    _cause(
        "unknown_argument",
        "this vLLM version does not take that argument: check vllm_extra_args and vllm_version",
        r"error: (unrecognized arguments?|argument |ambiguous option|the following arguments)",
    ),
    # vllm/tokenizers/hf.py, vllm/transformers_utils/config.py, transformers/dynamic_module_utils.py
    _cause(
        "trust_remote_code",
        "the model brings code of its own: choose one without, or read that code and set vllm_trust_remote_code",
        r"setting `?trust_remote_code=True`?",
        r"requires you to execute the (configuration|tokenizer|modeling) file",
        r"contains custom code which must be executed",
    ),
    # vllm/model_executor/models/registry.py, transformers
    _cause(
        "unsupported_architecture",
        "this vLLM version cannot serve that architecture: choose another vllm_model or vllm_version",
        r"Model architectures? .* (are not supported for now|is not supported|was supported in vLLM)",
        r"Model architectures .* failed to be inspected",
        r"Cannot find model module",
        r"No model architectures are specified",
        r"Transformers implementation of .* is not compatible",
        r"Transformers does not recognize this architecture",
    ),
    # vllm/config/model.py
    _cause(
        "max_model_len",
        "set vllm_max_model_len to auto, or to at most the model's own length",
        r"User-specified max_model_len .* is greater than the derived",
    ),
    _cause(
        "tensor_parallel",
        "this model cannot be split over so many cards: choose another vllm_topology or fewer vllm_gpus",
        r"must be divisible by tensor parallel size",
        r"is not divisible by",
    ),
    # vllm/v1/worker/gpu_worker.py, torch
    _cause(
        "too_few_gpus",
        "the instance sees fewer cards than it needs: check vllm_gpus and CUDA_VISIBLE_DEVICES",
        r"World size .* is larger than the number of available",
        r"invalid device ordinal",
        r"local_world_size \(\d+\)",
    ),
    _cause(
        "quantization",
        "choose a model with another quantization, or a vllm_version that knows this one",
        r"Unknown quantization method",
        r"[Qq]uantization method .* (is )?not supported",
        r"Quantization method specified in the model config",
    ),
    # huggingface_hub/errors.py
    _cause(
        "model_access",
        "check vllm_model and the hub token's right to it",
        r"GatedRepoError",
        r"RepositoryNotFoundError",
        r"Access to model .* is restricted",
        r"40[13] Client Error",
    ),
    _cause(
        "model_offline",
        "the model is not complete on this host and the hub is not reachable: download it first",
        r"LocalEntryNotFoundError",
        r"OfflineModeIsEnabled",
        r"couldn't connect to 'https://huggingface",
    ),
    # vllm/transformers_utils/config.py, vllm/model_executor/model_loader/default_loader.py; huggingface_hub takes
    # a path that is not there for the name of a repository
    _cause(
        "model_missing",
        "check vllm_model: the directory must hold config.json, the tokenizer and safetensors weights",
        r"Repo id must be in the form",
        r"Invalid repository ID or local directory",
        r"Can't load the configuration of",
        r"Cannot find any model weights",
        r"does not appear to have a file named",
        r"FileNotFoundError.*(safetensors|config\.json|tokenizer)",
    ),
    _cause(
        "weights_corrupt",
        "a weight file is damaged or cut short: download the model again",
        r"SafetensorError",
        r"Error while deserializing header",
    ),
    _cause(
        "permission",
        "the service user may not read or write that path",
        r"PermissionError",
        r"\[Errno 13\]",
        r"Permission denied",
    ),
    _cause("open_files", "raise LimitNOFILE of the unit", r"\[Errno 24\]", r"Too many open files"),
    # torch/_inductor/cpp_builder.py, triton/runtime/build.py: both compile while the engine starts
    _cause(
        "compiler",
        "install the compiler of the system on this host (g++, and python3-dev where Python.h is missing)",
        r"No working C\+\+ compiler found",
        r"InvalidCxxCompiler",
        r"Failed to find C compiler",
        r"fatal error: Python\.h",
    ),
    # vLLM's CPU build needs libnuma.so.1, which a minimal Debian lacks; it only warns, and dies of what follows
    _cause(
        "missing_library",
        "install the system's package with {lib} (libnuma.so.1 is in libnuma1), or the engine anew",
        r"(?P<lib>lib[\w.+-]*\.so[\d.]*): cannot open shared object file",
    ),
    _cause(
        "import_error",
        "the engine's environment is incomplete or mixed: install it again",
        r"^(ModuleNotFoundError|ImportError): ",
        r"undefined symbol",
    ),
)
