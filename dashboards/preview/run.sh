#!/usr/bin/env bash
# Draws the shipped dashboards outside Grafana: the demo's faults, watched by Prometheus for some minutes, as PNG files.
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
rules=""
if [ -e "$root/alerts/badgateway.rules.yml" ]; then rules="rule_files: ['$root/alerts/badgateway.rules.yml']"; fi
cat >"$work/prometheus.yml" <<YAML
global: { scrape_interval: 5s, evaluation_interval: 5s }
$rules
scrape_configs:
  - job_name: badgateway
    static_configs: [{ targets: ["127.0.0.1:10592"] }]
YAML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:10593 2>"$work/prometheus.log" &
pids+=($!)

[ -d node_modules ] || npm install --no-audit --no-fund --ignore-scripts
node types.mjs
npx vite build --logLevel warn
echo "watching the demo for $minutes minutes"
sleep $((minutes * 60))
node shoot.mjs http://127.0.0.1:10593 "$out" "${UPSTREAM:-truncated}"
