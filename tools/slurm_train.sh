#!/usr/bin/env bash
# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
# Train on a Slurm cluster:
#   bash tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [flags of tools/train.py]
# Environment: GPUS (all processes), GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS.
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: bash $0 PARTITION JOB CONFIG WORK_DIR [flags]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 work_dir=$4
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
here=$(dirname "$0")
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" exec srun \
    -p "$partition" \
    --job-name="$job" \
    --gres="gpu:$per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$here/train.py" "$config" --work-dir "$work_dir" --launcher slurm "${@:5}"
