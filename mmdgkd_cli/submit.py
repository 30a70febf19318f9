# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Train a chain as jobs, a network each, here or on a Slurm cluster.

Networks that do not wait for each other are trained at once. Several guidances
or seeds are runs of their own, below the work dir, which share the teachers
that they have in common; a report compares them. The same command goes on.

    mmdgkd submit CONFIG --cluster slurm --slurm partition=gpu time=240
    mmdgkd submit CONFIG --guidance direct independent --seeds 0 1 2 --jobs 2
"""
import argparse
import os.path as osp
from typing import Any, List, Sequence, Tuple

from .common import add_common_arguments, cfg_options_action, load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_common_arguments(parser, several=True)
    add_seeds(parser)
    parser.add_argument(
        '--cluster',
        choices=['local', 'slurm'],
        default='local',
        help='where (default: on this machine)')
    parser.add_argument(
        '--jobs',
        type=int,
        help='on this machine: how many at once (default: one, or one a GPU)')
    parser.add_argument(
        '--slurm',
        nargs='+',
        action=cfg_options_action(),
        default={},
        metavar='KEY=VALUE',
        help="of submitit's SlurmExecutor, such as partition=gpu time=240 "
        '(minutes) gpus_per_node=1')
    parser.add_argument(
        '--no-rehearsal',
        action='store_true',
        help='submit without the rehearsal; each job has its own')
    parser.add_argument(
        '--dry-run', action='store_true', help='print the jobs and exit')


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add the flag of several seeds.

    Args:
        parser (argparse.ArgumentParser): The parser to add it to.
    """
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[],
        help='of the last network, a run each; the other networks have the '
        'first one')


def one_guidance(args: argparse.Namespace) -> List[str]:
    """Leave the one guidance of a command line, if it is one, as mmdgkd train.

    Args:
        args (argparse.Namespace): The command line, which is changed.

    Returns:
        list[str]: All that were given.

    Raises:
        ConfigError: If a guidance or a seed is given twice.
    """
    from mmdgkd import ConfigError
    guidances = args.guidance or []
    for key, values in (('guidance', guidances), ('seeds', args.seeds)):
        for value in values:
            if values.count(value) > 1:
                raise ConfigError(f'--{key}: {value} is given twice')
    args.guidance = None if guidances[1:] else (guidances or [None])[0]
    return guidances


def sweep_of(cfg: Any, guidances: Sequence[str], seeds: Sequence[int],
             rehearsal: bool) -> Tuple[Any, str]:
    """The runs of a config, checked.

    Args:
        cfg (Config): The config.
        guidances (Sequence[str]): See ``Sweep``.
        seeds (Sequence[int]): Likewise.
        rehearsal (bool): See ``Sweep.check``.

    Returns:
        tuple[Sweep, str]: The runs, and the table of their jobs.

    Raises:
        ConfigError: As ``Sweep``.
    """
    from mmdgkd.jobs import Sweep
    from mmdgkd.utils.table import draw_table
    sweep = Sweep(cfg, guidances, seeds)
    sweep.check(rehearsal)
    return sweep, draw_table(('job', 'waits for', 'state'), sweep.table())


def run(args: argparse.Namespace) -> None:
    """Train, or submit, what is left."""
    import submitit  # noqa: F401  (before anything is done)
    import torch

    from mmdgkd import ConfigError
    from mmdgkd.report import write_report
    from .clusters import check_slurm, submit_to_slurm, train_here
    guidances = one_guidance(args)
    _check(args)
    if args.cluster == 'slurm':
        check_slurm(args.slurm)
    cfg = load_config(args)
    if cfg.get('chain') is None:
        raise ConfigError(f'config: {args.config!r} declares no chain')
    sweep, table = sweep_of(cfg, guidances, args.seeds, not args.no_rehearsal)
    print(table)
    if args.dry_run:
        return
    out = osp.join(sweep.path, 'report')
    if args.cluster == 'slurm':
        report = [*sweep.runs, '--out', out] if sweep.runs[1:] else []
        for job, number in submit_to_slurm(sweep, args.slurm, report).items():
            print(f'{job}: job {number}')
        return
    if torch.cuda.is_available():
        # The jobs need what the rehearsal had.
        torch.cuda.empty_cache()
    train_here(sweep, args.jobs or max(1, torch.cuda.device_count()))
    if sweep.runs[1:]:
        print(write_report(sweep.runs, out)[-1])


def _check(args: argparse.Namespace) -> None:
    from mmdgkd import ConfigError
    if args.jobs is not None and args.jobs < 1:
        raise ConfigError(f'--jobs: {args.jobs} must be 1 or more')
    slurm = args.cluster == 'slurm'
    for key, given, other in (('jobs', args.jobs
                               and slurm, 'local'), ('slurm', args.slurm
                                                     and not slurm, 'slurm')):
        if given:
            raise ConfigError(f'--{key}: is for --cluster {other}; leave one '
                              'of both out')
    if args.launcher != 'none':
        raise ConfigError('--launcher: is chosen for each job; leave it out')
