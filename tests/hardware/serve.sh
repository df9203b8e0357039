#!/usr/bin/env bash
# serve.sh FOLDER OUT [OPTION]...: the collection's playbook and its sandboxed unit on real cards, on a host that has no
# systemd of its own running (a container with cards, say). README.md beside this file tells what FOLDER must hold.
#   --model DIR        model to serve (default: a tiny one that is made here)
#   --vllm WORDS       what starts vLLM (default: FOLDER/site with --python)
#   --vllm-version V   release that this is (default: 0.26.0)
#   --python PATH      Python with torch (default: the first python3)
#   --set NAME=VALUE   further variable for the playbook, may be repeated
#   --limit SECONDS    longest wait for an engine (default: 240)
#   --only PARTS       of cards,serve,turns,switch,bench,faults,probe,hold (default: all)
#   --then COMMAND     run in the machine while the engines serve, before bench; FOLDER is /srv/hardware there
#   --last COMMAND     run in the machine at the end, when the engines are stopped
#   --keep             leave the machine running at the end
# Every part writes its lines to OUT/summary.txt; logs lie beside it. Exit status 1: a part failed.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
[ $# -ge 2 ] || { sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'; exit 2; }
FOLDER=$(cd "$1" && pwd)
OUT=$(mkdir -p "$2" && cd "$2" && pwd)
shift 2
MODEL='' VLLM='' VERSION=0.26.0 PYTHON=$(command -v python3) LIMIT=240 PARTS=cards,serve,turns,switch,bench,faults,probe,hold KEEP='' THEN='' LAST='' SETS=()
while [ $# -gt 0 ]; do
  case $1 in
  --model) MODEL=$(cd "$2" && pwd); shift 2 ;;
  --vllm) VLLM=$2; shift 2 ;;
  --vllm-version) VERSION=$2; shift 2 ;;
  --python) PYTHON=$2; shift 2 ;;
  --set) SETS+=(-e "$2"); shift 2 ;;
  --limit) LIMIT=$2; shift 2 ;;
  --only) PARTS=$2; shift 2 ;;
  --then) THEN=$2; shift 2 ;;
  --last) LAST=$2; shift 2 ;;
  --keep) KEEP=1; shift ;;
  *) echo "serve.sh: unknown option $1" >&2; exit 2 ;;
  esac
done
[ "$(id -u)" = 0 ] || { echo "serve.sh: needs root" >&2; exit 2; }

LAB=/run/gpuserve-hardware # the machine's layers and marks
INSIDE=/srv/hardware       # FOLDER, as the machine sees it
COLLECTIONS=/srv/collections
BAD=0
: >"$OUT/summary.txt"
say() { printf '%s %s\n' "$(date +%T)" "$*" | tee -a "$OUT/summary.txt"; }
bad() { BAD=1; say "FAILED: $*"; }
wants() { [[ ,$PARTS, == *,$1,* ]]; }

# ---- the machine: Debian's systemd and nginx laid over this host's own root

layer() {
  local deb name
  mkdir -p "$LAB"
  mountpoint -q "$LAB" || mount -t tmpfs -o mode=755 tmpfs "$LAB"
  mkdir -p "$LAB"/{debs/usr/{bin,sbin,lib,lib64},upper,work,root}
  for name in bin sbin lib lib64; do ln -sfn "usr/$name" "$LAB/debs/$name"; done
  for deb in "$FOLDER"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$LAB/debs"
  done
  mountpoint -q "$LAB/root" ||
    mount -t overlay overlay -o "lowerdir=$LAB/debs:/,upperdir=$LAB/upper,workdir=$LAB/work" "$LAB/root"
}

