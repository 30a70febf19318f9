# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Show what a logit store holds, and drop stale files.

    mmdgkd store work_dirs/digits
    mmdgkd store DIR --drop --keep elsewhere/resnet20.pth
"""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument('dir', help='a logit store, or the work dir it is in')
    parser.add_argument(
        '--drop', action='store_true', help='remove what is stale')
    parser.add_argument(
        '--keep',
        nargs='+',
        default=[],
        metavar='FILE',
        help='trained networks elsewhere whose logits are not stale')


def run(args: argparse.Namespace) -> None:
    """Print the files of the store."""
    from mmdgkd.logit_store.inventory import show_store
    show_store(args.dir, args.keep, args.drop)
