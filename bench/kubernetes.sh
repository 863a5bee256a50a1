#!/usr/bin/env bash
# Figures of rooms as pods (docs/kubernetes.md, "Figures"), on a control plane of this machine with nodes that only say that
# pods run. Needs what the tests need (`cargo xtask setup`); a quarter of an hour.
#
#   bench/kubernetes.sh rooms        500 rooms (FIGURES_ROOMS), what follows an edit, and what follows the loss of a pod
#   bench/kubernetes.sh allocations  500 rooms given at once out of a share of as many (FIGURES_SHARE), and a steady rate
#   bench/kubernetes.sh pods         10,000 pods (FIGURES_PODS), and what a repeated list costs
#   bench/kubernetes.sh labels       evictions and labels while 50 statuses change in a second
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-rooms}" in
rooms) measures=figures::five_hundred_rooms ;;
allocations) measures=figures::allocations ;;
pods) measures=figures::many ;;
labels) measures=load::rooms_in_use ;;
*)
    echo "what shall be measured? rooms, allocations, pods or labels" >&2
    exit 2
    ;;
esac
# Where the programs are missing it fails, rather than skip what it is to measure.
CI=true cargo test --release --package maestro --test kubernetes -- --include-ignored --nocapture "$measures"
