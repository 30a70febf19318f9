# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Compare settings of the student's KD on held-out training images.

This chooses settings without the test images: the student is trained on all
training images but the first ones, and measured on those. Its teachers are the
teacher and TAs of the setting, which ``reproduce.py`` trains:

    python tools/paper/search.py own-crop_flip --lambdas 0.1 0.5 --taus 2 4

They were trained on the held-out images too, but do not run on them here. It
prints a table and adds the rows to a JSON file, one line a run;
``tools/paper/tabulate_results.py`` writes the table into the page.
"""
import argparse

from mmdgkd_cli.common import one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from _experiments import METHODS, SETTINGS
    from _reproduction import add_run_arguments
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'setting',
        choices=[name for name in SETTINGS if SETTINGS[name].averaged],
        help='chain, recipe and data; of the averaged form')
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=METHODS,
        default=['alone', 'kd', 'dgkd'],
        help='which (default: alone kd dgkd)')
    parser.add_argument(
        '--lambdas',
        nargs='+',
        type=float,
        required=True,
        help='weights of the KD; the labels have the rest of 1')
    parser.add_argument(
        '--taus', nargs='+', type=float, required=True, help='temperatures')
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0], help='(default: 0)')
    parser.add_argument(
        '--held-out',
        type=int,
        default=5000,
        help='so many training images (default: 5000)')
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Run the search."""
    from _search import Search
    args = parse_args()
    search = Search(args)
    if args.dry_run:
        print(search.plan())
    else:
        search.run_all()


if __name__ == '__main__':
    with one_line_errors():
        main()
