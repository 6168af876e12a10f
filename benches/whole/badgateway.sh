#!/usr/bin/env bash
# badgateway.sh TARGETS INTERVAL_S CA: runs the release build on the URLs of a file, one upstream each.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
config=$(mktemp --suffix .yml)
{
  echo "max_concurrent_probes: 20000"
  echo "defaults: { interval: ${2}s, timeout: 5s, confirm: { retries: 0 } }"
  echo "upstreams:"
  awk -v ca="$3" '{
    tls = /^https/ ? ", server_name: origin.bg.test, tls: { ca_file: " ca ", ca_only: true }" : ""
    printf "  - { name: u%d, origin: { url: \"%s\"%s } }\n", NR, $0, tls
  }' "$1"
} > "$config"
exec "$here/../../target/release/badgateway" run --config.file "$config" --web.listen-address 127.0.0.1:24300
