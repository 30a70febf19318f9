# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The jobs of a sweep on this machine, or on a Slurm cluster, by submitit."""
import contextlib
import graphlib
import json
import os
import os.path as osp
import shutil
import signal
import subprocess
import time
from glob import escape, glob
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from .cluster_job import ClusterJob

# How often a job is queued again after its time limit: submitit's 3 are few.
_REQUEUES = 1000
_YEAR = 365 * 24 * 60  # in minutes
# What is set here, with the seconds that a checkpoint has before a time limit.
_OWN = dict(
    signal_delay_s=120,
    job_name='',
    dependency='',
    additional_parameters={'kill-on-invalid-dep': 'yes'})


def check_slurm(options: Mapping[str, Any]) -> None:
    """Check that there is a Slurm, and what it is to be told.

    Args:
        options (Mapping): The value of ``--slurm``.

    Raises:
        ConfigError: If there is none, or for a wrong key or value.
    """
    from mmdgkd import ConfigError
    if shutil.which('sbatch') is None:
        raise ConfigError('--cluster slurm: there is no sbatch here; use it on'
                          ' a machine from which jobs are submitted')
    for key in options.keys() & _OWN.keys():
        raise ConfigError(f'--slurm {key}: is set by mmdgkd submit; leave it '
                          'out')
    if 'time' not in options:
        raise ConfigError('--slurm: has no time; set that to the minutes after'
                          ' which a job is stopped and queued again')
    for key in ('time', 'nodes', 'ntasks_per_node'):
        if key in options and (type(options[key]) is not int
                               or options[key] < 1):
            raise ConfigError(f'--slurm {key}: {options[key]!r} must be an '
                              'integer, 1 or more' + ', of minutes' *
                              (key == 'time'))


def train_here(sweep: Any, jobs: int) -> None:
    """Run the jobs of a sweep on this machine, to their end.

    A job that fails stops those that need it, and no other.

    Args:
        sweep (Sweep): The sweep.
        jobs (int): How many run at once, on a GPU each, if there are any.

    Raises:
        TrainingError: If a job has failed.
        TrainingStopped: After Ctrl-C or SIGTERM, which go to the jobs.
    """
    import submitit

    from mmdgkd import TrainingError, TrainingStopped
    folder, todo = _begin(sweep), sweep.todo()
    executor = submitit.LocalExecutor(folder)
    sorter: Any = graphlib.TopologicalSorter(todo)
    sorter.prepare()
    waiting: List[Any] = []
    running: Dict[int, Tuple[Any, Any]] = {}  # by slot
    told, failed, begun = set(), [], []
    with _signals() as received:
        while sorter.is_active():
            waiting += sorter.get_ready()
            for slot in sorted(set(range(jobs)) - running.keys()):
                if waiting and not received:
                    job = waiting.pop(0)
                    running[slot] = job, _start(
                        executor, ClusterJob('train',
                                             sweep.words(job, folder)), slot)
                    begun.append(job)
                    print(f'{job}: started', flush=True)
            if not running:
                break
            time.sleep(0.2)
            for slot, (job, started) in list(running.items()):
                if received and job not in told:
                    told.add(job)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(started.job_id), signal.SIGTERM)
                if not started.done():
                    continue
                del running[slot]
                if sweep.is_done(job):
                    sorter.done(job)
                    print(f'{job}: done', flush=True)
                else:
                    failed.append(str(job))
                    print(f'{job}: {_reason(started)}', flush=True)
    if received:
        raise TrainingStopped('stopped; the same command goes on')
    if failed:
        left = ', '.join(str(job) for job in todo if job not in begun)
        more = left and f'; not begun, since they need it: {left}'
        raise TrainingError(f'failed: {", ".join(failed)}{more}; the same '
                            'command goes on')


