# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""What the roles' variables may hold beyond their type. Each has its row in molecule/bad_input/table.py."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible_collections.gpuserve.inference.plugins.module_utils import _gateway_settings
from ansible_collections.gpuserve.inference.plugins.module_utils._preflight import parse_listen
from ansible_collections.gpuserve.inference.plugins.module_utils._settings import (
    Rule,
    Together,
    is_path,
    is_true,
    problems,
)

_FROM_FILE = ("sharegpt", "custom")
# the teardown removes directories below these names, so none of them may be shared with the system
_SYSTEM = re.compile(
    r"/(?:(?:bin|boot|dev|etc|lib\w*|proc|run|sbin|sys|tmp|var/tmp|var/run|usr(?!/local))(?:/.*)?"
    r"|usr/local(?:/[^/]*)?|var(?:/(?:lib|cache|log|opt|spool|mail|lock|backups)?)?"
    r"|root|home(?:/[^/]*)?|opt|srv|mnt|media)?/*"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME_VALUE = "NAME: VALUE with names of letters, digits and _, and values of one line"
# what the plan and the unit decide, and the setting to use instead
_DECIDED = {"CUDA_VISIBLE_DEVICES": "vllm_gpus", "VLLM_API_KEY": "gateway_api_keys"}


def number(low: float, high: float, what: str = "a whole number", also: str = "") -> Rule:
    return Rule(
        lambda value: low <= float(value) <= high or (bool(also) and float(value) == 0),
        f"{what} of {low:g} to {int(high) if high == int(high) else high}{', or ' + also if also else ''}",
    )


def text(pattern: str, allowed: str, each: bool = False) -> Rule:
    compiled = re.compile(pattern)
    return Rule(lambda value: compiled.fullmatch(str(value)) is not None, allowed, each)


def own_directory(example: str) -> Rule:
    return Rule(
        lambda value: is_path(value) and not _SYSTEM.fullmatch(value),
        f"the absolute path of a directory that nothing else uses, such as {example} (no spaces, no '..')",
    )


URL = r"https?://[A-Za-z0-9\[][^\s\"'\\<>]*"
PYTHON = r"[A-Za-z0-9_][A-Za-z0-9._+-]*|/[^\s\"'\\$%;]+"


def url(each: bool = False, empty: str = "") -> Rule:
    allowed = "an address such as https://HOST/PATH"
    return text(URL if each else f"({URL})?", allowed + (f', or "" for {empty}' if empty else ""), each)


def _workload(value: Any) -> bool:
    return isinstance(value, Mapping) or value in ("latency", "throughput", "mixed")


def _variables(value: Mapping[Any, Any]) -> bool:
    return all(
        _VARIABLE.fullmatch(str(name)) and isinstance(held, (str, int, float)) and not re.search(r"[\0\r\n]", str(held))
        for name, held in value.items()
    )


def _environment(value: Mapping[Any, Any]) -> bool:
    return _variables(value) and not {str(name) for name in value} & set(_DECIDED)


CLIENTS = Rule(
    lambda value: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", str(value)) is not None,
    "the name of a client (letters, digits or any of . _ -)",
    each=True,
    words=True,
)

# variables of the playbooks themselves, which no role has
PLAYBOOK_OPTIONS: dict[str, dict[str, Any]] = {
    "gpuserve_progress": {"type": "bool"},
    "gpuserve_serial": {"type": "raw"},
    "gpuserve_max_fail_percentage": {"type": "int"},
    "gpuserve_drain": {"type": "raw"},
    "gpuserve_drain_state": {"type": "str", "choices": ["out", "back"]},
    "gpuserve_drain_stop": {"type": "bool"},
    "gpuserve_drain_reason": {"type": "str"},
}


def _serial(value: Any) -> bool:
    steps = value if isinstance(value, list) else [value]
    return bool(steps) and all(
        not isinstance(step, bool) and re.fullmatch(r"[1-9]\d{0,5}|[1-9]\d?%|100%", str(step)) for step in steps
    )


RULES: dict[str, Rule] = {
    "gpuserve_serial": Rule(_serial, 'a number of hosts, a part such as "25%", or a list such as [1, "10%", "25%"]'),
    "gpuserve_max_fail_percentage": number(0, 100),
    "gpuserve_drain": Rule(
        lambda value: bool(value) and isinstance(value, (str, list)),
        "all, or names of instances such as gpu0 or [gpu0, gpu1]",
    ),
    "gpuserve_drain_reason": text(r"[^\0\r\n]*", "text of one line"),
    "vllm_model": text(
        r"/[^\s\"'\\$%;]*|[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+",
        "the absolute path of a model directory on the host, or organisation/name of a model on the hub",
    ),
    "vllm_model_revision": text(
        r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]*", "a commit, tag or branch of the model, such as main"
    ),
    "vllm_served_model_name": text(r"[A-Za-z0-9._/:@+-]*", "a name without spaces and quotes"),
    "vllm_workload": Rule(
        _workload,
        "one of latency, throughput, mixed, or the load in numbers "
        "({input_tokens: ..., output_tokens: ..., concurrency: ...})",
    ),
    "vllm_replicas": number(0, 1024),
    "vllm_tensor_parallel_size": number(0, 1024),
    "vllm_max_model_len": text(r"auto|[1-9]\d{0,11}", "auto, or a whole number of tokens such as 8192"),
    "vllm_gpus": Rule(
        lambda value: isinstance(value, (str, int, list)) and not isinstance(value, bool) and value not in ("", []),
        "all, or a list of indexes or UUIDs such as [0, 1]",
    ),
    "vllm_version": text(r"\d+\.\d+(\.\d+)?([A-Za-z0-9.+-]*)", "a release such as 0.32.0"),
    "vllm_gpu_memory_utilization": number(0.01, 1, "a number", "0 for the release's own default"),
    "vllm_max_num_seqs": number(1, 65536, also="0 for the release's own default"),
    "vllm_max_num_batched_tokens": number(1, 2**24, also="0 for the release's own default"),
    "vllm_max_cudagraph_capture_size": Rule(
        lambda value: value == "auto" or (re.fullmatch(r"\d{1,5}", str(value)) is not None and int(value) <= 16384),
        "auto, a whole number of tokens of 1 to 16384, or 0 for the release's own default",
    ),
    "vllm_base_port": number(1024, 65535, "a port"),
    "vllm_extra_args": text(r"[^\0\r\n]+", "one word of the command line, without line breaks,", each=True),
    "vllm_environment": Rule(
        _environment,
        f"{_NAME_VALUE}; "
        + ", ".join(f"{name} is decided by {by}" for name, by in _DECIDED.items()),
    ),
    "vllm_command": text(
        r"[^\0\r\n]+", "one word of the command line, without line breaks,", each=True
    ),
    "vllm_python": text(PYTHON, "the name or the absolute path of an interpreter, such as python3.11"),
    "vllm_index_url": url(empty="the host's own index"),
    "vllm_extra_index_urls": url(each=True),
    "vllm_find_links": text(rf"{URL}|/[^\s\"'\\]+", "an absolute path on the host, or an address,", each=True),
    "vllm_prefix": own_directory("/opt/gpuserve"),
    "vllm_cache_dir": own_directory("/opt/gpuserve/cache"),
    "vllm_models_dir": own_directory("/var/lib/gpuserve/models"),
    "vllm_hub_token": text(r"[!-~]*", "the token alone, without spaces and line breaks"),
    "vllm_hub_endpoint": url(empty="the hub itself"),
    "vllm_models_mirror": text(r"(/[^\s\"'\\$%;]+)?", "the absolute path of a directory on the host, or nothing"),
    "vllm_start_timeout": number(1, 86400, "seconds, a whole number"),
    "vllm_drain_timeout": number(0, 86400, "seconds, a whole number"),
    "vllm_shutdown_timeout": number(0, 86400, "seconds, a whole number"),
    "vllm_watch_interval": number(1, 300, "seconds"),
    "vllm_watch_answer_timeout": number(0.5, 60, "seconds"),
    "vllm_watch_out_after": number(2, 3600, "seconds"),
    "vllm_watch_restart_after": number(5, 86400, "seconds"),
    "vllm_watch_busy_after": number(5, 86400, "seconds"),
    "vllm_health_watch_interval": number(10, 86400, "seconds"),
    "vllm_bench_candidates": text(
        r"[1-9]\d{0,3}xTP[1-9]\d{0,3}", "replicas and tensor parallel size such as 2xTP1", each=True
    ),
    "vllm_bench_input_tokens": number(1, 2**24, also="0 for the preset's own"),
    "vllm_bench_output_tokens": number(1, 2**24, also="0 for the preset's own"),
    # as the module has them, which only asks once an arrangement is deployed
    "vllm_bench_concurrencies": Rule(
        lambda value: 1 <= int(value) <= 65536, "a number of requests at once from 1 to 65536", each=True
    ),
    "vllm_bench_rates": Rule(
        lambda value: 0 < float(value) <= 100000, "requests a second, a number above 0 and up to 100000", each=True
    ),
    "vllm_bench_requests": number(1, 10**7, also="0 for as many as the load needs"),
    "vllm_bench_repeats": number(1, 1000),
    "vllm_bench_dataset_path": text(r"(/[^\0\r\n]+)?", "the absolute path of a file on the host, or nothing"),
    "vllm_bench_prefixes": number(1, 10**6),
    "vllm_bench_prefix_tokens": number(1, 2**24, also="0 for three quarters of a prompt"),
    "vllm_bench_range_ratio": number(0, 0.99, "a share"),
    "vllm_bench_python": text(rf"({PYTHON})?", "the absolute path of an interpreter that has vLLM, or nothing"),
    "vllm_bench_environment": Rule(_variables, _NAME_VALUE),
    "gateway_keys_add": CLIENTS,
    "gateway_keys_rotate": CLIENTS,
    "gateway_keys_remove": CLIENTS,
    "gateway_keys_expire": CLIENTS,
    "gateway_upstreams.port": number(1, 65535, "a port"),
    "gateway_tls_names": text(r"[A-Za-z0-9*][A-Za-z0-9.*-]*|[0-9A-Fa-f:]+", "a host name or an address", each=True),
    "gateway_keys_grace": number(0, 10**9, "seconds, a whole number"),
    "gateway_rate_burst": number(0, 10**6),
    "gateway_connection_limit": number(0, 65536),
    "gateway_read_timeout": number(1, 86400, "seconds, a whole number"),
    "gateway_keepalive": number(1, 65536),
    "gateway_upstream_server_name": text(r"[A-Za-z0-9.-]*", "one host name"),
    "monitoring_listen": text(
        r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[1-9]\d{0,4}", "ADDRESS:PORT such as 127.0.0.1:9090"
    ),
    "monitoring_interval": number(1, 300, "seconds, a whole number"),
    "monitoring_retention_days": number(1, 3650),
    "monitoring_alertmanagers": text(r"[A-Za-z0-9.-]+:[1-9]\d{0,4}", "HOST:PORT such as alerts:9093", each=True),
    "monitoring_down_after": number(0, 86400, "seconds, a whole number"),
    "monitoring_kv_cache_full": number(0.01, 1, "a number"),
    "monitoring_queue": number(1, 65536),
    "monitoring_ttft_target_ms": number(1, 10**7),
    "monitoring_tpot_target_ms": number(1, 10**6),
    "monitoring_certificate_days": number(1, 3650),
    "monitoring_metrics_listen": Rule(
        lambda value: value == "" or parse_listen(str(value)) is not None, 'PORT or ADDRESS:PORT, or "" for nowhere'
    ),
    "monitoring_key": text(r"([A-Za-z0-9_-]{16,128})?", "16 to 128 letters, digits, - or _"),
    "monitoring_address": text(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])?", "a host name or an address"),
    "monitoring_hosts": text(r"[A-Za-z0-9_][A-Za-z0-9._-]*", "the name of a host of the inventory", each=True),
    "monitoring_ca": text(r"(/[^\s\"'\\]+)?", 'the absolute path of a file on the monitoring host, or ""'),
    "gpu_host_prefix": own_directory("/opt/gpuserve"),
    "gpu_host_python": text(PYTHON, "the name or the absolute path of an interpreter, such as python3.11"),
    "gpu_host_index_url": url(empty="the host's own index"),
    "gpu_host_find_links": text(rf"{URL}|/[^\s\"'\\]+", "an absolute path on the host, or an address,", each=True),
}  # fmt: skip