prepare() {
  local root=$LAB/root unit lib
  : >"$root/etc/fstab"
  rm -f "$root/etc/machine-id"
  : >"$root/etc/machine-id"
  grep -q ^messagebus: "$root/etc/passwd" || {
    echo 'messagebus:x:499:499::/nonexistent:/usr/sbin/nologin' >>"$root/etc/passwd"
    echo 'messagebus:x:499:' >>"$root/etc/group"
  }
  # services of the host that have no business in here
  for unit in systemd-networkd systemd-resolved systemd-udevd console-getty getty.target apt-daily.timer \
    apt-daily-upgrade.timer ssh nginx; do
    chroot "$root" systemctl disable "$unit" >/dev/null 2>&1 || true
  done
  for unit in systemd-udevd.service systemd-networkd.service systemd-resolved.service getty.target; do
    ln -sfn /dev/null "$root/etc/systemd/system/$unit"
  done
  # where the driver's libraries are for this shell, the services must find them too
  for lib in $(ldconfig -p | awk '/libcuda.so.1|libnvidia-ml.so.1/ {print $NF}') \
    /usr/local/nvidia/lib64/libcuda.so.1 /usr/local/nvidia/lib/libcuda.so.1; do
    [ ! -e "$lib" ] || dirname "$lib"
  done | sort -u >"$root/etc/ld.so.conf.d/hardware.conf"
  : >"$root/srv/drop_caches"
  mkdir -p "$root$INSIDE" "$root$COLLECTIONS/ansible_collections/gpuserve/inference" "$root/var/lib/nginx" "$root/var/log/nginx"
}

