#!/usr/bin/env bash
# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
# Start a real Slurm of one node on this machine, as root, to try tools on:
#   bash tools/dev/one_node_slurm.sh [start|stop]
# It installs Debian's slurm-wlm where that is missing; all else, its state and
# its logs, is in SLURM_HERE (default: /tmp/one_node_slurm).
set -euo pipefail
here=${SLURM_HERE:-/tmp/one_node_slurm}
if [ "${1:-start}" = stop ]; then
    for name in slurmctld slurmd munged; do
        pkill -x "$name" || true
    done
    exit
fi
command -v slurmctld >/dev/null || {
    apt-get update -q && apt-get install -y -q --no-install-recommends slurm-wlm
}
mkdir -p "$here/state" "$here/spool" /run/munge
chown munge: /run/munge
[ -e /etc/munge/munge.key ] || {
    dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chown munge: /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
}
cat >"$here/slurm.conf" <<END
ClusterName=here
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
SlurmctldPidFile=$here/slurmctld.pid
SlurmdPidFile=$here/slurmd.pid
SlurmctldLogFile=$here/slurmctld.log
SlurmdLogFile=$here/slurmd.log
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobRequeue=1
KillWait=30
MinJobAge=3600
SchedulerParameters=bf_interval=1,sched_min_interval=100000
# Jobs of two CPUs here may share the node.
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=here Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$here/slurm.conf
pgrep -x munged >/dev/null || runuser -u munge -- munged
pgrep -x slurmctld >/dev/null || slurmctld -c
pgrep -x slurmd >/dev/null || slurmd
for _ in $(seq 50); do
    if sinfo -h -o %t 2>/dev/null | grep -q idle; then
        echo "export SLURM_CONF=$SLURM_CONF"
        exit
    fi
    sleep 0.2
done
tail -n 20 "$here"/*.log >&2
exit 1
