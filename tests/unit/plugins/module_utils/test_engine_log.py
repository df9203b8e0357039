# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: E501 (lines of logs are as long as they are)
from __future__ import annotations

import pytest
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_log import kv_cache, last_line, root_cause
from ansible_collections.gpuserve.inference.plugins.module_utils._engine_metrics import KvCache

# what follows every death of an engine core, whatever its cause
AFTER = """\
(APIServer pid=71) Traceback (most recent call last):
(APIServer pid=71)   File "/opt/gpuserve/venv/bin/vllm", line 10, in <module>
(APIServer pid=71)     sys.exit(main())
(APIServer pid=71) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}
"""
BEFORE = """\
(APIServer pid=71) INFO 11-23 11:59:58 [api_utils.py:286] non-default args: {'trust_remote_code': False, 'port': 8001}
(APIServer pid=71) WARNING 11-23 11:59:58 [system_utils.py:255] limits can cause `OSError: [Errno 24] Too many open files`
"""
CORE = "(EngineCore pid=90) ERROR 11-23 12:00:31 [core.py:1234] "


def core(*lines: str) -> str:
    """A death inside the engine core, as the journal shows it."""
    body = ["Traceback (most recent call last):", '  File "/x/core.py", line 1, in run', "    raise it", *lines]
    return BEFORE + "".join(f"{CORE}{line}\n" for line in body) + AFTER


def api(*lines: str) -> str:
    """A death of the API server itself."""
    return BEFORE + "".join(f"(APIServer pid=71) {line}\n" for line in ("Traceback (most recent call last):", *lines))


FREE = (
    "ValueError: Free memory on device cuda:0 (3.21/15.47 GiB) on startup is less than desired GPU memory utilization"
)
SEQ = (
    "ValueError: To serve at least one request with the model's max seq len (131072), (16.00 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (9.80 GiB). {}Try increasing `gpu_memory_utilization`"
)