boot() {
  local binds=() path pid tries=0
  # an overlay does not look through mounts, and drivers are often mounted file by file
  while read -r path; do
    [ ! -e "$path" ] || binds+=("--bind-ro=$path")
  done < <(awk '{print $5}' /proc/self/mountinfo | grep -iE 'nvidia|libcuda' | grep -vE '^/(proc|dev|sys|run)' | sort -u)
  [ ! -d /usr/local/nvidia ] || binds+=(--bind-ro=/usr/local/nvidia)
  for path in /dev/nvidia*; do [ ! -e "$path" ] || binds+=("--bind=$path"); done
  [ -z "$MODEL" ] || binds+=("--bind-ro=$MODEL:/srv/models/${MODEL##*/}")
  [ -s /etc/machine-id ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >/etc/machine-id
  mkdir -p /run/systemd/nspawn
  (
    # the machine's systemd takes the cgroup it starts in for the root of its tree
    for path in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
      [ -e "$path/cgroup.procs" ] || continue
      mkdir -p "$path/gpuserve-hardware" && echo "$BASHPID" >"$path/gpuserve-hardware/cgroup.procs" || true
    done
    export LD_LIBRARY_PATH=$LAB/debs/usr/lib/x86_64-linux-gnu:$LAB/debs/usr/lib/x86_64-linux-gnu/systemd
    exec setsid "$LAB/debs/usr/bin/systemd-nspawn" --quiet --directory="$LAB/root" --boot --machine=hardware \
      --register=no --keep-unit --link-journal=no --resolv-conf=off --console=pipe --system-call-filter='bpf pidfd_getfd' \
      --bind="$FOLDER:$INSIDE" --bind=/proc/sys/vm/drop_caches:/srv/drop_caches --bind-ro="$REPO:$COLLECTIONS/ansible_collections/gpuserve/inference" \
      "${binds[@]}" </dev/null >"$OUT/console.txt" 2>&1
  ) &
  NSPAWN=$!
  until pid=$(pgrep -P "$NSPAWN" | head -n 1) && [ -n "$pid" ] &&
    [[ $(inside systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]; do
    kill -0 "$NSPAWN" 2>/dev/null || { tail -n 20 "$OUT/console.txt"; say "FAILED: the machine did not boot"; exit 1; }
    ((tries++ < 300)) || { tail -n 20 "$OUT/console.txt"; say "FAILED: not booted after 60 s"; exit 1; }
    sleep 0.2
  done
  inside ldconfig
  say "booted: $(inside systemctl --version | head -n 1), $(inside systemctl is-system-running || true)" \
    "$(inside systemctl --failed --plain --no-legend | awk '{print $1}' | xargs)"
}

leader() { pgrep -P "$NSPAWN" | head -n 1; }
inside() { # COMMAND...: as root in the machine
  nsenter --target "$(leader)" --mount --uts --ipc --pid --cgroup --root --wdns=/ -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}

# shellcheck disable=SC2329 # a trap calls it
halt_machine() {
  local tries=0 root
  [ -z "$KEEP" ] || { say "the machine stays: nsenter -at $(leader)"; return; }
  [ -z "${NSPAWN-}" ] || ! kill -0 "$NSPAWN" 2>/dev/null || {
    kill -s RTMIN+3 "$(leader)" 2>/dev/null || true
    while kill -0 "$NSPAWN" 2>/dev/null && ((tries++ < 100)); do sleep 0.2; done
    kill -9 "$NSPAWN" 2>/dev/null || true
  }
  umount "$LAB/root" 2>/dev/null || true
  umount "$LAB" 2>/dev/null || true
  for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    find "$root/gpuserve-hardware" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

# ---- looking at cards and services

used_mib() { # of each card
  inside /opt/gpuserve/tools/bin/python -c 'import pynvml as n
n.nvmlInit()
print(*(n.nvmlDeviceGetMemoryInfo(n.nvmlDeviceGetHandleByIndex(i)).used >> 20 for i in range(n.nvmlDeviceGetCount())))' 2>/dev/null ||
    echo unknown
}

tools() { # an environment as the collection would build it, from what this host has: there may be no index to ask
  local site
  inside "$PYTHON" -m venv --without-pip /opt/gpuserve/tools
  site=$(inside sh -c 'echo /opt/gpuserve/tools/lib/python3*/site-packages')
  inside sh -c "cp \"\$(PYTHONPATH=$INSIDE/site $PYTHON -c 'import pynvml; print(pynvml.__file__)')\" $site/" || say "no pynvml on this host"
  inside sh -c "printf '{\"lock_sha256\": \"%s\"}' \
    \$(sha256sum <$COLLECTIONS/ansible_collections/gpuserve/inference/roles/gpu_host/files/tools.lock | cut -d ' ' -f 1) \
    >/opt/gpuserve/tools/.gpuserve.json"
}

engine() { # what starts vLLM, and the model
  [ -n "$VLLM" ] || {
    VLLM=/opt/hardware-vllm
    printf '#!/bin/sh\nexport PYTHONPATH=%s/site\nexec %s -m vllm.entrypoints.cli.main "$@"\n' "$INSIDE" "$PYTHON" >"$LAB/root$VLLM"
    chmod 755 "$LAB/root$VLLM"
  }
  if [ -z "$MODEL" ]; then
    MODEL=/srv/models/tiny-llama
    python3 "$REPO/tests/fixtures/tiny_model/make.py" "$LAB/root$MODEL"
  else
    MODEL=/srv/models/${MODEL##*/}
  fi
}

playbook() { # NAME [ANSIBLE OPTION]...: one of the collection's, run inside the machine on itself
  local name=$1 words
  read -ra words <<<"$VLLM"
  shift
  inside env PYTHONPATH="$INSIDE/site" ANSIBLE_COLLECTIONS_PATH="$COLLECTIONS" ANSIBLE_NOCOLOR=1 ANSIBLE_DEPRECATION_WARNINGS=0 \
    "$PYTHON" "$INSIDE/site/bin/ansible-playbook" "gpuserve.inference.$name" -i localhost, -c local \
    -e "ansible_python_interpreter=$PYTHON" -e vllm_install_method=existing \
    -e "{\"vllm_command\": [$(printf '"%s",' "${words[@]}" | sed 's/,$//')]}" -e "vllm_version=$VERSION" -e "vllm_model=$MODEL" \
    -e "vllm_start_timeout=$LIMIT" -e gateway_open=true -e '{"vllm_environment": {"VLLM_USE_FLASHINFER_SAMPLER": "0"}}' \
    "${SETS[@]}" "$@"
}

units() { inside sh -c "systemctl list-units --all --plain --no-legend 'vllm@*' | awk '!/probe/ {print \$1}'" | xargs; }
port_of() { grep -A 1 -x -e --port "$LAB/root/etc/gpuserve/instances/$1.args" | tail -n 1; }

ask() { # PORT: one short completion, with the engines' own key; prints it
  inside "$PYTHON" - "$1" "${MODEL##*/}" <<'PY'
import json, os, sys, urllib.request
path = "/etc/gpuserve/engine.key"
key = open(path).read().strip() if os.path.exists(path) else ""
body = {"model": sys.argv[2], "prompt": "Hello", "max_tokens": 8, "temperature": 0}
made = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/completions", json.dumps(body).encode(),
                              {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
said = json.load(urllib.request.urlopen(made, timeout=60))
print(said["usage"]["completion_tokens"], "tokens:", json.dumps(said["choices"][0]["text"]))
PY
}

answers_after() { # PORT: seconds until it answers, or nothing
  local begun=$SECONDS
  while ((SECONDS - begun < LIMIT)); do
    ! ask "$1" >/dev/null 2>&1 || { echo $((SECONDS - begun)); return; }
    sleep 1
  done
  return 1
}

# ---- loosening the unit, to find what hurts

LOOSE=(SystemCallFilter= SystemCallArchitectures= RestrictAddressFamilies= RestrictNamespaces=no RestrictRealtime=no
  LockPersonality=no ProtectProc=default ProtectClock=no ProtectControlGroups=no ProtectHostname=no ProtectKernelLogs=no
  ProtectKernelModules=no ProtectKernelTunables=no PrivateTmp=no DevicePolicy=auto IPAddressDeny= CapabilityBoundingSet=~
  UMask=0022)

loosen() { # UNIT [LINE]...: a drop-in with these lines, or none
  local dir=$LAB/root/etc/systemd/system/$1.d
  rm -rf "$dir/loose.conf"
  mkdir -p "$dir"
  if [ $# -gt 1 ]; then
    { echo '[Service]'; printf '%s\n' "${@:2}"; [[ " $* " != *" DevicePolicy=auto "* ]] || echo DeviceAllow=; } >"$dir/loose.conf"
  fi
  inside systemctl daemon-reload
}

probe() { # [STEP]...: runs the probe under the unit as it is now; prints its JSON
  local since begun=$SECONDS said=''
  since=$(date '+%F %T')
  printf '%s\n' "$PYTHON" "$INSIDE/probe.py" "$@" >"$LAB/root/etc/gpuserve/instances/probe.args"
  inside systemctl reset-failed vllm@probe 2>/dev/null || true
  inside systemctl restart vllm@probe || true
  while [ -z "$said" ] && ((SECONDS - begun < 400)); do
    sleep 0.5
    said=$(inside journalctl -u vllm@probe -o cat --since "$since" 2>/dev/null | sed -n 's/^PROBE //p' | tail -n 1)
    inside systemctl is-failed -q vllm@probe && break
  done
  inside systemctl stop vllm@probe || true
  if [ -z "$said" ]; then
    inside journalctl -u vllm@probe -o cat --since "$since" | tail -n 5 >&2
    said='{"failed": ["start"]}'
  fi
  echo "$said"
}

failed_steps() { "$PYTHON" -c 'import json, sys; print(*json.load(sys.stdin)["failed"])'; }

part_probe() {
  local full bare left line culprits=()
  cp "$HERE/probe.py" "$FOLDER/probe.py"
  mkdir -p "$LAB/root/etc/systemd/system/vllm@probe.service.d" "$LAB/root/etc/gpuserve/instances"
  printf '[Service]\nRestart=no\n' >"$LAB/root/etc/systemd/system/vllm@probe.service.d/once.conf"
  : >"$LAB/root/etc/gpuserve/instances/probe.env"
  loosen vllm@probe.service
  probe >"$OUT/probe.json"
  full=$(failed_steps <"$OUT/probe.json")
  say "probe under the unit: ${full:-every step ok}${full:+ failed} ($OUT/probe.json)"
  [ -n "$full" ] || return 0
  loosen vllm@probe.service "${LOOSE[@]}"
  # shellcheck disable=SC2086
  probe $full >"$OUT/probe-loose.json"
  bare=$(failed_steps <"$OUT/probe-loose.json")
  say "the same steps without the sandbox: ${bare:-ok}${bare:+ fail too, so the sandbox is not to blame for these}"
  full=$(comm -23 <(tr ' ' '\n' <<<"$full" | sort) <(tr ' ' '\n' <<<"$bare" | sort) | xargs)
  [ -n "$full" ] || return 0
  for line in "${LOOSE[@]}"; do
    loosen vllm@probe.service "$line"
    # shellcheck disable=SC2086
    left=$(probe $full | failed_steps)
    [ "$left" = "$full" ] || culprits+=("$line (then only '$left' fails)")
  done
  loosen vllm@probe.service
  bad "the sandbox breaks: $full; helped by: ${culprits[*]:-no single setting}"
}

part_serve() {
  local name port unit said
  if ! inside test -e /etc/gpuserve/plan.json; then bad "no plan was applied"; return; fi
  for unit in $(units); do
    name=${unit#vllm@} name=${name%.service} port=$(port_of "$name")
    inside systemctl show "$unit" -p User -p MainPID -p NRestarts -p ActiveState -p TimeoutStopUSec -p MemoryCurrent \
      -p TasksCurrent -p DevicePolicy -p DeviceAllow -p IPAddressDeny -p SystemCallFilter >"$OUT/$name.show.txt"
    inside journalctl -u "$unit" -o short-precise --no-pager >"$OUT/$name.journal.txt" || true
    inside systemctl status "$unit" --no-pager -l >"$OUT/$name.status.txt" || true
    if said=$(ask "$port" 2>&1 | tail -n 1) && [[ $said == *tokens:* ]]; then say "$unit answers: $said"; else bad "$unit does not answer: $said"; fi
    grep -hE 'KV cache size|init engine|Application startup complete' "$OUT/$name.journal.txt" | tail -n 3 | tee -a "$OUT/summary.txt" || true
    grep -hiE 'not permitted|permission denied|EPERM' "$OUT/$name.journal.txt" | sort -u | head -n 10 |
      sed 's/^/  said: /' | tee -a "$OUT/summary.txt" || true
    say "$unit: $(inside sh -c "cat /proc/\$(systemctl show -P MainPID $unit)/status" | grep -E '^(Uid|CapBnd|NoNewPrivs|Seccomp):' | tr -s '\t\n' ' ')"
  done
  say "used on the cards while serving: $(used_mib) MiB"
}

vllm_bisect() { # the engine did not come up under the unit: which group of settings is to blame?
  local group lines unit name port after
  unit=$(units | cut -d ' ' -f 1) name=${unit#vllm@}
  name=${name%.service}
  port=$(port_of "$name")
  for group in all calls devices network kernel; do
    case $group in
    all) lines=("${LOOSE[@]}") ;;
    calls) lines=(SystemCallFilter= SystemCallArchitectures= RestrictNamespaces=no RestrictRealtime=no LockPersonality=no) ;;
    devices) lines=(DevicePolicy=auto CapabilityBoundingSet=~) ;;
    network) lines=(IPAddressDeny= RestrictAddressFamilies=) ;;
    kernel) lines=(ProtectProc=default ProtectClock=no ProtectControlGroups=no ProtectHostname=no ProtectKernelLogs=no
      ProtectKernelModules=no ProtectKernelTunables=no PrivateTmp=no UMask=0022) ;;
    esac
    loosen 'vllm@.service' "${lines[@]}"
    inside sh -c "systemctl reset-failed 'vllm@*'; systemctl restart $unit" || true
    if after=$(answers_after "$port"); then
      say "without '$group' of the sandbox the engine answers after $after s"
    else
      say "without '$group' of the sandbox it does not answer either"
      [ "$group" != all ] || break
    fi
  done
  loosen 'vllm@.service'
}

stall() { # UNIT PORT: the engine core stands still, while the API server says that all is well
  local core begun after
  core=$(inside pgrep -f VLLM::EngineCore | head -n 1)
  [ -n "$core" ] || { bad "no engine core to stop"; return; }
  sleep 8 # the watch must have seen it answer
  begun=$SECONDS
  inside kill -STOP "$core"
  until grep -q '"by": "watch"' "$LAB/root/etc/gpuserve/rotation.json" || ((SECONDS - begun > 60)); do sleep 0.2; done
  say "engine core stopped (SIGSTOP): out of rotation after $((SECONDS - begun)) s"
  while inside test -e "/proc/$core" && ((SECONDS - begun < 120)); do sleep 0.2; done
  say "killed after $((SECONDS - begun)) s"
  if after=$(answers_after "$2"); then say "serves again $after s after that"; else bad "does not serve again after a stall"; fi
}

part_faults() {
  local unit name port pid before tries=0 after
  unit=$(units | cut -d ' ' -f 1) name=${unit#vllm@}
  name=${name%.service}
  port=$(port_of "$name")
  before=$(inside sh -c "cat /sys/fs/cgroup/*/system.slice/system-vllm.slice/$unit/cgroup.procs /sys/fs/cgroup/system.slice/system-vllm.slice/$unit/cgroup.procs 2>/dev/null || true" | sort -un | xargs)
  pid=$(inside systemctl show -P MainPID "$unit")
  # what the next start finds in the cgroup, before anything of its own runs
  mkdir -p "$LAB/root/etc/systemd/system/$unit.d"
  # shellcheck disable=SC2016 # systemd and sh are to expand it
  printf '[Service]\nExecStartPre=\nExecStartPre=+/bin/sh -c "for p in %s; do [ ! -e /proc/$$p ] || echo orphan $$p; done; echo looked"\nExecStartPre=+/opt/gpuserve/bin/vllm-instance --wait-for-cards %%i /opt/gpuserve/tools\n' "$before" >"$LAB/root/etc/systemd/system/$unit.d/look.conf"
  inside systemctl daemon-reload
  inside kill -9 "$pid"
  while inside sh -c "for p in $before; do [ ! -e /proc/\$p ] || exit 0; done; exit 1" && ((tries++ < 100)); do sleep 0.1; done
  say "after kill -9 of the main process ($pid): all of '$before' gone within $((tries / 10)).$((tries % 10)) s, cards hold $(used_mib) MiB"
  if after=$(answers_after "$port"); then say "serves again $after s later"; else bad "does not serve again"; fi
  inside journalctl -u "$unit" -o cat --since -20min | grep -E '^(orphan|looked)|came free|not started' | sort | uniq -c | tee -a "$OUT/summary.txt" || true
  rm -f "$LAB/root/etc/systemd/system/$unit.d/look.conf"
  inside systemctl daemon-reload
  stall "$unit" "$port"
  inside journalctl -u gpuserve-watch.service -u gpuserve-health.service -o short-precise --no-pager >"$OUT/watch.txt" || true
  before=$SECONDS
  inside systemctl stop "$unit"
  say "stopped in $((SECONDS - before)) s, cards hold $(used_mib) MiB"
}

part_hold() { # somebody else's memory on the card
  local unit since holder
  unit=$(units | cut -d ' ' -f 1)
  inside systemctl stop "$unit" || true
  inside "$PYTHON" -c 'import time, torch
keep = torch.empty(int(torch.cuda.mem_get_info()[0] * 0.5), dtype=torch.uint8, device="cuda")
time.sleep(300)' &
  holder=$!
  sleep 15
  since=$(date '+%F %T')
  inside sh -c "systemctl reset-failed $unit; systemctl start $unit" && bad "$unit started beside a process that holds half of its card"
  inside journalctl -u "$unit" -o cat --since "$since" | grep -m 1 'not started' | tee -a "$OUT/summary.txt" || bad "no line said who holds the card"
  inside systemctl stop "$unit" || true
  pkill -P "$holder" 2>/dev/null || true
  kill "$holder" 2>/dev/null || true
}

# shellcheck source=tests/hardware/topology.sh
. "$HERE/topology.sh"

trap halt_machine EXIT
# as an installation has it: the service's user cannot write there, and would compile everything at every start
"$PYTHON" -m compileall -q -j 0 "$FOLDER/site" >/dev/null || true
layer
prepare
boot
tools
engine
say "cards: $(inside sh -c 'cat /proc/driver/nvidia/version 2>/dev/null | head -n 1'), $(used_mib) MiB used; /proc/devices: $(grep -i nvidia /proc/devices | xargs)"

begun=$SECONDS
if playbook site >"$OUT/site.txt" 2>&1; then
  say "site.yml: ok after $((SECONDS - begun)) s"
  SERVES=1
else
  bad "site.yml: $(grep -E '"msg"|^fatal|\[ERROR\]' "$OUT/site.txt" | head -n 2 | cut -c 1-600)"
  SERVES=''
fi
tail -n 25 "$OUT/site.txt"
inside sh -c 'systemd-analyze security --offline=true --no-pager /etc/systemd/system/vllm@.service' >"$OUT/security.txt" 2>&1 || true
say "$(tail -n 1 "$OUT/security.txt")"
cp -r "$LAB/root/etc/systemd/system/vllm@.service" "$OUT/" 2>/dev/null || true
if wants cards; then part_cards; fi
if wants serve; then
  part_serve
  [ -n "$SERVES" ] || [ -z "$(units)" ] || vllm_bisect
fi
if wants turns && [ -n "$SERVES" ]; then part_turns; fi
if wants switch && [ -n "$SERVES" ]; then part_switch; fi
if [ -n "$THEN" ] && [ -n "$SERVES" ]; then
  inside sh -c "$THEN" >"$OUT/then.txt" 2>&1 || bad "--then ended with status $?: $(tail -n 1 "$OUT/then.txt")"
fi
if wants bench && [ -n "$SERVES" ]; then part_bench; fi
if wants faults && [ -n "$SERVES" ]; then part_faults; fi
for unit in $(units); do inside systemctl stop "$unit" || true; done
if [ -n "$LAST" ] && [ -n "$SERVES" ]; then
  inside sh -c "$LAST" >"$OUT/last.txt" 2>&1 || bad "--last ended with status $?: $(tail -n 1 "$OUT/last.txt")"
fi
if wants probe; then part_probe; fi
if wants hold && [ -n "$SERVES" ]; then part_hold; fi
exit "$BAD"
