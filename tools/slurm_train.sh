#!/usr/bin/env bash
# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
# Train on a Slurm cluster, from a login node:
#   bash tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [flags of tools/train.py]
# or as a batch job, submitted in the root of the checkout, with the resources
# that this script requests from srun, here for GPUS=8:
#   sbatch -p PARTITION --gres=gpu:8 --ntasks=8 --ntasks-per-node=8 \
#       --cpus-per-task=5 --requeue --open-mode=append --signal=USR1@120 \
#       tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [flags]
# A training that Slurm stops, before the time limit or for another job, writes
# a checkpoint, is queued again and goes on there. To end it for good, send
# Ctrl-C or SIGTERM to this script, or scancel a batch job; from a login node
# scancel looks like a stop for another job.
# Environment: GPUS (all processes), GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS,
# GRACE (seconds before the time limit at which the training is stopped, 120;
# for a batch job sbatch's --signal sets it).
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: bash $0 PARTITION JOB CONFIG WORK_DIR [flags]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 work_dir=$4 flags=("${@:5}")
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
here=$(dirname "$0")
# Slurm runs a copy of a batch script, in a folder of its own.
[ -e "$here/train.py" ] || here=${SLURM_SUBMIT_DIR:-.}/tools
export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"

# The exit code of tools/train.py if all processes have stopped. srun exits with
# the highest code of all.
stopped=75
child='' unsent='' interrupted='' for_good=''

resume() {
    case " ${flags[*]-} " in
    *' --resume '*) ;;
    *) flags+=(--resume) ;;
    esac
}

forward() { # SIGNAL: send it to srun, or as soon as there is one
    interrupted=1 unsent=$1
    if [ -n "$child" ]; then
        unsent=''
        kill -s "$1" "$child" 2>/dev/null || true
    fi
}

# srun hands SIGUSR1 on, but on SIGTERM it kills the training.
trap 'forward USR1' USR1
trap 'for_good=1; forward USR1' TERM HUP
trap 'for_good=1; forward INT' INT

# In a process group of its own srun gets a Ctrl-C from here alone: two within
# a second would be an order to kill.
set -m

train() {
    # shellcheck disable=SC2086  # SRUN_ARGS is a list of words
    srun \
        -p "$partition" \
        --job-name="$job" \
        --gres="gpu:$per_node" \
        --ntasks="$gpus" \
        --ntasks-per-node="$per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        --signal="USR1@${GRACE:-120}" \
        --disable-status \
        ${SRUN_ARGS:-} \
        python -u "$here/train.py" "$config" --work-dir "$work_dir" \
        --launcher slurm ${flags[@]+"${flags[@]}"} </dev/null &
    child=$!
    [ -z "$unsent" ] || forward "$unsent"
    interrupted=1
    while [ -n "$interrupted" ]; do # A trap ends wait, but not srun.
        interrupted='' code=0
        wait "$child" || code=$?
    done
    child=''
}

[ "${SLURM_RESTART_COUNT:-0}" -eq 0 ] || resume
train
while [ "$code" -eq "$stopped" ] && [ -z "$for_good" ]; do
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        scontrol requeue "$SLURM_JOB_ID" ||
            echo "error: not queued again: go on with --resume" >&2
        break
    fi
    echo "stopped, and queued again" >&2
    resume
    train
done
exit "$code"
