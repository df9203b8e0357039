#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks vLLM itself, on a real card, how much memory each part takes: the rows of tests/truth/memory/.

    python tests/truth/measure.py ROWS.json OUT.jsonl [--together N] [--seconds N]

Needs an NVIDIA card nobody else uses and a Python that has vLLM; weights are random (``load_format: dummy``), so a
directory with a config.json is enough. ROWS.json is a list of

    {"id": ..., "model": DIR, "tp": 1, "args": {engine arguments}, "capture": true, "speed": [1, 16], "gib": 20}

vLLM is imported once; each row runs in a process forked from there, alone on the card, and appends one JSON line with
exact bytes: what vLLM counts as weights, as peak of activations, as memory outside torch and as CUDA graphs, the blocks
it makes of the rest, and what it really takes once graphs are captured and requests have run. ``speed`` times offline
decoding at those batch sizes.

``--together N`` runs N rows side by side, which is much faster, since most of a start is compiling. Each row then
counts as used what NVML says its own process uses, and stops once the blocks are known, before any KV cache is made.

``tp`` above 1 with one card measures rank 0 alone: collectives do nothing, shapes and sizes are those of the real rank.
NCCL's and the custom all-reduce's own buffers are then missing; vLLM takes both before its first snapshot, outside the
budget, so they do not touch the figures here (compare the row llama-3.1-8b TP2 with one from two real cards).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import traceback

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # engine and worker in the forked process itself
os.environ["VLLM_NO_USAGE_STATS"] = "1"
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # counting cards must not initialise CUDA before the fork


def lonely_rank(tp: int) -> None:
    """A world of ``tp`` ranks in which only this one exists: torch's fake process group."""
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore
    from vllm.distributed import parallel_state

    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE=str(tp), MASTER_ADDR="127.0.0.1", MASTER_PORT="29599")
    os.environ.update(VLLM_DISABLE_PYNCCL="1", VLLM_ALLREDUCE_USE_SYMM_MEM="0")
    init, new = dist.init_process_group, dist.new_group
    dist.init_process_group = lambda *a, **k: init("fake", store=FakeStore(), rank=0, world_size=tp)
    dist.new_group = lambda ranks=None, *a, **k: new(ranks, backend="fake")
    coordinator = parallel_state.GroupCoordinator.__init__

    def without_queue(self, *args, **kwargs):
        kwargs["use_message_queue_broadcaster"] = False  # it would wait for readers that do not exist
        coordinator(self, *args[:4], **kwargs)

    parallel_state.GroupCoordinator.__init__ = without_queue
    parallel_state.in_the_same_node_as = lambda *a, **k: [True] * tp


class Enough(Exception):
    """All that this row asks for is known."""


def nbytes(tensors) -> int:
    seen, total = set(), 0
    for tensor in tensors:
        if tensor.is_cuda and tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            total += tensor.numel() * tensor.element_size()
    return total


