# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who takes part in a contest: engines and doors, what each is, and what gives its addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import doors
from engines import Applied, Engine, without

PORT = 9100
GRAPHS = "--max-cudagraph-capture-size"


@dataclass
class Stage:
    """What is running: engines and doors are shared by the contestants, and started once."""

    host: Applied
    folder: Path
    engines: dict[str, Engine] = field(default_factory=dict)
    doors: dict[str, doors.Door] = field(default_factory=dict)
    next_port: int = PORT
    asked: set[str] = field(default_factory=set)  # engines and doors, since somebody emptied it

    def port(self) -> int:
        self.next_port += 10
        return self.next_port

    def engine(
        self, name: str, cards: list[str], *words: str, uds: str = "", graphs: bool = True, **env: str
    ) -> Engine:
        """``graphs``: those of the plan; else vLLM's own."""
        self.asked.add(name)
        if name not in self.engines:
            host = self.host
            env = {
                **host.env, "CUDA_VISIBLE_DEVICES": ",".join(cards), "VLLM_API_KEY": host.key, "HF_HUB_OFFLINE": "1",
                "VLLM_CACHE_ROOT": str(self.folder / "cache" / name), "VLLM_NO_USAGE_STATS": "1", **env,
            }  # fmt: skip
            # engines that start beside each other cannot measure what is left of a card
            kv = ["--kv-cache-memory-bytes", str(host.kv_bytes)] if host.kv_bytes else []
            own = host.words if graphs else without(host.words, GRAPHS)
            self.engines[name] = Engine(name, [*own, *kv, *words], env, 0 if uds else self.port(), uds)
        return self.engines[name]

    def nginx(self, name: str, workers: str = "auto", top: str = "", **change: object) -> list[str]:
        self.asked.add(name)
        if name not in self.doors:
            port = self.port()
            site = doors.site_with(doors.SITE.read_text(encoding="utf-8"), port, **change)  # type: ignore[arg-type]
            site = top + site
            self.doors[name] = doors.nginx(name, port, self.folder, site, workers)
        return [f"http://127.0.0.1:{self.doors[name].port}"]

    def replicas(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.host.ports]

    def over_all(self, name: str, flag: str, *words: str, **env: str) -> list[str]:
        """One engine on every card, with vLLM's own CUDA graphs whatever the plan says."""
        cards = self.host.every_card
        engine = self.engine(name, [cards], flag, str(cards.count(",") + 1), *words, graphs=False, **env)
        return [f"http://127.0.0.1:{engine.port}"]


def gateway(stage: Stage) -> list[str]:
    return [f"http://127.0.0.1:{doors_port()}"]


def doors_port() -> str:
    for line in doors.SITE.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["listen"]:
            return words[1].rstrip(";").rpartition(":")[2]
    raise ValueError(f"{doors.SITE} listens nowhere")


def through_haproxy(stage: Stage) -> list[str]:
    stage.asked.add("haproxy")
    if "haproxy" not in stage.doors:
        servers = [f"127.0.0.1:{port}" for port in stage.host.ports]
        stage.doors["haproxy"] = doors.haproxy("haproxy", stage.port(), stage.folder, servers)
    return [f"http://127.0.0.1:{stage.doors['haproxy'].port}"]


def over_sockets(stage: Stage) -> list[str]:
    servers = []
    for name, cards in zip(stage.host.names, stage.host.cards):
        engine = stage.engine(f"uds-{name}", cards, uds=str(stage.folder / f"{name}.sock"))
        servers.append(f"unix:{engine.uds}")
    return stage.nginx("uds", servers=servers)


def others(name: str, *words: str, balancing: str = "", like: str = "", **env: str) -> Callable[[Stage], list[str]]:
    """Engines of their own, one a card, with further words or environment, behind the gateway.

    ``like`` names a contestant whose engines are taken.
    """

    def make(stage: Stage) -> list[str]:
        named = zip(stage.host.names, stage.host.cards)
        made = [stage.engine(f"{like or name}-{card}", cards, *words, **env) for card, cards in named]
        return stage.nginx(name, servers=[f"127.0.0.1:{engine.port}" for engine in made], balancing=balancing)

    return make


def without_p2p(stage: Stage) -> list[str]:
    """Cards without NVLink, as near as cards with it get: NCCL through the host's memory, no kernel of vLLM's own."""
    flag, more = "--tensor-parallel-size", "--disable-custom-all-reduce"
    return stage.over_all("tp-no-p2p", flag, more, NCCL_P2P_DISABLE="1", VLLM_ALLREDUCE_USE_SYMM_MEM="0")


