#!/usr/bin/env bash
# Draws the shipped dashboards outside Grafana: the demo's faults and a gateway's log, watched by Prometheus for some
# minutes, as PNG files.
set -euo pipefail

cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
binary=${BADGATEWAY:-$root/target/release/badgateway}
out=${OUT:-$root/target/preview}
minutes=${MINUTES:-5}
mkdir -p "$out"
work=$(mktemp -d)
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT

"$binary" demo --web.listen-address 127.0.0.1:10592 >"$work/demo.log" 2>&1 &
pids+=($!)
# Beside the demo a gateway whose log is written here; its probes ask Prometheus.
node traffic.mjs "$work" &
pids+=($!)
cat >"$work/gateway.yml" <<YAML
defaults: { interval: 5s }
gateways:
  - name: front
    kind: nginx
    limits: { first_byte: 5s }
    access_log: $work/access.log
    error_log: $work/error.log
    routes: [{ host: shop.example, upstream: shop }, { host: search.example, upstream: search }]
upstreams:
  - { name: shop, origin: http://127.0.0.1:10593/-/healthy, via: [{ gateway: front, url: http://127.0.0.1:10593/-/healthy }] }
  - { name: search, origin: http://127.0.0.1:10593/-/ready, via: [{ gateway: front, url: http://127.0.0.1:10593/-/ready }] }
YAML
"$binary" run --config.file "$work/gateway.yml" --web.listen-address 127.0.0.1:10594 >"$work/gateway.log" 2>&1 &
pids+=($!)
rules=""
if [ -e "$root/alerts/badgateway.rules.yml" ]; then rules="rule_files: ['$root/alerts/badgateway.rules.yml']"; fi
cat >"$work/prometheus.yml" <<YAML
global: { scrape_interval: 5s, evaluation_interval: 5s }
$rules
scrape_configs:
  - job_name: badgateway
    static_configs: [{ targets: ["127.0.0.1:10592", "127.0.0.1:10594"] }]
YAML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:10593 2>"$work/prometheus.log" &
pids+=($!)

[ -d node_modules ] || npm install --no-audit --no-fund --ignore-scripts
node types.mjs
npx vite build --logLevel warn
echo "watching the demo for $minutes minutes"
sleep $((minutes * 60))
node shoot.mjs http://127.0.0.1:10593 "$out" "${UPSTREAM:-truncated}"
