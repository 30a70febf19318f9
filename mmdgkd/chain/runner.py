# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import itertools
import logging
import os.path as osp
from datetime import timedelta
from logging.handlers import MemoryHandler
from typing import Any, ContextManager, Dict, List, Optional

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmrazor.registry import RUNNERS

from mmdgkd.chain.preflight.chain_check import inspect_chain
from mmdgkd.chain.preflight.rehearsal import rehearse
from mmdgkd.engine.hooks._stop_signals import StopSignals
from mmdgkd.engine.hooks.chain_progress_hook import ChainProgressHook
from mmdgkd.engine.hooks.visualizer_backends import live_hook
from mmdgkd.errors import ConfigError, TrainingStopped
from mmdgkd.fileio.files import atomic_write, can_write, disk_full_as_error
from mmdgkd.logit_store.inventory import check_store
from mmdgkd.utils.distributed import start_processes
from mmdgkd.utils.random import aside
from .classes import read_chain
from .console import QuietRunner, quiet, upstream_logged
from .evaluate import test_chain
from .export.extract import extract_network
from .ledger import Ledger
from .network import NetworkFacts, facts_of_trained
from .plan import (later_share, mix_line, order_line, plan_table, result_table,
                   store_lines, test_table)
from .runner_keys import check_runner_keys
from .schedules import schedule_lines
from .splits import split_line
from .stage_config import named_config, store_dir
from .stage_training import train_stage
from .store_size import StoreSize, refuse_excess
from .use import format_use, used_value
from .work_dir import WorkDir

# Numbers the chains of this process, for the names of their loggers: an id()
# may be reused by a later runner, which would write into an old log.
_CHAIN_NUMBERS = itertools.count()