def see_only_own_memory(torch) -> None:
    """The card as it would look without the other rows: all of it free but what NVML counts for this process."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    def users() -> dict[int, int]:
        return {p.pid: p.usedGpuMemory or 0 for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}

    with open("/tmp/measure.lock", "w") as lock:  # one context at a time, to know which PID NVML gives it
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = set(users())
        torch.zeros(1, device="cuda")
        new = set(users()) - before
    pid = os.getpid() if os.getpid() in new else new.pop()
    total = torch.cuda.mem_get_info()[1]

    def info(device=None):
        torch.cuda.synchronize()
        return total - users()[pid], total

    assert users()[pid] > 0, "NVML does not count memory by process here"
    torch.accelerator.get_memory_info = torch.cuda.mem_get_info = info


def watch(worker_class, out: dict, torch, turn, together: bool):
    """Notes the worker's own figures at each step of its start."""
    init, load, available = worker_class.init_device, worker_class.load_model, worker_class.determine_available_memory

    def init_device(self):
        turn()
        if together:
            see_only_own_memory(torch)
        init(self)
        s = self.init_snapshot
        out["init"] = {"free": s.free_memory, "total": s.total_memory, "torch": s.torch_memory}
        out["requested_bytes"] = self.requested_memory
        out["runner"] = type(self.model_runner).__module__
        out["before_load_allocated"] = torch.cuda.memory_allocated()

    def load_model(self, *args, **kwargs):
        before = torch.cuda.memory_allocated()
        load(self, *args, **kwargs)
        runner = self.model_runner
        model = getattr(runner, "model", None)
        model = getattr(model, "runnable", model)
        out["weights_logged_bytes"] = int(runner.model_memory_usage)
        out["load_allocated_increase"] = torch.cuda.memory_allocated() - before
        out["parameter_bytes"] = nbytes(p.data for p in model.parameters())
        out["buffer_bytes"] = nbytes(model.buffers())
        kinds: dict[str, int] = {}
        for name, p in model.named_parameters():
            word = ".".join(x for x in name.split(".") if not x.isdigit())
            kinds[word] = kinds.get(word, 0) + p.numel() * p.element_size()
        out["parameters"] = kinds
        out["allocated_after_load"] = torch.cuda.memory_allocated()

    def determine(self):
        runner = self.model_runner
        sampler = runner._dummy_sampler_run

        def dummy_sampler(*args, **kwargs):
            # the peak so far is the forward pass's; then the sampler's own is taken, and the higher one restored
            torch.cuda.synchronize()
            forward = torch.cuda.max_memory_allocated()
            out["forward_peak"] = forward - out["at_profile"]
            torch.cuda.reset_peak_memory_stats()
            result = sampler(*args, **kwargs)
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated()
            out["sampler_peak"] = peak - out["at_profile"]
            out["sampler_start"] = torch.cuda.memory_allocated() - out["at_profile"]
            if forward > peak:
                hold = torch.empty(max(forward - torch.cuda.memory_allocated(), 1), dtype=torch.uint8, device="cuda")
                del hold
            return result

        runner._dummy_sampler_run = dummy_sampler
        out["at_profile"] = torch.cuda.memory_allocated()
        kv = available(self)
        out["kv_bytes"] = int(kv)
        out["non_torch_bytes"] = int(self.non_torch_memory)
        out["activation_bytes"] = int(self.peak_activation_memory)
        out["graph_estimate_bytes"] = int(self.cudagraph_memory_estimate)
        out["allocated_after_profile"] = torch.cuda.memory_allocated()
        return kv

    def initialize_from_config(self, kv_cache_config):
        raise Enough(self.vllm_config, kv_cache_config)

    worker_class.init_device = init_device
    worker_class.load_model = load_model
    worker_class.determine_available_memory = determine
    if together:
        worker_class.initialize_from_config = initialize_from_config


def times(llm, sampling, sizes, vocab: int, prompt: int = 512, steps: int = 64) -> list[dict]:
    """Milliseconds to prefill ``size`` prompts, and of each decode step after; random prompts, so no cache hits."""
    rows = []
    for size in sizes:
        best = []
        for _try in range(3 if size <= 16 else 2):
            pair = []
            for count in (1, steps + 1):
                prompts = [
                    {"prompt_token_ids": [random.randrange(10, vocab - 10) for _ in range(prompt)]}
                    for _n in range(size)
                ]
                start = time.perf_counter()
                llm.generate(
                    prompts,
                    sampling(max_tokens=count, ignore_eos=True, temperature=0.0, detokenize=False),
                    use_tqdm=False,
                )
                pair.append(time.perf_counter() - start)
            best.append((round(pair[0] * 1000, 2), round((pair[1] - pair[0]) / steps * 1000, 3)))
        rows.append(
            {"batch": size, "prompt": prompt, "prefill_ms": [b[0] for b in best], "step_ms": [b[1] for b in best]}
        )
    return rows


def describe(out: dict, config, kv) -> None:
    cache, scheduler = config.cache_config, config.scheduler_config
    for name in (
        "block_size", "num_gpu_blocks", "kv_cache_size_tokens", "kv_cache_max_concurrency", "cache_dtype",
        "mamba_block_size", "mamba_cache_mode", "mamba_page_size_padded", "enable_prefix_caching",
        "gpu_memory_utilization",
    ):  # fmt: skip
        value = getattr(cache, name, None)
        out[name] = value if isinstance(value, (int, float, bool, type(None))) else str(value)
    out["max_model_len"], out["dtype"] = config.model_config.max_model_len, str(config.model_config.dtype)
    out["max_num_seqs"], out["max_num_batched_tokens"] = scheduler.max_num_seqs, scheduler.max_num_batched_tokens
    out["async_scheduling"] = bool(scheduler.async_scheduling)
    sizes = config.compilation_config.cudagraph_capture_sizes or []
    out["graphs"] = {
        "mode": str(config.compilation_config.cudagraph_mode),
        "count": len(sizes),
        "max": max(sizes or [0]),
    }
    out["kv_groups"] = [
        {
            "kind": type(g.kv_cache_spec).__name__,
            "layers": len(g.layer_names),
            "page": g.kv_cache_spec.page_size_bytes,
            "block_size": g.kv_cache_spec.block_size,
            "window": getattr(g.kv_cache_spec, "sliding_window", None),
        }
        for g in kv.kv_cache_groups
    ]
    out["kv_tensor_bytes"] = sum(t.size for t in kv.kv_cache_tensors)
    out["kv_num_blocks"] = kv.num_blocks


