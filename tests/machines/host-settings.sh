# shellcheck shell=bash
# Gives a machine the host's way to packages: mirror, name resolution, local certificate authorities, proxies and the
# package indexes of pip (uv gets the same ones). Sourced by `machine` and tools/pip.sh; nothing here is specific to one host.

CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt

debian_mirror() { # the host's own mirror where the host is Debian
  local uri=''
  if [ -n "${GPUSERVE_DEBIAN_MIRROR:-}" ]; then
    uri=$GPUSERVE_DEBIAN_MIRROR
  elif grep -qsx 'ID=debian' /etc/os-release; then
    # shellcheck disable=SC2016 # $(REPO_URI) is apt's
    uri=$(apt-get indextargets --format '$(REPO_URI) $(SUITE)' 'Created-By: Packages' 2>/dev/null |
      awk '$1 !~ /security/ && $1 ~ /debian\/?$/ && !n++ {print $1}')
  fi
  uri=${uri:-http://deb.debian.org/debian}
  echo "${uri%/}"
}

write_apt_sources() { # ROOT MIRROR SUITE
  local security=${2%/debian}/debian-security
  rm -f "$1/etc/apt/sources.list"
  printf '%s\n' "deb $2 $3 main" "deb $2 $3-updates main" "deb $security $3-security main" >"$1/etc/apt/sources.list"
  printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Languages "none";' >"$1/etc/apt/apt.conf.d/90machine"
  # proxies, certificates and the like, as the host's apt has them
  apt-config dump 2>/dev/null | grep -E '^Acquire::https?::[A-Za-z:.-]+ "..*";' >"$1/etc/apt/apt.conf.d/91host" || true
}

# asked once: pip takes a third of a second, and a boot wants six values
read_pip_settings() { # PYTHON
  PIP_SETTINGS=$("$1" -m pip config list 2>/dev/null || true)
}

# What pip is configured to use on this host, one value a line: pip_values find-links
pip_values() { # OPTION
  sed -n "s/^[^=]*\.$1=//p" <<<"$PIP_SETTINGS" | tr -d "'\"" | sed 's/\\n/ /g' | tr ' ' '\n' |
    awk 'NF && !seen[$0]++'
}

# The host's directories which pip's settings name. A "simple" index keeps its files beside it, so its parent is taken.
local_index_dirs() {
  local value
  { pip_values index-url; pip_values extra-index-url; pip_values find-links; } | while read -r value; do
    value=${value#file://}
    value=${value%/}
    [[ $value == /*/simple ]] && value=${value%/simple}
    if [[ $value == /?* && -d $value ]]; then realpath "$value"; fi
  done | sort -u
}

join() { paste -sd ' ' -; }
toml_list() { awk 'BEGIN {printf "["} {printf "%s\"%s\"", n++ ? ", " : "", $0} END {print "]"}'; }

forward_host_settings() { # ROOT
  local root=$1 index extra links name
  if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null 2>&1 || say "update-ca-certificates failed in the machine"
    printf '%s\n' "SSL_CERT_FILE=$CA_BUNDLE" "REQUESTS_CA_BUNDLE=$CA_BUNDLE" "PIP_CERT=$CA_BUNDLE" >>"$root/etc/environment"
  fi
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY UV_DEFAULT_INDEX UV_INDEX; do
    [ -z "${!name:-}" ] || printf '%s=%s\n' "$name" "${!name}" >>"$root/etc/environment"
  done
  index=$(pip_values index-url | sed -n 1p)
  extra=$(pip_values extra-index-url)
  links=$(pip_values find-links)
  [ -n "$index$extra$links" ] || return 0
  {
    echo '[global]'
    [ -z "$index" ] || echo "index-url = $index"
    [ -z "$extra" ] || echo "extra-index-url = $(join <<<"$extra")"
    [ -z "$links" ] || echo "find-links = $(join <<<"$links")"
  } >"$root/etc/pip.conf"
  install -d "$root/etc/uv"
  {
    [ -z "$index" ] || echo "index-url = \"$index\""
    [ -z "$extra" ] || { echo "extra-index-url = $(toml_list <<<"$extra")"; echo 'index-strategy = "unsafe-best-match"'; } # as pip does
    [ -z "$links" ] || echo "find-links = $(toml_list <<<"$links")"
  } >"$root/etc/uv/uv.toml"
}
