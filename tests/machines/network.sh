# shellcheck shell=bash
# A network that only the machines of one cache share, in network namespaces: a bridge in a namespace of its own (the
# hub), to which each machine's namespace is joined. It has no way out, and the host's own network has no part in it:
# SSH and whatever else wants in is started inside the hub. Sourced by `machine`.

NETNS_DIR=/run/netns
BRIDGE=machines

# several checkouts may run machines of the same name at the same time
network_id() { cksum <<<"$CACHE" | awk '{printf "%08x", $1}'; }
hub() { echo "gpuserve-$(network_id)-hub"; }
namespace() { echo "gpuserve-$(network_id)-$1"; } # NAME
in_hub() { nsenter --net="$NETNS_DIR/$(hub)" -- "$@"; }

check_address() { # ADDRESS: private, and not the hub's own
  local last=${1##*.}
  if ! [[ $1 =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}$ && $1 =~ ^(10|172\.(1[6-9]|2[0-9]|3[01])|192\.168)\. ]] ||
    ((10#$last < 2 || 10#$last > 254)); then
    die "--network '$1' is not a private IPv4 address that ends in 2 to 254, such as 10.77.0.11"
  fi
}

join_network() { # NAME ADDRESS: the machine's namespace, with a cable to the bridge; .1 of its /24 is the hub
  local hub space gateway=${2%.*}.1
  hub=$(hub)
  space=$(namespace "$1")
  (
    flock 6
    if [ ! -e "$NETNS_DIR/$hub" ]; then
      ip netns add "$hub"
      ip -n "$hub" link set lo up
      ip -n "$hub" link add "$BRIDGE" type bridge
      ip -n "$hub" link set "$BRIDGE" up
    fi
    [[ $(ip -n "$hub" -o address show dev "$BRIDGE") == *" $gateway/24 "* ]] ||
      ip -n "$hub" address add "$gateway/24" dev "$BRIDGE"
    [ ! -e "$NETNS_DIR/$space" ] || ip netns delete "$space" # what an unclean end left
    ip netns add "$space"
    # a link's name has at most 15 characters and is the machine's address here
    ip -n "$hub" link add "m${2#*.}" type veth peer name eth0 netns "$space"
    ip -n "$hub" link set "m${2#*.}" master "$BRIDGE" up
    ip -n "$space" link set lo up
    ip -n "$space" address add "$2/24" dev eth0
    ip -n "$space" link set eth0 up
  ) 6>"$CACHE/run/.network.lock"
}

leave_network() { # NAME: its namespace and, after the last machine, the hub
  local space
  space=$(namespace "$1")
  [ -e "$NETNS_DIR/$space" ] || return 0
  (
    flock 6
    ip netns delete "$space"
    [ -n "$(find "$NETNS_DIR" -name "gpuserve-$(network_id)-*" ! -name "$(hub)" -print -quit)" ] || ip netns delete "$(hub)"
  ) 6>"$CACHE/run/.network.lock"
}

# SSH from the host: only the byte stream enters the hub, so that Ansible itself can run where it likes.
proxy_command() { echo "$HERE/machine proxy %h %p"; }
cmd_proxy() { # ADDRESS PORT
  # shellcheck disable=SC2016 # expanded by the inner shell
  exec nsenter --net="$NETNS_DIR/$(hub)" -- \
    bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit 1; cat <&3 & cat >&3; kill $!' proxy "$1" "$2"
}
