#!/usr/bin/env bash
# Figures of one node on Postgres and Redis (docs/benchmarks.md, "On Postgres and Redis"): idle with 1,000 schedulers, and the
# listings. Needs a release build, the ports of the local stack (`cargo xtask stack up`) and 8080, 8081; about two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
chmod 755 "$folder"
xtask=(cargo xtask stack --folder "$folder" --program target/release/maestro)
"${xtask[@]}" migrate
export MAESTRO_ADAPTERS_SCHEDULERSTORAGE_POSTGRES_URL=postgres://maestro@127.0.0.1:15432/maestro
for role in SCHEDULERCACHE OPERATIONSTORAGE OPERATIONFLOW OPERATIONLEASESTORAGE ROOMSTORAGE INSTANCESTORAGE; do
    export "MAESTRO_ADAPTERS_${role}_REDIS_URL=redis://127.0.0.1:16379/0"
done
export MAESTRO_RUNTIME_TYPE=simulated MAESTRO_API_HOST=127.0.0.1 MAESTRO_INTERNALAPI_HOST=127.0.0.1 MAESTRO_STORE_DATADIR="$folder/data"
target/release/maestro start all 2>"$folder/log" &
server=$!
trap 'kill -TERM $server; wait $server; "${xtask[@]}" down; rm -rf "$folder"' EXIT
until curl --silent --fail --output /dev/null http://127.0.0.1:8081/readyz; do sleep 0.1; done

create() { # from, to
    seq -f '%05g' "$1" "$2" | xargs -P 16 -I{} curl --silent --fail --output /dev/null http://127.0.0.1:8080/schedulers --data '{
        "name": "fleet-{}", "game": "bench", "maxSurge": "1", "roomsReplicas": 0, "portRange": {"start": 20000, "end": 21000},
        "spec": {"terminationGracePeriod": "10s", "containers": [{"name": "room", "image": "maestro/room",
            "imagePullPolicy": "IfNotPresent", "command": ["maestro", "room"], "environment": [],
            "requests": {"memory": "32Mi", "cpu": "20m"}, "limits": {"memory": "64Mi", "cpu": "200m"},
            "ports": [{"name": "game", "protocol": "tcp", "port": 7777}]}]}}'
}
ticks() { awk '{print $14 + $15}' "/proc/$server/stat"; }
commands() { redis-cli -p 16379 info stats | awk -F: '/total_commands_processed/ {print $2 + 0}'; }
timed() { # what, path
    for _ in 1 2 3 4 5; do
        curl --silent --output /dev/null --write-out "$1: %{time_total} s\n" "http://127.0.0.1:8080$2"
    done
}

create 1 1000
sleep 20
before=$(ticks) asked=$(commands)
sleep 30
echo "idle with 1,000 schedulers: $(( ($(ticks) - before) * 100 / $(getconf CLK_TCK) / 30 )) % of a core, \
$(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$server/status") MiB, $(( ($(commands) - asked) / 30 )) commands of Redis a second"
timed "info of 1,000" '/schedulers/info?game=bench'
create 1001 8000
sleep 5
timed "list of 8,000" /schedulers
