#!/usr/bin/env bash
# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
# Train with several processes on this machine, or on NNODES machines:
#   bash tools/dist_train.sh CONFIG NUM_PROCS [flags of tools/train.py]
# NUM_PROCS is the number of GPUs per machine, or of processes on the CPU.
# SIGTERM, SIGUSR1 or Ctrl-C to it stop all processes, with a checkpoint and
# exit code 75; on several machines, to one of them is enough.
# Environment: NNODES, NODE_RANK, PORT, MASTER_ADDR, MAX_RESTARTS (how often the
# processes begin again, from the last checkpoint, after one was killed; 0).
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash $0 CONFIG NUM_PROCS [flags of tools/train.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/_torchrun.sh" train.py "$@"
