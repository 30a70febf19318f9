# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Show, fill, check and clean a logit store.

    mmdgkd store list work_dirs/digits
    mmdgkd store gc DIR --keep elsewhere/resnet20.pth
    mmdgkd store drop DIR --teacher resnet20 --views 10:20
    mmdgkd store fill CONFIG --teacher resnet20 --views 0:10
    mmdgkd store verify CONFIG
"""
import argparse
from typing import Optional

from .common import add_common_arguments, load_config, set_amp

_DIR = 'a logit store, or the work dir it is in; or an address of fsspec'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands and their flags."""
    actions = parser.add_subparsers(
        dest='action', metavar='COMMAND', required=True)
    for name, text in dict(
            list='show what a store holds, and what of it is stale',
            gc='remove what is stale').items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument('dir', help=_DIR)
        action.add_argument(
            '--keep',
            nargs='+',
            default=[],
            metavar='FILE',
            help='trained networks elsewhere whose logits are not stale')
    text = 'remove the logits of a teacher'
    action = actions.add_parser('drop', help=text, description=text)
    action.add_argument('dir', help=_DIR)
    action.add_argument(
        '--teacher',
        required=True,
        metavar='NAME',
        help='the teacher, or its folder, as mmdgkd store list shows them')
    _add_views(action, 'all')
    for name, text in dict(
            fill='compute the logits of trained teachers before a training',
            verify='compute some logits again, and compare them').items():
        action = actions.add_parser(name, help=text, description=text)
        _add_config(action)
        action.add_argument(
            '--network',
            metavar='STUDENT',
            help='whose views and teachers (default: the last network)')
        action.add_argument(
            '--teacher',
            nargs='+',
            metavar='NAME',
            help='some of its teachers (default: all)')
        _add_views(action, 'all of the stage')
    action.add_argument(
        '--samples',
        type=int,
        default=512,
        metavar='N',
        help='how many of each view, in whole batches (default: 512)')


def _add_config(parser: argparse.ArgumentParser) -> None:
    add_common_arguments(parser)
    parser.add_argument(
        '--amp',
        action='store_true',
        help='run teachers as a training with --amp does')


def _add_views(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        '--views',
        type=views_from,
        metavar='A:B',
        help=f'the views from A on, before B (default: {default})')


def views_from(text: str) -> range:
    """The views that a word of a command line names.

    Args:
        text (str): ``A:B``, or a number.

    Raises:
        ArgumentTypeError: If it is anything else.
    """
    first, colon, last = text.partition(':')
    try:
        return range(int(first), int(last) if colon else int(first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} must be A:B, such as 0:10, or a number') from None


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if args.action in ('fill', 'verify'):
        _run_teachers(args, args.views)
        return
    from mmdgkd.logit_store import cleaning, inventory
    if args.action == 'list':
        inventory.list_store(args.dir, args.keep)
    elif args.action == 'gc':
        cleaning.collect_garbage(args.dir, args.keep)
    else:
        cleaning.drop_teacher(args.dir, args.teacher, args.views)


def _run_teachers(args: argparse.Namespace, views: Optional[range]) -> None:
    from mmdgkd import ConfigError
    from mmdgkd.chain.runner import ChainRunner
    from mmdgkd.chain.store_filling import StoreFilling

    cfg = load_config(args)
    if args.amp:
        set_amp(cfg)
    if cfg.get('chain') is None:
        raise ConfigError(f'config: {args.config!r} declares no chain')
    runner = ChainRunner(cfg, verbose=False)
    filling = StoreFilling(runner.cfg, runner.chain, runner.work, args.network,
                           args.teacher)
    if args.action == 'fill':
        filling.fill(views)
        return
    if args.samples < 1:
        raise ConfigError(f'--samples: {args.samples} must be 1 or more')
    filling.verify(views, args.samples)
