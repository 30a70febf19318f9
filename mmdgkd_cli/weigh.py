# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Say whether several teachers are worth more than one, before a student.

On images that no teacher was trained on (chain.holdout): accuracy, NLL and
calibration of each teacher, of their mean, and of the stacked estimate of
least NLL, with intervals; and the weights of the teachers, as lines for a
config. Each teacher is run once; its logits are cached in the work dir.

    mmdgkd weigh work_dirs/digits --network resnet8
    mmdgkd weigh CONFIG --work-dir D --teachers resnet20 resnet14
"""
import argparse
import os.path as osp

from .common import cfg_options_action, load_config

_MOST_RESAMPLES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        'config',
        metavar='CONFIG or WORK_DIR',
        help='the config file of the chain, or its work dir')
    parser.add_argument(
        '--work-dir',
        help='where the trained networks are (default: work_dirs/<name of the '
        'config>)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=cfg_options_action(),
        help='override settings of the config, such as val_dataloader.'
        'batch_size=100')
    parser.add_argument(
        '--network',
        metavar='STUDENT',
        help='whose teachers are weighed (default: the last network)')
    parser.add_argument(
        '--teachers',
        nargs='+',
        metavar='NAME',
        help='some of the networks before it (default: its teachers by '
        'chain.guidance; all if these are fewer than two)')
    parser.add_argument(
        '--resamples',
        type=int,
        default=200,
        metavar='N',
        help='resamples of the images, for the intervals (default: 200)')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the resamples (default: 0)')
    # It is one process.
    parser.set_defaults(launcher='none', local_rank=0, guidance=None)


def run(args: argparse.Namespace) -> None:
    """Print the table, the sentence and the lines of a config."""
    from mmdgkd import ConfigError
    from mmdgkd.chain.runner import ChainRunner
    from mmdgkd.weigh import weigh_chain
    if not 2 <= args.resamples <= _MOST_RESAMPLES:
        raise ConfigError(f'--resamples: {args.resamples} must be from 2 to '
                          f'{_MOST_RESAMPLES}')
    if args.seed < 0:
        raise ConfigError(f'--seed: {args.seed} must be 0 or more')
    if osp.isdir(args.config):
        args.work_dir = args.work_dir or args.config
        args.config = osp.join(args.config, 'config.py')
    cfg = load_config(args)
    if cfg.get('chain') is None:
        raise ConfigError(f'config: {args.config!r} declares no chain')
    if not cfg.chain.get('holdout'):
        raise ConfigError(
            'chain.holdout: is not set; weigh needs images that no teacher '
            'was trained on, such as chain=dict(holdout=5000)')
    from mmdgkd.chain.splits import held_out_loader
    runner = ChainRunner(cfg, verbose=False)
    loader = held_out_loader(runner.cfg, runner.chain)
    print(
        weigh_chain(runner.cfg, runner.chain, runner.work, loader,
                    args.network, args.teachers, args.resamples, args.seed))
