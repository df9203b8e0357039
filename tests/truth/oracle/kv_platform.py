# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let vLLM believe that it runs on a CUDA card of a given compute capability, on a machine that has none.

Only decisions in Python are wanted (which attention backend, which block size, which KV cache groups): no kernel is
ever called, so modules with compiled kernels are stood in for by empty ones.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any

# Compiled parts of the CUDA wheel, and packages its requirements bring along.
COMPILED = (
    "vllm.vllm_flash_attn",
    "vllm._C",
    "vllm._C_stable_libtorch",
    "vllm._moe_C",
    "vllm._moe_C_stable_libtorch",
    "vllm._flashmla_C",
    "vllm._flashmla_extension_C",
    "vllm.third_party.flashmla",
    "vllm.third_party.deep_gemm",
    "flashinfer",
    "flashinfer_cubin",
    "tokenspeed_mla",
    "triton",
    "deep_gemm",
    "torchvision",
)
ABSENT = (
    "vllm.third_party.triton_kernels",
    "triton_kernels",
    "tokenspeed_mla",
    "deep_gemm",
    "hpc",
    "triton",
)  # not brought by vLLM's own requirements, or of no matter


class _Meta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _Any:
    """Stands in for any kernel, class or decorator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else _Any()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Any()

    def __getitem__(self, item: Any) -> Any:
        return _Any()

    def __or__(self, other: Any) -> Any:
        return object

    __ror__ = __or__

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (object,)


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = _SPECIAL.get((self.__name__, name))
        if found is None:  # names in CamelCase are classes: they are subclassed and joined with |
            found = _Meta(name, (_Any,), {}) if name[0].isupper() and not name.isupper() else _Any()
        return found


_SPECIAL: dict[tuple[str, str], Any] = {}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if any(name == m or name.startswith(m + ".") for m in ABSENT):
            return None
        if any(name == m or name.startswith(m + ".") for m in COMPILED):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        module = _Module(spec.name)
        module.__path__ = []
        module.__file__ = "absent"
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _fa_supported(capability: int) -> Any:
    """Which FlashAttention builds the CUDA wheel carries: FA2 from 8.0, FA3 on 9.x, FA4 on 9.x to 11.x."""

    def supported(version: int, device: Any = None) -> bool:
        return {2: capability >= 80, 3: 90 <= capability < 100, 4: 90 <= capability < 120}.get(version, False)

    return supported


def _stand_in_for_ops() -> None:
    """Compiled operators say yes to every question (they are asked which formats they support) and compute nothing."""
    import torch
    import torch._ops

    real_getattr = torch._ops._OpNamespace.__getattr__

    class Op(_Any):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return True

    def getattr_or_stub(self: Any, name: str) -> Any:
        try:
            return real_getattr(self, name)
        except AttributeError:
            if name.startswith("__") or not self.name.startswith(("_C", "_moe_C", "_rocm_C", "_qutlass", "_flash")):
                raise
            return Op()

    torch._ops._OpNamespace.__getattr__ = getattr_or_stub  # type: ignore[method-assign]
    real_register = torch.library.register_fake

    def register(op: Any, *args: Any, **kwargs: Any) -> Any:
        def keep(fn: Any) -> Any:
            try:
                return real_register(op, fn, **kwargs)
            except RuntimeError:
                return fn

        return keep(args[0]) if args else keep

    torch.library.register_fake = register


def on_meta() -> Any:
    """A mode in which tensors that are asked for on "cuda" come without data."""
    from torch.overrides import TorchFunctionMode

    class OnMeta(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if str(kwargs.get("device", "")).startswith("cuda"):
                kwargs["device"] = "meta"
            args = tuple("meta" if isinstance(a, str) and a.startswith("cuda") else a for a in args)
            if getattr(func, "__name__", "") == "cuda":
                return args[0]
            del types
            return func(*args, **kwargs)

    return OnMeta()


def _quiet_module() -> Any:
    import torch

    class Quiet(torch.nn.Module):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()

    return Quiet


def _mend_transformers() -> None:
    """The Transformers at hand may be newer than a release of vLLM expects, and lacks timm for vision towers."""
    import torch
    from transformers import AutoModel
    from transformers.models.pixtral import modeling_pixtral

    _Quiet = _quiet_module()
    for gone in ("PixtralRotaryEmbedding", "apply_rotary_pos_emb", "position_ids_in_meshgrid"):
        if not hasattr(modeling_pixtral, gone):
            setattr(modeling_pixtral, gone, _Quiet)
    real = AutoModel.from_config

    def from_config(config: Any = None, **kwargs: Any) -> Any:
        if "Timm" in type(config).__name__ or "Vision" in type(config).__name__ or "Audio" in type(config).__name__:
            return torch.nn.Module()
        return real(config, **kwargs)

    AutoModel.from_config = from_config


def pretend(capability: int, memory_gib: int = 141, name: str = "NVIDIA H200") -> None:
    """Must run before anything else of vLLM is imported. ``capability``: 80, 89, 90, 100, 120."""
    import transformers.utils.import_utils as available  # settles what is there before the stand-ins are

    for question in ("is_torchvision_available", "is_torchvision_v2_available", "is_timm_available"):
        getattr(available, question)()
    sys.meta_path.insert(0, _Finder())
    _stand_in_for_ops()
    flash = "vllm.vllm_flash_attn.flash_attn_interface"
    for module in (flash, "vllm.vllm_flash_attn"):
        _SPECIAL[(module, "is_fa_version_supported")] = _fa_supported(capability)
        _SPECIAL[(module, "fa_version_unsupported_reason")] = lambda *a, **k: None
    _SPECIAL[("flashinfer", "__version__")] = "0.6.0"

    import torch
    import vllm.platforms as platforms
    import vllm.platforms.cuda as cuda
    from vllm.platforms.interface import DeviceCapability

    major, minor = divmod(capability, 10)

    class Card(cuda.CudaPlatformBase):
        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> Any:
            return DeviceCapability(major, minor)

        @classmethod
        def get_device_name(cls, device_id: int = 0) -> str:
            return name

        @classmethod
        def get_device_total_memory(cls, device_id: int = 0) -> int:
            return memory_gib * 1024**3

        @classmethod
        def is_fully_connected(cls, device_ids: Any) -> bool:
            return True

        @classmethod
        def device_count(cls) -> int:
            return 8

        @classmethod
        def is_cuda_alike(cls) -> bool:
            return True

        @classmethod
        def num_compute_units(cls, device_id: int = 0) -> int:
            return 132

    platforms._current_platform = Card()
    _mend_transformers()
    import vllm.triton_utils

    vllm.triton_utils.triton.Config = lambda *a, **k: types.SimpleNamespace(num_stages=1, num_warps=4, kwargs={})
    real_item = torch.Tensor.item
    torch.Tensor.item = lambda self: 1.0 if self.is_meta else real_item(self)  # constants of activations, not sizes
    torch.cuda.current_device = lambda: torch.device("meta")
    torch.cuda.Stream = torch.cuda.Event = _Any
    torch.cuda.current_stream = _Any
    torch.cuda.get_device_properties = lambda *a, **k: types.SimpleNamespace(
        multi_processor_count=132, shared_memory_per_block_optin=232448, total_memory=memory_gib * 1024**3, name=name
    )