def submit_to_slurm(sweep: Any, options: Mapping[str, Any],
                    report: List[str]) -> Dict[str, str]:
    """Submit the jobs of a sweep to Slurm.

    Each waits for those that it needs, and is cancelled if one of them fails.

    Args:
        sweep (Sweep): The sweep.
        options (Mapping): Of submitit's ``SlurmExecutor``, such as
            ``partition`` and ``time`` (minutes).
        report (list[str]): The arguments of ``mmdgkd report``, which is the
            last job; none if there are none.

    Returns:
        dict[str, str]: The number of each job.

    Raises:
        ConfigError: If jobs of this work dir are queued already, or Slurm
            refuses one; none of them is queued then.
    """
    import submitit

    from mmdgkd import ConfigError
    _refuse_queued(sweep)
    folder, todo = _begin(sweep), sweep.todo()
    processes = options.get('nodes', 1) * options.get('ntasks_per_node', 1)
    launcher = ['--launcher', 'slurm'] if processes > 1 else []
    numbers: Dict[Any, str] = {}
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=_REQUEUES)
        for job, needs in todo.items():
            executor.update_parameters(**dict(
                _OWN,
                job_name=str(job),
                dependency=_after(numbers[each] for each in needs),
                **options))
            words = [*sweep.words(job, folder), *launcher]
            numbers[job] = executor.submit(ClusterJob('train', words)).job_id
        if report and numbers:
            kept = {
                key: value
                for key, value in options.items()
                if key in ('time', 'partition', 'account', 'qos')
            }
            executor = submitit.SlurmExecutor(folder)
            executor.update_parameters(**dict(
                _OWN,
                job_name='report',
                dependency=_after(numbers.values()),
                **kept))
            numbers['report'] = executor.submit(ClusterJob('report',
                                                           report)).job_id
    except (RuntimeError, TypeError, ValueError,
            submitit.core.utils.FailedJobError) as error:
        if numbers:
            subprocess.run(['scancel', *numbers.values()], check=False)
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f'--cluster slurm: {reason}') from None
    with open(osp.join(folder, 'numbers.json'), 'w') as file:
        json.dump([*numbers.values()], file)
    return {str(job): number for job, number in numbers.items()}


def _begin(sweep: Any) -> str:
    """A folder of this submission: the configs, the logs of the jobs."""
    # Where this package is no installed one.
    root = osp.dirname(osp.dirname(osp.abspath(__file__)))
    paths = [root, *os.environ.get('PYTHONPATH', '').split(os.pathsep)]
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    folder = osp.join(sweep.path, 'jobs', time.strftime('%Y%m%d_%H%M%S'))
    sweep.write_configs(folder)
    return folder


def _refuse_queued(sweep: Any) -> None:
    from mmdgkd import ConfigError
    numbers = set()
    for path in glob(osp.join(escape(sweep.path), 'jobs/*/numbers.json')):
        with open(path) as file:
            numbers.update(json.load(file))
    found = subprocess.run(['squeue', '-h', '-o', '%i'],
                           capture_output=True,
                           text=True).stdout.split()
    queued = sorted(numbers.intersection(found), key=int)
    if queued:
        raise ConfigError(
            f'--cluster slurm: jobs {", ".join(queued)} of {sweep.path!r} are '
            'queued or run already; wait for them, or scancel them')


def _after(numbers: Any) -> Any:
    waits = ':'.join(numbers)
    return f'afterok:{waits}' if waits else None


def _start(executor: Any, job: ClusterJob, slot: int) -> Any:
    executor.update_parameters(timeout_min=_YEAR, **_gpu(slot))
    # A Ctrl-C in the terminal is for the training itself alone.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return executor.submit(job)
    finally:
        signal.signal(signal.SIGINT, before)


def _gpu(slot: int) -> Dict[str, Any]:
    import torch
    if not torch.cuda.is_available():
        return {}
    given = os.environ.get('CUDA_VISIBLE_DEVICES')
    gpus = [int(each) for each in given.split(',')
            ] if given else [*range(torch.cuda.device_count())]
    return dict(gpus_per_node=1, visible_gpus=[gpus[slot % len(gpus)]])


@contextlib.contextmanager
def _signals() -> Iterator[List[int]]:
    """What this process gets of SIGTERM and Ctrl-C."""
    received: List[int] = []
    before = {
        number: signal.signal(number, lambda got, _: received.append(got))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reason(started: Any) -> str:
    """Why a job has failed: its own last word, and where the rest is."""
    path = started.paths.stderr
    lines = path.read_text().splitlines() if path.exists() else []
    said = [line for line in lines if line.startswith(('error: ', 'stopped'))]
    return f'failed: {said[-1] if said else "it was killed"} ({path})'
