# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Time the ways to distill a stage, or the stages of a whole chain.

All cases take turns in one process. Each run is a whole Runner of MMEngine
with its hooks and its log on the config's own data. Teachers have random
weights, which take the same time.
"""
import argparse
import datetime
import json
import os.path as osp
import tempfile

from mmdgkd_cli.common import (add_common_arguments, load_config,
                               one_line_errors)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_arguments(parser)
    parser.add_argument(
        '--stage', help='the stage to time (default: the last one)')
    parser.add_argument(
        '--cases', nargs='+', metavar='CASE', help='default: all')
    parser.add_argument(
        '--steps', type=int, default=20, help='steps of a run that count')
    parser.add_argument(
        '--rounds', type=int, default=5, help='runs of each case')
    parser.add_argument(
        '--no-amp',
        action='store_true',
        help='train mmdgkd\'s cases in float32, too (default: --amp of '
        'train.py for them, float32 for the others)')
    parser.add_argument(
        '--chain',
        action='store_true',
        help='time the whole chain against its networks alone instead')
    parser.add_argument(
        '--images',
        type=int,
        default=2560,
        help='with --chain: training images of an epoch')
    parser.add_argument(
        '--epochs', type=int, default=4, help='with --chain: epochs a stage')
    parser.add_argument('--json', metavar='FILE', help='write the figures')
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    args = parse_args()
    cfg = load_config(args)  # repairs what the next imports need
    from _bench_cases import CASES
    from _bench_chain import chain_table, time_chain
    from _bench_stage import stage_table, time_stage
    from mmengine.registry import DefaultScope

    from mmdgkd import ConfigError
    from mmdgkd.chain.environment import environment
    args.cases = args.cases or CASES
    for case in args.cases:
        if case not in CASES:
            raise ConfigError(f'--cases: {case!r} is none of '
                              f'{", ".join(CASES)}')
    if args.json and not osp.isdir(osp.dirname(osp.abspath(args.json))):
        raise ConfigError(f'--json: there is no folder for {args.json!r}')
    DefaultScope.get_instance('benchmark', scope_name='mmpretrain')
    if cfg.get('chain') is None:
        raise ConfigError(f'config: {args.config!r} declares no chain')
    here = environment()
    with tempfile.TemporaryDirectory() as folder:
        measure, draw = ((time_chain, chain_table) if args.chain else
                         (time_stage, stage_table))
        figures = dict(
            config=args.config,
            device=here['device'],
            date=datetime.date.today().isoformat(),
            versions=here['versions'],
            precision='float32'
            if args.no_amp else 'mixed (released and mmrazor: float32)',
            rounds=args.rounds)
        figures.update(measure(cfg, args, folder))
    print(f'{figures["device"]}, precision: {figures["precision"]}, '
          f'{figures["date"]}\n{draw(figures)}')
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(figures, file, indent=1)
            file.write('\n')


if __name__ == '__main__':
    with one_line_errors():
        main()
