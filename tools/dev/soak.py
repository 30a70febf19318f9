# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Train students of the same teachers at once, over one logit store, and kill
them at random points. Each must be, byte by byte, what it is when it trains
alone, with a store of its own, and is never killed.

It trains in a temporary folder; the students differ in their seed. The config
is that of survive.py.
"""
import argparse
import os.path as osp
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional

from _kill_points import KINDS, Job, counts_of, differences, outcome, run
from survive import CONFIG, IN_A_ROW, conclude, kill_and_resume, names_of

from mmdgkd_cli.common import cfg_options_action, one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default=CONFIG)
    parser.add_argument('--students', type=int, default=20)
    parser.add_argument('--kills', type=int, default=100)
    parser.add_argument(
        '--jobs', type=int, default=2, help='at once (default: 2)')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the choice of kill points')
    parser.add_argument(
        '--store-dir',
        help='such as s3://...; it must be empty (default: a '
        'folder)')
    parser.add_argument('--json', help='write the outcome there')
    parser.add_argument(
        '--cfg-options', nargs='+', action=cfg_options_action())
    return parser.parse_args()


class Soak:
    """Trains students alone, and then at once, with kills.

    Args:
        config (str): The config of the chain, whose last network is the
            student.
        students (int): Number of students.
        kills (int): Number of kills, in as many runs as needed, but at least
            one of each student.
        jobs (int): How many run at once. Defaults to 2.
        seed (int): Seed of the choice of kill points. Defaults to 0.
        store_dir (str, optional): The store that they share. Defaults to None:
            a folder.
        options (dict, optional): As for ``--cfg-options``. Defaults to None.
    """

    def __init__(self,
                 config: str,
                 students: int,
                 kills: int,
                 jobs: int = 2,
                 seed: int = 0,
                 store_dir: Optional[str] = None,
                 options: Optional[Dict[str, Any]] = None) -> None:
        self.config = config
        self.students = students
        self.jobs = jobs
        self.seed = seed
        self.store_dir = store_dir
        self.options = dict(options or {}, **{'chain.views.seed': 0})
        self._left = kills
        self._lock = threading.Lock()

    def run(self, folder: str) -> Dict[str, Any]:
        """Train all, and compare.

        Args:
            folder (str): Where to train.

        Returns:
            dict: ``runs``, for each the ``student``, the ``kills`` and what
            ``differs``; the number of ``parts`` that are compared in each.
        """
        *teachers, student = names_of(self.config, self.options)
        trained = Job(self.config, osp.join(folder, 'teachers'), self.options)
        run(trained)
        given = {
            f'chain.networks.{name}.ckpt_path':
            osp.join(trained.work_dir, name, f'{name}.pth')
            for name in teachers
        }

        def job_of(number: int, work_dir: str, store_dir: str) -> Job:
            options = dict(self.options, **given)
            options['randomness.seed'] = number
            options['chain.logit_store.store_dir'] = store_dir
            return Job(self.config, osp.join(folder, work_dir), options)

        def alone(number: int) -> Dict:
            name = f'alone_{number}'
            job = job_of(number, name, osp.join(folder, f'{name}_logits'))
            start = time.monotonic()
            run(job)
            counts = counts_of(job)
            counts['moment'] = int(1000 * (time.monotonic() - start))
            # Of a store that others fill, too, it writes fewer files.
            counts['logits'] = -(-counts['logits'] // 8)
            return dict(counts=counts, parts=outcome(job.work_dir, [student]))

        def killed(run_number: int) -> Dict:
            number = run_number % self.students
            store_dir = self.store_dir or osp.join(folder, 'logits')
            job = job_of(number, f'killed_{run_number}', store_dir)
            chooser = random.Random(f'{self.seed} {run_number}')
            counts = expected[number]['counts']
            kinds = tuple(kind for kind in KINDS if counts.get(kind))
            if run_number < self.jobs:
                # Later ones find the store full.
                kinds = ('logits', )
            points = kill_and_resume(job, chooser, kinds, counts, IN_A_ROW)
            differs = differences(expected[number]['parts'],
                                  outcome(job.work_dir, [student]))
            with self._lock:
                self._left -= len(points)
                print(
                    f'student {number}: {len(points)} kills, '
                    f'{f"{len(differs)} parts differ" if differs else "equal"}'
                    f'; {max(0, self._left)} kills left',
                    flush=True)
            return dict(
                student=number,
                kills=[vars(point) for point in points],
                differs=differs)

        with ThreadPoolExecutor(self.jobs) as pool:
            expected = [*pool.map(alone, range(self.students))]
            runs: List[Dict] = []
            while self._left > 0 or len(runs) < self.students:
                numbers = range(len(runs), len(runs) + self.students)
                runs += pool.map(killed, numbers)
        return dict(
            students=self.students,
            jobs=self.jobs,
            seed=self.seed,
            parts=len(expected[0]['parts']),
            runs=runs)


def main() -> None:
    """Run the command line."""
    args = parse_args()
    soak = Soak(args.config, args.students, args.kills, args.jobs, args.seed,
                args.store_dir, args.cfg_options)
    with tempfile.TemporaryDirectory() as folder:
        result = soak.run(folder)
    sys.exit(conclude(result, args))


if __name__ == '__main__':
    with one_line_errors():
        main()