def one_row(row: dict, turn, together: bool) -> dict:
    import torch
    from vllm import LLM, SamplingParams
    from vllm.v1.worker import gpu_worker

    out: dict = {"id": row["id"], "model": os.path.basename(row["model"]), "tp": row.get("tp", 1), "args": row["args"]}
    watch(gpu_worker.Worker, out, torch, turn, together)
    args = {"load_format": "dummy", "skip_tokenizer_init": True, "max_num_seqs": 1024, "max_num_batched_tokens": 8192}
    args.update(row["args"])
    if out["tp"] > 1:
        lonely_rank(out["tp"])
        args.update(
            tensor_parallel_size=out["tp"],
            distributed_executor_backend="external_launcher",
            disable_custom_all_reduce=True,
        )
    if not row.get("capture", True):
        gpu_worker.Worker.compile_or_warm_up_model = lambda self: gpu_worker.CompilationTimes(0.0, 0.0)
    start = time.perf_counter()
    try:
        llm = LLM(model=row["model"], **args)
    except Enough as enough:
        describe(out, *enough.args)
        return {**out, "seconds": round(time.perf_counter() - start, 1)}
    except Exception as exc:
        out["error"], out["trace"] = f"{type(exc).__name__}: {exc}"[-1500:], traceback.format_exc()[-1500:]
        return {**out, "seconds": round(time.perf_counter() - start, 1)}
    out["start_seconds"] = round(time.perf_counter() - start, 1)
    worker = llm.llm_engine.model_executor.driver_worker.worker
    out["graph_bytes"] = int(getattr(worker, "cudagraph_memory", 0) or getattr(worker.model_runner, "_measured", 0))
    describe(out, llm.llm_engine.vllm_config, worker.model_runner.kv_cache_config)
    backends = {}
    for group in getattr(worker.model_runner, "attn_groups", None) or []:
        for g in group if isinstance(group, list) else [group]:
            backend = getattr(g, "backend", None)
            if backend is not None:
                backends[backend.__name__] = backends.get(backend.__name__, 0) + len(g.layer_names)
    out["backends"] = backends
    out["free_after_start"] = torch.cuda.mem_get_info()[0]
    if row.get("speed"):
        try:
            out["speed"] = times(
                llm, SamplingParams, row["speed"], llm.llm_engine.vllm_config.model_config.get_vocab_size()
            )
            out["free_after_speed"] = torch.cuda.mem_get_info()[0]
        except Exception as exc:
            out["speed_error"] = f"{type(exc).__name__}: {exc}"[-500:]
    out["seconds"] = round(time.perf_counter() - start, 1)
    return out


def note_captures() -> None:
    """capture_model returns the bytes that graphs took; keep them on the runner."""
    from vllm.v1.worker.gpu.model_runner import GPUModelRunner as Second
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner as First

    for runner in (First, Second):
        real = runner.capture_model

        def capture(self, *args, _real=real, **kwargs):
            self._measured = _real(self, *args, **kwargs)
            return self._measured

        runner.capture_model = capture


def used_mib() -> int:
    text = subprocess.run(
        ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True
    ).stdout.split()
    return int(text[0]) if text else 0


