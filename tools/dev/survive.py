# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Kill a chain at random points, resume it, and compare it with one that was
never killed, byte by byte: weights, optimizer, averages, schedules, metrics.

It trains in a temporary folder. The config should train in seconds, if need be
by --cfg-options; the default is small and has all that makes resuming hard.
"""
import argparse
import json
import os.path as osp
import random
import sys
import tempfile
import time
from collections import Counter
from typing import Any, Dict, List, Optional, Tuple

from _kill_points import (KINDS, Job, KillPoint, counts_of, differences,
                          outcome, run)

from mmdgkd_cli.common import cfg_options_action, one_line_errors

CONFIG = osp.join(
    osp.dirname(osp.abspath(__file__)), '../../tests/configs/survivor.py')
# After so many kills a run goes on to its end.
IN_A_ROW = 5


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default=CONFIG)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument(
        '--ranks', type=int, default=1, help='processes (default: 1)')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the choice of kill points')
    parser.add_argument(
        '--kinds', nargs='+', choices=KINDS, default=list(KINDS))
    parser.add_argument('--json', help='write the outcome there')
    parser.add_argument(
        '--cfg-options', nargs='+', action=cfg_options_action())
    return parser.parse_args()


def survive(config: str,
            kills: int,
            ranks: int = 1,
            seed: int = 0,
            kinds: Tuple[str, ...] = KINDS,
            options: Optional[Dict[str, Any]] = None,
            folder: Optional[str] = None) -> Dict[str, Any]:
    """Kill a chain a number of times, and compare the outcome.

    Args:
        config (str): The config of the chain.
        kills (int): Number of kills, in as many runs as needed.
        ranks (int): Number of processes. Defaults to 1.
        seed (int): Seed of the choice of kill points. Defaults to 0.
        kinds (tuple[str]): Kinds of kill points. Defaults to all.
        options (dict, optional): As for ``--cfg-options``. Defaults to None.
        folder (str, optional): Where to train. Defaults to None: a temporary
            folder.

    Returns:
        dict: ``runs``, for each the ``kills`` and what ``differs``; the
        number of ``parts`` that are compared in each.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = folder or scratch
        options = options or {}
        names = names_of(config, options)
        job = Job(config, osp.join(folder, 'whole'), options, ranks)
        start = time.monotonic()
        run(job)
        seconds = time.monotonic() - start
        counts = dict(counts_of(job), moment=int(1000 * seconds))
        expected = outcome(job.work_dir, names)
        # Not every chain has all kinds of points.
        kinds = tuple(kind for kind in kinds if counts.get(kind))
        chooser = random.Random(seed)
        runs: List[Dict] = []
        left = kills
        while left > 0:
            job = Job(config, osp.join(folder, f'run_{len(runs)}'), options,
                      ranks)
            points = kill_and_resume(job, chooser, kinds, counts,
                                     min(IN_A_ROW, left))
            if not points:
                continue
            found = differences(expected, outcome(job.work_dir, names))
            runs.append(
                dict(kills=[vars(point) for point in points], differs=found))
            left -= len(points)
            print(
                f'{kills - left:3} kills: '
                f'{", ".join(f"{p.kind} {p.number}" for p in points)}: '
                f'{f"{len(found)} parts differ" if found else "equal"}',
                flush=True)
        return dict(ranks=ranks, seed=seed, parts=len(expected), runs=runs)


def table_of(result: Dict[str, Any]) -> str:
    """Draw a table of the kills and their outcome.

    Args:
        result (dict): The result of :func:`survive`.
    """
    killed: Dict[str, int] = Counter()
    spoiled: Dict[str, int] = Counter()
    for entry in result['runs']:
        for point in entry['kills']:
            killed[point['kind']] += 1
            spoiled[point['kind']] += bool(entry['differs'])
    lines = ['| killed at | times | in runs that differ |', '|---|---|---|']
    for kind in KINDS:
        if killed[kind]:
            lines.append(f'| {kind} | {killed[kind]} | {spoiled[kind]} |')
    bad = sum(bool(entry['differs']) for entry in result['runs'])
    lines.append(f'| all | {sum(killed.values())} | {bad} of '
                 f'{len(result["runs"])} runs |')
    return '\n'.join(lines)


def conclude(result: Dict[str, Any], args: argparse.Namespace) -> int:
    """Print the table, write the JSON file, and give the exit code.

    Args:
        result (dict): The result of :func:`survive`, or one like it.
        args (Namespace): ``config``, and ``json``, the file or None.
    """
    print(table_of(result))
    if args.json:
        import torch
        facts = dict(
            config=osp.relpath(args.config), torch=torch.__version__, **result)
        with open(args.json, 'w') as file:
            json.dump(facts, file, indent=1)
            file.write('\n')
    return int(any(entry['differs'] for entry in result['runs']))


def names_of(config: str, options: Dict[str, Any]) -> List[str]:
    """The networks of a chain that it trains.

    Args:
        config (str): The config of the chain.
        options (dict): As for ``--cfg-options``.
    """
    from mmengine.config import Config

    from mmdgkd.chain.chain import Chain
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    return [
        network.name for network in Chain.from_cfg(cfg.get('chain')).networks
        if not network.ckpt_path
    ]


def kill_and_resume(job: Job, chooser: random.Random, kinds: Tuple[str, ...],
                    counts: Dict[str, int], kills: int) -> List[KillPoint]:
    """Run a job to its end.

    Args:
        job (Job): The job.
        chooser (Random): It chooses the kill points.
        kinds (tuple[str]): Kinds of kill points.
        counts (dict[str, int]): How many of each kind a run passes.
        kills (int): How often it is killed at most.

    Returns:
        list[KillPoint]: The points at which it was killed.
    """
    points: List[KillPoint] = []
    while len(points) < kills:
        # The rest of a run has fewer of them.
        share = 2 if points else 1
        point = _choose(chooser, kinds, counts, job.ranks, share)
        if run(job, point):
            return points
        points.append(point)
    run(job)
    return points


def _choose(chooser: random.Random, kinds: Tuple[str, ...],
            counts: Dict[str, int], ranks: int, share: int) -> KillPoint:
    """Choose a point that the rest of a run is likely to reach."""
    kind = chooser.choice(kinds)
    number = chooser.randint(1, max(1, counts[kind] // share))
    return KillPoint(
        kind, number,
        chooser.randrange(ranks) if kind in ('iteration', 'moment') else 0)


def main() -> None:
    """Run the command line."""
    args = parse_args()
    result = survive(args.config, args.kills, args.ranks, args.seed,
                     tuple(args.kinds), args.cfg_options)
    sys.exit(conclude(result, args))


if __name__ == '__main__':
    with one_line_errors():
        main()