def _no_index(role: str) -> Together:
    names = (f"{role}_no_index", f"{role}_find_links")

    def bad(held: Mapping[str, Any]) -> bool:
        return is_true(held[names[0]]) and not held[names[1]]

    return Together(bad, f"{names[0]} is true but {names[1]} is empty; name the directories with the wheels", names)


TOGETHER = (
    _no_index("vllm"),
    _no_index("gpu_host"),
    Together(
        lambda held: held["vllm_install_method"] == "existing" and not held["vllm_command"],
        "vllm_install_method is existing but vllm_command is empty; give the words that start vllm, "
        "for example [/opt/vllm/bin/vllm]",
        ("vllm_install_method", "vllm_command"),
    ),
    Together(
        lambda held: float(held["vllm_watch_restart_after"]) <= float(held["vllm_watch_out_after"]),
        "vllm_watch_restart_after must be above vllm_watch_out_after; set one of them, or leave both out",
        ("vllm_watch_restart_after", "vllm_watch_out_after"),
    ),
    Together(
        lambda held: bool(held["monitoring_metrics_listen"] or held["monitoring_hosts"]) and not held["monitoring_key"],
        "monitoring_metrics_listen or monitoring_hosts is set but monitoring_key is empty; give all hosts one key",
        ("monitoring_metrics_listen", "monitoring_hosts", "monitoring_key"),
    ),
    Together(
        lambda held: bool(held["monitoring_hosts"]) and not is_true(held["monitoring_prometheus"]),
        "monitoring_hosts is set but monitoring_prometheus is false; leave one of them out",
        ("monitoring_hosts", "monitoring_prometheus"),
    ),
    Together(
        lambda held: held["vllm_bench_dataset"] in _FROM_FILE and not held["vllm_bench_dataset_path"],
        "vllm_bench_dataset is sharegpt or custom but vllm_bench_dataset_path is empty; give the file on the host that "
        "has the prompts",
        ("vllm_bench_dataset", "vllm_bench_dataset_path"),
    ),
    Together(
        lambda held: held["vllm_bench_dataset"] not in _FROM_FILE and bool(held["vllm_bench_dataset_path"]),
        "vllm_bench_dataset_path is only read with vllm_bench_dataset sharegpt or custom; set that, or leave the path "
        "out",
        ("vllm_bench_dataset", "vllm_bench_dataset_path"),
    ),
    Together(
        lambda held: (
            held["vllm_bench_dataset"] == "custom"
            and bool(held["vllm_bench_dataset_path"])
            and not str(held["vllm_bench_dataset_path"]).endswith(".jsonl")
        ),
        "vllm_bench_dataset is custom but vllm_bench_dataset_path does not end in .jsonl; give such a file",
        ("vllm_bench_dataset", "vllm_bench_dataset_path"),
    ),
    Together(
        lambda held: held["vllm_bench_dataset"] != "random" and float(held["vllm_bench_range_ratio"]) > 0,
        "vllm_bench_range_ratio goes with vllm_bench_dataset random alone; leave one of them out",
        ("vllm_bench_dataset", "vllm_bench_range_ratio"),
    ),
    Together(
        lambda held: held["vllm_bench_dataset"] in _FROM_FILE and int(held["vllm_bench_input_tokens"]) > 0,
        "vllm_bench_input_tokens cannot be used with prompts of a file, which have lengths of their own; leave it out",
        ("vllm_bench_dataset", "vllm_bench_input_tokens"),
    ),
)


def check(values: Mapping[str, Any], specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every reason why ``values``, what an operator set by name, cannot be used; one line each."""
    lines = problems(values, specs, RULES, TOGETHER)
    gateway = {name: spec.get("default") for name, spec in specs.items() if name.startswith("gateway_")}
    if lines or not set(gateway) & set(values):
        return lines
    # the gateway's core knows its settings better
    gateway.update({name: value for name, value in values.items() if name in gateway})
    return _gateway_settings.problems({name[len("gateway_") :]: value for name, value in gateway.items()})
