#!/usr/bin/env bash
# Installs the programs the tests run, where this user may; says which ones are missing otherwise.
set -euo pipefail

# program : Debian package
needed=(nginx:nginx-light prometheus:prometheus promtool:prometheus dnsmasq:dnsmasq-base nft:nftables ip:iproute2
  openssl:openssl curl:curl
  amtool:prometheus-alertmanager prometheus-alertmanager:prometheus-alertmanager
  systemd-analyze:systemd)

missing() {
  local entry
  for entry in "${needed[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${entry%%:*}" >/dev/null || echo "${entry##*:}"
  done | sort -u
}

packages=$(missing)
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing: $(echo $packages)"
  # Debian starts a service it installs; the tests start their own and leave those alone.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
  packages=$(missing)
fi

if [ -n "$packages" ]; then
  echo "cannot install: $(echo $packages); the tests that need them are skipped" >&2
  [ -z "${CI:-}" ]
fi
