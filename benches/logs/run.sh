#!/usr/bin/env bash
# Reading logs beside mtail and the counters of the shell: CPU per million lines and memory, of the same file in one run;
# then the daemon following that file: all at once, at a steady rate, and idle. Needs the release build; installs the
# peers where it may.
#
#   LINES=2000000 REPS=3 RATE=20000 ./benches/logs/run.sh
set -euo pipefail
cd "$(dirname "$0")"
lines=${LINES:-2000000} reps=${REPS:-3} rate=${RATE:-20000}
work=${W:-$(mktemp -d)}
badgateway=$(realpath ../../target/release/badgateway)
. ../whole/lib.sh

missing=()
for pair in mtail:mtail mawk:mawk gawk:gawk curl:curl; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

log=$work/access.log
[ -s "$work/whole.log" ] || python3 gen_log.py "$lines" "$work/whole.log"
cat "$work/whole.log" > /dev/null
format='$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" rt=$request_time uct=$upstream_connect_time uht=$upstream_header_time urt=$upstream_response_time ua="$upstream_addr" us="$upstream_status"'

once() { # LABEL COMMAND...
  python3 timed.py "$lines" "$reps" "$1" -- "${@:2}"
}
echo "== $lines lines, read once"
once 'wc -l' wc -l "$work/whole.log"
once 'mawk, count by $9' mawk '{ c[$9]++ } END { for (k in c) print k, c[k] }' "$work/whole.log"
once 'gawk, split on quotes, count by status' env LC_ALL=C gawk '{ split($0, q, "\""); split(q[3], s, " "); c[s[1]]++ } END { for (k in c) print k, c[k] }' "$work/whole.log"
once 'badgateway logs' "$badgateway" logs --kind nginx --format "$format" --json --access "$work/whole.log"
mtail_logs=$work/mtail && mkdir -p "$mtail_logs"
once 'mtail one_shot' mtail --one_shot --progs nginx_access.mtail --logs "$work/whole.log" --logtostderr=false --log_dir "$mtail_logs" --port 0

: > "$log"
cat > "$work/badgateway.yml" <<YML
gateways:
  - { name: edge, kind: nginx, access_log: { path: $log, format: '$format' } }
upstreams:
  - { name: shop, origin: "http://127.0.0.1:9/", interval: 1h, via: [{ gateway: edge, url: "http://127.0.0.1:9/" }] }
YML
"$badgateway" run --config.file "$work/badgateway.yml" --web.listen-address 127.0.0.1:24300 --log.level error &
daemon=$!
trap 'kill $daemon 2>/dev/null || true' EXIT
wait_port 24300 > /dev/null
requests() { curl -s http://127.0.0.1:24300/metrics | awk '/^badgateway_gateway_requests_total/ { print $NF; exit }'; }
until [ "$(curl -s http://127.0.0.1:24300/metrics | awk '/^badgateway_gateway_log_up/ { print $NF }')" = 1 ]; do sleep 0.1; done

echo "== the daemon, following"
before=$(cpu_ticks $daemon)
cat "$work/whole.log" >> "$log"
until [ "$(requests)" -ge "$lines" ]; do sleep 0.2; done
after=$(cpu_ticks $daemon)
awk -v c=$((after - before)) -v n="$lines" 'BEGIN { printf "all at once: %.3f CPU s per million lines\n", c / 100 / n * 1e6 }'
curl -s http://127.0.0.1:24300/metrics | grep -E 'gateway_responses_total\{.*code="502"'
echo "RSS $(rss_mib $daemon) MiB, peak $(peak_mib $daemon) MiB"

before=$(cpu_ticks $daemon)
python3 - "$work/whole.log" "$log" "$rate" 15 <<'PY'
import itertools, sys, time
source, log, rate, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
step = max(1, rate // 50)
with open(source, "rb") as lines, open(log, "ab", buffering=0) as out:
    start = time.perf_counter()
    for turn in range(seconds * 50):
        out.write(b"".join(itertools.islice(lines, step)))
        left = start + (turn + 1) / 50 - time.perf_counter()
        if left > 0:
            time.sleep(left)
PY
after=$(cpu_ticks $daemon)
awk -v c=$((after - before)) -v r="$rate" 'BEGIN { printf "%d lines/s: %.3f CPU s per million lines, %.4f of a core\n", r, c / 100 / (r * 15) * 1e6, c / 100 / 15 }'
echo "idle: $(sample_cpu $daemon 10) CPU s in 10 s"
