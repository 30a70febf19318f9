# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Print what a chain trains, what it costs, and what is wrong with it.

Nothing is trained but a rehearsal: two steps of each stage. ``mmdgkd train``
prints it first, too. With several guidances or seeds it prints the jobs of
``mmdgkd submit``: what each waits for, and its state.

    mmdgkd plan mmdgkd::dgkd/resnet20_to_resnet8_digits.py
    mmdgkd plan CONFIG --guidance direct independent --seeds 0 1 2
"""
import argparse

from .common import add_common_arguments, load_config
from .submit import add_seeds, one_guidance, sweep_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_common_arguments(parser, several=True)
    add_seeds(parser)
    parser.add_argument(
        '--stage', metavar='NAME', help='plan this network alone')
    parser.add_argument(
        '--no-rehearsal',
        action='store_true',
        help='print the table alone, which takes seconds')


def run(args: argparse.Namespace) -> None:
    """Print the plan."""
    from mmdgkd import ConfigError
    from mmdgkd.chain.runner import ChainRunner
    guidances = one_guidance(args)
    cfg = load_config(args)
    if cfg.get('chain') is None:
        raise ConfigError(f'config: {args.config!r} declares no chain')
    if args.no_rehearsal:
        cfg.chain.preflight = False
    if guidances[1:] or args.seeds:
        if args.stage:
            raise ConfigError('--stage: is one of a chain; leave it out, or '
                              '--seeds and further words of --guidance')
        print(sweep_of(cfg, guidances, args.seeds, not args.no_rehearsal)[1])
        return
    print(ChainRunner(cfg, only=args.stage).plan())