# name: (what it is, what gives its addresses)
CONTESTANTS: dict[str, tuple[str, Callable[[Stage], list[str]]]] = {
    "gateway": ("one engine a card behind the gateway, as the playbook set it up", gateway),
    "vllm-dp": (
        "one `vllm serve --data-parallel-size` over all cards, with its own balancer",
        lambda stage: stage.over_all("vllm-dp", "--data-parallel-size"),
    ),
    "split": ("the engines behind the gateway, asked directly, as many clients each", Stage.replicas),
    "one": ("the first of these engines alone", lambda stage: stage.replicas()[:1]),
    "gateway_one": (
        "the gateway before that first engine alone: what passing through costs, against `one`",
        lambda stage: stage.nginx("gateway_one", servers=[f"127.0.0.1:{stage.host.ports[0]}"]),
    ),
    "haproxy": ("HAProxy before the same engines, round robin", through_haproxy),
    "least_conn": (
        "the gateway with gateway_balancing: least_conn",
        lambda stage: stage.nginx("least_conn", balancing="least_conn"),
    ),
    "random_two": (
        "the gateway with `random two least_conn`",
        lambda stage: stage.nginx("random_two", balancing="random two least_conn"),
    ),
    "affinity": (
        "the gateway with gateway_affinity: prompt, without its bound",
        lambda stage: stage.nginx(
            "affinity",
            top=doors.BY_PROMPT,
            balancing="hash $contest_affinity consistent",
            upstream="$contest_upstream",
        ),
    ),
    "by_header": (
        "the gateway with gateway_affinity: header, for requests that have none",
        lambda stage: stage.nginx("by_header", top=doors.BY_HEADER, upstream="$contest_upstream"),
    ),
    "uneven": (
        "the gateway with `random`, which loads the replicas unevenly",
        lambda stage: stage.nginx("uneven", balancing="random"),
    ),
    "batch_2048": (
        "engines that work on 2048 tokens a step at most behind the gateway",
        others("batch_2048", "--max-num-batched-tokens", "2048"),
    ),
    "batch_2048_least": (
        "these engines behind the gateway with gateway_balancing: least_conn",
        others("batch_2048_least", "--max-num-batched-tokens", "2048", balancing="least_conn", like="batch_2048"),
    ),
    "batch_4096": (
        "engines that work on 4096 tokens a step at most behind the gateway",
        others("batch_4096", "--max-num-batched-tokens", "4096"),
    ),
    "vllm-dp-2048": (
        "vllm-dp with 2048 tokens a step at most",
        lambda stage: stage.over_all("vllm-dp-2048", "--data-parallel-size", "--max-num-batched-tokens", "2048"),
    ),
    "worker": ("the gateway with one worker process", lambda stage: stage.nginx("worker", workers="1")),
    "workers_4": ("the gateway with four worker processes", lambda stage: stage.nginx("workers_4", workers="4")),
    "no_keepalive": (
        "the gateway without kept connections to the engines",
        lambda stage: stage.nginx("no_keepalive", settings={"proxy_set_header Connection": "close"}),
    ),
    "uds": ("engines on Unix sockets behind the gateway", over_sockets),
    "api2": (
        "engines with two API server processes each behind the gateway",
        others("api2", "--api-server-count", "2"),
    ),
    "rust": (
        "engines with vLLM's API server in Rust (experimental there) behind the gateway",
        others("rust", VLLM_USE_RUST_FRONTEND="1"),
    ),
    "mp": (
        "engines whose model runs in a process of its own, as vllm-dp has it, behind the gateway",
        others("mp", "--distributed-executor-backend", "mp"),
    ),
    "rust_mp": (
        "both of these: the API server in Rust, and the model in a process of its own",
        others("rust_mp", "--distributed-executor-backend", "mp", VLLM_USE_RUST_FRONTEND="1"),
    ),
    "graphs_512": (
        "engines with CUDA graphs of up to 512 tokens behind the gateway",
        others("graphs_512", GRAPHS, "512"),
    ),
    "graphs_1024": (
        "engines with CUDA graphs of up to 1024 tokens behind the gateway",
        others("graphs_1024", GRAPHS, "1024"),
    ),
    "graphs_2048": (
        "the same of up to 2048 tokens",
        others("graphs_2048", GRAPHS, "2048"),
    ),
    "rust_graphs": (
        "CUDA graphs of up to 1024 tokens, and the API server in Rust",
        others("rust_graphs", GRAPHS, "1024", VLLM_USE_RUST_FRONTEND="1"),
    ),
    "tp": (
        "one engine over all cards, tensor parallel",
        lambda stage: stage.over_all("tp", "--tensor-parallel-size"),
    ),
    "tp-no-p2p": ("tensor parallel with peer-to-peer traffic switched off", without_p2p),
}
