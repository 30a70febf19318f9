# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The runs of ``tools/paper/reproduce.py`` in their folders."""
import argparse
import json
import os.path as osp
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

from _experiments import SETTINGS, Run, Setting, plan_runs
from _records import record_of
from mmengine.config import Config
from results.record import read_records, write_record
from results.results import Results
from results.tables import main_table

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.fileio.files import atomic_write
from mmdgkd.report.methods import METHOD_STYLES
from mmdgkd.utils.table import draw_table

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
CONFIGS = osp.join(ROOT, 'configs', 'dgkd')
STOPPED = 75
# Settings of locations: they change no result.
PLACES = ('data_root', 'ckpt_path', 'store_dir')


class Reproduction:
    """The runs of one setting in their folders.

    Args:
        args (argparse.Namespace): The command line.

    Attributes:
        teacher_side (Reproduction): The runs of the teacher and the TAs;
            itself, or another setting's with ``--guides-from``.

    Raises:
        ConfigError: If that setting is of another chain, or if there is no run
            of a name in ``--runs``.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.setting: Setting = SETTINGS[args.setting]
        minutes = 1e9 if args.minutes is None else args.minutes
        self.deadline = time.monotonic() + 60 * minutes
        self.folder = osp.join(args.work_dir, self.setting.name)
        self.results = osp.join(
            args.results, self.setting.chain,
            f'{self.setting.recipe}-{self.setting.augmentation}')
        chain = Chain.from_cfg(
            Config.fromfile(self.config_of('dgkd')).get('chain'))
        self.names = chain.names
        self.runs = plan_runs(self.setting, self.names, args.methods,
                              args.seeds, args.ablations)
        if args.runs is not None:
            self.runs = _chosen(self.runs, args.runs)
        self.teacher_side = self
        if args.guides_from not in (None, args.setting):
            # --epochs is of the student.
            there = self.teacher_side = Reproduction(
                changed(
                    args,
                    setting=args.guides_from,
                    guides_from=None,
                    runs=None,
                    epochs=None))
            if (there.setting.dataset, there.names) != (self.setting.dataset,
                                                        self.names):
                raise ConfigError(
                    f'--guides-from: {args.guides_from} is of another chain '
                    f'than {args.setting}; should be of the same data set and '
                    'networks')

    def is_student(self, run: Run) -> bool:
        """Whether a run trains the student; all others its teachers."""
        return run.trained == (self.names[-1], )

    def side_of(self, run: Run) -> 'Reproduction':
        """The reproduction in whose folders a run is."""
        return self if self.is_student(run) else self.teacher_side

    def config_of(self, method: str) -> str:
        """The config file of a method."""
        ending = '_stochastic' if method == 'dgkd_stochastic' else ''
        return osp.join(CONFIGS, f'{self.setting.config}{ending}.py')

    def work_dir_of(self, run: str, again: bool = False) -> str:
        """The work dir of a run."""
        return osp.join(self.folder, *(['again'] if again else []), run)

    def file_of(self, run: str, name: str) -> str:
        """Where a run leaves a trained network."""
        return osp.join(self.work_dir_of(run), name, f'{name}.pth')

    def options_of(self, run: Run) -> Dict[str, Any]:
        """The changes of a run to its config, by dotted key."""
        options: Dict[str, Any] = {
            'chain.guidance': METHOD_STYLES[run.method].guidance,
            'chain.views.seed': 0,
            'randomness.seed': run.seed,
        }
        if run.given:
            options['chain.logit_store.store_dir'] = osp.join(
                self.teacher_side.folder, 'logits')
        for name in self.names:
            key = f'chain.networks.{name}'
            if name in run.given:
                options[f'{key}.ckpt_path'] = self.teacher_side.file_of(
                    run.given[name], name)
            elif name not in run.trained:
                options[key] = None
        epochs = (
            self.args.epochs if self.is_student(run) else
            self.args.guide_epochs or self.args.epochs)
        if epochs:
            options['train_cfg.max_epochs'] = epochs
        if self.args.data_root:
            for split in ('train', 'val', 'test'):
                options[f'{split}_dataloader.dataset.data_root'] = \
                    self.args.data_root
        return {**options, **run.options}

    def command_of(self, run: Run, again: bool = False) -> List[str]:
        """The command line of a run; one may give it by hand."""
        return [
            sys.executable,
            osp.join(ROOT, 'tools', 'train.py'),
            self.config_of(run.method), '--work-dir',
            self.work_dir_of(run.name, again), '--resume',
            *(['--amp'] if self.args.amp else []), '--cfg-options',
            *(f'{key}={value}' for key, value in self.options_of(run).items()),
            *self.args.cfg_options
        ]

    def ledger_of(self, run: Run, again: bool = False) -> Optional[Dict]:
        """The ledger of a run that is done, or None."""
        path = osp.join(self.work_dir_of(run.name, again), 'chain.json')
        if not osp.exists(path):
            return None
        with open(path) as file:
            stages = json.load(file)['stages']
        done = all(
            stages.get(name, {}).get('state') == 'done'
            for name in run.trained)
        return stages if done else None

    def train(self, run: Run, again: bool = False) -> Dict:
        """Train what is left to train of a run.

        Returns:
            dict: The stages of its ledger.

        Raises:
            ConfigError: If it was begun with other settings.
            SystemExit: With the code of a training that failed or was stopped.
        """
        self._note_settings(run, again)
        stages = self.ledger_of(run, again)
        if stages is not None:
            return stages
        left = self.deadline - time.monotonic()
        code = STOPPED
        if left > 0:
            command = self.command_of(run, again)
            print(f'== {run.name}\n{" ".join(command)}', flush=True)
            code = finish(command, left)
        if code == STOPPED:
            print(f'stopped in {run.name}; the same command goes on')
        if code:
            sys.exit(code)
        return self.ledger_of(run, again)

    def _note_settings(self, run: Run, again: bool) -> None:
        """Refuse a work dir in which a run was begun with other settings."""
        path = f'{self.work_dir_of(run.name, again)}.json'
        settings = {
            key: value
            for key, value in self.options_of(run).items()
            if not key.endswith(PLACES)
        }
        settings['--cfg-options'] = [
            option for option in self.args.cfg_options
            if not option.split('=')[0].endswith(PLACES)
        ]
        settings['--amp'] = self.args.amp
        if self.teacher_side is not self:
            settings['--guides-from'] = self.teacher_side.setting.name
        if not osp.exists(path):
            with atomic_write(path) as file:
                file.write(json.dumps(settings, indent=1) + '\n')
            return
        with open(path) as file:
            before = json.load(file)
        for key in {**before, **settings}:
            if before.get(key) != settings.get(key):
                raise ConfigError(
                    f'--work-dir: {run.name} was begun with {key}='
                    f'{before.get(key)}, not {settings.get(key)}; choose '
                    f'another --work-dir, or remove {path} and its folder')

    def records_of(self, run: Run) -> List[str]:
        """Write the JSON of each network that a run has trained.

        Returns:
            list[str]: The files.
        """
        stages = self.ledger_of(run)
        files = []
        for name in run.trained:
            work_dir = self.work_dir_of(run.name)
            cfg = Config.fromfile(osp.join(work_dir, 'config.py'))
            cfg.work_dir = work_dir
            stage = Config.fromfile(osp.join(work_dir, name, 'config.py'))
            record = record_of(self.setting, self.names, run, stages[name],
                               cfg, stage, self.file_of(run.name, name))
            files.append(write_record(self.results, record))
        return files

    def check_teachers(self) -> None:
        """Check that all teachers are there, or trained by these runs.

        Raises:
            ConfigError: If one is not, before anything is written.
        """
        chosen = {run.name for run in self.runs}
        for run in self.runs:
            for name, trained_by in run.given.items():
                path = self.teacher_side.file_of(trained_by, name)
                if trained_by not in chosen and not osp.exists(path):
                    raise ConfigError(
                        f'--work-dir: there is no {path} for {run.name}; '
                        'python tools/paper/reproduce.py '
                        f'{self.teacher_side.setting.name} trains it, in its '
                        f'run {trained_by}')

    def has_records(self, run: Run) -> bool:
        """Whether the JSONs of a run are there, of these networks."""
        stages = self.ledger_of(run)
        if stages is None or not osp.isdir(self.results):
            return False
        noted = {record.sha256 for record in read_records(self.results)}
        return all(stages[name]['wrote']['sha256'] in noted
                   for name in run.trained)

    def run_all(self) -> None:
        """Train what is left and write the metrics of each run at once.

        Raises:
            ConfigError: If a teacher is missing, or a run was begun with other
                settings.
        """
        self.check_teachers()
        for run in self.runs:
            side = self.side_of(run)
            side.train(run)
            if not side.has_records(run):
                for file in side.records_of(run):
                    print(f'wrote {osp.relpath(file)}', flush=True)
        print(self.table())

    def table(self) -> str:
        """The results of the methods, as far as they are trained."""
        records = read_records(osp.dirname(self.results))
        return main_table(Results(records), osp.basename(self.results))

    def run_again(self) -> bool:
        """Train the students again and compare.

        Returns:
            bool: Whether all results are the same.

        Raises:
            ConfigError: If they were begun with other settings, or if there
                are none.
        """
        rows, student = [], self.names[-1]
        runs = list(filter(self.is_student, self.runs))
        if not runs:
            raise ConfigError('--again: is for runs that train the student; '
                              'there is none among --runs')
        for run in runs:
            first = self.ledger_of(run)
            if first is None:
                rows.append((run.name, '-', '-', 'not trained yet'))
                continue
            # With other settings no result could be the same.
            self._note_settings(run, False)
            first, second = first[student], self.train(run, True)[student]
            same = (
                first['metric'] == second['metric']
                and first['wrote']['sha256'] == second['wrote']['sha256'])
            rows.append((run.name, *(f'{entry["metric"]["best"]:.2f} / '
                                     f'{entry["metric"]["last"]:.2f}'
                                     for entry in (first, second)),
                         'the same bytes' if same else 'DIFFERS'))
        print(
            draw_table(('run', 'best / last', 'again', 'all validations and '
                        'the weights'), rows))
        return all(row[-1] != 'DIFFERS' for row in rows)

    def plan(self) -> str:
        """The runs and their state, as a table."""
        rows = [(run.name, ', '.join(run.trained), ', '.join(run.given) or '-',
                 '-' if run.kd_weight is None else f'{run.kd_weight:g}',
                 'done' if self.side_of(run).ledger_of(run) else 'to do')
                for run in self.runs]
        return draw_table(('run', 'trains', 'teachers and other networks',
                           'KD weight of the student', 'state'), rows)


def _chosen(runs: List[Run], names: List[str]) -> List[Run]:
    """The runs of these names, in the order of the plan."""
    there = [run.name for run in runs]
    for name in names:
        if name not in there:
            raise ConfigError(f'--runs: there is no run {name!r}; with this '
                              'setting, --methods, --seeds and --ablations '
                              f'there are: {", ".join(there)}')
    return [run for run in runs if run.name in names]


def changed(args: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    """A command line with other values.

    Args:
        args (argparse.Namespace): It stays as it is.
        **changes: The other values.
    """
    return argparse.Namespace(**{**vars(args), **changes})


def finish(command: List[str], seconds: float) -> int:
    """Run a training; stop it by a signal when its time is over.

    Args:
        command (list[str]): Its command line.
        seconds (float): Its time.

    Returns:
        int: Its exit code.
    """
    with subprocess.Popen(command) as child:

        def forward(number: int, frame: Any) -> None:
            child.send_signal(number)

        # A Ctrl-C in a terminal reaches the training by itself.
        handlers = {
            signal.SIGTERM: forward,
            signal.SIGUSR1: forward,
            signal.SIGINT: lambda number, frame: None
        }
        before = {
            number: signal.signal(number, handler)
            for number, handler in handlers.items()
        }
        try:
            code = child.wait(seconds if seconds < 1e8 else None)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGTERM)
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    # The signal came before its handler was there: nothing is lost.
    return STOPPED if code in (-signal.SIGTERM, -signal.SIGUSR1) else code


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of all tools that make such runs.

    Args:
        parser (argparse.ArgumentParser): It is changed.
    """
    parser.add_argument(
        '--epochs', type=int, help='of the student, if not the config\'s')
    parser.add_argument(
        '--work-dir',
        default=osp.join('work_dirs', 'reproduce'),
        help='where the runs are kept (default: work_dirs/reproduce)')
    parser.add_argument('--data-root', help='where the data set is')
    parser.add_argument(
        '--results',
        default=osp.join(CONFIGS, 'results'),
        help='where the metrics go (default: configs/dgkd/results)')
    parser.add_argument(
        '--minutes', type=float, help='stop after so long, with exit code 75')
    parser.add_argument(
        '--no-amp',
        dest='amp',
        action='store_false',
        help='no mixed precision')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        help='for every run, such as train_dataloader.batch_size=256')
    parser.add_argument(
        '--dry-run', action='store_true', help='print the runs and exit')
