# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Measure methods beside their baselines: configs/RESULTS.md.

Each network is trained on CIFAR-100 for as many epochs as its baseline, from
the same teacher. It goes on where it was stopped; accuracies are added to
configs/results.csv as they come:

    python tools/paper/measure.py --data-root data/cifar100 --minutes 60

``--tabulate`` trains nothing and writes the page and the tables of the cards.
"""
import argparse
import json
import os.path as osp
import sys
import time
from typing import Any, Dict, List, Optional

from mmdgkd_cli.common import one_line_errors

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from _measurements import MEASUREMENTS
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'names', nargs='*', metavar='NAME', help=', '.join(MEASUREMENTS))
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--work-dir', default='work_dirs/measure')
    parser.add_argument('--data-root', default='data/cifar100')
    parser.add_argument('--minutes', type=float, default=1e9)
    parser.add_argument(
        '--dry-run', action='store_true', help='print what is left to train')
    parser.add_argument('--tabulate', action='store_true')
    parser.add_argument('--root', default=ROOT, help='the checkout')
    return parser.parse_args()


def options_of(name: str, seed: int, args: argparse.Namespace) -> Dict:
    """The changes of a measurement to its config, by dotted key."""
    from _measurements import IMAGES, MEASUREMENTS
    one = MEASUREMENTS[name]
    options: Dict[str, Any] = {
        'randomness.seed': seed,
        'chain.views.seed': 0,
        'chain.views.num_views': None,
        'chain.preflight': False,
        'train_dataloader.dataset.indices': IMAGES,
        'train_cfg.max_epochs': one.epochs,
        'train_cfg.val_interval': one.epochs,
        'param_scheduler.0.end': 1,
        'param_scheduler.1.begin': 1,
        'param_scheduler.1.T_max': one.epochs - 1,
        'param_scheduler.1.end': one.epochs,
        **{
            f'{split}_dataloader.dataset.data_root': args.data_root
            for split in ('train', 'val', 'test')
        },
        **{
            f'chain.networks.{each}': None
            for each in one.left_out
        }
    }
    for network, source in one.given.items():
        run, file = source.split('/')
        trained = (MEASUREMENTS[run].seeds or (seed, ))[0]
        options[f'chain.networks.{network}.ckpt_path'] = osp.join(
            args.work_dir, f'{run}_{trained}', file, f'{file}.pth')
    for key, value in one.options.items():
        options[key] = (
            value.format(seed=seed) if isinstance(value, str) else value)
    return options


def command_of(name: str, seed: int, args: argparse.Namespace) -> List[str]:
    """The command line of a training; one may give it by hand."""
    from _measurements import MEASUREMENTS
    from mmengine.config import Config
    one, options = MEASUREMENTS[name], options_of(name, seed, args)
    config = osp.join(ROOT, 'configs', one.config)
    if Config.fromfile(config).chain.get('logit_store'):
        options['chain.logit_store.store_dir'] = osp.join(
            args.work_dir, 'logits')
    return [
        sys.executable,
        osp.join(ROOT, 'tools/train.py'), config, '--work-dir',
        osp.join(args.work_dir, f'{name}_{seed}'), '--resume', '--amp',
        '--cfg-options', *(f'{key}={value}' for key, value in options.items())
    ]


def entry_of(name: str, seed: int, args: argparse.Namespace) -> Optional[Dict]:
    """The ledger's entry of a network that is trained, or None."""
    from _measurements import MEASUREMENTS
    path = osp.join(args.work_dir, f'{name}_{seed}', 'chain.json')
    if not osp.exists(path):
        return None
    with open(path) as file:
        entry = json.load(file)['stages'].get(MEASUREMENTS[name].network, {})
    return entry if entry.get('state') == 'done' else None


def note(name: str, seed: int, entry: Dict, args: argparse.Namespace) -> None:
    """Add a trained network to the CSV, in place of an earlier one."""
    import pandas as pd
    from _measurements import MEASUREMENTS
    from results.measured import CSV, read_rows

    from mmdgkd.fileio.files import atomic_write
    one, metric = MEASUREMENTS[name], entry['metric']
    row = dict(
        measurement=name,
        seed=seed,
        epochs=one.epochs,
        top1=round(metric['last'], 2),
        seconds=round(entry['seconds']))
    rows = pd.concat([read_rows(args.root), pd.DataFrame([row])])
    rows = rows.drop_duplicates(['measurement', 'seed'], keep='last')
    order = {each: at for at, each in enumerate(MEASUREMENTS)}
    rows = rows.sort_values(['measurement', 'seed'],
                            key=lambda data: data.map(order).fillna(data))
    with atomic_write(osp.join(args.root, CSV)) as file:
        file.write(rows.to_csv(index=False))


def main() -> None:
    """Train what is left, or write the tables."""
    args = parse_args()
    from _measurements import MEASUREMENTS
    from _reproduction import STOPPED, finish
    from results.measured import write_pages

    from mmdgkd import ConfigError
    for name in args.names:
        if name not in MEASUREMENTS:
            raise ConfigError(f'NAME: {name!r} is none of '
                              f'{", ".join(MEASUREMENTS)}')
    if args.tabulate:
        write_pages(args.root)
        return
    deadline = time.monotonic() + 60 * args.minutes
    for seed in args.seeds:
        for name in args.names or MEASUREMENTS:
            seeds = MEASUREMENTS[name].seeds
            if seeds and seed not in seeds:
                continue
            if entry_of(name, seed, args) is None:
                command = command_of(name, seed, args)
                print(
                    f'== {name}, seed {seed}\n{" ".join(command)}', flush=True)
                if args.dry_run:
                    continue
                left = deadline - time.monotonic()
                code = finish(command, left) if left > 0 else STOPPED
                if code:
                    sys.exit(code)
            if not args.dry_run:
                note(name, seed, entry_of(name, seed, args), args)
    if not args.dry_run:
        write_pages(args.root)


if __name__ == '__main__':
    with one_line_errors():
        main()
