# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Run the experiments behind the tables of configs/dgkd/README.md.

One command trains all that a setting needs, each network once. It writes one
JSON per trained network, prints the table, and goes on where it was stopped:

    python tools/paper/reproduce.py own-crop_flip

With --minutes it stops itself in time with exit code 75, and the same command
goes on from there.
"""
import argparse
import sys

from mmdgkd_cli.common import one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from _experiments import METHODS, SETTINGS
    from _reproduction import add_run_arguments
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'setting', choices=list(SETTINGS), help='chain, recipe and data')
    parser.add_argument(
        '--methods', nargs='+', choices=METHODS, default=list(METHODS))
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0, 1, 2],
        help='of the student (default: 0 1 2); teacher and TAs have seed 0')
    parser.add_argument(
        '--ablations',
        action='store_true',
        help='also fewer TAs and other survival probabilities')
    parser.add_argument(
        '--runs',
        nargs='+',
        metavar='RUN',
        help='only these of the runs that --dry-run prints; their teachers '
        'must be trained already, or be among these')
    parser.add_argument(
        '--guide-epochs',
        type=int,
        help='of the teacher and the TAs, if not the config\'s')
    parser.add_argument(
        '--guides-from',
        choices=list(SETTINGS),
        help='the setting of the teacher and the TAs (default: this one); '
        'only the student\'s recipe differs then')
    parser.add_argument(
        '--again',
        action='store_true',
        help='train the students a second time, from the stored logits, and '
        'compare them with the first to the digit')
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Run the experiments."""
    from _reproduction import Reproduction
    args = parse_args()
    reproduction = Reproduction(args)
    if args.dry_run:
        print(reproduction.plan())
    elif args.again:
        if not reproduction.run_again():
            sys.exit(1)
    else:
        reproduction.run_all()


if __name__ == '__main__':
    with one_line_errors():
        main()
