#!/usr/bin/env bash
# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
# Called by dist_train.sh and dist_test.sh: TOOL CONFIG NUM_PROCS [flags]
set -euo pipefail
tool=$1 config=$2 processes=$3
shift 3
here=$(dirname "$0")
PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" exec python "$here/_launch.py" \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    --max_restarts="${MAX_RESTARTS:-0}" \
    "$here/$tool" "$config" "$@" --launcher pytorch
