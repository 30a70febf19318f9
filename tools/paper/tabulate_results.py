# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write the tables and figures of the committed metrics into the pages.

Between ``<!-- results: NAME begin -->`` and ``<!-- results: NAME end -->`` of
README.md and configs/dgkd/README.md comes the table of that name; PNGs go into
configs/dgkd/results/figures. ``--check`` changes nothing and says what is not
up to date.
"""
import argparse
import os.path as osp
import sys
from pathlib import Path
from typing import Dict, List, Optional

sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))
from _common import one_line_errors

PAGES = ('README.md', 'configs/dgkd/README.md')
RECORDS = 'configs/dgkd/results/plain10_to_plain2_cifar100'
SEARCHES = 'configs/dgkd/results/search/plain10_to_plain2_cifar100'
FIGURES = 'configs/dgkd/results/figures'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write the tables and figures of the committed metrics')
    parser.add_argument(
        'results',
        nargs='?',
        metavar='RESULTS_DIR',
        help=f'the JSON files, one per trained network (default: {RECORDS})')
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; exit with 1 and a line for each table and '
        'figure that is not of these metrics')
    parser.add_argument(
        '--root',
        default=osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__)))),
        help='the checkout whose pages are filled (default: this one)')
    return parser.parse_args()


def main() -> None:
    """Fill the pages, or look whether they are up to date."""
    args = parse_args()
    from results.record import read_records
    from results.results import Results
    from results.tables import blocks
    folder = args.results or osp.join(args.root, RECORDS)
    results = Results(read_records(folder))
    print(f'{len(results.records)} trained networks in {folder}')
    tables = dict(blocks(results), **search_blocks(args.root))
    work = check if args.check else write
    work(args.root, results, tables)


def search_blocks(root: str) -> Dict[str, str]:
    """The tables of the searches, by the names of their marks.

    Args:
        root (str): The checkout.
    """
    from results.search import read_rows, search_table
    files = sorted(Path(root, SEARCHES).glob('*.jsonl'))
    return {
        f'{file.stem}-search': search_table(read_rows(str(file)))
        for file in files
    }


def write(root: str, results, blocks: Dict[str, str]) -> None:
    """Fill the pages and draw the figures.

    Args:
        root (str): The checkout.
        results (Results): All records.
        blocks (dict[str, str]): The tables.
    """
    from results.figures import draw, figure_names
    from results.markdown import fill

    from mmdgkd.fileio.files import whole_file
    texts = {page: read_page(root, page) for page in PAGES}
    # All pages are looked at before one is written.
    filled = {page: fill(page, text, blocks) for page, text in texts.items()}
    for page, text in filled.items():
        if text != texts[page]:
            with whole_file(osp.join(root, page), 'wb') as file:
                file.write(text.encode())
            print(f'{page}: written')
    for name in figure_names():
        png = draw(name, results)
        path = f'{FIGURES}/{name}.png'
        if png is None:
            print(f'{path}: not drawn, its runs are missing')
            if read_png(root, name) is not None:
                print(f'{path}: is of older metrics; remove it')
        elif png != read_png(root, name):
            with whole_file(osp.join(root, path), 'wb') as file:
                file.write(png)
            print(f'{path}: drawn')


def check(root: str, results, blocks: Dict[str, str]) -> None:
    """Say what is not up to date, and exit with 1 if something is not.

    Args:
        root (str): The checkout.
        results (Results): All records.
        blocks (dict[str, str]): The tables.
    """
    from results.figures import figure_names, is_current
    from results.markdown import stale
    lines: List[str] = []
    for page in PAGES:
        lines += [
            f'{page}: results: {name}: is not up to date'
            for name in stale(page, read_page(root, page), blocks)
        ]
    for name in figure_names():
        if not is_current(name, results, read_png(root, name)):
            lines.append(f'{FIGURES}/{name}.png: is not up to date')
    for line in lines:
        print(line, file=sys.stderr)
    if lines:
        print(
            'python tools/paper/tabulate_results.py brings all up to date',
            file=sys.stderr)
        sys.exit(1)
    print('tables and figures are up to date')


def read_page(root: str, page: str) -> str:
    """The text of a page.

    Args:
        root (str): The checkout.
        page (str): The page in it.

    Raises:
        ConfigError: If there is none.
    """
    from mmdgkd.errors import ConfigError
    try:
        with open(osp.join(root, page), encoding='utf-8', newline='') as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f'--root: {page}: {error.strerror}; should be a '
                          'checkout of mmdgkd') from None


def read_png(root: str, name: str) -> Optional[bytes]:
    """A figure as it was drawn before, if it was.

    Args:
        root (str): The checkout.
        name (str): Of the figure.
    """
    path = osp.join(root, FIGURES, f'{name}.png')
    if not osp.exists(path):
        return None
    with open(path, 'rb') as file:
        return file.read()


if __name__ == '__main__':
    with one_line_errors():
        main()
