#!/usr/bin/env bash
# The whole road on this machine, to look at: the demo's faults, Prometheus with the rules of this very binary,
# Alertmanager with the shipped routing. Everything on loopback, in a folder that goes when it ends (Ctrl-C).
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${BADGATEWAY:-target/release/badgateway}

for program in prometheus prometheus-alertmanager; do
  if ! command -v $program >/dev/null; then
    echo "$program is missing; install it (Debian: apt-get install prometheus prometheus-alertmanager)" >&2
    exit 1
  fi
done

folder=$(mktemp -d)
children=()
end() {
  trap - EXIT INT TERM
  [ ${#children[@]} = 0 ] || kill "${children[@]}" 2>/dev/null || true
  wait || true
  rm -rf "$folder"
}
trap end EXIT INT TERM

"$binary" rules --out "$folder/rules" > /dev/null
sed "s|rules/|$folder/rules/|; s|scrape_interval: 15s|scrape_interval: 5s|; s|evaluation_interval: 15s|evaluation_interval: 5s|" \
  config/prometheus.yml > "$folder/prometheus.yml"
cp config/alertmanager.yml "$folder/alertmanager.yml"

prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" \
  --web.listen-address=127.0.0.1:9090 > "$folder/prometheus.log" 2>&1 &
children+=($!)
prometheus-alertmanager --config.file="$folder/alertmanager.yml" --storage.path="$folder/alertmanager" \
  --web.listen-address=127.0.0.1:9093 --cluster.listen-address= > "$folder/alertmanager.log" 2>&1 &
children+=($!)

echo "Prometheus    http://127.0.0.1:9090/alerts"
echo "Alertmanager  http://127.0.0.1:9093/"
echo
"$binary" demo --web.listen-address 127.0.0.1:10502 --log.level warn &
children+=($!)
wait "${children[2]}"
