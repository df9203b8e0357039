# shellcheck shell=bash
# Sourced by serve.sh: the parts that look at cards and topologies.

part_cards() { # what the probe reads, beside what nvidia-smi reads
  inside env PYTHONPATH="$INSIDE/site" ANSIBLE_COLLECTIONS_PATH="$COLLECTIONS" ANSIBLE_DEPRECATION_WARNINGS=0 ANSIBLE_STDOUT_CALLBACK=minimal \
    "$PYTHON" "$INSIDE/site/bin/ansible" localhost -c local -e "ansible_python_interpreter=/opt/gpuserve/tools/bin/python" \
    -m gpuserve.inference.gpu_info >"$OUT/gpu_info.txt" 2>"$OUT/gpu_info.err" ||
    { bad "gpu_info failed: $(tail -n 2 "$OUT/gpu_info.txt" | cut -c 1-300)"; return; }
  sed -n '/=> {/,$p' "$OUT/gpu_info.txt" | sed '1s/.*=> {/{/' >"$OUT/gpu_info.json"
  inside nvidia-smi -q -x >"$OUT/nvidia-smi.xml" 2>"$OUT/nvidia-smi.err" || nvidia-smi -q -x >"$OUT/nvidia-smi.xml" 2>>"$OUT/nvidia-smi.err" ||
    { bad "nvidia-smi -q -x failed: $(head -n 1 "$OUT/nvidia-smi.err")"; return; }
  if "$PYTHON" "$HERE/cards.py" "$OUT/gpu_info.json" "$OUT/nvidia-smi.xml" >"$OUT/cards.txt" 2>&1; then
    say "gpu_info beside nvidia-smi -q -x: $(tail -n 1 "$OUT/cards.txt")"
  else
    bad "gpu_info beside nvidia-smi -q -x: $(xargs -d '\n' <"$OUT/cards.txt")"
  fi
}

plan_says() { # EXPRESSION over the plan that was applied, called p
  inside "$PYTHON" -c "import json; p = json.load(open('/etc/gpuserve/plan.json')); print($1)"
}

look_at_topology() { # what is applied, and whether each unit has its own cards and the KV cache that was planned
  local unit name seen wanted every=''
  say "applied: $(plan_says "p['topology'], p['replicas'], 'x TP', p['tensor_parallel_size']") with units $(units)"
  for unit in $(units); do
    name=${unit#vllm@} name=${name%.service}
    wanted=$(plan_says "','.join(next(i for i in p['instances'] if i['name'] == '$name')['gpu_uuids'])")
    # as the process has it, not as a file says
    seen=$(inside sh -c "tr '\0' '\n' </proc/\$(systemctl show -P MainPID $unit)/environ" | sed -n 's/^CUDA_VISIBLE_DEVICES=//p')
    [ "$seen" = "$wanted" ] || bad "$unit has CUDA_VISIBLE_DEVICES=$seen and not $wanted"
    [[ " $every " != *" $seen "* ]] || bad "$unit shares $seen with another unit"
    every+=" $seen"
  done
  say "each unit sees its cards alone:$every; used $(used_mib) MiB"
  if playbook verify >"$OUT/verify-$1.txt" 2>&1; then
    sed -n '/^ *instance  /,/^$/p' "$OUT/verify-$1.txt" | tee -a "$OUT/summary.txt"
  else
    bad "verify: $(grep -E '"msg"|^fatal|\[ERROR\]' "$OUT/verify-$1.txt" | head -n 2 | cut -c 1-400)"
  fi
}

part_turns() { # who answers through the gateway, by its log
  local door count=8 replicas asked seen
  look_at_topology "$(plan_says "p['topology']")"
  door=$(inside sed -n 's/^ *listen [^;]*:\([0-9]*\).*;/\1/p; s/^ *listen \([0-9]*\).*;/\1/p' /etc/nginx/conf.d/gpuserve.conf | head -n 1)
  replicas=$(plan_says "p['replicas']")
  inside sh -c ': >/var/log/nginx/gpuserve.log'
  for ((; count > 0; count--)); do ask "$door" >/dev/null || { bad "the gateway does not answer"; return; }; done
  # the last fields of a line: which replica, and its status
  asked=$(inside cat /var/log/nginx/gpuserve.log | awk '{print $(NF - 1)}' | sort | uniq -c)
  seen=$(awk '{print $1 " x " $2}' <<<"$asked" | paste -sd, -)
  if [ "$(wc -l <<<"$asked")" = "$replicas" ] && [ "$(awk '{print $1}' <<<"$asked" | sort -u | wc -l)" = 1 ]; then
    say "eight requests through the gateway, in turn: $seen"
  else
    bad "eight requests through the gateway went to $seen"
  fi
}

part_switch() { # to tensor parallel over all cards, and back
  local wish begun
  for wish in tensor_parallel data_parallel; do
    begun=$SECONDS
    if playbook site -e "vllm_topology=$wish" >"$OUT/site-$wish.txt" 2>&1; then
      say "switched to $wish after $((SECONDS - begun)) s"
    else
      bad "site with $wish: $(grep -E '"msg"|^fatal|\[ERROR\]' "$OUT/site-$wish.txt" | head -n 2 | cut -c 1-600)"
      return
    fi
    part_turns
  done
}

part_bench() { # the playbook that measures each topology, and puts back what served
  local begun=$SECONDS before kept=("${SETS[@]}") number
  before=$(plan_says "p['topology'], p['replicas'], p['tensor_parallel_size']")
  SETS=()
  for ((number = 1; number < ${#kept[@]}; number += 2)); do # a candidate is planned by its own topology
    [[ ${kept[number]} == vllm_topology=* ]] || SETS+=(-e "${kept[number]}")
  done
  playbook benchmark -e "vllm_bench_python=$PYTHON" -e "{\"vllm_bench_environment\": {\"PYTHONPATH\": \"$INSIDE/site\"}}" \
    -e '{"vllm_bench_concurrencies": [1, 64]}' -e vllm_bench_input_tokens=512 -e vllm_bench_output_tokens=128 \
    -e "vllm_bench_report_dir=$INSIDE/bench" >"$OUT/benchmark.txt" 2>&1 ||
    bad "benchmark: $(grep -E '"msg"|^fatal|\[ERROR\]' "$OUT/benchmark.txt" | head -n 2 | cut -c 1-600)"
  SETS=("${kept[@]}")
  cp -r "$FOLDER/bench" "$OUT/" || bad "benchmark wrote no report"
  say "benchmark: $((SECONDS - begun)) s; $(grep -hE -m 1 'fastest|winner' "$OUT/benchmark.txt" || true)"
  if [ "$(plan_says "p['topology'], p['replicas'], p['tensor_parallel_size']")" = "$before" ]; then
    part_turns
  else
    bad "benchmark put back $(plan_says "p['topology']") and not $before"
  fi
}