# id, journal, kind, a part of the line, a part of the advice, permanent
CASES = [
    ("free memory", core(FREE), "gpu_memory_taken", "3.21/15.47 GiB", "vllm_gpu_memory_utilization", False),
    (
        "cache too small, estimate",
        core(SEQ.format("Based on the available memory, the estimated maximum model length is 80256. ")),
        "kv_cache_too_small", "(131072)", "set vllm_max_model_len to 80256 or less", True,
    ),
    ("cache too small", core(SEQ.format("")), "kv_cache_too_small", "9.80 GiB", "lower vllm_max_model_len", True),
    (
        "no cache at all", core("ValueError: No available memory for the cache blocks. Try increasing"),
        "kv_cache_too_small", "No available memory", "quantized", True,
    ),
    (
        "out of memory",
        core("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.47 GiB"),
        "gpu_out_of_memory", "Tried to allocate 2.00 GiB", "vllm_max_model_len", False,
    ),
    (
        "host memory",
        core("ValueError: Available memory on node 0 (1.10/23.50 GiB) on kv cache allocation is less than requested memory"),
        "host_memory", "1.10/23.50", "VLLM_CPU_KVCACHE_SPACE", True,
    ),
    (
        "port", api("    sock.bind(addr)", "OSError: [Errno 98] Address already in use"),
        "port_in_use", "Address already in use", "free the port", False,
    ),
    (
        "model path", api("huggingface_hub.errors.HFValidationError: Repo id must be in the form 'a/b': '/srv/models/nope'."),
        "model_missing", "/srv/models/nope", "vllm_model", True,
    ),
    (
        "no weights", core("RuntimeError: Cannot find any model weights with `/srv/models/m`"),
        "model_missing", "/srv/models/m", "safetensors", True,
    ),
    (
        "architecture (pydantic)",
        api("pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
            "  Value error, Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: "
            + "dict_keys([" + "'LlamaForCausalLM', " * 200 + "]) [type=value_error, input_value=ArgsKwargs(...)]"),
        "unsupported_architecture", "Model architectures ['FooForCausalLM']", "vllm_version", True,
    ),
    (
        "model type unknown to transformers",
        api("ValueError: The checkpoint you are trying to load has model type `foo` but Transformers does not recognize this architecture."),
        "unsupported_architecture", "`foo`", "vllm_version", True,
    ),
    (
        "code of the model",
        api("RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the "
            "HuggingFace transformers library, consider setting `trust_remote_code=True` in LLM"),
        "trust_remote_code", "custom model", "code of its own", True,
    ),
    (
        "driver missing", core("RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
        "driver", "no NVIDIA driver", "nvidia-smi", True,
    ),
    (
        "driver too old",
        core("RuntimeError: The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver"),
        "driver", "12040", "new enough", True,
    ),
    (
        "driver mismatch", core("pynvml.NVMLError_LibRmVersionMismatch: RM has detected an NVML/RM: Driver/library version mismatch"),
        "driver", "mismatch", "nvidia-smi", True,
    ),
    (
        "compute capability", core("torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device"),
        "gpu_architecture", "no kernel image", "compute capability", True,
    ),
    (
        "card lost", core("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered"),
        "gpu_fault", "ECC", "Xid", False,
    ),
    (
        "nccl",
        core("torch.distributed.DistBackendError: NCCL error in: /pytorch/ProcessGroupNCCL.cpp:3356, unhandled system error"),
        "nccl", "unhandled system error", "data_parallel", False,
    ),
    (
        "weights cut short",
        core("safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered"),
        "weights_corrupt", "incomplete metadata", "download the model again", True,
    ),
    (
        "cpu binding",
        core("AssertionError: Not enough allowed NUMA nodes to bind threads of 2 local CPUWorkers. Allowed NUMA nodes are [0]."),
        "cpu_binding", "2 local CPUWorkers", "VLLM_CPU_OMP_THREADS_BIND", True,
    ),
    (
        "argument", "usage: vllm [-h] [-v]\nvllm: error: unrecognized arguments: --no-such-flag 3\n",
        "unknown_argument", "--no-such-flag 3", "vllm_extra_args", True,
    ),
    (
        "argument's value", "vllm serve: error: argument --dtype: invalid choice: 'int3' (choose from auto, half)\n",
        "unknown_argument", "--dtype", "vllm_extra_args", True,
    ),
    (
        "too long",
        api("pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
            "  Value error, User-specified max_model_len (99999) is greater than the derived max_model_len (2048)."),
        "max_model_len", "(99999)", "vllm_max_model_len", True,
    ),
    (
        "heads", api("  Value error, Total number of attention heads (4) must be divisible by tensor parallel size (3)."),
        "tensor_parallel", "heads (4)", "vllm_topology", True,
    ),
    (
        "permission", api("PermissionError: [Errno 13] Permission denied: '/var/lib/gpuserve/models/m/config.json'"),
        "permission", "/var/lib/gpuserve", "service user", True,
    ),
    ("import", "ModuleNotFoundError: No module named 'torch'\n", "import_error", "'torch'", "install it again", True),
    (
        "library", api("ImportError: libcudart.so.13: cannot open shared object file: No such file or directory"),
        "missing_library", "libcudart", "package with libcudart.so.13", True,
    ),
    (
        "compiler", core("RuntimeError: Worker failed with error 'InvalidCxxCompiler: No working C++ compiler found in torch'"),
        "compiler", "No working C++ compiler", "g++", True,
    ),
    (
        "library, told in passing",
        "Failed to import from vllm._C: ImportError('libnuma.so.1: cannot open shared object file')\n"
        + core("AttributeError: '_OpNamespace' '_C' object has no attribute 'init_cpu_threads_env'"),
        "missing_library", "libnuma.so.1", "libnuma1", True,
    ),
    (
        "disk", core("OSError: [Errno 28] No space left on device: '/var/cache/gpuserve/torch_compile'"),
        "disk_full", "torch_compile", "disk space", True,
    ),
    ("gated", api("huggingface_hub.errors.GatedRepoError: 401 Client Error."), "model_access", "Gated", "token", True),
    (
        "offline", api("huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files in the disk cache"),
        "model_offline", "disk cache", "download it first", True,
    ),
    # nothing of the table: the last exception that is not a mere consequence
    ("fallback", core("KeyError: 'layers.0.weird'"), "unknown", "KeyError: 'layers.0.weird'", "", False),
    ("bare exception", core("AssertionError"), "unknown", "AssertionError", "", False),
    (
        "pydantic fallback", api("pydantic_core._pydantic_core.ValidationError: 1 validation error for CacheConfig",
                                 "  Value error, block_size must be odd [type=value_error, input_value=16]"),
        "unknown", "block_size must be odd", "", False,
    ),
    (
        "no traceback", "something odd\n\nvllm@gpu0.service: Main process exited, code=exited, status=1/FAILURE\n",
        "unknown", "something odd", "", False,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "line", "advice", "permanent"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_root_cause(text, kind, line, advice, permanent):
    cause = root_cause(text, "exit-code", 1)
    assert (cause.kind, cause.permanent) == (kind, permanent)
    assert line in cause.line
    assert advice in cause.advice
    assert "\n" not in str(cause)
    assert len(cause.line) <= 240
    assert "pid=" not in cause.line
    assert "Value error" not in cause.line


def test_every_kind_of_the_table_gives_advice():
    from ansible_collections.gpuserve.inference.plugins.module_utils._engine_causes import CAUSES

    tested = {row[2] for row in CASES}
    rare = {"shared_memory", "bad_address", "too_few_gpus", "quantization", "open_files"}
    assert {c.kind for c in CAUSES} == (tested | rare) - {"unknown"}
    assert all(c.advice for c in CAUSES)


RARE = [
    ("OSError: [Errno 28] No space left on device: '/dev/shm/psm_1'", "shared_memory"),
    ("OSError: [Errno 99] Cannot assign requested address", "bad_address"),
    ("ValueError: World size (4) is larger than the number of available GPUs (2) in this node.", "too_few_gpus"),
    ("ValueError: Unknown quantization method: foo. Must be one of ['awq']", "quantization"),
    ("OSError: [Errno 24] Too many open files", "open_files"),
]


@pytest.mark.parametrize(("line", "kind"), RARE)
def test_rare(line, kind):
    assert root_cause(core(line)).kind == kind


# what systemd knows: Result, ExecMainStatus, whether that is a signal
SYSTEMD = [
    ("oom", core(FREE), "oom-kill", 9, True, "host_out_of_memory", "ran out of memory"),
    ("sigkill", "", "signal", 9, True, "killed", "SIGKILL"),
    ("137", "", "exit-code", 137, False, "killed", "SIGKILL"),
    ("exit status 9 is no signal", "", "exit-code", 9, False, "unknown", "exit status 9"),
    ("sigill", "", "core-dump", 4, True, "illegal_instruction", "instruction"),
    ("other signal", "", "signal", 15, True, "signal", "signal 15"),
    (
        "exec", "vllm@gpu0.service: Failed to execute /opt/gpuserve/bin/vllm: No such file or directory\n",
        "exit-code", 203, False, "systemd", "/opt/gpuserve/bin/vllm",
    ),
    ("user", "", "exit-code", 217, False, "systemd", "user does not exist"),
    ("silent", "", "exit-code", 1, False, "unknown", "the journal says nothing"),
    ("the log wins over a signal", core(FREE), "signal", 9, True, "gpu_memory_taken", "3.21"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "result", "status", "killed", "kind", "line"), [r[1:] for r in SYSTEMD], ids=[r[0] for r in SYSTEMD]
)
def test_what_systemd_knows(text, result, status, killed, kind, line):
    cause = root_cause(text, result, status, killed)
    assert cause.kind == kind
    assert line in cause.line


def test_a_harmless_warning_is_no_cause():
    assert root_cause(BEFORE, "exit-code", 1).kind == "unknown"


def test_last_line_shows_how_far_a_start_has_come():
    text = (
        BEFORE + "(EngineCore pid=9) INFO 11-23 12:00:57 [weights.py:1] Loading shards: 50%\nStarted vllm@a.service.\n"
    )
    assert last_line(text) == "Loading shards: 50%"
    assert last_line("") == ""


NEW = (
    "(EngineCore pid=9) INFO 11-23 12:00:57 [kv_cache_utils.py:2327] {} KV cache size: 2,097,152 tokens, "
    "Maximum concurrency for 1,024 tokens per request: 2048.00x\n"
)
OLD = (
    "(EngineCore pid=9) INFO 07-01 10:00:00 [kv_cache_utils.py:1300] GPU KV cache size: 896,912 tokens\n"
    "(EngineCore pid=9) INFO 07-01 10:00:00 [kv_cache_utils.py:1305] Maximum concurrency for 131,072 tokens per request: 6.84x\n"
)


@pytest.mark.parametrize(
    ("text", "tokens", "concurrency"),
    [
        (NEW.format("CPU"), 2097152, 2048.0),
        (NEW.format("GPU + host"), 2097152, 2048.0),
        (OLD, 896912, 6.84),
        (OLD + NEW.format("GPU"), 2097152, 2048.0),
        ("nothing", None, None),
    ],
)
def test_kv_cache(text, tokens, concurrency):
    assert kv_cache(text) == KvCache(kv_cache_tokens=tokens, max_concurrency=concurrency)
