# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The runs of ``search.py``: students measured on held-out images."""
import argparse
import dataclasses
import os.path as osp
from typing import Any, Dict

from _experiments import LOSS_WEIGHT, Run
from _reproduction import PLACES, Reproduction, changed
from results.search import add_row, read_rows, row_of, search_table

from mmdgkd import ConfigError

# Images of the training set.
TRAIN_IMAGES = dict(cifar10=50000, cifar100=50000)
TAU = LOSS_WEIGHT.replace('loss_weight', 'tau')
TASK_LOSS_WEIGHT = 'chain.networks.{}.stage.model.task_loss_weight'


class Search(Reproduction):
    """The students of one setting with other settings of their KD.

    Args:
        args (argparse.Namespace): The command line.

    Raises:
        ConfigError: If a number of the command line is out of range, or a
            teacher is not trained.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        args = changed(
            args,
            ablations=False,
            again=False,
            runs=None,
            guide_epochs=None,
            guides_from=None)
        super().__init__(args)
        self._check()
        # Teacher and TAs are those of tools/paper/reproduce.py.
        self.teacher_side = Reproduction(changed(args, epochs=None))
        self.folder += f'-held_out_{args.held_out}'
        self.file = osp.join(args.results, 'search', self.setting.chain,
                             f'{self.setting.name}.jsonl')
        students = list(filter(self.is_student, self.runs))
        self.runs = [run for run in students if not run.given]
        for weight in args.lambdas:
            for tau in args.taus:
                self.runs += [
                    self._variant(run, weight, tau) for run in students
                    if run.given
                ]

    def _check(self) -> None:
        """Check the command line, before anything is trained."""
        args, images = self.args, TRAIN_IMAGES[self.setting.dataset]
        if not 0 < args.held_out < images:
            raise ConfigError(
                f'--held-out: {args.held_out}; should be between '
                f'1 and {images - 1} of {images} images')
        for weight in args.lambdas:
            if not 0 < weight <= 1:
                raise ConfigError(f'--lambdas: {weight:g}; should be above 0 '
                                  'and at most 1')
        for tau in args.taus:
            if tau <= 0:
                raise ConfigError(f'--taus: {tau:g}; should be above 0')
        for option in args.cfg_options:
            key = option.split('=')[0]
            if 'dataset' in key and key.endswith(('indices', 'split')):
                raise ConfigError(f'--cfg-options: {key} would change which '
                                  'images are held out; use --held-out')

    def _variant(self, run: Run, weight: float, tau: float) -> Run:
        """A run with this KD; the labels have the rest of the weight."""
        student = self.names[-1]
        variant = f'lambda_{weight:g}_tau_{tau:g}'
        return dataclasses.replace(
            run,
            name=f'{run.method}_{variant}_seed{run.seed}',
            variant=variant,
            options={
                **run.options,
                LOSS_WEIGHT.format(student): weight,
                TAU.format(student): tau,
                TASK_LOSS_WEIGHT.format(student): round(1 - weight, 10)
            })

    def options_of(self, run: Run) -> Dict[str, Any]:
        """The changes of a run to its config, by dotted key."""
        held_out = self.args.held_out
        options = {
            # All but the first ones, and those.
            'train_dataloader.dataset.indices':
            held_out - TRAIN_IMAGES[self.setting.dataset]
        }
        for loader in ('val_dataloader', 'test_dataloader'):
            options[f'{loader}.dataset.split'] = 'train'
            options[f'{loader}.dataset.indices'] = held_out
        return {**super().options_of(run), **options}

    def _options(self) -> str:
        """The changes of all runs to the setting."""
        options = [] if self.args.amp else ['--no-amp']
        options += [
            option for option in self.args.cfg_options
            # Neither where things are nor how often it is logged.
            if not option.split('=')[0].endswith(PLACES) and
            not option.startswith(('default_hooks.logger.', 'chain.preflight'))
        ]
        return ' '.join(options)

    def run_all(self) -> None:
        """Train what is left, write each result at once, print the table."""
        self.check_teachers()
        student = self.names[-1]
        for run in self.runs:
            entry = self.train(run)[student]
            # Without a teacher there is neither weight nor temperature.
            add_row(
                self.file,
                row_of(entry, run.method, run.seed, self.args.held_out,
                       self._options(),
                       run.options.get(LOSS_WEIGHT.format(student)),
                       run.options.get(TAU.format(student))))
        print(search_table(read_rows(self.file)))
