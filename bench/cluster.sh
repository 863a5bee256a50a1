#!/usr/bin/env bash
# Figures on Postgres and Redis (docs/benchmarks.md, "On Postgres and Redis"). Needs a release build, psql and redis-cli, the
# ports of the local stack (`cargo xtask stack up`) and those from 18080 on.
#
#   bench/cluster.sh idle    one node with 1,000 schedulers, and the listings: two minutes
#   bench/cluster.sh pings   steady pings, beside the embedded store: three minutes
#   bench/cluster.sh load    allocations and operations, beside the embedded store: two minutes
#   bench/cluster.sh forwarded    pings at the owner's node and at another: two minutes
#   bench/cluster.sh handover     1,000 schedulers leave a node that drains: one minute
#   bench/cluster.sh pushed       operations that other tools push, until the owner's write that starts each: one minute
#   bench/cluster.sh nodes   three nodes with 1,000 schedulers each, of which one is killed: two minutes
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
chmod 755 "$folder"
maestro=target/release/maestro
xtask=(cargo xtask stack --folder "$folder" --program "$maestro")
nodes=()
finish() {
    for pid in "${nodes[@]}"; do kill -TERM "$pid" 2>/dev/null && wait "$pid" || true; done
    "${xtask[@]}" down
    rm -rf "$folder"
}
trap finish EXIT
"${xtask[@]}" migrate
export MAESTRO_ADAPTERS_SCHEDULERSTORAGE_POSTGRES_URL=postgres://maestro@127.0.0.1:15432/maestro
for role in SCHEDULERCACHE OPERATIONSTORAGE OPERATIONFLOW OPERATIONLEASESTORAGE ROOMSTORAGE INSTANCESTORAGE; do
    export "MAESTRO_ADAPTERS_${role}_REDIS_URL=redis://127.0.0.1:16379/0"
done

# A node: management, rooms, internal and gRPC on 18N80 to 18N83.
start() { # number
    local base=$((18080 + $1 * 100))
    MAESTRO_RUNTIME_TYPE=simulated MAESTRO_RUNTIME_SIMULATED_ROOMLIST="$folder/rooms-$1" MAESTRO_STORE_DATADIR="$folder/data-$1" \
        MAESTRO_API_HOST=127.0.0.1 MAESTRO_INTERNALAPI_HOST=127.0.0.1 MAESTRO_CLUSTER_LISTEN="127.0.0.1:$((base + 4))" \
        MAESTRO_API_PORT=$base MAESTRO_ROOMSAPI_PORT=$((base + 1)) MAESTRO_INTERNALAPI_PORT=$((base + 2)) MAESTRO_GRPC_PORT=$((base + 3)) \
        MAESTRO_SERVICES_ROOMMANAGER_ROOMPINGTIMEOUTMILLIS=3600000 "$maestro" start all 2>"$folder/log-$1" &
    nodes[$1]=$!
    until curl --silent --fail --output /dev/null "http://127.0.0.1:$((base + 2))/readyz"; do sleep 0.1; done
}
create() { # from, to, rooms of each, node
    seq -f '%05g' "$1" "$2" | xargs -P 16 -I{} curl --silent --fail --output /dev/null "http://127.0.0.1:$((18080 + ${4:-0} * 100))/schedulers" --data '{
        "name": "fleet-{}", "game": "bench", "maxSurge": "1", "roomsReplicas": '"${3:-0}"', "portRange": {"start": 20000, "end": 30000},
        "spec": {"terminationGracePeriod": "10s", "containers": [{"name": "room", "image": "maestro/room",
            "imagePullPolicy": "IfNotPresent", "command": ["maestro", "room"], "environment": [],
            "requests": {"memory": "32Mi", "cpu": "20m"}, "limits": {"memory": "64Mi", "cpu": "200m"},
            "ports": [{"name": "game", "protocol": "tcp", "port": 7777}]}]}}'
}
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
commands() { redis-cli -p 16379 info stats | awk -F: '/total_commands_processed/ {print $2 + 0}'; }
redis_cpu() { redis-cli -p 16379 info cpu | awk -F: '/^used_cpu_(sys|user):/ {sum += $2} END {print int(sum * 1000)}'; }
scripts() { redis-cli -p 16379 info commandstats | sed -n 's/^cmdstat_evalsha:calls=\([0-9]*\),.*/\1/p'; }
sql() { psql -h 127.0.0.1 -p 15432 -U maestro -d maestro -Atc "$1"; }
metric() { # node, name: the sum over its labels
    curl --silent "http://127.0.0.1:$((18082 + $1 * 100))/metrics" | awk -v name="$2" '$1 == name || index($1, name "{") == 1 {sum += $2} END {print sum + 0}'
}
empty() {
    redis-cli -p 16379 flushall >/dev/null
    sql "truncate schedulers, scheduler_versions, maestro_node, maestro_owner cascade" >/dev/null
}

idle() {
    timed() { # what, path
        for _ in 1 2 3 4 5; do
            curl --silent --output /dev/null --write-out "$1: %{time_total} s\n" "http://127.0.0.1:18080$2"
        done
    }
    start 0
    create 1 1000
    sleep 20
    local before=$(ticks "${nodes[0]}") asked=$(commands)
    sleep 30
    echo "idle with 1,000 schedulers: $(((($(ticks "${nodes[0]}") - before) * 1000 / $(getconf CLK_TCK) / 30))) thousandths of a core, \
$(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/${nodes[0]}/status") MiB, $((($(commands) - asked) / 30)) commands of Redis a second"
    timed "info of 1,000" '/schedulers/info?game=bench'
    create 1001 8000
    sleep 5
    timed "list of 8,000" /schedulers
}