def work(row: dict, out: str, together: bool, ready: int, go: int) -> None:
    """The child's whole life: ``ready`` says that the card is wanted now, ``go`` that it may be taken."""
    log = os.open(f"{out}.{row['id']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        note_captures()
        result = one_row(row, lambda: (os.write(ready, b"r"), os.read(go, 1)), together)
    except BaseException as exc:  # the row's own words matter more than how it ended
        result = {
            "id": row["id"],
            "error": f"{type(exc).__name__}: {exc}"[-1500:],
            "trace": traceback.format_exc()[-1500:],
        }
    with open(out, "a") as stream:
        stream.write(json.dumps(result) + "\n")
    os._exit(0)


class Child:
    """One row in a process of its own: forked from this one where CUDA allows it, else a fresh Python."""

    def __init__(self, row: dict, out: str, together: bool, fork: bool) -> None:
        self.row, self.started = row, time.monotonic()
        go, self.write = os.pipe()
        self.ready, ready = os.pipe()
        if fork:
            self.pid = os.fork()
            if not self.pid:
                os.setsid()
                work(row, out, together, ready, go)
        else:
            command = [sys.executable, __file__, json.dumps(row), out, "--child", f"{ready},{go},{int(together)}"]
            self.pid = subprocess.Popen(command, pass_fds=(ready, go), start_new_session=True).pid
        os.close(go)
        os.close(ready)

    def wants(self, seconds: float) -> bool:
        return bool(select.select([self.ready], [], [], max(seconds, 0))[0])

    def go(self) -> None:
        try:
            os.write(self.write, b"g")
        except BrokenPipeError:
            pass  # it died before it asked for the card; its line says why

    def done(self) -> bool:
        return os.waitpid(self.pid, os.WNOHANG)[0] != 0

    def end(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def fork_works() -> bool:
    """A forked process can use the card as long as nothing has initialised CUDA before it was forked."""
    pid = os.fork()
    if not pid:
        try:
            import torch

            torch.zeros(1, device="cuda")
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows")
    parser.add_argument("out")
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--gib", type=float, default=125)
    parser.add_argument("--row-seconds", type=float, default=150)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        ready, go, together = map(int, options.child.split(","))
        work(json.loads(options.rows), options.out, bool(together), ready, go)
    with open(options.rows) as stream:
        rows = json.load(stream)
    begun = time.monotonic()

    def left() -> float:
        return options.seconds - (time.monotonic() - begun)

    import vllm.entrypoints.llm
    import vllm.v1.worker.gpu_worker  # noqa: F401

    fork = fork_works()
    print(
        f"vllm imported in {time.monotonic() - begun:.0f} s, {'forking' if fork else 'starting'} a process a row",
        flush=True,
    )
    finished = set()
    if os.path.exists(options.out):
        with open(options.out) as stream:
            finished = {json.loads(line)["id"] for line in stream}
    waiting = [r for r in rows if r["id"] not in finished]
    idle = used_mib()
    if options.together > 1:
        running: list[Child] = []
        while waiting or running:
            held = sum(c.row.get("gib", 20) for c in running)
            for row in list(waiting):
                if left() < 60 or len(running) >= options.together:
                    break
                if held + row.get("gib", 20) <= options.gib:
                    waiting.remove(row)
                    child = Child(row, options.out, True, fork)
                    child.go()
                    running.append(child)
                    held += row.get("gib", 20)
            for child in list(running):
                if child.done():
                    running.remove(child)
                elif left() < 5 or time.monotonic() - child.started > options.row_seconds:
                    child.end()
                    running.remove(child)
            if left() < 60 and not running:
                break
            time.sleep(0.2)
    else:
        ahead: list[Child] = []
        while waiting or ahead:
            while waiting and len(ahead) < 3 and left() > 30:
                ahead.append(Child(waiting.pop(0), options.out, False, fork))
            if not ahead or left() < 15:
                break
            child = ahead.pop(0)
            began = time.monotonic()
            if child.wants(min(options.row_seconds, left())):  # also true where it died before
                child.go()
            waited, began = time.monotonic() - began, time.monotonic()
            while not child.done():
                if time.monotonic() - began > options.row_seconds or left() < 3:
                    child.end()
                    with open(options.out, "a") as stream:
                        stream.write(json.dumps({"id": child.row["id"], "error": "out of time"}) + "\n")
                    break
                time.sleep(0.05)
            for _n in range(100):  # the driver gives memory back a moment later
                if used_mib() <= idle + 16:
                    break
                time.sleep(0.05)
            taken = time.monotonic() - began
            print(f"{time.monotonic() - begun:5.0f} {child.row['id']}  {taken:.1f} s, waited {waited:.1f}", flush=True)
        for child in ahead:
            child.end()
    print(f"{len(waiting)} rows left, {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
