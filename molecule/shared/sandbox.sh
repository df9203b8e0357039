#!/usr/bin/env bash
# sandbox.sh NAME: on a test machine, what the unit of a replica keeps it from, what it leaves behind when it is killed,
# and how a start treats a card that somebody else holds. Prints one line for each finding.
set -euo pipefail
unit=vllm@$1.service
pid=$(systemctl show -P MainPID "$unit")
members() { cat /sys/fs/cgroup/{,systemd/,unified/}system.slice/system-vllm.slice/"$unit"/cgroup.procs 2>/dev/null | sort -un | xargs || true; }
field() { awk -v name="$2:" '$1 == name {print $2}' "/proc/$1/status"; }

# two replicas that are no engines: each wants most of a card of the simulated driver
replica() { # NAME CARD
  printf '%s\n' sleep 600 --gpu-memory-utilization 0.9 >"/etc/gpuserve/instances/$1.args"
  printf 'CUDA_VISIBLE_DEVICES="%s"\n' "$2" >"/etc/gpuserve/instances/$1.env"
  # sleep takes no such word
  mkdir -p "/etc/systemd/system/vllm@$1.service.d"
  printf '[Service]\nExecStart=\nExecStart=sleep 600\nRestart=no\n' >"/etc/systemd/system/vllm@$1.service.d/test.conf"
}
mapfile -t cards < <(sed -n 's/^uuid = //p' /etc/fake-nvml.profile)
replica held "${cards[0]}"
replica freed "${cards[1]}"
cp /etc/fake-nvml.profile /run/free.profile
sleep 900 >/dev/null 2>&1 &
holder=$!
sed "s/^memory_total = .*/&\nmemory_used = 30000000000\nprocess = $holder 30000000000 sleep/" /run/free.profile >/etc/fake-nvml.profile
systemctl daemon-reload
systemctl start --no-block vllm@held.service vllm@freed.service

echo "score $(systemd-analyze security --offline=true --no-pager /etc/systemd/system/vllm@.service | sed -n 's/.*Overall.*: \([0-9.]*\) .*/\1/p')"
echo "process CapBnd=$(field "$pid" CapBnd) NoNewPrivs=$(field "$pid" NoNewPrivs) Seccomp=$(field "$pid" Seccomp)"
# shellcheck disable=SC2046 # a list of PIDs
echo "users of all its processes: $(for p in $(members); do [ "$(field "$p" Uid)" = "$(field "$pid" Uid)" ] || echo other; done | sort -u | xargs)"
echo "name $(systemctl show -P User "$unit")"
for path in /srv/models/tiny-llama/config.json /etc/gpuserve/plan.json /usr/bin/env; do
  nsenter --target "$pid" --mount touch "$path" 2>/dev/null && echo "can write $path"
done
{ ps -eo args; systemctl show "$unit"; journalctl -o cat; } | grep -cF -f /etc/gpuserve/engine.key | sed 's/^/key seen: /' || true

before=$(members)
mkdir -p "/etc/systemd/system/$unit.d"
# shellcheck disable=SC2016 # for the shell that systemd starts
printf '[Service]\nExecStartPre=+/bin/sh -c "for p in %s; do [ ! -e /proc/$$p ] || echo TEST orphan $$p; done; echo TEST looked"\n' \
  "$before" >"/etc/systemd/system/$unit.d/test.conf"
systemctl daemon-reload
echo "processes at least 3: $([ "$(wc -w <<<"$before")" -ge 3 ] && echo yes)"
kill -9 "$pid"
tries=0
until found=$(journalctl -u "$unit" -o cat | grep ^TEST) || ((tries++ > 100)); do sleep 0.2; done
echo "before the next start: ${found//$'\n'/, }"

sleep 5
cp /run/free.profile /run/half.profile
awk '/^\[gpu\]/ {n++} {print} n == 1 && /^memory_total/ {print "memory_used = 30000000000\nprocess = '"$holder"' 30000000000 sleep"}' \
  /run/free.profile >/run/half.profile
cp /run/half.profile /etc/fake-nvml.profile
tries=0
until journalctl -u vllm@held.service -o cat | grep -q 'not started' || ((tries++ > 90)); do sleep 1; done
# it says so before its end, and what is run after each end takes a moment
until [ "$(systemctl is-active vllm@held.service)" = failed ] || ((tries++ > 120)); do sleep 1; done
echo "freed $(systemctl is-active vllm@freed.service) $(journalctl -u vllm@freed.service -o cat | grep -c 'the cards of freed came free after')"
echo "held $(systemctl is-active vllm@held.service) $(journalctl -u vllm@held.service -o cat | grep -o 'held by PID.*' | sed "s/$holder/HOLDER/")"

cp /run/free.profile /etc/fake-nvml.profile
kill "$holder"
systemctl stop vllm@held.service vllm@freed.service
systemctl reset-failed 'vllm@held.service' 2>/dev/null || true
rm -rf /etc/systemd/system/vllm@{held,freed}.service.d "/etc/systemd/system/$unit.d" /etc/gpuserve/instances/{held,freed}.*
systemctl daemon-reload
