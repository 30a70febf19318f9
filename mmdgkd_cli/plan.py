# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Print what a chain trains, what it costs, and what is wrong with it.

Nothing is trained but a rehearsal: two steps of each stage. ``mmdgkd train``
prints it first, too.

    mmdgkd plan mmdgkd::dgkd/resnet20_to_resnet8_digits.py
"""
import argparse

from .common import add_common_arguments, load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_common_arguments(parser)
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
    cfg = load_config(args)
    if cfg.get('chain') is None:
        raise ConfigError(f'config: {args.config!r} declares no chain')
    if args.no_rehearsal:
        cfg.chain.preflight = False
    print(ChainRunner(cfg, only=args.stage).plan())