@RUNNERS.register_module()
class ChainRunner:
    """Trains the stages of ``cfg.chain`` in order, each with a Runner.

    It writes an ordinary config for each stage, runs it, and keeps the ledger
    ``chain.json`` in the work dir. All mistakes that can be found are found
    before the first stage begins.

    Args:
        cfg (Config): The config: a ``chain``, the template of the stages with
            teachers under ``model``, and what an ordinary Runner takes.
        only (str, optional): The one stage to train. Defaults to None: all.
        verbose (bool): Whether to print the logs of the stages. If not, the
            plan, a line a stage, warnings, errors and the results are printed;
            the log files are the same. Defaults to True.

    Raises:
        ConfigError: For any mistake in the config, in a file that it names, or
            in the work dir.
    """

    def __init__(self,
                 cfg: Config,
                 only: Optional[str] = None,
                 verbose: bool = True) -> None:
        self.cfg = named_config(cfg, cfg.filename)
        check_runner_keys(self.cfg.to_dict())
        if not self.cfg.get('default_scope'):
            # As in default_runtime.py: the networks are MMPretrain's.
            self.cfg.default_scope = 'mmpretrain'
        start_processes(
            self.cfg.get('launcher', 'none'), self.cfg.get('env_cfg', {}))
        # What the checks have built, by its config.
        self._datasets: Dict[str, Any] = {}
        # What is logged before chain.log may be written.
        self._early = MemoryHandler(10**6)
        self._early.setLevel(logging.INFO)
        self.verbose = verbose
        with self._console():
            self.chain = read_chain(self.cfg, self._datasets)
        self.only = only
        if only is not None:
            network = self.chain.require(only, '--stage')
            if network.ckpt_path:
                raise ConfigError(
                    f'--stage: "{only}" has a ckpt_path, so that '
                    'there is nothing to train')
        live_hook(self.cfg)
        self.work = WorkDir(self.cfg, self.chain, only)
        self._facts: Dict[str, NetworkFacts] = {}
        # As planned: before any network has been trained.
        self._stages: Dict[str, Config] = {}
        self._todo: List[str] = []
        self._logger: Optional[MMLogger] = None

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'ChainRunner':
        """Build it from a config, as MMEngine's registry of runners does.

        Args:
            cfg (Config): See the class.
        """
        return cls(cfg)

    @property
    def facts(self) -> Dict[str, NetworkFacts]:
        """What is known of each network. The first access runs all checks."""
        if not self._facts:
            self._facts = inspect_chain(self.cfg, self.chain, self._datasets)
            for name in self.chain.names:
                if self.work.ledger[name].get('state') == 'done':
                    self._count_trained(name)
        return self._facts

    def plan(self, resume: bool = True) -> str:
        """The table of what is to be trained and what is done already.

        Args:
            resume (bool): Whether the work dir may be in use.
                Defaults to True.

        Raises:
            ConfigError: As :meth:`train`.
        """
        with self._console(), StopSignals() as signals:
            return self._plan(resume, signals)

    def train(self) -> Ledger:
        """Train what is not done yet.

        Returns:
            Ledger: The record of the chain.

        Raises:
            ConfigError: If the work dir is in use and ``resume`` is off, if a
                finished stage or one of its files has changed, or if a teacher
                is not trained yet.
            TrainingError: If the training cannot go on: a loss is not finite,
                or the disk is full.
            TrainingStopped: If a signal has stopped it, see
                :class:`StopSignals`.
        """
        with contextlib.ExitStack() as stack:
            signals = stack.enter_context(StopSignals())
            stack.enter_context(self._console())
            todo = self._begin(stack, signals)
            for name in todo:
                if signals.decide():
                    raise TrainingStopped(
                        f'stopped by {signals.name} before the stage "{name}"'
                        '; add --resume to go on')
                try:
                    self._train(name, signals)
                except Exception as error:
                    error.add_note(f'stage "{name}"')
                    raise
        table = result_table(self.chain, self.facts, self.work.ledger)
        self.log(f'The chain in {self.work.path}:\n{table}')
        return self.work.ledger

    def _train(self, name: str, signals: StopSignals) -> None:
        """Train a network, or take it out of the one that it is a part of."""
        if self.chain[name].part_of:
            extract_network(self.cfg, self.chain, self.work, name,
                            self._runner_type)
            self.work.reload()
        else:
            train_stage(self.cfg, self.chain, self.work, name,
                        self._progress_hooks(name), signals, self._runner_type)
            self._count_trained(name)
            facts = self._facts[name]
            self.work.ledger.update(name, params=facts.params, macs=facts.macs)
        self._log_done(name)

    def test(self,
             network: Optional[str] = None,
             ckpt_path: Optional[str] = None,
             mean: bool = False) -> Dict[str, Dict[str, float]]:
        """Test the trained networks.

        Args:
            network (str, optional): The one to test. Defaults to None: all
                that have been trained or given.
            ckpt_path (str, optional): The file of its weights.
                Defaults to None: that of the work dir.
            mean (bool): Whether to test the mean of their predictions, too.
                Defaults to False.

        Returns:
            dict[str, dict[str, float]]: The metrics by network, and of their
            mean as ``'mean of <number>'``.

        Raises:
            ConfigError: If there is nothing to test, or a file does not fit.
        """
        self._datasets.clear()
        with self._console():
            results = test_chain(self.cfg, self.chain, self.work, network,
                                 ckpt_path, mean, self._runner_type)
        self.log(f'Tested:\n{test_table(results, self.work.ledger)}')
        return results

    def log(self, message: str) -> None:
        """Print a message and write it to ``chain.log``.

        Args:
            message (str): One or more lines.
        """
        if self._logger is None:
            self._logger = MMLogger.get_instance(
                f'chain_{next(_CHAIN_NUMBERS)}',
                logger_name='mmdgkd',
                log_file=osp.join(self.work.path, 'chain.log')
                if can_write(self.work.path) else None,
                file_mode='a')
            for handler in self._logger.handlers:
                if isinstance(handler, logging.FileHandler):
                    self._early.setTarget(handler)
            self._early.flush()
            if not self.verbose:
                quiet(self._logger)
        self._logger.info(message)
        if not self.verbose and is_main_process():
            # Without the prefix of a logger.
            print(message, flush=True)

    def _console(self) -> ContextManager:
        if self.verbose:
            return contextlib.nullcontext()
        return upstream_logged(self._early)

    @property
    def _runner_type(self) -> type:
        return Runner if self.verbose else QuietRunner

    def _plan(self, resume: bool, signals: StopSignals) -> str:
        with aside():
            return self._plan_and_checks(resume, signals)

    def _plan_and_checks(self, resume: bool, signals: StopSignals) -> str:
        todo = self.work.todo(resume)
        if self.chain.logit_store is not None and any(self.chain.teachers[name]
                                                      for name in todo):
            check_store(store_dir(self.chain, self.work.path))
        stages = self._stages = {
            name: self.work.stage_config(name)
            for name in self.chain.names
        }
        facts, rehearsed = self.facts, ''
        if todo and self.chain.preflight:
            # First: the lines below take it that the config works.
            rehearsed = rehearse(self.cfg, self.chain, self.work, todo,
                                 self._datasets, signals)
        fresh = [name for name in todo if not self.work.has_files(name)]
        table = plan_table(self.chain, facts, stages, self.work.ledger, fresh)
        lines = (table, self.work.shared.line, split_line(self.chain),
                 store_lines(self.store_size), order_line(self.chain, facts),
                 mix_line(self.chain,
                          stages), schedule_lines(self.chain, facts,
                                                  stages), rehearsed)
        self._datasets.clear()
        return '\n'.join(filter(None, lines))

    def _begin(self, stack: contextlib.ExitStack,
               signals: StopSignals) -> List[str]:
        """Check all, then make and lock the work dir; the stages to train."""
        resume = bool(self.cfg.get('resume'))
        self.work.shared.refuse_copy()
        is_there = osp.isdir(self.work.path)
        if is_there:
            stack.enter_context(self.work.lock())
        # This checks all, before anything is written.
        plan = self._plan(resume, signals)
        if not (self.only or self.work.has_begun):
            # One that has begun goes on: it cannot take other settings.
            refuse_excess(self.store_size)
        if is_there and not can_write(
                self.work.path) and not self.work.todo(resume):
            return []
        self.work.make()
        stack.enter_context(disk_full_as_error(self.work.path))
        if not is_there:
            stack.enter_context(self.work.lock())
        # A run that has ended since may have left another ledger.
        self.work.reload()
        todo = self._todo = self.work.todo(resume)
        # All ranks have seen the same before the first one writes.
        barrier()
        if is_main_process():
            with atomic_write(osp.join(self.work.path, 'config.py')) as file:
                file.write(self.work.config_as_run().pretty_text)
        for name, facts in self.facts.items():
            # A report then needs neither the config nor the data.
            self.work.ledger[name].update(params=facts.params, macs=facts.macs)
        self.work.begin()
        self.log(f'The chain in {self.work.path}:\n{plan}')
        return todo

    @property
    def store_size(self) -> Optional[StoreSize]:
        """As planned; None without a store."""
        if self.chain.logit_store is None:
            return None
        return StoreSize(self.chain, self.facts, self._stages, self.work.path)

    def _log_done(self, name: str) -> None:
        """Such as ``stage 2/3 resnet14: accuracy/top1 95.21, 31.4 s``."""
        names, entry = self.chain.names, self.work.ledger[name]
        metric, seconds = entry.get('metric', {}), entry['seconds']
        value = used_value(entry)
        score = '' if value is None else (
            f'{metric["name"]} {value:.2f}{format_use(entry)}, ')
        left = seconds * self._later_share(name)
        eta = f', chain ETA {timedelta(seconds=round(left))}' if left else ''
        self.log(f'stage {names.index(name) + 1}/{len(names)} {name}: '
                 f'{score}{seconds:.1f} s{eta}')

    def _count_trained(self, name: str) -> None:
        """Count anew what the training may have made smaller."""
        path = self.work.file_of(name)
        if path is not None:
            scope = self.cfg.default_scope
            self._facts[name] = facts_of_trained(self.chain[name],
                                                 self._facts[name], path,
                                                 scope)

    def _later_share(self, name: str) -> float:
        return later_share(self.chain, self.facts, self._stages, name,
                           self._todo)

    def _progress_hooks(self, name: str) -> List[Hook]:
        names = self.chain.names
        index, share = names.index(name) + 1, self._later_share(name)
        epochs = ChainProgressHook(index, len(names), name,
                                   self.chain.teachers[name], share)
        live = live_hook(
            self.cfg,
            stage=f'{index}/{len(names)} {name}',
            later_share=share,
            metric=self.chain.metric)
        return [epochs, live] if live else [epochs]
