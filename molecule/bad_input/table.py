# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What operators write and cannot mean. Each row: the settings, and what the one line about them must say.

SETTINGS  can be refused without asking the host; a unit test goes through them as well, and asks that every variable
          of every role has a row
HOST      need a look at the host, so they run through playbooks that plan
PREPARED  need a host that was broken first (before, after), one at a time
PLAYBOOKS which rows each playbook is tried with; what another needs is given beside them
"""

from __future__ import annotations

from typing import Any

Row = tuple[dict[str, Any], str]

TRUE_OR_FALSE = "give true or false"
NUMBER = r"give a whole number"
SECONDS = r"give seconds, a whole number of 1 to 86400"
OWN = r"give the absolute path of a directory that nothing else uses"
LIST = r"give a list"

SETTINGS: list[Row] = [
    # --- the model
    ({"vllm_model": ""}, r'vllm_model is ""; give the absolute path of a model directory on the host, or organisation'),
    ({"vllm_model": "models/tiny/x"}, r'vllm_model is "models/tiny/x"; give the absolute path'),
    ({"vllm_model": ["/srv/models/tiny-llama"]}, r'vllm_model is \["/srv/models/tiny-llama"\]; give the absolute path'),
    ({"vllm_model": None}, r"vllm_model has no value; give the absolute path"),
    ({"vllm_model": "{{ no_such_variable }}"}, r"vllm_model cannot be worked out: 'no_such_variable' is undefined"),
    ({"vllm_model_revision": ""}, r'vllm_model_revision is ""; give a commit, tag or branch'),
    ({"vllm_model_revision": "../main"}, r'vllm_model_revision is "../main"; give a commit, tag or branch'),
    ({"vllm_served_model_name": "my model"}, r'vllm_served_model_name is "my model"; give a name without spaces'),
    ({"vllm_served_model_name": True}, r"vllm_served_model_name is true; give a name"),
    ({"vllm_hub_token": "hf_secret word"}, r"vllm_hub_token cannot be used; give the token alone"),
    ({"vllm_hub_token": ["hf_secret"]}, r"vllm_hub_token cannot be used; give the token alone"),
    ({"vllm_models_mirror": "mirror"}, r'vllm_models_mirror is "mirror"; give the absolute path of a directory'),
    ({"vllm_hub_endpoint": "hub"}, r'vllm_hub_endpoint is "hub"; give an address such as https://HOST/PATH'),
    ({"vllm_model_verify": "sometimes"}, r'vllm_model_verify is "sometimes"; give one of quick, full, none'),
    ({"vllm_allow_pickle": "perhaps"}, rf'vllm_allow_pickle is "perhaps"; {TRUE_OR_FALSE}'),
    ({"vllm_allow_unknown_architecture": 2}, rf"vllm_allow_unknown_architecture is 2; {TRUE_OR_FALSE}"),
    # --- the plan
    ({"vllm_workload": "quick"}, r'vllm_workload is "quick"; give one of latency, throughput, mixed, or the load'),
    ({"vllm_workload": ["latency"]}, r'vllm_workload is \["latency"\]; give one of latency, throughput, mixed'),
    ({"vllm_topology": "fast"}, r'vllm_topology is "fast"; give one of auto, data_parallel, tensor_parallel, hybrid'),
    ({"vllm_bench_preset": "chatty"}, r'vllm_bench_preset is "chatty"; give one of'),
    ({"vllm_bench_candidates": ["two"]}, r'vllm_bench_candidates holds "two"; give replicas and tensor parallel size'),
    ({"vllm_bench_input_tokens": -1}, r"vllm_bench_input_tokens is -1; give a whole number"),
    ({"vllm_bench_output_tokens": "many"}, r'vllm_bench_output_tokens is "many"; give a whole number'),
    ({"vllm_bench_concurrencies": [0]}, r"vllm_bench_concurrencies holds 0; give a number of requests at once"),
    ({"vllm_bench_concurrencies": [70000]}, r"vllm_bench_concurrencies holds 70000; give a number .* to 65536"),
    ({"vllm_bench_rates": [200000]}, r"vllm_bench_rates holds 200000; give requests a second, .* up to 100000"),
    ({"vllm_bench_rates": ["fast"]}, r'vllm_bench_rates holds "fast"; give'),
    ({"vllm_bench_rates": [-2]}, r"vllm_bench_rates holds -2; give requests a second"),
    ({"vllm_bench_requests": -1}, r"vllm_bench_requests is -1; give a whole number"),
    ({"vllm_bench_repeats": 0}, r"vllm_bench_repeats is 0; give a whole number of 1 to 1000"),
    ({"vllm_bench_dataset": "shakespeare"}, r'vllm_bench_dataset is "shakespeare"; give one of random, prefix_rep'),
    ({"vllm_bench_dataset": "custom"}, r"vllm_bench_dataset is .* but vllm_bench_dataset_path .*; give"),
    ({"vllm_bench_dataset_path": "asked.jsonl"}, r'vllm_bench_dataset_path is "asked.jsonl"; give the absolute path'),
    ({"vllm_bench_dataset_path": "/srv/asked.jsonl"}, r"_dataset_path is only read with .*; set that, or leave"),
    (
        {"vllm_bench_dataset": "custom", "vllm_bench_dataset_path": "/srv/asked.json"},
        r"vllm_bench_dataset_path does not end in \.jsonl; give such a file",
    ),
    (
        {"vllm_bench_dataset": "sharegpt", "vllm_bench_dataset_path": "/srv/a.json", "vllm_bench_input_tokens": 9},
        r"vllm_bench_input_tokens cannot be used with prompts of a file, .*; leave it out",
    ),
    ({"vllm_bench_prefixes": 0}, r"vllm_bench_prefixes is 0; give a whole number of 1 to 1000000"),
    ({"vllm_bench_prefix_tokens": -1}, r"vllm_bench_prefix_tokens is -1; give a whole number"),
    ({"vllm_bench_range_ratio": 1.5}, r"vllm_bench_range_ratio is 1\.5; give a share of 0 to 0\.99"),
    (
        {"vllm_bench_dataset": "prefix_repetition", "vllm_bench_range_ratio": 0.2},
        r"vllm_bench_range_ratio goes with vllm_bench_dataset random alone; leave one of them out",
    ),
    ({"vllm_bench_python": "my python"}, r'vllm_bench_python is "my python"; give the absolute path'),
    ({"vllm_bench_environment": {"A B": "1"}}, r"vllm_bench_environment.*give NAME: VALUE"),
    ({"vllm_replicas": -1}, r"vllm_replicas is -1; give a whole number of 0 to 1024"),
    ({"vllm_replicas": "two"}, r'vllm_replicas is "two"; give a whole number of 0 to 1024'),
    ({"vllm_replicas": 1.5}, r"vllm_replicas is 1.5; give a whole number of 0 to 1024"),
    ({"vllm_replicas": True}, r"vllm_replicas is true; give a whole number of 0 to 1024"),
    ({"vllm_tensor_parallel_size": "all"}, r'vllm_tensor_parallel_size is "all"; give a whole number of 0 to 1024'),
    ({"vllm_tensor_parallel_size": -2}, r"vllm_tensor_parallel_size is -2; give a whole number of 0 to 1024"),
    ({"vllm_single_endpoint": "maybe"}, rf'vllm_single_endpoint is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_max_model_len": "long"}, r'vllm_max_model_len is "long"; give auto, or a whole number of tokens'),
    ({"vllm_max_model_len": -1}, r"vllm_max_model_len is -1; give auto, or a whole number of tokens"),
    ({"vllm_max_model_len": 0}, r"vllm_max_model_len is 0; give auto, or a whole number of tokens"),
    ({"vllm_gpus": []}, r"vllm_gpus is \[\]; give all, or a list of indexes or UUIDs"),
    ({"vllm_gpus": {"0": 1}}, r'vllm_gpus is \{"0": 1\}; give all, or a list of indexes or UUIDs'),
    ({"vllm_device": "gpu"}, r'vllm_device is "gpu"; give one of auto, cuda, cpu'),
    ({"vllm_trust_remote_code": "maybe"}, rf'vllm_trust_remote_code is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_rehearsal": "maybe"}, rf'vllm_rehearsal is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_gpu_memory_utilization": 1.5}, r"vllm_gpu_memory_utilization is 1.5; give a number of 0.01 to 1, or 0"),
    ({"vllm_gpu_memory_utilization": -0.1}, r"vllm_gpu_memory_utilization is -0.1; give a number of 0.01 to 1, or 0"),
    ({"vllm_gpu_memory_utilization": "90%"}, r'vllm_gpu_memory_utilization is "90%"; give a number of 0.01 to 1, or 0'),
    ({"vllm_max_num_seqs": -1}, r"vllm_max_num_seqs is -1; give a whole number of 1 to 65536, or 0"),
    ({"vllm_max_num_seqs": "many"}, r'vllm_max_num_seqs is "many"; give a whole number of 1 to 65536, or 0'),
    ({"vllm_max_num_batched_tokens": "8k"}, r'vllm_max_num_batched_tokens is "8k"; give a whole number'),
    ({"vllm_max_cudagraph_capture_size": "big"}, r'vllm_max_cudagraph_capture_size is "big"; give auto, a whole'),
    ({"vllm_max_cudagraph_capture_size": 20000}, r"vllm_max_cudagraph_capture_size is 20000; give auto, a whole"),
    ({"vllm_max_num_batched_tokens": -5}, r"vllm_max_num_batched_tokens is -5; give a whole number"),
    ({"vllm_kv_cache_dtype": "int4"}, r'vllm_kv_cache_dtype is "int4"; give one of auto, bfloat16'),
    ({"vllm_kv_cache_sizing": "all"}, r'vllm_kv_cache_sizing is "all"; give one of utilization, pinned'),
    ({"vllm_enforce_eager": "maybe"}, rf'vllm_enforce_eager is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_base_port": 70000}, r"vllm_base_port is 70000; give a port of 1024 to 65535"),
    ({"vllm_base_port": 80}, r"vllm_base_port is 80; give a port of 1024 to 65535"),
    ({"vllm_base_port": "http"}, r'vllm_base_port is "http"; give a port of 1024 to 65535'),
    # --- the engine
    ({"vllm_version": "latest"}, r'vllm_version is "latest"; give a release such as 0.32.0'),
    ({"vllm_version": None}, r"vllm_version has no value; give a release such as 0.32.0, or remove the line"),
    ({"vllm_extra_args": "--max-num-seqs 4"}, rf'vllm_extra_args is "--max-num-seqs 4"; {LIST}, and one word'),
    ({"vllm_extra_args": ["--seed\n4"]}, r'vllm_extra_args holds "--seed\\n4"; give one word of the command line'),
    ({"vllm_extra_args": [["--seed", "4"]]}, r'vllm_extra_args holds \["--seed", "4"\]; give one word'),
    ({"vllm_environment": "VERBOSE=1"}, r'vllm_environment is "VERBOSE=1"; give NAME: VALUE'),
    ({"vllm_environment": ["VERBOSE"]}, r'vllm_environment is \["VERBOSE"\]; give NAME: VALUE'),
    ({"vllm_environment": {"1ST": "x"}}, r'vllm_environment is \{"1ST": "x"\}; give NAME: VALUE with names of letters'),
    ({"vllm_environment": {"A": "x\ny"}}, r"vllm_environment is .*; give NAME: VALUE .*values of one line"),
    ({"vllm_environment": {"A": {"b": 1}}}, r"vllm_environment is .*; give NAME: VALUE"),
    ({"vllm_environment": {"CUDA_VISIBLE_DEVICES": "0"}}, r"CUDA_VISIBLE_DEVICES is decided by vllm_gpus"),
    ({"vllm_install_method": "pip"}, r'vllm_install_method is "pip"; give one of uv, existing'),
    ({"vllm_install_method": "existing"}, r"vllm_install_method is existing but vllm_command is empty"),
    ({"vllm_command": "vllm"}, rf'vllm_command is "vllm"; {LIST}'),
    ({"vllm_lock_file": ["x.txt"]}, r'vllm_lock_file is \["x.txt"\]; give text'),
    ({"vllm_python": ""}, r'vllm_python is ""; give the name or the absolute path of an interpreter'),
    ({"vllm_python": "python3 -m x"}, r'vllm_python is "python3 -m x"; give the name or the absolute path'),
    ({"vllm_index_url": "pypi"}, r'vllm_index_url is "pypi"; give an address such as https://HOST/PATH'),
    ({"vllm_index_url": "ftp://wheels/simple"}, r'vllm_index_url is "ftp://wheels/simple"; give an address'),
    ({"vllm_extra_index_urls": ["nope"]}, r'vllm_extra_index_urls holds "nope"; give an address'),
    ({"vllm_extra_index_urls": "https://a.example/simple"}, rf"vllm_extra_index_urls is .*; {LIST}"),
    ({"vllm_find_links": ["wheels"]}, r'vllm_find_links holds "wheels"; give an absolute path on the host'),
    ({"vllm_find_links": "/srv/wheels"}, rf'vllm_find_links is "/srv/wheels"; {LIST}'),
    ({"vllm_no_index": True}, r"vllm_no_index is true but vllm_find_links is empty; name the directories"),
    ({"vllm_no_index": "maybe"}, rf'vllm_no_index is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_start_timeout": 0}, rf"vllm_start_timeout is 0; {SECONDS}"),
    ({"vllm_start_timeout": "long"}, rf'vllm_start_timeout is "long"; {SECONDS}'),
    ({"vllm_shutdown_timeout": -1}, r"vllm_shutdown_timeout is -1; give seconds, a whole number of 0 to 86400"),
    # --- watch and health
    ({"vllm_watch": "maybe"}, rf'vllm_watch is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_watch_interval": 0}, r"vllm_watch_interval is 0; give seconds of 1 to 300"),
    ({"vllm_watch_answer_timeout": "soon"}, r'vllm_watch_answer_timeout is "soon"; give seconds of 0.5 to 60'),
    ({"vllm_watch_out_after": -8}, r"vllm_watch_out_after is -8; give seconds of 2 to 3600"),
    ({"vllm_watch_restart_after": "30s"}, r'vllm_watch_restart_after is "30s"; give seconds of 5 to 86400'),
    ({"vllm_watch_busy_after": 0}, r"vllm_watch_busy_after is 0; give seconds of 5 to 86400"),
    ({"vllm_watch_out_after": 40}, r"vllm_watch_restart_after must be above vllm_watch_out_after; set"),
    ({"vllm_health_watch": 2}, rf"vllm_health_watch is 2; {TRUE_OR_FALSE}"),
    ({"vllm_health_watch_interval": 0}, r"vllm_health_watch_interval is 0; give seconds of 10 to 86400"),
    # --- restarts
    ({"vllm_restart": "fast"}, r'vllm_restart is "fast"; give one of rolling, at_once'),
    ({"vllm_force_restart": "maybe"}, rf'vllm_force_restart is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_drain_timeout": -1}, r"vllm_drain_timeout is -1; give seconds, a whole number of 0 to 86400"),
    ({"vllm_drain_force": "maybe"}, rf'vllm_drain_force is "maybe"; {TRUE_OR_FALSE}'),
    ({"vllm_prune": "old"}, rf'vllm_prune is "old"; {TRUE_OR_FALSE}'),
    # --- places: the teardown removes what lies below them
    ({"vllm_prefix": "opt/gpuserve"}, rf'vllm_prefix is "opt/gpuserve"; {OWN}'),
    ({"vllm_prefix": "/"}, rf'vllm_prefix is "/"; {OWN}'),
    ({"vllm_prefix": "/usr"}, rf'vllm_prefix is "/usr"; {OWN}'),
    ({"vllm_prefix": "/usr/local"}, rf'vllm_prefix is "/usr/local"; {OWN}'),
    ({"vllm_prefix": "/opt"}, rf'vllm_prefix is "/opt"; {OWN}'),
    ({"vllm_prefix": "/opt/../usr"}, rf'vllm_prefix is "/opt/../usr"; {OWN}'),
    ({"vllm_prefix": "/opt/gpu serve"}, rf'vllm_prefix is "/opt/gpu serve"; {OWN}'),
    ({"vllm_prefix": ""}, rf'vllm_prefix is ""; {OWN}'),
    ({"vllm_cache_dir": "/var/cache"}, rf'vllm_cache_dir is "/var/cache"; {OWN}'),
    ({"vllm_models_dir": "/home"}, rf'vllm_models_dir is "/home"; {OWN}'),
    ({"vllm_models_dir": "models"}, rf'vllm_models_dir is "models"; {OWN}'),
    ({"vllm_remove_models": "everything"}, rf'vllm_remove_models is "everything"; {TRUE_OR_FALSE}'),
    ({"vllm_plan_report_dir": ["plans"]}, r'vllm_plan_report_dir is \["plans"\]; give text'),
    ({"vllm_bench_report_dir": ["figures"]}, r'vllm_bench_report_dir is \["figures"\]; give text'),
    # --- the gateway
    ({"gateway_enabled": "maybe"}, rf'gateway_enabled is "maybe"; {TRUE_OR_FALSE}'),
    ({"gateway_listen": "http"}, r'gateway_listen "http" is not PORT or ADDRESS:PORT; give for example 8000'),
    ({"gateway_listen": 0}, r'gateway_listen "0" is not PORT or ADDRESS:PORT'),
    ({"gateway_listen": "127.0.0.1:99999"}, r'gateway_listen "127.0.0.1:99999" is not PORT or ADDRESS:PORT'),
    ({"gateway_server_name": "a; root /"}, r"gateway_server_name 'a; root /' cannot be used; give one host name"),
    ({"gateway_server_name": ["a.example"]}, r'gateway_server_name is \["a.example"\]; give text'),
    ({"gateway_upstreams": "a:80"}, rf'gateway_upstreams is "a:80"; {LIST}'),
    ({"gateway_upstreams": ["a:80"]}, r'gateway_upstreams holds "a:80"; give a dictionary'),
    ({"gateway_upstreams": [{"host": "a"}]}, r'gateway_upstreams holds \{"host": "a"\} without port; give a port of'),
    ({"gateway_upstreams": [{"port": 99999}]}, r"gateway_upstreams.port is 99999; give a port of 1 to 65535"),
    ({"gateway_upstreams": [{"port": 80, "host": "a;b"}]}, r"gateway_upstreams: .*a;b"),
    ({"gateway_upstreams": [{"port": 80, "wait": 3}]}, r'gateway_upstreams holds .* with "wait"; give .*only'),
    ({"gateway_upstream_key": "a-key-of-others"}, r"gateway_upstream_key is for gateway_upstreams, which is empty"),
    ({"gateway_upstream_tls": "maybe"}, rf'gateway_upstream_tls is "maybe"; {TRUE_OR_FALSE}'),
    ({"gateway_upstream_tls": True}, r"gateway_upstream_tls is for gateway_upstreams, which is empty; name the other"),
    ({"gateway_upstream_ca": "ca.pem", "gateway_upstreams": [{"port": 1}]}, r"gateway_upstream_ca 'ca.pem' cannot be"),
    ({"gateway_upstream_server_name": "a b"}, r'gateway_upstream_server_name is "a b"; give one host name'),
    ({"gateway_balancing": "random"}, r'gateway_balancing is "random"; give one of round_robin, least_conn'),
    ({"gateway_affinity": "cookie"}, r'gateway_affinity is "cookie"; give one of none, header, client, prompt'),
    ({"gateway_affinity_header": "X Session"}, r"gateway_affinity_header 'X Session' cannot be used; give the name of"),
    ({"gateway_affinity_header": "Authorization"}, r"gateway_affinity_header 'Authorization' cannot be used"),
    ({"gateway_affinity_prompt_bytes": 0}, r"gateway_affinity_prompt_bytes '?0'? cannot be used; give a whole number"),
    ({"gateway_affinity_prompt_bytes": 9000}, r"gateway_affinity_prompt_bytes '?9000'? cannot be used"),
    (
        {"gateway_affinity_prompt_min_bytes": "4k"},
        r'gateway_affinity_prompt_min_bytes is "4k"; give a whole number',
    ),
    ({"gateway_affinity_bound": -1}, r"gateway_affinity_bound '?-1'? cannot be used; give a whole number of 0 to"),
    ({"gateway_api_keys": "short"}, r"gateway_api_keys"),
    ({"gateway_api_keys": ["good-enough", 'a"b']}, r"key 2 of gateway_api_keys cannot be used; give 8"),
    ({"gateway_api_keys": {"team-a": "short"}}, r"gateway_api_keys cannot be used; give 8"),
    ({"gateway_api_keys": {"team a": "good-enough"}}, r"gateway_api_keys"),
    ({"gateway_api_keys": ["good-enough"], "gateway_open": True}, r"gateway_api_keys are given and gateway_open is"),
    ({"gateway_open": "maybe"}, rf'gateway_open is "maybe"; {TRUE_OR_FALSE}'),
    ({"gateway_keys_grace": "1h"}, r'gateway_keys_grace is "1h"; give seconds'),
    ({"gateway_keys_add": ["team a"]}, r'gateway_keys_add holds "team a"; give the name of a client'),
    ({"gateway_keys_rotate": "default,"}, r'gateway_keys_rotate holds ""; give the name of a client'),
    ({"gateway_keys_remove": {"default": 1}}, r'gateway_keys_remove is \{"default": 1\}; give a list'),
    ({"gateway_keys_expire": 3}, r"gateway_keys_expire is 3; give a list"),
    ({"gateway_extra_paths": ["v1/score"]}, r"gateway_extra_paths 'v1/score' cannot be used; give a path such as"),
    ({"gateway_extra_paths": ["/v1/*"]}, r"gateway_extra_paths '/v1/\*' cannot be used; give a path .* no pattern"),
    ({"gateway_extra_paths": ["/v1/../x"]}, r"gateway_extra_paths '/v1/../x' cannot be used; give a path"),
    ({"gateway_extra_paths": "/v1/score"}, rf'gateway_extra_paths is "/v1/score"; {LIST}'),
    ({"gateway_tls": "yes please"}, r'gateway_tls is "yes please"; give one of none, self_signed, files'),
    ({"gateway_tls": "files", "gateway_tls_key": "/etc/ssl/a.key"}, r"gateway_tls is files, so gateway_tls_cert"),
    ({"gateway_tls_certificate": "/etc/ssl/a.pem"}, r"gateway_tls_certificate .* is given, but gateway_tls is not"),
    ({"gateway_tls_key": "/etc/ssl/a.key"}, r"gateway_tls_key is given, but gateway_tls is not files; set it"),
    ({"gateway_tls_copy": "maybe"}, rf'gateway_tls_copy is "maybe"; {TRUE_OR_FALSE}'),
    ({"gateway_tls_names": ["a;b"]}, r'gateway_tls_names holds "a;b"; give a host name or an address'),
    ({"gateway_tls_hsts": "1y"}, r'gateway_tls_hsts is "1y"; give'),
    ({"gateway_status_listen": "metrics"}, r"gateway_status_listen 'metrics' cannot be used; give PORT or ADDRESS"),
    ({"gateway_status_listen": "{{ gateway_listen }}"}, r"gateway_status_listen .* give another port than"),
    ({"gateway_status_networks": ["10.1.0.0/99"]}, r"gateway_status_networks '10.1.0.0/99' cannot be used; give addr"),
    ({"gateway_rate_limit": "fast"}, r"gateway_rate_limit 'fast' cannot be used; give for example 10r/s"),
    ({"gateway_rate_burst": -1}, r"gateway_rate_burst is -1; give a whole number"),
    ({"gateway_connection_limit": "some"}, r'gateway_connection_limit is "some"; give a whole number'),
    ({"gateway_client_max_body_size": "64 MB"}, r"gateway_client_max_body_size '64 MB' cannot be used; give a size"),
    ({"gateway_client_max_body_size": -1}, r"gateway_client_max_body_size '?-1'? cannot be used; give a size"),
    ({"gateway_client_keepalive": "sometimes"}, r'gateway_client_keepalive is "sometimes"; give one of auto, on, off'),
    ({"gateway_read_timeout": 0}, rf"gateway_read_timeout is 0; {SECONDS}"),
    ({"gateway_read_timeout": "long"}, rf'gateway_read_timeout is "long"; {SECONDS}'),
    ({"gateway_keepalive": 0}, r"gateway_keepalive is 0; give a whole number of 1 to 65536"),
    ({"gateway_replica_header": "maybe"}, rf'gateway_replica_header is "maybe"; {TRUE_OR_FALSE}'),
    ({"gateway_enabled": False, "gateway_api_keys": ["good-enough"]}, r"gateway_api_keys are given, but gateway"),
    # --- monitoring
    ({"monitoring_prometheus": "perhaps"}, rf'monitoring_prometheus is "perhaps"; {TRUE_OR_FALSE}'),
    ({"monitoring_listen": "9090"}, r'monitoring_listen is "?9090"?; give ADDRESS:PORT such as 127.0.0.1:9090'),
    ({"monitoring_interval": 0}, r"monitoring_interval is 0; give seconds, a whole number of 1 to 300"),
    ({"monitoring_retention_days": 0}, rf"monitoring_retention_days is 0; {NUMBER}"),
    ({"monitoring_alertmanagers": ["alerts"]}, r'monitoring_alertmanagers holds "alerts"; give HOST:PORT'),
    ({"monitoring_down_after": -1}, r"monitoring_down_after is -1; give seconds"),
    ({"monitoring_kv_cache_full": 95}, r"monitoring_kv_cache_full is 95; give a number of 0.01 to 1"),
    ({"monitoring_queue": 0}, rf"monitoring_queue is 0; {NUMBER}"),
    ({"monitoring_ttft_target_ms": 0}, rf"monitoring_ttft_target_ms is 0; {NUMBER}"),
    ({"monitoring_tpot_target_ms": "fast"}, rf'monitoring_tpot_target_ms is "fast"; {NUMBER}'),
    ({"monitoring_certificate_days": 0}, rf"monitoring_certificate_days is 0; {NUMBER}"),
    ({"monitoring_grafana": "perhaps"}, rf'monitoring_grafana is "perhaps"; {TRUE_OR_FALSE}'),
    ({"monitoring_metrics_listen": "metrics"}, r'monitoring_metrics_listen is "metrics"; give PORT or ADDRESS:PORT'),
    ({"monitoring_metrics_listen": 8091}, r"monitoring_hosts is set but monitoring_key is empty; give all"),
    ({"monitoring_key": "short-one"}, r"monitoring_key cannot be used; give 16 to 128 letters, digits, - or _"),
    ({"monitoring_address": "a b"}, r'monitoring_address is "a b"; give a host name or an address'),
    ({"monitoring_hosts": ["gpu 1"]}, r'monitoring_hosts holds "gpu 1"; give the name of a host of the inventory'),
    ({"monitoring_ca": "ca.pem"}, r'monitoring_ca is "ca.pem"; give the absolute path of a file on the monitoring'),
    (
        {"monitoring_hosts": ["gpu1"], "monitoring_key": "0123456789abcdef", "monitoring_prometheus": False},
        r"monitoring_hosts is set but monitoring_prometheus is false; leave one of them out",
    ),
    # --- the host
    ({"gpu_host_prefix": "/etc/gpuserve"}, rf'gpu_host_prefix is "/etc/gpuserve"; {OWN}'),
    ({"gpu_host_python": "python 3"}, r'gpu_host_python is "python 3"; give the name or the absolute path'),
    ({"gpu_host_index_url": "pypi"}, r'gpu_host_index_url is "pypi"; give an address such as https://HOST/PATH'),
    ({"gpu_host_find_links": ["wheels"]}, r'gpu_host_find_links holds "wheels"; give an absolute path on the host'),
    ({"gpu_host_no_index": True}, r"gpu_host_no_index is true but gpu_host_find_links is empty"),
    ({"gpu_host_disks": "/data"}, rf'gpu_host_disks is "/data"; {LIST} of'),
    ({"gpu_host_paths": ["data"]}, r'gpu_host_paths holds "data"; give an absolute path'),
    ({"gpu_host_commands": "nvtop"}, rf'gpu_host_commands is "nvtop"; {LIST} of'),
    ({"gpu_host_environments": {"a": 1}}, rf'gpu_host_environments is \{{"a": 1\}}; {LIST} of'),
    ({"gpu_host_models": "/srv/models"}, rf'gpu_host_models is "/srv/models"; {LIST} of'),
    # --- the playbooks
    ({"gpuserve_progress": "some"}, rf'gpuserve_progress is "some"; {TRUE_OR_FALSE}'),
    ({"gpuserve_serial": "half"}, r'gpuserve_serial is "half"; give a number of hosts, a part such as'),
    ({"gpuserve_serial": [1, "200%"]}, r"gpuserve_serial is .*; give a number of hosts, a part such as"),
    ({"gpuserve_serial": 0}, r"gpuserve_serial is 0; give a number of hosts"),
    ({"gpuserve_max_fail_percentage": 101}, r"gpuserve_max_fail_percentage is 101; give a whole number of 0 to 100"),
    ({"gpuserve_drain": []}, r"gpuserve_drain is \[\]; give all, or names of instances"),
    ({"gpuserve_drain_state": "in"}, r'gpuserve_drain_state is "in"; give one of out, back'),
    ({"gpuserve_drain_stop": "later"}, rf'gpuserve_drain_stop is "later"; {TRUE_OR_FALSE}'),
    ({"gpuserve_drain_reason": "a\nb"}, r"gpuserve_drain_reason is .*; give text of one line"),
    # --- names that nobody reads
    ({"vllm_modle": "/srv/models/x"}, r"vllm_modle is no variable of this collection; did you mean vllm_model\?"),
    ({"gateway_api_key": ["good-enough"]}, r"gateway_api_key is no variable .*; did you mean gateway_api_keys\?"),
]

HOST: list[Row] = [
    ({"vllm_model": "/srv/models/none"}, r"/srv/models/none"),
    ({"vllm_model": "/srv/models/empty"}, r"/srv/models/empty.*config\.json"),
    ({"vllm_model": "/srv/models/mystery"}, r"MysteryForCausalLM"),
    ({"vllm_model": "/srv/models/pickled"}, r"pytorch_model\.bin.*safetensors"),
    ({"vllm_model": "org/model", "vllm_models_mirror": "/srv/none"}, r"there is no directory /srv/none"),
    ({"vllm_model": "org/model", "vllm_models_mirror": "/srv/models"}, r"not in the mirror /srv/models"),
    ({"vllm_model": "org/model", "vllm_hub_endpoint": "http://127.0.0.1:1"}, r"org/model.*127\.0\.0\.1:1 cannot be"),
    (
        {"vllm_workload": {"input_tokens": "many", "output_tokens": 1, "concurrency": 1}},
        r"workload\.input_tokens must be a whole number, got 'many'",
    ),
    ({"vllm_workload": {"input_tokens": 9}}, r"workload: output_tokens is missing"),
    ({"vllm_gpus": [7]}, r"7.*0.*1"),
    ({"vllm_gpus": ["GPU-nope"]}, r"GPU-nope"),
    ({"vllm_gpus": [0, 0]}, r"twice"),
    ({"vllm_topology": "measured", "vllm_replicas": 2}, r"topology measured takes replicas and tensor_parallel_size"),
    ({"vllm_replicas": 3}, r"3 replicas of 1 card need 3 cards, 2 are usable"),
    ({"vllm_single_endpoint": True, "vllm_topology": "data_parallel"}, r"single_endpoint asks for one instance"),
    ({"vllm_base_port": 65535}, r"65535 is the last"),
    ({"vllm_base_port": "{{ test_port | int + 500 }}"}, r"for gpu0 is taken by python3 \(PID \d+, squatter\.service\)"),
    ({"gateway_listen": "127.0.0.1:{{ test_port | int + 500 }}"}, r"for the gateway is taken by python3"),
    ({"gateway_listen": "192.0.2.7:8000"}, r"gateway_listen is 192\.0\.2\.7:8000 but this host has no address"),
    ({"vllm_topology": "tensor_parallel", "vllm_model": "/srv/models/odd-heads"}, r"3.*head"),
    ({"vllm_tensor_parallel_size": 4}, r"4.*2"),
    ({"vllm_max_model_len": 99999}, r"max_model_len 99999 is beyond the model's 2048"),
    ({"vllm_version": "0.1.0"}, r"vllm_version 0\.1\.0.*0\.32\.0"),
    ({"vllm_install_method": "existing", "vllm_command": ["/opt/none/vllm"]}, r"vllm_command is /opt/none/vllm but"),
    ({"vllm_lock_file": "/none.txt"}, r'vllm_lock_file is "/none\.txt", which .* is no file of requirements'),
    ({"vllm_lock_file": "/etc/hosts"}, r'vllm_lock_file is "/etc/hosts", which .* is no file of requirements'),
    ({"vllm_extra_args": ["--port", "9"]}, r"--port is set by the plan"),
    ({"vllm_extra_args": ["--api-key", "x"]}, r"--api-key is set by the plan: use gateway_api_keys"),
    ({"vllm_prefix": "/opt/small"}, r"vLLM needs \d+ GiB free below /opt/small, 0\.\d GiB are"),
    ({"vllm_prefix": "/opt/other", "vllm_python": "python9"}, r"vllm_python is python9 but this host has no"),
    (
        {"vllm_prefix": "/opt/other", "vllm_no_index": True, "vllm_find_links": ["/srv/wheels"]},
        r"vllm_find_links holds /srv/wheels but this host has no such directory",
    ),
    ({"vllm_models_dir": "/srv/models/tiny-llama/config.json/x"}, r"cannot be made below /srv/models/tiny-llama"),
    (
        {"gpu_host_prefix": "/opt/other", "gpu_host_python": "python9"},
        r"gpu_host_python is python9 but this host has no such program",
    ),
    (
        {"gateway_tls": "files", "gateway_tls_certificate": "/srv/one.der", "gateway_tls_key": "/srv/one.key"},
        r"gateway_tls_certificate /srv/one\.der holds no certificate; give a PEM file that begins with",
    ),
    (
        {"gateway_tls": "files", "gateway_tls_certificate": "/srv/one.pem", "gateway_tls_key": "/srv/two.key"},
        r"gateway_tls_key /srv/two\.key does not belong to gateway_tls_certificate /srv/one\.pem; give two",
    ),
    (
        {"gateway_tls": "files", "gateway_tls_certificate": "/srv/cut.pem", "gateway_tls_key": "/srv/one.key"},
        r"gateway_tls_certificate /srv/cut\.pem and .* cannot be read to their end .*; copy both again",
    ),
    (
        {"gateway_tls": "files", "gateway_tls_certificate": "/srv/none.pem", "gateway_tls_key": "/srv/one.key"},
        r"gateway_tls_certificate /srv/none\.pem is not there; put the PEM file there",
    ),
    (  # these are on the controller
        {
            "gateway_tls": "files",
            "gateway_tls_copy": True,
            "gateway_tls_certificate": "/etc/hosts",
            "gateway_tls_key": "/etc/hosts",
        },
        r"gateway_tls_certificate /etc/hosts holds no certificate; give a PEM file",
    ),
    ({"ansible_user": "nobody"}, r"nobody@.*[Pp]ermission denied"),
]  # fmt: skip

HIDE_CARDS = "mv /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1 /srv/ && ldconfig"
SHOW_CARDS = "mv /srv/libnvidia-ml.so.1 /usr/lib/x86_64-linux-gnu/ && ldconfig"
HIDE_DRIVER = f"mount --bind /srv/fakepci /sys/bus/pci/devices && {HIDE_CARDS}"
SHOW_DRIVER = f"umount /sys/bus/pci/devices; {SHOW_CARDS}"
FILL_ETC = "mkdir -p /etc/gpuserve && mount -t tmpfs -o size=512k tmpfs /etc/gpuserve"
EMPTY_ETC = "umount /etc/gpuserve && rmdir /etc/gpuserve"
MISMATCH = "cp /etc/fake-nvml.profile /srv/good.profile && printf 'init_error = 18\n' >/etc/fake-nvml.profile"
MATCH = "cp /srv/good.profile /etc/fake-nvml.profile"
BREAK_NGINX = "echo 'nonsense on;' >/etc/nginx/conf.d/own.conf"
MEND_NGINX = "rm /etc/nginx/conf.d/own.conf"
PREPARED: list[tuple[dict[str, Any], str, str, str]] = [
    ({}, r"nginx's present configuration does not parse.*nonsense.*own\.conf", BREAK_NGINX, MEND_NGINX),
    ({"vllm_rehearsal": False}, r"driver", HIDE_DRIVER, SHOW_DRIVER),
    (
        {"vllm_rehearsal": False, "vllm_device": "cuda"},
        r"no NVIDIA card was found on this host .*; see whether lspci and nvidia-smi show one, or set it to cpu",
        HIDE_CARDS,
        SHOW_CARDS,
    ),
    ({}, r"the services' settings need 1 MiB free below /etc/gpuserve, 0 MiB are; free", FILL_ETC, EMPTY_ETC),
    ({"vllm_rehearsal": False}, r"(?i)driver.*(mismatch|differ)", MISMATCH, MATCH),
]

# every playbook looks at all settings first: shown by one of each role and of the playbooks, and a name nobody reads
FEW = [
    next(row for row in SETTINGS if next(iter(row[0])).startswith(f"{prefix}_"))
    for prefix in ("vllm", "gateway", "monitoring", "gpu_host", "gpuserve")
] + SETTINGS[-1:]
PLAYBOOKS: dict[str, list[Row]] = {
    "site": [*SETTINGS, *HOST],
    "plan": [*FEW, *HOST[::6]],
    "benchmark": [
        *FEW,
        ({"vllm_bench_candidates": ["4xTP1"]}, r"candidate 4xTP1 is none of this host; give some of 2xTP1"),
        (
            {"vllm_bench_dataset": "custom", "vllm_bench_dataset_path": "/srv/none.jsonl"},
            r"dataset_path /srv/none\.jsonl cannot be read on this host \(No such file or directory\): copy the file",
        ),
        ({"vllm_bench_input_tokens": 9000}, r"a request of .* tokens does not go into max_model_len .*; give"),
        ({"vllm_max_model_len": 99999}, r"max_model_len 99999 is beyond the model's 2048"),
    ],
    "verify": [*FEW, ({}, r"no plan was applied to this host yet; run the playbook gpuserve\.inference\.site first")],
    "teardown": FEW,
    # these end for all hosts where one fails, so what needs a look at the host is tried with one row
    "rolling_update": FEW,
    "rollback": [*FEW],
    "drain": [
        *FEW,
        *[row for row in SETTINGS if "gpuserve_drain" in "".join(row[0])],
        ({"gpuserve_drain": "gpu9"}, r"site first|gpu9"),
    ],
    "front": [
        *FEW,
        (
            {"gateway_upstreams": [{"host": "192.0.2.7", "port": 8000}], "gateway_upstream_ca": "/srv/none.pem"},
            r"gateway_upstream_ca /srv/none\.pem cannot be read on this host .*; put the PEM file there",
        ),
        ({}, r"gateway_upstreams is empty; name the gateways of other hosts"),
    ],
    "monitoring": [
        *FEW,
        ({}, r"there is no gateway on this host, .* run the playbook gpuserve\.inference\.site first"),
        ({"monitoring_grafana": True}, r"monitoring_grafana is true but Grafana is not installed on this host"),
        (
            {"monitoring_hosts": ["gpu9"], "monitoring_key": "0123456789abcdef"},
            r"monitoring_hosts cannot all be read: gpu9 is not in the inventory; give names of hosts",
        ),
    ],
    "keys": [
        *FEW,
        ({}, r"there is no gateway on this host yet; run the playbook gpuserve\.inference\.site first"),
    ],
}
