# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine needs of a card, tried step by step: run by ``vllm@probe`` under exactly the engines' unit.

Prints one JSON line: what the sandbox is, and for each step ``ok`` or what went wrong. Each step has a process of its
own, so that one that crashes or hangs does not hide the others. Then it stays until it is stopped, or ends (--once).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

STEP_SECONDS = 120


def nvml() -> str:
    import pynvml

    pynvml.nvmlInit()
    return f"{pynvml.nvmlDeviceGetCount()} cards, driver {pynvml.nvmlSystemGetDriverVersion()}"


def cuda() -> str:
    import torch

    torch.zeros(1, device="cuda")
    return torch.cuda.get_device_name(0)


def compute() -> str:
    import torch

    a = torch.ones(2048, 2048, device="cuda", dtype=torch.bfloat16)
    return f"sum {(a @ a).float().sum().item():.3g}"


def pinned() -> str:
    import torch

    host = torch.ones(64 << 20, dtype=torch.uint8).pin_memory()
    return f"{int(host.to('cuda', non_blocking=True).sum().item())} bytes"


def graphs() -> str:
    import torch

    a = torch.zeros(1024, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        a += 1
    graph.replay()
    torch.cuda.synchronize()
    return "captured and replayed"


def virtual_memory() -> str:
    import torch

    torch.cuda.memory._set_allocator_settings("expandable_segments:True")
    return f"{torch.empty(256 << 20, dtype=torch.uint8, device='cuda').numel()} bytes"


def compiled() -> str:
    import torch

    @torch.compile
    def double(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(x) * 2

    return f"{double(torch.ones(4096, device='cuda'))[0].item():.3f}"


def nccl() -> str:
    import torch
    import torch.distributed as dist

    dist.init_process_group("nccl", init_method="tcp://127.0.0.1:29517", rank=0, world_size=1)
    one = torch.ones(1024, device="cuda")
    dist.all_reduce(one)
    torch.cuda.synchronize()
    dist.destroy_process_group()
    return f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}"


def gloo() -> str:
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:29518", rank=0, world_size=1)
    dist.all_reduce(torch.ones(4))
    dist.destroy_process_group()
    return "one rank"


def _take(queue, back) -> None:
    tensor = queue.get()
    tensor += 1
    import torch

    torch.cuda.synchronize()
    back.put(float(tensor.sum().item()))


def cuda_ipc() -> str:
    """Memory of the card handed to another process, as the ranks of a replica do."""
    import torch
    import torch.multiprocessing as mp

    context = mp.get_context("spawn")
    queue, back = context.Queue(), context.Queue()
    child = context.Process(target=_take, args=(queue, back))
    child.start()
    tensor = torch.ones(1024, device="cuda")
    queue.put(tensor)
    said = back.get(timeout=STEP_SECONDS - 10)
    child.join(10)
    return f"sum {said:g}"


def pidfd() -> str:
    """A descriptor taken from another process: torch's symmetric memory shares handles that way."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, any
        os.write(write, b"r")
        time.sleep(5)
        os._exit(0)
    os.read(read, 1)
    fd = os.pidfd_open(child)
    taken = libc.syscall(438, fd, write, 0)
    error = ctypes.get_errno()
    os.kill(child, 9)
    os.waitpid(child, 0)
    if taken < 0:
        raise OSError(error, os.strerror(error))
    return "taken"


def shared_memory() -> str:
    from multiprocessing import shared_memory as shm

    block = shm.SharedMemory(create=True, size=16 << 20)
    block.buf[:4] = b"gpus"
    block.close()
    block.unlink()
    return "16 MiB"


STEPS = (
    nvml, cuda, compute, pinned, graphs, virtual_memory, compiled, nccl, gloo, cuda_ipc, pidfd, shared_memory,
)  # fmt: skip


def sandbox() -> dict[str, str]:
    with open("/proc/self/status", encoding="utf-8") as handle:
        status = dict(line.split(":", 1) for line in handle.read().splitlines() if ":" in line)
    said = {name: status.get(name, "").strip() for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
    said["nvidia devices"] = " ".join(sorted(n for n in os.listdir("/dev") if n.startswith("nvidia")))
    said["other processes"] = "visible" if os.path.exists("/proc/1") else "hidden"
    for path in ("/dev/fuse", "/dev/net/tun", "/dev/kmsg"):
        try:
            os.close(os.open(path, os.O_RDWR))
            said[path] = "can be opened"
        except OSError as exc:
            said[path] = exc.strerror
    try:
        with socket.create_connection(("192.0.2.1", 9), timeout=1):  # an address that is nobody's
            said["network"] = "reached"
    except OSError as exc:
        said["network"] = exc.strerror or "no answer: not blocked by the unit"
    for path in ("/etc/probe", "/usr/probe"):
        try:
            with open(path, "w", encoding="utf-8"):
                said[path] = "can be written"
        except OSError as exc:
            said[path] = exc.strerror
    return said


def run_step(name: str) -> dict[str, object]:
    begun = time.monotonic()
    try:
        words = [sys.executable, __file__, "--step", name]
        done = subprocess.run(words, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
        ok = done.returncode == 0
        lines = (done.stdout if ok else done.stderr).strip().splitlines()
        text = lines[-1] if lines else f"status {done.returncode}"
    except subprocess.TimeoutExpired:
        ok, text = False, f"no end after {STEP_SECONDS} s"
    return {"ok": ok, "said": text[:300], "seconds": round(time.monotonic() - begun, 1)}


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--step"]:
        print(next(step for step in STEPS if step.__name__ == words[1])())
        return
    wanted = [word for word in words if not word.startswith("--")] or [step.__name__ for step in STEPS]
    steps = {name: run_step(name) for name in wanted}
    failed = [name for name, step in steps.items() if not step["ok"]]
    print("PROBE " + json.dumps({"failed": failed, "sandbox": sandbox(), "steps": steps}), flush=True)
    if "--once" not in words:
        time.sleep(86400)


if __name__ == "__main__":
    main()
