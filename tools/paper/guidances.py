# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Compare guidances at equal weight, on images that no network has seen.

It trains the teachers of a setting, each once, and then its students, by one
method after the other, from cached logits. Stages are validated on held-out
training images; the test images are used once, after the last epoch:

    python tools/paper/guidances.py plain_10k --data-root data/cifar100

The numbers are added to configs/dgkd/results/<chain>.csv as they come. It goes
on where it was stopped; with --minutes it stops by itself, with exit code 75.
Several of these may run at once, each with other --methods or --seeds, once
the teachers are trained. ``--tabulate`` trains nothing and writes the tables.
"""
import argparse
import os.path as osp

from mmdgkd_cli.common import one_line_errors

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from _guidances import METHODS, RUNS, SETTINGS
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('setting', choices=list(SETTINGS), nargs='?')
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=list(METHODS),
        default=list(METHODS),
        metavar='METHOD',
        help=f'of {", ".join(METHODS)} (default: all)')
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0, 1, 2, 3, 4],
        help='of the student (default: 0 to 4)')
    parser.add_argument(
        '--teachers',
        nargs='*',
        choices=list(RUNS),
        metavar='RUN',
        help='train these teachers alone, no students: '
        f'{", ".join(RUNS)}')
    parser.add_argument('--work-dir', default='work_dirs/guidances')
    parser.add_argument('--data-root', default='data/cifar100')
    parser.add_argument('--minutes', type=float)
    parser.add_argument(
        '--again',
        action='store_true',
        help='train students a second time, from the cached logits, and '
        'compare them with the first to the digit')
    parser.add_argument(
        '--dry-run', action='store_true', help='print what is left to train')
    parser.add_argument('--tabulate', action='store_true')
    parser.add_argument('--root', default=ROOT, help='the checkout')
    args = parser.parse_args()
    if args.setting is None and (args.dry_run or not args.tabulate):
        parser.error('SETTING: is missing; should be one of '
                     f'{", ".join(SETTINGS)}')
    return args


def main() -> None:
    """Train what is left, or write the tables."""
    args = parse_args()
    from _guidance_runs import GuidanceRuns
    from results.guidances import write_tables
    if args.dry_run:
        print('\n'.join(GuidanceRuns(args).left() or ['nothing is left']))
        return
    if not args.tabulate:
        GuidanceRuns(args).run_all()
    write_tables(args.root)


if __name__ == '__main__':
    with one_line_errors():
        main()
