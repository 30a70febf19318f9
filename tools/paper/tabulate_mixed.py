# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write the table of the compressed networks.

The trained networks of each WORK_DIR go into
configs/mixed/results/<name of its config>.json, and the table of that file
between the marks of configs/mixed/README.md. Without a WORK_DIR only the table
is written; ``--check`` changes nothing and prints whether it is up to date.
"""
import argparse
import json
import os.path as osp
import sys

from mmdgkd_cli.common import one_line_errors

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
    """Write the runs and the page."""
    args = parse_args()
    from results.compressed import compressed_table, merged, read_runs, runs_of
    from results.markdown import read_page, stale, write_page

    from mmdgkd.fileio.files import atomic_write
    path = osp.join(args.root, RECORDS)
    before = read_runs(path)
    runs = before
    for work_dir in args.work_dirs:
        runs = merged(runs, runs_of(*read_work_dir(work_dir)))
    blocks = {NAME: compressed_table(runs)}
    is_stale = stale(PAGE, read_page(args.root, PAGE), blocks)
    if args.check:
        if runs != before or is_stale:
            sys.exit(f'{PAGE}: is not up to date; python '
                     'tools/paper/tabulate_mixed.py brings it up to date')
        print(f'{PAGE}: is up to date')
        return
    if runs != before:
        lines = ',\n '.join(json.dumps(run) for run in runs)
        with atomic_write(path) as file:
            file.write(f'[{lines}]\n')
    write_page(args.root, PAGE, blocks)
    print(f'{len(runs)} trained networks in {RECORDS}')


def read_work_dir(work_dir: str):
    """The ledger of a work dir and the length of each stage that is done.

    Args:
        work_dir (str): The work dir.

    Returns:
        tuple: The ledger, and the epochs by stage.

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
        raise ConfigError(f'WORK_DIR: {path}: cannot be read; should be the '
                          f'work dir of configs/mixed/{NAME}.py') from None
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
