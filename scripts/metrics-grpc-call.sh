#!/bin/sh
# Shows CPU and memory of a version: of the last two hours, and then from now on. It needs grpcurl, and no .proto file,
# because the server describes itself.
#
#   GRPC=localhost:50051 NAMESPACE=scheduler-run-local VERSION=v1.0.0 scripts/metrics-grpc-call.sh
set -eu

: "${GRPC:=localhost:50051}"
: "${NAMESPACE:=scheduler-run-local}"
: "${VERSION:=v1.0.0}"
: "${STEP:=300}"
: "${WATCH_SECONDS:=500}"

command -v grpcurl >/dev/null || {
    echo "grpcurl is missing: see https://github.com/fullstorydev/grpcurl, or ask over HTTP:" >&2
    echo "  curl \"http://localhost:8080/schedulers/$NAMESPACE/versions/$VERSION/metrics\"" >&2
    exit 1
}

service=resourcemetrics.ResourceMetricsService
now=$(date -u +%s)
date_of() {
    date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ
}
from=$(date_of $((now - 7200)))
to=$(date_of "$now")

grpcurl -plaintext -max-time 500 -d "{
  \"namespace\": \"$NAMESPACE\", \"versionName\": \"$VERSION\", \"fromDate\": \"$from\", \"toDate\": \"$to\", \"step\": $STEP
}" "$GRPC" "$service/GetVersion"

# The end of the time is how a watch ends here: no failure.
grpcurl -plaintext -max-time "$WATCH_SECONDS" -d "{
  \"namespace\": \"$NAMESPACE\", \"versionName\": \"$VERSION\", \"fromDate\": \"$to\", \"step\": $STEP
}" "$GRPC" "$service/WatchVersion" || [ $? -eq 68 ]
