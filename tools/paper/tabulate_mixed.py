# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Note what the chain of compressed networks has come to, and its table.

The trained networks of each WORK_DIR go into
configs/mixed/results/<name of its config>.json; from that file comes the table
between the marks of configs/mixed/README.md. Without a WORK_DIR the table is
made anew; ``--check`` only says whether it is up to date.
"""
import argparse
import json
import os.path as osp
import sys

sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))
from _common import one_line_errors

NAME = 'resnet20_to_resnet8_cifar100'
RECORDS = f'configs/mixed/results/{NAME}.json'
PAGE = 'configs/mixed/README.md'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'work_dirs',
        nargs='*',
        metavar='WORK_DIR',
        help=f'of configs/mixed/{NAME}.py, with or without guidance')
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; exit with 1 if the table is of other runs')
    parser.add_argument(
        '--root',
        default=osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__)))),
        help='the checkout (default: this one)')
    return parser.parse_args()


def main() -> None:
    """Note the runs and fill the page."""
    args = parse_args()
    from results.compressed import compressed_table, merged, read_runs, runs_of
    from results.markdown import fill, stale

    from mmdgkd.fileio.files import whole_file
    path = osp.join(args.root, RECORDS)
    before = read_runs(path)
    runs = before
    for work_dir in args.work_dirs:
        runs = merged(runs, runs_of(*read_work_dir(work_dir)))
    page = osp.join(args.root, PAGE)
    with open(page, encoding='utf-8', newline='') as file:
        text = file.read()
    blocks = {NAME: compressed_table(runs)}
    if args.check:
        if runs != before or stale(PAGE, text, blocks):
            sys.exit(f'{PAGE}: is not up to date; python '
                     'tools/paper/tabulate_mixed.py brings it up to date')
        print(f'{PAGE}: is up to date')
        return
    filled = fill(PAGE, text, blocks)
    if runs != before:
        lines = ',\n '.join(json.dumps(run) for run in runs)
        with whole_file(path) as file:
            file.write(f'[{lines}]\n')
    if filled != text:
        with whole_file(page, 'wb') as file:
            file.write(filled.encode())
    print(f'{len(runs)} trained networks in {RECORDS}')


def read_work_dir(work_dir: str):
    """The ledger of a work dir and the length of each stage that is done.

    Args:
        work_dir (str): It.

    Raises:
        ConfigError: If it is none, or of another config.
    """
    from mmengine.config import Config

    from mmdgkd import ConfigError
    path = osp.join(work_dir, 'chain.json')
    try:
        with open(path, encoding='utf-8') as file:
            ledger = json.load(file)
    except (OSError, ValueError):
        raise ConfigError(f'WORK_DIR: {path}: cannot be read; should be what '
                          f'configs/mixed/{NAME}.py has left') from None
    if ledger.get('config') != f'{NAME}.py':
        raise ConfigError(f'WORK_DIR: {work_dir}: is of '
                          f'{ledger.get("config")}, not of {NAME}.py')
    epochs = {
        name:
        Config.fromfile(osp.join(work_dir, name,
                                 'config.py')).train_cfg.max_epochs
        for name, entry in ledger['stages'].items()
        if entry['state'] == 'done' and entry.get('metric')
    }
    return ledger, epochs


if __name__ == '__main__':
    with one_line_errors():
        main()
