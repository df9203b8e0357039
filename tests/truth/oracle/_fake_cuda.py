# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make vLLM believe in a CUDA card and a world of ranks, so that models can be built on the meta device.

Import before anything of vLLM. Nothing here needs a GPU: tensors have shapes and no memory.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any

import torch

GIB = 1024**3


class Stub(types.ModuleType):
    """A module that stands for a compiled one: any name in it exists and does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing if name[:1].isupper() else _nothing


COMPILED = (
    "vllm._C_stable_libtorch", "vllm._moe_C_stable_libtorch", "vllm._moe_C", "vllm._qutlass_C", "vllm._flashmla_C",
    "vllm._flashmla_extension_C", "vllm.vllm_flash_attn",
    "vllm.third_party.flashmla.flash_mla_interface", "vllm.third_party.deep_gemm",
)  # fmt: skip


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stub for each of COMPILED and anything below it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if any(name == c or name.startswith(c + ".") for c in COMPILED):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> Stub:
        return Stub(spec.name)

    def exec_module(self, module: Any) -> None:
        if module.__name__ == "vllm.vllm_flash_attn":
            module.FA2_AVAILABLE = module.FA3_AVAILABLE = True
            module.is_fa_version_supported = lambda version, *a, **k: version in (2, 3)
        if module.__name__.startswith("vllm.third_party.deep_gemm"):
            module.transform_sf_into_required_layout = lambda sf, *a, **k: sf.contiguous()
            module.get_mn_major_tma_aligned_tensor = lambda sf, *a, **k: sf.contiguous()


class OnMeta(torch.overrides.TorchFunctionMode):
    """Whatever is asked to live on a CUDA device lives on meta."""

    def __torch_function__(self, func: Any, types_: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in READS and args[0].device.type == "meta":  # there is nothing to read: any value will do
            return READS[func](args[0])
        if _is_cuda(kwargs.get("device")) or type(kwargs.get("device")) is int:
            kwargs["device"] = torch.device("meta")
        args = tuple(torch.device("meta") if _is_cuda(a) else a for a in args)
        return func(*args, **kwargs)


READS: dict[Any, Any] = {
    torch.Tensor.item: lambda t: 1.0 if t.is_floating_point() else 1,
    torch.Tensor.__bool__: lambda t: True,
    torch.Tensor.__float__: lambda t: 1.0,
    torch.Tensor.__int__: lambda t: 1,
    torch.Tensor.tolist: lambda t: torch.ones(t.shape, dtype=t.dtype, device="cpu").tolist(),
    torch.Tensor.cpu: lambda t: torch.ones(t.shape, dtype=t.dtype, device="cpu"),
}


def _is_cuda(value: Any) -> bool:
    return (isinstance(value, str) and value.startswith("cuda")) or (
        isinstance(value, torch.device) and value.type == "cuda"
    )


class _Config:
    def __init__(self, kwargs: Any, num_warps: int = 4, num_stages: int = 1, **rest: Any) -> None:
        self.kwargs, self.num_warps, self.num_stages = kwargs, num_warps, num_stages


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _marlin_repack(b: torch.Tensor, *args: Any) -> torch.Tensor:
    """gptq_marlin_repack(b, perm, k, n, bits, ...) and awq_marlin_repack(b, k, n, bits, ...): tiles of 16."""
    size_k, size_n, bits = (args[1:] if isinstance(args[0], torch.Tensor) else args)[:3]
    return torch.empty((size_k // 16, size_n * 16 // (32 // bits)), dtype=b.dtype, device=b.device)


def _same_shape(b: torch.Tensor, *args: Any) -> torch.Tensor:
    return torch.empty_like(b, memory_format=torch.contiguous_format)


OPS: dict[str, Any] = {
    "gptq_marlin_repack": _marlin_repack,
    "awq_marlin_repack": _marlin_repack,
    "machete_prepack_B": _same_shape,
    "permute_cols": _same_shape,
    "gptq_shuffle": _nothing,
    "static_scaled_fp8_quant": _nothing,
    "dynamic_scaled_fp8_quant": _nothing,
    "per_token_group_fp8_quant": _nothing,
    "per_token_group_fp8_quant_packed": _nothing,
    "dynamic_per_token_scaled_fp8_quant": _nothing,
    "cutlass_scaled_mm_supports_fp8": lambda c: c >= 89,
    "cutlass_scaled_mm_supports_block_fp8": lambda c: c >= 90,
    "cutlass_scaled_mm_supports_fp4": lambda c: c >= 100,
    "cutlass_group_gemm_supported": lambda c: 90 <= c < 110,
}


class Ops:
    """torch.ops._C with the shapes of what the CUDA build adds to it."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name in OPS:
            return _Operator(name, OPS[name])
        try:
            return getattr(self._real, name)
        except AttributeError:
            if name.startswith("__"):
                raise

        return _Operator(name)


class _Operator:
    """An operator by name, with a stand-in or none; its overloads are itself."""

    def __init__(self, name: str, stand_in: Any = None) -> None:
        self.name, self.stand_in = name, stand_in

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.stand_in is not None:
            return self.stand_in(*args, **kwargs)
        raise NotImplementedError(f"operator {self.name} has no stand-in here")


