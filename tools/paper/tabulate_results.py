# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write the tables and figures of the committed records.

Tables go between ``<!-- results: NAME begin -->`` and ``<!-- results: NAME end
-->`` of configs/dgkd/README.md, PNGs into configs/dgkd/results/figures.
``--check`` changes nothing and prints what is not up to date.
"""
import argparse
import os.path as osp
import sys
from pathlib import Path
from typing import Dict

from mmdgkd_cli.common import one_line_errors

PAGE = 'configs/dgkd/README.md'
RECORDS = 'configs/dgkd/results/plain10_to_plain2_cifar100'
SEARCHES = 'configs/dgkd/results/search/plain10_to_plain2_cifar100'
FIGURES = 'configs/dgkd/results/figures'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write the tables and figures of the committed records')
    parser.add_argument(
        'results',
        nargs='?',
        metavar='RESULTS_DIR',
        help=f'the JSON files, one per trained network (default: {RECORDS})')
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; exit with 1 and a line for each table and '
        'figure that is not of these records')
    parser.add_argument(
        '--root',
        default=osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__)))),
        help='the checkout whose page is filled (default: this one)')
    return parser.parse_args()


def main() -> None:
    """Fill the page and draw the figures, or check them."""
    args = parse_args()
    from results.record import read_records
    from results.results import Results
    from results.search import read_rows, search_table
    from results.tables import blocks
    folder = args.results or osp.join(args.root, RECORDS)
    results = Results(read_records(folder))
    print(f'{len(results.frame)} trained networks in {folder}')
    tables = blocks(results)
    for file in sorted(Path(args.root, SEARCHES).glob('*.jsonl')):
        tables[f'{file.stem}-search'] = search_table(read_rows(str(file)))
    work = check if args.check else write
    work(args.root, results, tables)


def write(root: str, results, blocks: Dict[str, str]) -> None:
    """Fill the page and draw the figures.

    Args:
        root (str): The checkout.
        results (Results): All records.
        blocks (dict[str, str]): The tables.
    """
    from results.figures import draw, figure_names
    from results.markdown import write_page

    from mmdgkd.fileio.files import atomic_write
    if write_page(root, PAGE, blocks):
        print(f'{PAGE}: written')
    for name in figure_names():
        png = draw(name, results)
        path = f'{FIGURES}/{name}.png'
        file = Path(root, path)
        before = file.read_bytes() if file.exists() else None
        if png is None:
            print(f'{path}: not drawn, its runs are missing')
            if before is not None:
                print(f'{path}: is of older records; remove it')
        elif png != before:
            with atomic_write(str(file), 'wb') as out:
                out.write(png)
            print(f'{path}: drawn')


def check(root: str, results, blocks: Dict[str, str]) -> None:
    """Print what is not up to date, and exit with 1 if something is not.

    Args:
        root (str): The checkout.
        results (Results): All records.
        blocks (dict[str, str]): The tables.
    """
    from results.figures import figure_names, is_current
    from results.markdown import read_page, stale
    lines = [
        f'{PAGE}: results: {name}: is not up to date'
        for name in stale(PAGE, read_page(root, PAGE), blocks)
    ]
    for name in figure_names():
        path = f'{FIGURES}/{name}.png'
        file = Path(root, path)
        png = file.read_bytes() if file.exists() else None
        if not is_current(name, results, png):
            lines.append(f'{path}: is not up to date')
    if lines:
        sys.exit('\n'.join([
            *lines,
            'python tools/paper/tabulate_results.py brings all up to date'
        ]))
    print('tables and figures are up to date')


if __name__ == '__main__':
    with one_line_errors():
        main()
