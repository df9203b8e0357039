#!/usr/bin/env python3
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults and rollouts under load on an endpoint with two replicas, each figure beside its bar.

``figures.py [FIGURE...] --url http://HOST:PORT --reach "ssh root@HOST" [--repeats 3] [--json FILE]``

kill_main kill_core kill_worker  kill -9 of one replica's process during 1,000 mixed requests, 32 at a time
reload                           15 reloads of nginx under 2,000 requests of clients that keep their connections
stream                           a stream of --minutes across a reload
roll                             both replicas rolled (--roll-command) under continuous load
stall                            SIGSTOP of one replica's engine core, under light load

Roll and stall, and what runs beside the stream, take --rate, not clients that ask again at once: on a host of few
cores these keep the replica that is left so busy that the other one hardly gets to start.

Exit status: 0 where every figure meets its bar.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent))
import load as generator
from host import Host
from load import Asked, Load, Settings, summarize

Run = dict[str, Any]
PROMPT = 1000  # more tokens than a prompt of the load has


def settings(args: argparse.Namespace, host: Host, **over: Any) -> Settings:
    return Settings(**{"url": args.url, "model": host.model, "key": host.key, "timeout": 300.0, **over})


def judged(asked: list[Asked], started_at: float) -> Run:
    """Counts that every figure has."""
    summary = summarize(asked, started_at)
    streams = summary.outcomes["stream"]
    return {
        "requests": summary.requests,
        "not_whole": summary.not_whole,
        "lost_plain": summary.lost_plain,
        "streams_lost": streams["lost"],
        "streams_broken_visibly": streams["broken_visibly"],
        "streams_wrong": streams["truncated_silently"] + streams["hung"],
        "seconds": summary.seconds,
        "requests_per_second": summary.requests_per_second,
        "longest_gap_s": summary.longest_gap_s,
        "latency_p99_s": summary.latency_s.get("p99"),
        "failures": summary.failures[:20],
    }


async def going(args: argparse.Namespace, load: Load, seconds: float) -> None:
    """Until as many requests ended as come in so many seconds at --rate."""
    await after(load, max(5, round(seconds * args.rate)))


async def after(load: Load, count: int) -> None:
    while sum(bool(one.outcome) for one in load.asked) < count:
        await asyncio.sleep(0.05)


def new(look: dict[str, Any], name: str, old: dict[str, Any]) -> bool:
    """Whether the replica is another process than it was."""
    return look["replicas"][name]["main"] not in (0, old["main"])


def serves(look: dict[str, Any], name: str) -> bool:
    return bool(look["replicas"][name]["healthy"] and not look["replicas"][name]["out"])