class _Nothing:
    """A stream or event that never does anything."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *a, **k: None


# torchvision's compiled part need not fit this torch: only its Python code is used.
_VISION = torch.library.Library("torchvision", "FRAGMENT")


def _define_vision_operators() -> None:
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            _VISION.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def install(capability: tuple[int, int], memory_gib: int, name: str) -> None:
    """Replace vLLM's platform by a card of the given compute capability."""
    sys.meta_path.insert(0, StubFinder())
    _define_vision_operators()
    from transformers.models.pixtral import modeling_pixtral

    if not hasattr(modeling_pixtral, "PixtralRotaryEmbedding"):  # renamed in a Transformers newer than vLLM 0.26
        rotary = modeling_pixtral.PixtralVisionRotaryEmbedding
        modeling_pixtral.PixtralRotaryEmbedding = lambda config, device=None: rotary(config)
    if not hasattr(modeling_pixtral, "position_ids_in_meshgrid"):  # only called on pictures
        modeling_pixtral.position_ids_in_meshgrid = _nothing
    import vllm.platforms as platforms
    from vllm.platforms.cuda import CudaPlatformBase
    from vllm.platforms.interface import DeviceCapability

    class FakeCuda(CudaPlatformBase):
        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> DeviceCapability:
            return DeviceCapability(*capability)

        @classmethod
        def has_device_capability(cls, wanted: Any, device_id: int = 0) -> bool:
            wanted = wanted if isinstance(wanted, tuple) else (wanted // 10, wanted % 10)
            return capability >= tuple(wanted)

        @classmethod
        def get_device_name(cls, device_id: int = 0) -> str:
            return name

        @classmethod
        def get_device_uuid(cls, device_id: int = 0) -> str:
            return "GPU-0"

        @classmethod
        def get_device_total_memory(cls, device_id: int = 0) -> int:
            return memory_gib * GIB

        @classmethod
        def device_count(cls) -> int:
            return 8

        @classmethod
        def num_compute_units(cls, device_id: int = 0) -> int:
            return 132

        @classmethod
        def is_fully_connected(cls, device_ids: list[int]) -> bool:
            return True

        @classmethod
        def get_cuda_runtime_major(cls) -> int:
            return 13

        @classmethod
        def import_kernels(cls) -> None:
            return None

    platforms._current_platform = FakeCuda()
    import vllm.triton_utils as triton_utils

    if not triton_utils.HAS_TRITON:  # kernels' tuning lists are read on import
        triton_utils.triton.Config = _Config
    import vllm._custom_ops  # noqa: F401  # looks which operators exist: let it see the real ones

    for name_space in ("_C", "_moe_C"):
        setattr(torch.ops, name_space, Ops(getattr(torch.ops, name_space)))
    torch.cuda.is_available = lambda: True
    torch.cuda.current_device = lambda: 0
    torch.cuda.device_count = lambda: 8
    torch.cuda.get_device_capability = lambda *a, **k: capability
    torch.cuda.get_device_name = lambda *a, **k: name
    torch.cuda.get_device_properties = lambda *a, **k: types.SimpleNamespace(
        name=name,
        total_memory=memory_gib * GIB,
        multi_processor_count=132,
        major=capability[0],
        minor=capability[1],
        shared_memory_per_block_optin=232448,
        L2_cache_size=50 * 2**20,
    )
    torch.cuda.Stream = _Nothing  # type: ignore[misc,assignment]
    torch.cuda.Event = _Nothing  # type: ignore[misc,assignment]
    torch.cuda.empty_cache = lambda: None
    torch.cuda.synchronize = lambda *a, **k: None
    torch.accelerator.current_device_index = lambda: 0
    torch.accelerator.empty_cache = lambda: None
    torch.accelerator.synchronize = lambda *a, **k: None


class FakeGroup:
    """A GroupCoordinator of ``size`` ranks, seen from its first one; collectives keep shapes right and do no more."""

    def __init__(self, name: str, size: int) -> None:
        self.unique_name, self.world_size = name, size
        self.rank = self.rank_in_group = self.local_rank = self.first_rank = self.device_index = 0
        self.last_rank = size - 1
        self.ranks = list(range(size))
        self.group_ranks = [self.ranks]
        self.is_first_rank, self.is_last_rank = True, size == 1
        self.cpu_group = self.device_group = types.SimpleNamespace(size=lambda: size, rank=lambda: 0)
        self.device_communicator = self.mq_broadcaster = None
        self.use_custom_op_call = False
        self.device = torch.device("meta")

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def all_gather(self, tensor: torch.Tensor, dim: int = -1) -> torch.Tensor:
        return torch.cat([tensor] * self.world_size, dim)

    def barrier(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def set_world(tp: int) -> None:
    """One process group of ``tp`` tensor parallel ranks; every other kind of parallelism is 1."""
    from vllm.distributed import parallel_state as state

    for name, size in (
        ("_WORLD", tp), ("_TP", tp), ("_PP", 1), ("_DP", 1), ("_EP", tp), ("_DCP", 1), ("_PCP", 1), ("_EPLB", tp),
        ("_INNER_DP_WORLD", 1),
    ):  # fmt: skip
        if hasattr(state, name):
            setattr(state, name, FakeGroup(name, size))
    state._PP.is_last_rank = True
