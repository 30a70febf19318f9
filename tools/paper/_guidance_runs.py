# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The trainings of ``guidances.py``, in this process."""
import argparse
import contextlib
import copy
import fcntl
import json
import os
import os.path as osp
import signal
import sys
import tempfile
import threading
from typing import Any, Dict, Iterator, List, Mapping, Sequence

import pandas as pd
from _guidances import FOLDS, KD, METHODS, RUNS, SETTINGS, Method, Setting
from mmengine.config import Config
from results.guidances import (csv_of, key_of, read_rows, read_weighed,
                               weighed_of)

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.splits import held_out_loader
from mmdgkd.errors import TrainingStopped
from mmdgkd.fileio.files import atomic_write, sha256_of
from mmdgkd.weigh.held_out_logits import held_out_logits
from mmdgkd.weigh.weighing import weigh

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
STOPPED = 75
_AMP = {
    'optim_wrapper.type': 'AmpOptimWrapper',
    'optim_wrapper.loss_scale': 'dynamic'
}


class GuidanceRuns:
    """The teachers and the students of a setting, in their folders.

    Args:
        args (argparse.Namespace): The command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.setting: Setting = SETTINGS[args.setting]
        self.folder = osp.abspath(osp.join(args.work_dir, args.setting))

    def run_all(self) -> None:
        """Train what is left of the teachers, and then of the students."""
        if self.args.minutes is not None:
            stop = threading.Timer(
                60 * self.args.minutes,
                lambda: os.kill(os.getpid(), signal.SIGTERM))
            stop.daemon = True
            stop.start()
        try:
            with stopped_as_error():
                self._run_all()
        except TrainingStopped as error:
            print(error)
            sys.exit(STOPPED)

    def left(self) -> List[str]:
        """What is left to train, a line each."""
        methods = () if self.args.teachers is not None else self.args.methods
        runs = self.args.teachers or [
            run for name in methods
            for run in _runs_of(self.setting.teachers(METHODS[name]))
        ]
        lines = [
            f'teachers: {run}' for run in dict.fromkeys(runs)
            if not self._is_done(osp.join(self.folder, run))
        ]
        again = '_again' if self.args.again else ''
        return lines + [
            f'student: {name}, seed {seed}' for seed in self.args.seeds
            for name in methods if not osp.exists(
                osp.join(self._student_dir(name, seed) + again, 'tested.json'))
        ]

    def _student_dir(self, name: str, seed: int) -> str:
        return osp.join(self.folder, 'students', f'{name}_{seed}')

    def _run_all(self) -> None:
        if self.args.teachers is not None:
            for name in self.args.teachers:
                self.train_teachers(name)
            return
        for seed in self.args.seeds:
            for name in self.args.methods:
                self._train_teachers(self.setting.teachers(METHODS[name]))
                self.train_student(name, seed)

    def _train_teachers(self, teachers: Sequence[str]) -> None:
        # Another process may still train networks that come after them.
        if not all(osp.exists(self.file_of(each)) for each in teachers):
            for run in _runs_of(teachers):
                self.train_teachers(run)

    # Teachers --------------------------------------------------------------

    def train_teachers(self, name: str) -> None:
        """Train the networks of a run, unless they are there."""
        run, work_dir = RUNS[name], osp.join(self.folder, name)
        seed = self.setting.seed_of(run)
        self._train_teachers(
            [f'{given}/{place}' for place, given in run.given.items()])
        if not self._is_done(work_dir):
            print(f'== {name}', flush=True)
            self._train(self.teachers_config(name, work_dir))
        with open(osp.join(work_dir, 'chain.json')) as file:
            stages = json.load(file)['stages']
        self._note([
            self._row(f'{name}/{network}', seed, entry)
            for network, entry in stages.items() if 'metric' in entry
        ])

    def teachers_config(self, name: str, work_dir: str) -> Config:
        """The config of a run."""
        run = RUNS[name]
        cfg = self._config(work_dir, self.setting.seed_of(run))
        base, networks = cfg.chain.networks, {}
        for place in (places := self.setting.places(run)):
            network = self.setting.names[place]
            networks[network] = entry = copy.deepcopy(dict(base[network]))
            if place in run.given:
                entry.pop('stage', None)
                entry['ckpt_path'] = self.file_of(f'{run.given[place]}/'
                                                  f'{place}')
            if run.long:
                entry.pop('stage', None)
            if place in run.folds:
                entry['fold'] = run.folds[place]
            if run.snapshots and place == places[0]:
                entry['snapshots'] = list(run.snapshots)
        guidance: Any = run.guidance
        if run.snapshots:
            # They are no teachers of the TAs.
            before = {
                name: [*networks][:at]
                for at, name in enumerate(networks) if at
            }
            guidance = before if guidance == 'dense' else guidance
        _set_networks(cfg, networks, guidance)
        if run.folds:
            cfg.chain.folds = FOLDS
        return cfg

    def file_of(self, teacher: str) -> str:
        """Where a teacher is, by ``run/place`` or ``run/place@fraction``."""
        run, _, rest = teacher.partition('/')
        place, _, fraction = rest.partition('@')
        name = self.setting.names[int(place)]
        if fraction:
            name = f'{name}_{round(100 * float(fraction))}'
        if int(place) in RUNS[run].given:
            return self.file_of(f'{RUNS[run].given[int(place)]}/{rest}')
        return osp.join(self.folder, run, name, f'{name}.pth')

    # Students --------------------------------------------------------------

    def train_student(self, name: str, seed: int) -> None:
        """Train a student by a method, test it once, and note the numbers."""
        method, student = METHODS[name], self.setting.student
        work_dir = self._student_dir(name, seed)
        if self.args.again:
            work_dir += '_again'
        path = osp.join(work_dir, 'tested.json')
        if not osp.exists(path):
            print(f'== {name}, seed {seed}', flush=True)
            runner = self._train(self.student_config(method, seed, work_dir))
            tested = runner.test(student)[student]
            with atomic_write(path) as file:
                file.write(json.dumps(tested))
        with open(osp.join(work_dir, 'chain.json')) as file:
            entry = json.load(file)['stages'][student]
        with open(path) as file:
            test = json.load(file)['accuracy/top1']
        if self.args.again:
            self._compare(name, seed, entry)
            return
        self._note([dict(self._row(name, seed, entry), test=round(test, 2))])

    def _row(self, method: str, seed: int, entry: Mapping) -> Dict[str, Any]:
        """The row of a trained network in the CSV."""
        metric = entry['metric']
        return dict(
            chain=self.setting.config,
            method=method,
            seed=seed,
            epochs=metric['history'][-1][0],
            best=round(metric['best'], 2),
            last=round(metric['last'], 2),
            seconds=round(entry['seconds']))

    def student_config(self, method: Method, seed: int,
                       work_dir: str) -> Config:
        """The config of a student by a method, with its teachers' files."""
        cfg = self._config(work_dir, seed)
        base, networks = cfg.chain.networks, {}
        for teacher in self.setting.teachers(method):
            run, _, rest = teacher.partition('/')
            place = int(rest.partition('@')[0])
            network = self.setting.names[place]
            entry = dict(
                model=copy.deepcopy(base[network].model),
                ckpt_path=self.file_of(teacher))
            if RUNS[run].folds:
                entry['fold'] = RUNS[run].folds[place]
                cfg.chain.folds = FOLDS
            networks[name_of(teacher, network)] = entry
        student = networks[self.setting.student] = copy.deepcopy(
            base[self.setting.student])
        # What follows changes the objective of the student itself.
        own = (student.get('stage') or {}).pop('model', None)
        if own:
            _merge(cfg, dict(model=own))
        _set_networks(cfg, networks, 'dense' if method.teachers else 'none')
        _merge(cfg, method.options)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), *method.hooks]
        if method.teachers and work_dir != self._weigh_dir(method):
            _merge(cfg, self._weights(method))
        return cfg

    def _weigh_dir(self, method: Method) -> str:
        name = '-'.join(self.setting.teachers(method)).replace('/', '_')
        return osp.join(self.folder, 'weighed', name)

    def _weights(self, method: Method) -> Dict[str, Any]:
        """The weights of the teachers of a method, if it wants some.

        What ``mmdgkd weigh`` says of all that a method may be taught by is
        written beside the CSV.
        """
        teachers = self.setting.teachers(method)
        path, key = osp.join(self.folder, 'weighed.json'), key_of(teachers)
        files = [sha256_of(self.file_of(each)) for each in teachers]
        if read_weighed(path).get(key, {}).get('files') != files:
            cfg = self.student_config(method, 0, self._weigh_dir(method))
            runner = ChainRunner(cfg, verbose=False)
            loader = held_out_loader(runner.cfg, runner.chain)
            logits = held_out_logits(runner.cfg, runner.chain, runner.work,
                                     runner.chain.names[:-1], loader)
            found = dict(weigh(logits.logits, logits.labels), files=files)
            print(found['sentence'], flush=True)
            for each in (path,
                         osp.join(self.args.root, weighed_of(self.setting))):
                with _locked(each):
                    data = dict(read_weighed(each), **{key: found})
                    with atomic_write(each) as file:
                        file.write(json.dumps(data, indent=1) + '\n')
        if not method.weigh:
            return {}
        found = read_weighed(path)[key]
        return {
            f'{KD}.form': method.weigh,
            f'{KD}.teacher_weights': found['teacher_weights'],
            f'{KD}.teacher_tau': found['teacher_tau'],
        }

    def _compare(self, name: str, seed: int, entry: Mapping) -> None:
        """Compare a second training with the first."""
        path = osp.join(self._student_dir(name, seed), 'chain.json')
        with open(path) as file:
            first = json.load(file)['stages'][self.setting.student]
        same = (
            first['metric'] == entry['metric']
            and first['wrote']['sha256'] == entry['wrote']['sha256'])
        print(f'{name}, seed {seed}: best {first["metric"]["best"]:.2f} and '
              f'{entry["metric"]["best"]:.2f}, last '
              f'{first["metric"]["last"]:.2f} and '
              f'{entry["metric"]["last"]:.2f}: ' +
              ('all validations and the bytes of the weights are the same'
               if same else 'DIFFERS'))

    # Both ------------------------------------------------------------------

    def _config(self, work_dir: str, seed: int) -> Config:
        path = osp.join(ROOT, 'configs/dgkd', f'{self.setting.config}.py')
        cfg, root = Config.fromfile(path), self.args.data_root
        _merge(
            cfg, {
                **self.setting.options,
                **{
                    f'{split}_dataloader.dataset.data_root': root
                    for split in ('train', 'val', 'test')
                },
                **(_AMP if self.setting.amp else {}),
                'randomness.seed': seed,
                'chain.views.seed': 0,
                'chain.preflight': False,
                'chain.logit_store.store_dir': osp.join(self.folder, 'logits'),
            })
        cfg.work_dir, cfg.resume = work_dir, True
        return cfg

    @staticmethod
    def _is_done(work_dir: str) -> bool:
        path = osp.join(work_dir, 'chain.json')
        if not osp.exists(path):
            return False
        with open(path) as file:
            stages = json.load(file)['stages'].values()
        return all(stage['state'] in ('done', 'given') for stage in stages)

    @staticmethod
    def _train(cfg: Config) -> ChainRunner:
        runner = ChainRunner(cfg, verbose=False)
        runner.train()
        return runner

    def _note(self, new: List[Dict[str, Any]]) -> None:
        """Add rows to the CSV, in place of earlier ones."""
        path = osp.join(self.args.root, csv_of(self.setting))
        with _locked(path):
            rows = pd.concat([read_rows(path), pd.DataFrame(new)])
            rows = rows.drop_duplicates(['method', 'seed'], keep='last')
            rows = rows.sort_values(['method', 'seed'], key=_in_order)
            with atomic_write(path) as file:
                file.write(rows.to_csv(index=False))


