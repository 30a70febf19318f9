#!/usr/bin/env bash
# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
# Test with several processes:
#   bash tools/dist_test.sh CONFIG NUM_PROCS [CHECKPOINT] [flags of tools/test.py]
# Environment: NNODES, NODE_RANK, PORT, MASTER_ADDR.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash $0 CONFIG NUM_PROCS [CHECKPOINT] [flags]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/_torchrun.sh" test.py "$@"