pings() {
    local round stores asked called spent
    for round in 1 2 3; do
        for stores in "" --stores; do
            empty
            echo "== pings, round $round ${stores:-embedded}"
            asked=$(commands) called=$(scripts) spent=$(redis_cpu)
            "$maestro" bench ping --rooms 1000 --for 8s --baseline $stores
            echo "in the whole run: $(($(scripts) - ${called:-0})) scripts, $(($(commands) - asked)) commands, $(($(redis_cpu) - spent)) CPU-ms of Redis"
        done
    done
}

load() {
    local stores asked called spent
    for stores in "" --stores; do
        empty
        echo "== allocations ${stores:-embedded}"
        asked=$(commands) called=$(scripts) spent=$(redis_cpu)
        "$maestro" bench allocate --rooms 10000 --allocations 30000 --for 10s $stores
        echo "in the whole run, with the making of 30,000 rooms: $(($(scripts) - ${called:-0})) scripts, $(($(commands) - asked)) commands, $(($(redis_cpu) - spent)) CPU-ms of Redis"
        empty
        echo "== operations ${stores:-embedded}"
        "$maestro" bench operations --operations 900 --for 2s $stores
    done
}

# Rooms of one node ping at another.
forwarded() {
    empty
    start 0
    create 1 1 1000
    until [ "$(wc -l <"$folder/rooms-0")" -ge 1000 ]; do sleep 0.1; done
    start 1
    local owner other a b
    owner=$(awk 'NR == 1' <(for n in 0 1; do [ "$(metric $n maestro_cluster_owned_schedulers)" -gt 0 ] && echo "$n"; done))
    other=$((1 - owner))
    for at in "$owner" "$other" "$owner" "$other"; do
        echo "== pings of the rooms of node $owner at node $at"
        a=$(ticks "${nodes[owner]}") b=$(ticks "${nodes[other]}")
        "$maestro" bench ping --target-management "http://127.0.0.1:$((18080 + at * 100))" --target-rooms "http://127.0.0.1:$((18081 + at * 100))" \
            --pid "${nodes[at]}" --scheduler fleet-00001 --room-list "$folder/rooms-0" --for 8s
        echo "CPU: owner $(($(ticks "${nodes[owner]}") - a)), other $(($(ticks "${nodes[other]}") - b)) ticks of $(getconf CLK_TCK) a second"
    done
}

handover() {
    start 0
    create 1 1000
    start 1
    sleep 5
    "$maestro" node drain --leave-rooms --url http://127.0.0.1:18082
    until [ "$(metric 1 maestro_cluster_owned_schedulers)" -ge 1000 ]; do sleep 0.1; done
    curl --silent http://127.0.0.1:18182/metrics | grep '^maestro_cluster_unowned_seconds'
}

# From the RPUSH of another tool to the first change that the owner makes to that operation, in the clock of Redis.
pushed() {
    start 0
    create 1 1
    sleep 2
    redis-cli -p 16379 monitor >"$folder/monitor" &
    local monitor=$! number id
    for number in $(seq -f '%012g' 1 "${1:-1000}"); do
        id=00000000-0000-4000-8000-$number
        redis-cli -p 16379 >/dev/null <<END
hset operations:fleet-00001:$id id $id schedulerName fleet-00001 status 0 definitionName test_operation definitionContents '{"sleepSeconds":0}' createdAt $(date -u +%FT%TZ) executionHistory null
rpush pending_operations:fleet-00001 $id
END
        sleep 0.02
    done
    kill "$monitor"
    tr -d '"' <"$folder/monitor" | awk '
        $4 == "rpush" {at[$6] = $1}
        $3 == "lua]" && tolower($4) == "hset" {id = $5; sub(/.*:/, "", id); if (id in at) {print ($1 - at[id]) * 1000; delete at[id]}}' |
        sort -n | awk '{all[NR] = $1} END {printf "%d started: median %.2f ms, p99 %.2f ms, longest %.2f ms\n",
            NR, all[int(NR / 2) + 1], all[int(NR * 0.99) + 1], all[NR]}'
}

nodes() {
    for n in 0 1 2; do start $n; done
    # Each stays where it was created: simulated rooms are seen by their node alone.
    for n in 0 1 2; do create $((n * 1000 + 1)) $((n * 1000 + 1000)) 0 $n; done
    sleep 20
    for n in 0 1 2; do echo "node $n owns $(metric $n maestro_cluster_owned_schedulers)"; done
    sql "alter system set log_statement = 'all'" >/dev/null
    sql "select pg_reload_conf()" >/dev/null
    sleep 1
    local log began asked stated
    log=$(find "$folder" -name '*log*' -path '*ostgres*' -type f | head -1)
    began=$(date +%s%N) asked=$(commands) stated=$(grep -c 'LOG:  \(execute\|statement\)' "$log" || true)
    kill -9 "${nodes[2]}"
    until [ $(($(metric 0 maestro_cluster_owned_schedulers) + $(metric 1 maestro_cluster_owned_schedulers))) -ge 3000 ]; do sleep 0.05; done
    local took=$((($(date +%s%N) - began) / 1000000))
    echo "owned again after $took ms: $((($(grep -c 'LOG:  \(execute\|statement\)' "$log") - stated) * 1000 / took)) statements of Postgres and \
$((($(commands) - asked) * 1000 / took)) commands of Redis a second meanwhile"
    for n in 0 1; do
        curl --silent "http://127.0.0.1:$((18082 + n * 100))/metrics" | grep '^maestro_cluster_unowned_seconds.*lost\|^maestro_cluster_takeovers_total' || true
    done
    wait "${nodes[2]}" 2>/dev/null || true
    unset "nodes[2]"
}

"${1:-idle}" "${@:2}"