def _runs_of(teachers: Sequence[str]) -> List[str]:
    """The runs that train some teachers, each once."""
    return list(dict.fromkeys(each.split('/')[0] for each in teachers))


def _in_order(column: pd.Series) -> pd.Series:
    """Methods in their order; teachers, and seeds, as they are."""
    if column.name == 'seed':
        return column
    order = {each: f'{at:03}' for at, each in enumerate(METHODS)}
    return column.map(lambda name: order.get(name, name))


@contextlib.contextmanager
def stopped_as_error() -> Iterator[None]:
    """Raise at a SIGTERM that comes while nothing is trained."""

    def stop(number: int, frame: Any) -> None:
        raise TrainingStopped('stopped; the same command goes on')

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Keep other runs from writing a file at the same time."""
    os.makedirs(osp.dirname(path), exist_ok=True)
    name = osp.abspath(path).replace(os.sep, '_')
    with open(osp.join(tempfile.gettempdir(), f'{name}.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def name_of(teacher: str, network: str) -> str:
    """The name of a teacher in the chain of a student.

    Args:
        teacher (str): ``run/place`` or ``run/place@fraction``.
        network (str): The network of the setting.
    """
    run, _, rest = teacher.partition('/')
    _, _, fraction = rest.partition('@')
    return f'{network}_{run}' + (f'_{round(100 * float(fraction))}'
                                 if fraction else '')


def _merge(cfg: Config, options: Mapping[str, Any]) -> None:
    cfg.merge_from_dict(dict(options))


def _set_networks(cfg: Config, networks: Mapping[str, Any],
                  guidance: Any) -> None:
    """Replace the networks of a chain; the order is that of the mapping."""
    cfg.chain.networks = [
        dict(
            name=name,
            **{
                key: value
                for key, value in entry.items() if value is not None
            }) for name, entry in networks.items()
    ]
    cfg.chain.order, cfg.chain.guidance = None, guidance