async def kill(args: argparse.Namespace, host: Host, victim: str, number: int) -> Run:
    name = sorted(host.replicas)[number % 2]
    replica = host.replicas[name]
    pid = replica.get(victim)
    if not pid:
        raise SystemExit(f"figures: {name} has no process {victim!r}: {json.dumps(replica)}")
    load = Load(settings(args, host, requests=args.requests, seed=number))
    task = asyncio.create_task(load.run())
    await after(load, args.requests // 4)
    in_flight = load.under_way
    killed, dead = map(float, (await host.run(f"date +%s.%N; kill -9 {pid}; date +%s.%N")).split())
    at, gone = killed - load.started_at, dead - load.started_at
    asked = await task
    run = judged(asked, load.started_at)
    broken = [one for one in asked if one.outcome == "broken_visibly"]
    elsewhere = [one for one in broken if one.end < at or not one.served_by.endswith(f":{replica['port']}")]
    # their 200 came from a server that had not noticed yet
    later = [one for one in broken if (one.began or 0.0) > gone]
    # what was sent to a dead process cannot have got a token from it: that would be a stream of another one
    beyond = [one for one in broken if one.start > gone and one.tokens]
    back = await host.wait(lambda look: new(look, name, replica) and serves(look, name), 600, killed)
    await host.all_well()
    run.update(replica=name, killed_at=round(at, 2), in_flight=in_flight, broken_elsewhere=len(elsewhere),
               broken_begun_later=len(later), broken_beyond=len(beyond))  # fmt: skip
    run["back_after_s"] = round(back - killed, 1)
    lost = run["lost_plain"] or run["streams_lost"] or run["streams_wrong"]
    run["good"] = not (lost or elsewhere or beyond or math.isnan(back))
    return run


async def reload(args: argparse.Namespace, host: Host, number: int) -> Run:
    count = 2 * args.requests
    load = Load(settings(args, host, requests=count, seed=number))
    task = asyncio.create_task(load.run())
    for turn in range(args.reloads):
        await after(load, (turn + 1) * count // (args.reloads + 2))
        await host.run("systemctl reload nginx")
    reloaded = load.now()
    run = judged(await task, load.started_at)
    run.update(reloads=args.reloads, last_reload_at=round(reloaded, 1))
    run.update(errors=run["not_whole"], good=not run["not_whole"] and reloaded < run["seconds"])
    return run


async def longest(url: str, key: str) -> int:
    """Tokens that a request of the endpoint may have."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{url}/v1/models") as answer:
        answer.raise_for_status()
        return int((await answer.json())["data"][0]["max_model_len"])


async def stream(args: argparse.Namespace, host: Host, number: int) -> Run:
    """It asks for as many tokens as there may be, since its speed is not known, and leaves after its minutes.

    Other requests run beside it, which the reloads meet too.
    """
    beside = Load(settings(args, host, requests=0, rate=args.rate, seed=number))
    others = asyncio.create_task(beside.run())
    try:
        await going(args, beside, 5)
        wanted = await longest(args.url, host.key) - PROMPT
        only = {"requests": 1, "concurrency": 1, "stream_share": 1.0, "leave_after": args.minutes * 60}
        long = Load(settings(args, host, **only, tokens=(wanted, wanted), seed=number))
        task = asyncio.create_task(long.run())
        reloads = 0
        while reloads < 2 and not (await asyncio.wait({task}, timeout=args.minutes * 20))[0]:
            await host.run("systemctl reload nginx")
            reloads += 1
        (asked,) = await task
    finally:
        beside.stop()
    run = judged([asked], long.started_at)
    run.update(others=judged(await others, beside.started_at), outcome=asked.outcome, cause=asked.cause,
               tokens=asked.tokens, minutes=round((asked.end - asked.start) / 60, 2),
               longest_wait_s=round(asked.gap, 2))  # fmt: skip
    wrong = run["others"]["not_whole"]
    run.update(reloads=reloads, others_not_whole=wrong)
    run["good"] = asked.outcome == "ok" and reloads == 2 and run["minutes"] >= args.minutes and not wrong
    return run


async def roll(args: argparse.Namespace, host: Host, number: int) -> Run:
    pids = {name: one["main"] for name, one in host.replicas.items()}
    load = Load(settings(args, host, requests=0, rate=args.rate, seed=number))
    task = asyncio.create_task(load.run())
    await going(args, load, 12)
    words = [word.replace("{number}", f"{number}-{int(time.time())}") for word in shlex.split(args.roll_command)]
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _none = await process.communicate()
    await asyncio.sleep(2)
    load.stop()
    run = judged(await task, load.started_at)
    await host.all_well()
    rolled = sum(one["main"] != pids[name] for name, one in host.replicas.items())
    run.update(rolled=rolled, status=process.returncode, output=out.decode(errors="replace")[-1500:])
    run["good"] = not run["not_whole"] and not process.returncode and rolled == len(pids)
    return run


async def stall(args: argparse.Namespace, host: Host, number: int) -> Run:
    name = sorted(host.replicas)[number % 2]
    replica = host.replicas[name]
    load = Load(settings(args, host, requests=0, rate=args.rate, tokens=(8, 32), seed=number))
    task = asyncio.create_task(load.run())
    await going(args, load, 5)
    await host.run(f"kill -STOP {replica['core']}")
    stopped = time.time()
    out = await host.wait(lambda look: look["replicas"][name]["out"], 300, stopped)
    gone = await host.wait(lambda look: replica["core"] not in look["replicas"][name]["pids"], 300, stopped)
    started = await host.wait(lambda look: new(look, name, replica), 300, stopped)
    healthy = await host.wait(lambda look: new(look, name, replica) and look["replicas"][name]["healthy"], 900, stopped)
    back = await host.wait(lambda look: new(look, name, replica) and serves(look, name), 300, stopped)
    load.stop()
    run = judged(await task, load.started_at)
    await host.all_well()
    start = healthy - started
    run.update(replica=name, out_after_s=round(out - stopped, 1), killed_after_s=round(gone - stopped, 1),
               start_s=round(start, 1), serving_after_s=round(back - stopped, 1))  # fmt: skip
    run["good"] = out - stopped <= 15 and back - stopped <= 60 + start
    return run


FIGURES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    **{
        f"kill_{victim}": (
            lambda args, host, number, victim=victim: kill(args, host, victim, number),
            "0 plain lost, streams break only there and visibly",
            ("lost_plain", "streams_lost", "streams_wrong", "streams_broken_visibly", "broken_elsewhere",
             "broken_begun_later", "back_after_s"),
        )
        for victim in ("main", "core", "worker")
    },
    "reload": (reload, "0 errors", ("errors", "latency_p99_s")),
    "stream": (stream, "whole", ("outcome", "minutes", "tokens", "longest_wait_s", "others_not_whole")),
    "roll": (roll, "0 lost", ("requests", "lost_plain", "streams_lost", "streams_broken_visibly", "longest_gap_s")),
    "stall": (stall, "out <= 15 s, serving <= 60 s + start",
              ("out_after_s", "killed_after_s", "serving_after_s", "start_s")),
}  # fmt: skip


def spread(runs: list[Run], name: str) -> str:
    values = [run.get(name) for run in runs]
    if all(isinstance(value, (int, float)) for value in values):
        ordered = sorted(values)  # type: ignore[type-var]
        middle = ordered[len(ordered) // 2]
        return f"{middle:g}" if ordered[0] == ordered[-1] else f"{middle:g} ({ordered[0]:g}..{ordered[-1]:g})"
    return ",".join(str(value) for value in values)


def table(results: dict[str, list[Run]]) -> str:
    lines = ["figure       runs  good  bar; median (least..most) of the runs"]
    for figure, runs in results.items():
        _act, bar, names = FIGURES[figure]
        good = sum(run["good"] for run in runs)
        lines.append(f"{figure:12} {len(runs):4} {good:5}  {bar}")
        lines.append(" " * 25 + "  ".join(f"{name} {spread(runs, name)}" for name in names))
    return "\n".join(lines)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", nargs="*", help="default: all, without roll where --roll-command is not given")
    parser.add_argument("--url", required=True)
    parser.add_argument("--reach", required=True, help="words before a command on the host, such as 'ssh root@gpu1'")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second in roll, stall and beside stream")
    parser.add_argument("--reloads", type=int, default=15)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the stream")
    parser.add_argument("--roll-command", default="", help="rolls both replicas; {number} is another one each time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(words)
    args.figure = args.figure or [name for name in FIGURES if name != "roll" or args.roll_command]
    unknown = [name for name in args.figure if name not in FIGURES]
    if unknown:
        parser.error(f"there is no figure {unknown[0]!r}; give any of {', '.join(FIGURES)}")
    if "roll" in args.figure and not args.roll_command:
        parser.error("roll needs --roll-command, the command that rolls both replicas")
    args.url = generator.settings_of(generator.arguments([args.url, "--model", "m"])).url
    return args


async def measure(args: argparse.Namespace) -> dict[str, list[Run]]:
    results: dict[str, list[Run]] = {}
    async with Host(shlex.split(args.reach)) as host:
        for figure in args.figure:
            for number in range(args.repeats):
                # five starts in an hour are the limit of a unit that keeps failing; these failures are made
                await host.run("systemctl reset-failed 'vllm@*'")
                await host.all_well()
                run = await FIGURES[figure][0](args, host, number)
                results.setdefault(figure, []).append(run)
                shown = {name: value for name, value in run.items() if not isinstance(value, (dict, list, str))}
                print(f"{figure} {number + 1}/{args.repeats}: {json.dumps(shown)}", flush=True)
                for failure in run["failures"][:5]:
                    print(f"    {failure['kind']} {failure['outcome']}: {failure['cause']}", flush=True)
                if args.json:  # what is measured is kept, whatever happens to the rest
                    args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def main() -> int:
    results = asyncio.run(measure(arguments()))
    print(table(results))
    return 0 if all(run["good"] for runs in results.values() for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
