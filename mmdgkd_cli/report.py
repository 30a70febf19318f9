# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Report the results of work dirs: a page, Markdown, and pictures.

For those who did not run them: teachers of each network, accuracy against
cost, learning curves, spread over seeds, times. Several work dirs are
compared; those that differ in the seed alone are averaged. Their configs are
run to be read: give only work dirs that you trust.

    mmdgkd report work_dirs/digits --out report
"""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        'work_dirs',
        nargs='+',
        metavar='WORK_DIR',
        help='a work dir of a chain, trained or in training')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='where the report goes (default: report in the first WORK_DIR)')
    parser.add_argument('--title', help='its heading')


def run(args: argparse.Namespace) -> None:
    """Write the report."""
    from mmdgkd.report import write_report
    written = write_report(args.work_dirs, args.out, args.title)
    print(written[-1])
