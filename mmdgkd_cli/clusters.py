# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The jobs of a sweep on this machine, or on a Slurm cluster, by submitit."""
import contextlib
import graphlib
import os
import os.path as osp
import signal
import time
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from .cluster_job import ClusterJob

# How often a job is queued again after its time limit: submitit's 3 are few.
_REQUEUES = 1000
# Seconds before a time limit, for the checkpoint.
_GRACE = 120
_YEAR = 365 * 24 * 60  # in minutes


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
    from mmdgkd import TrainingError, TrainingStopped
    executor = _submitit().LocalExecutor(_folder(sweep))
    todo = sweep.todo()
    sorter: Any = graphlib.TopologicalSorter(todo)
    sorter.prepare()
    waiting: List[Any] = []
    running: Dict[int, Tuple[Any, Any]] = {}  # by slot
    ended: Dict[Any, bool] = {}
    with _signals_to(running) as received:
        while sorter.is_active():
            waiting += sorter.get_ready()
            for slot in sorted(set(range(jobs)) - running.keys()):
                if waiting and not received:
                    job = waiting.pop(0)
                    running[slot] = job, _start(executor, sweep, job, slot)
                    print(f'{job}: started', flush=True)
            if not running:
                break
            time.sleep(0.2)
            for slot, (job, started) in list(running.items()):
                if started.done():
                    del running[slot]
                    ended[job] = started.exception() is None
                    if ended[job]:
                        sorter.done(job)
                    reason = '' if ended[job] else _reason(started)
                    print(f'{job}: {reason or "done"}', flush=True)
    if received:
        raise TrainingStopped('stopped; the same command goes on')
    if not all(ended.values()):
        left = [str(job) for job in todo if job not in ended]
        more = f'; not begun, since they need it: {", ".join(left)}' * bool(
            left)
        names = ', '.join(str(job) for job, well in ended.items() if not well)
        raise TrainingError(f'failed: {names}{more}; the same command goes on')


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
        ConfigError: If there is no Slurm, or it refuses a job.
    """
    from mmdgkd import ConfigError
    submitit, todo = _submitit(), sweep.todo()
    processes = options.get('nodes', 1) * options.get('ntasks_per_node', 1)
    launcher = ['--launcher', 'slurm'] if processes > 1 else []
    numbers: Dict[Any, str] = {}

    def submit(job: ClusterJob, name: str, waits: str) -> str:
        executor.update_parameters(
            job_name=name,
            signal_delay_s=_GRACE,
            dependency=waits,
            additional_parameters={'kill-on-invalid-dep': 'yes'},
            **dict(dict(time=_YEAR), **options))
        return executor.submit(job).job_id

    try:
        executor = submitit.SlurmExecutor(
            _folder(sweep), max_num_timeout=_REQUEUES)
        for job in graphlib.TopologicalSorter(todo).static_order():
            waits = ':'.join(numbers[each] for each in todo[job])
            numbers[job] = submit(
                ClusterJob('train', [*sweep.words(job), *launcher]), str(job),
                waits and f'afterok:{waits}')
        if report and numbers:
            waits = ':'.join(numbers.values())
            numbers['report'] = submit(
                ClusterJob('report', report), 'report', f'afterany:{waits}')
    except (RuntimeError, ValueError,
            submitit.core.utils.FailedJobError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f'--cluster slurm: {reason}') from None
    return {str(job): number for job, number in numbers.items()}


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise ImportError('mmdgkd submit: mmdgkd needs submitit: pip install '
                          'submitit') from None
    # Where this package is no installed one.
    root = osp.dirname(osp.dirname(osp.abspath(__file__)))
    paths = [root, *os.environ.get('PYTHONPATH', '').split(os.pathsep)]
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    return submitit


def _folder(sweep: Any) -> str:
    return osp.join(sweep.path, 'jobs')


def _start(executor: Any, sweep: Any, job: Any, slot: int) -> Any:
    import torch
    gpus = dict(
        gpus_per_node=1, visible_gpus=[slot % torch.cuda.device_count()]) if (
            torch.cuda.is_available()) else {}
    executor.update_parameters(timeout_min=_YEAR, **gpus)
    # A Ctrl-C in the terminal is for the training itself alone.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return executor.submit(ClusterJob('train', sweep.words(job)))
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _signals_to(running: Mapping[int, Tuple[Any, Any]]) -> Iterator[List[int]]:
    """Send SIGTERM to the jobs where this process gets it, or Ctrl-C."""
    received: List[int] = []

    def stop(number: int, _: Any) -> None:
        received.append(number)
        for _, started in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(started.job_id), signal.SIGTERM)

    before = {
        number: signal.signal(number, stop)
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
