#!/usr/bin/env bash
# The whole process beside blackbox_exporter, in turn, against the same nginx: CPU per probe, memory, in health and in an
# outage. Then badgateway alone with many upstreams. Needs the release build; installs the peers where it may.
#
#   SECONDS_EACH=20 ROUNDS=2 BLACKBOX=/path/to/blackbox_exporter ./benches/whole/run.sh
set -euo pipefail
cd "$(dirname "$0")"
seconds=${SECONDS_EACH:-20} rounds=${ROUNDS:-2} blackbox=${BLACKBOX:-prometheus-blackbox-exporter}
export W=${W:-$(mktemp -d)}
. ./lib.sh

missing=()
for pair in nginx:nginx-light dnsmasq:dnsmasq-base curl:curl openssl:openssl "$blackbox:prometheus-blackbox-exporter"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

compare() { # TITLE, then options of probe_bench.sh
  echo "== $1"
  ./probe_bench.sh -d "$seconds" -r "$rounds" -B "$blackbox" -b "$PWD/badgateway.sh {targets} {interval} {ca}" \
    -u http://127.0.0.1:24300/metrics -c '^badgateway_probes_total' "${@:2}" | tail -3
}
compare "HTTP, 1000 upstreams, 500 probes/s" -n 1000 -i 2
compare "HTTPS with a full verified handshake, 1000 upstreams, 500 probes/s" -n 1000 -i 2 -s https
compare "outage: 3000 upstreams hang, 500 probes/s, 2500 in flight" -n 3000 -i 6 -f hang
compare "outage: 1000 upstreams refuse, 500 probes/s" -n 1000 -i 2 -f refused

alone() { # UPSTREAMS INTERVAL_S
  . ./setup_origin.sh
  start_origin
  for ((k = 0; k < $1; k++)); do echo "http://127.10.$((k / 250)).$((k % 250 + 1)):24080/"; done > "$W/targets.txt"
  ./badgateway.sh "$W/targets.txt" "$2" "" 2> "$W/alone.log" &
  local pid=$!
  sleep $(($2 * 2 + 4))
  echo "== HTTP, $1 upstreams every $2 s, alone"
  echo "RSS $(rss_mib $pid) MiB (peak $(peak_mib $pid))"
  curl -s http://127.0.0.1:24300/metrics | awk '
    /^badgateway_schedule_lag_seconds_bucket/ { split($0, part, "\""); bound[n] = part[2]; below[n++] = $NF }
    /^badgateway_schedule_lag_seconds_count/ { all = $NF }
    !/^#/ { series++ }
    END { for (i = 0; i < n; i++) if (below[i] >= 0.99 * all) { print "schedule lag p99 below " bound[i] " s"; break }
          print series " series" }'
  kill $pid
  wait $pid 2>/dev/null || true
  stop_origin
}
alone 5000 15
alone 10000 15
