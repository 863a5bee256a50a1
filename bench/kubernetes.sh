#!/usr/bin/env bash
# Figures of rooms as pods (docs/kubernetes.md, "Figures"), on a control plane of this machine with nodes that only say that
# pods run. Needs what the tests need (`cargo xtask setup`); a quarter of an hour.
#
#   bench/kubernetes.sh rooms    500 rooms, what follows an edit, and what follows the loss of a pod
#   bench/kubernetes.sh pods     10,000 pods (FIGURES_PODS: another number), and what a repeated list costs
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-rooms}" in
rooms) measures=five_hundred_rooms ;;
pods) measures=a_list_of_many_pods ;;
*)
    echo "what shall be measured? rooms or pods" >&2
    exit 2
    ;;
esac
cargo test --release --package maestro --test kubernetes -- --ignored --nocapture "figures::$measures"
