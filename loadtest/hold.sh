#!/usr/bin/env bash
# Holds 50,000 sockets from this machine against three all-in-one gateways on it, two realms each, with chat:
# what the load tester is made for. Arguments are flags of the load tester: hold.sh --hold 10m --herd-every 2m
# Needs about 1 GiB of memory, and 17,000 descriptors a process: it says what to change where there are fewer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release --quiet --package squall-gateway --package squall-loadtest
release=${CARGO_TARGET_DIR:-target}/release
data=$(mktemp -d "${TMPDIR:-/tmp}/squall-hold-XXXXXX")
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$data"
}
trap stop EXIT

targets=()
for server in 1 2 3; do
  "$release/gateway" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --rate-limit 0 --log warn \
    --data-dir "$data/$server" >"$data/$server.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 200); do
    grep -qs '^admin on ' "$data/$server.log" && break
    kill -0 $! 2>/dev/null || { cat "$data/$server.log" >&2; exit 3; }
    sleep 0.05
  done
  targets+=(--target "$(sed -n 's/^listening on //p' "$data/$server.log")")
  targets+=(--admin "$(sed -n 's/^admin on //p' "$data/$server.log" | cut -d' ' -f1)")
done

# One session a user. A stream has about 340 members: 15 messages a second are 4,800 deliveries a second.
"$release/loadtest" chat "${targets[@]}" --rate-limit 0/min \
  --sockets 50000 --ramp 1000/s --hold 60s --settle 60s --scope none --typing 0/s \
  --realms-per-target 2 --users-per-realm 8400 --streams-per-realm 100 --streams-per-user 4 \
  --send-rate 15/s --expect 'sockets>=50000' --expect 'memory_per_socket<=2KiB' --expect 'faults=0' "$@"

for pid in "${pids[@]}"; do
  printf 'gateway       %s of memory at most\n' "$(sed -n 's/^VmHWM:[[:space:]]*//p' "/proc/$pid/status")"
done
