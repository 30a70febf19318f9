# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import itertools
import os.path as osp
from typing import Dict, List, Optional, Tuple

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmrazor.registry import RUNNERS

from mmdgkd.chain.preflight.chain_check import inspect_chain
from mmdgkd.engine.hooks._stop_signals import StopSignals
from mmdgkd.engine.hooks.chain_progress_hook import ChainProgressHook
from mmdgkd.engine.hooks.resume_hooks import CurvesResumeHook, DataOnlyHook
from mmdgkd.engine.hooks.stop_hook import StopHook
from mmdgkd.engine.hooks.visualizer_backends import (live_hook, name_runs,
                                                     watched)
from mmdgkd.engine.loops.position import progress_of
from mmdgkd.engine.runner_cleanup import cleaned_up
from mmdgkd.errors import ConfigError, TrainingStopped
from mmdgkd.fileio.files import atomic_write, disk_full_as_error
from mmdgkd.fileio.stage_checkpoints import latest_checkpoint
from mmdgkd.utils.distributed import fit_to_device, start_processes
from mmdgkd.utils.table import draw_table
from .chain import Chain
from .environment import environment
from .evaluate import test_mean, test_network
from .extract import extract_network
from .ledger import Ledger, file_entry
from .ledger_hook import LedgerHook
from .network import NetworkFacts, build_network, facts_of_trained
from .plan import plan_table, result_table, stage_cost, store_lines
from .stage_config import fingerprint, named_config, network_config
from .weights_file import export_network
from .work_dir import WorkDir

# Of the chains of this process, for the names of their loggers: an id() may
# be given again, to a runner that would then write into another one's log.
_CHAIN_NUMBERS = itertools.count()


@RUNNERS.register_module()
class ChainRunner:
    """Trains the stages of ``cfg.chain`` in order, each with a Runner.

    It writes an ordinary config for each stage, runs it, and keeps the ledger
    ``chain.json`` in the work dir. All that can be wrong is looked for before
    the first stage begins.

    Args:
        cfg (Config): The config: a ``chain``, the template of the guided
            stages under ``model``, and what an ordinary Runner takes.
        only (str, optional): The one stage to train. Defaults to None: all.

    Raises:
        ConfigError: For any mistake in the config, in a file that it names, or
            in the work dir.
    """

    def __init__(self, cfg: Config, only: Optional[str] = None) -> None:
        self.cfg = named_config(cfg, cfg.filename)
        self.launcher = self.cfg.get('launcher', 'none')
        start_processes(self.launcher, self.cfg.get('env_cfg', {}))
        self.chain = Chain.from_cfg(self.cfg.get('chain'))
        self.only = only
        if only is not None:
            network = self.chain.require(only, '--stage')
            if network.ckpt_path:
                raise ConfigError(
                    f'--stage: "{only}" has a ckpt_path, so that '
                    'there is nothing to train')
        live_hook(self.cfg)
        self.work = WorkDir(self.cfg, self.chain)
        self._facts: Dict[str, NetworkFacts] = {}
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
        """What is known of the networks, after checking all there is."""
        if not self._facts:
            self._facts = inspect_chain(self.cfg, self.chain)
            for name in self.chain.names:
                if self.work.ledger[name].get('state') == 'done':
                    self._see_trained(name)
        return self._facts

    def plan(self, resume: bool = True) -> str:
        """The table of what is to be trained and what is done already.

        Args:
            resume (bool): Whether the work dir may be in use.
                Defaults to True.

        Raises:
            ConfigError: As :meth:`train`.
        """
        self.work.todo(resume, self.only)
        stages = {
            name: self.work.stage_config(name)
            for name in self.chain.names
        }
        table = plan_table(self.chain, self.facts, stages, self.work.ledger)
        store = store_lines(self.chain, self.facts, stages, self.work.path)
        return f'{table}\n{store}'.rstrip()

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
        resume = bool(self.cfg.get('resume'))
        with contextlib.ExitStack() as stack:
            signals = stack.enter_context(StopSignals())
            is_there = osp.isdir(self.work.path)
            if is_there:
                stack.enter_context(self.work.lock())
            # This checks all, before anything is written.
            plan = self.plan(resume)
            self.work.make()
            stack.enter_context(disk_full_as_error(self.work.path))
            if not is_there:
                stack.enter_context(self.work.lock())
            # A run that has ended since may have left another ledger.
            self.work.reload()
            todo = self.work.todo(resume, self.only)
            # All ranks have seen the same before the first one writes.
            barrier()
            if is_main_process():
                with atomic_write(osp.join(self.work.path,
                                           'config.py')) as file:
                    file.write(self.work.config_as_run().pretty_text)
            for name, facts in self.facts.items():
                # A report then needs neither the config nor the data.
                self.work.ledger[name].update(
                    params=facts.params, macs=facts.macs)
            self.work.begin()
            self.log(f'The chain in {self.work.path}:\n{plan}')
            for name in todo:
                if signals.decide():
                    raise TrainingStopped(
                        f'stopped by {signals.name} before the stage "{name}"'
                        '; add --resume to go on')
                if self.chain[name].part_of:
                    extract_network(self.cfg, self.chain, self.work, name,
                                    self.launcher)
                    self.work.reload()
                else:
                    self._train_stage(name, signals)
        table = result_table(self.chain, self.facts, self.work.ledger)
        self.log(f'The chain in {self.work.path}:\n{table}')
        return self.work.ledger

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
            mean (bool): Whether to test what they say together, too.
                Defaults to False.

        Returns:
            dict[str, dict[str, float]]: The metrics by network, and of their
            mean as ``'mean of <number>'``.

        Raises:
            ConfigError: If there is nothing to test, or a file does not fit.
        """
        names = [network] if network else [
            name for name in self.chain.names if self.work.file_of(name)
        ]
        if not names:
            raise ConfigError(f'work_dir: {self.work.path!r} holds no trained '
                              'network yet')
        results: Dict[str, Dict[str, float]] = {}
        for name in names:
            path = ckpt_path or self.work.file_of(name)
            if path is None:
                raise ConfigError(
                    f'work_dir: {self.work.path!r} has no trained "{name}" '
                    'yet; name its file')
            results[name] = test_network(self.cfg, self.chain[name], path,
                                         self.work.folder(name), self.launcher)
        if mean:
            paths = {name: self.work.file_of(name) for name in names}
            results[f'mean of {len(names)}'] = test_mean(
                self.cfg, self.chain, paths, osp.join(self.work.path, 'mean'),
                self.launcher)
        rows = []
        for name, metrics in results.items():
            entry = self.work.ledger[name] if name in names else {}
            last = entry.get('metric', {}).get('last')
            rows.append((name, *(f'{value:.2f}' for value in metrics.values()),
                         '-' if last is None else f'{last:.2f}'))
        columns = ('network', *next(iter(results.values())), 'in the ledger')
        self.log(f'Tested:\n{draw_table(columns, rows)}')
        return results

    def log(self, message: str) -> None:
        """Write to the chain's own log, beside those of the stages.

        Args:
            message (str): What to say.
        """
        if self._logger is None:
            self._logger = MMLogger.get_instance(
                f'chain_{next(_CHAIN_NUMBERS)}',
                logger_name='mmdgkd',
                log_file=osp.join(self.work.path, 'chain.log'),
                file_mode='a')
        self._logger.info(message)

    def _train_stage(self, name: str, signals: StopSignals) -> None:
        work, ledger = self.work, self.work.ledger
        stage = work.stage_config(name)
        checkpoint = latest_checkpoint(work.folder(name))
        if checkpoint is None:
            for key in ('metric', 'seconds', 'store', 'wrote', 'wandb_id'):
                ledger[name].pop(key, None)
        ledger.update(
            name,
            state='running',
            config_sha256=fingerprint(stage),
            environment=environment(),
            read={
                teacher: file_entry(work.file_of(teacher), work.path)
                for teacher in self.chain.needs(name)
            })

        runtime = named_config(stage, stage.filename)
        runtime.launcher = self.launcher
        if checkpoint:
            runtime.resume, runtime.load_from = True, checkpoint
        fit_to_device(runtime)
        noted = name_runs(runtime, name, osp.basename(work.path), ledger[name])
        ledger.update(name, **noted)
        runner = Runner.from_cfg(runtime)
        if is_main_process():
            # The Runner has written it with what holds for this run alone.
            with atomic_write(stage.filename) as file:
                file.write(stage.pretty_text)
        record = LedgerHook(ledger, name, self.chain.metric)
        runner.register_hook(record)
        for hook in self._progress_hooks(name):
            runner.register_hook(hook)
        runner.register_hook(StopHook(signals))
        runner.register_hook(DataOnlyHook())
        runner.register_hook(CurvesResumeHook())
        with cleaned_up(runner), watched(runner):
            try:
                runner.train()
            except TrainingStopped:
                record.note_time()
                raise
            barrier()
            if is_main_process():
                self._finish_stage(name, progress_of(runner))
            barrier()
            work.reload()

    def _finish_stage(self, name: str, progress: Tuple) -> None:
        """Write the trained network, and only then say that it is done."""
        work = self.work
        unit, _, total = progress
        checkpoint = latest_checkpoint(work.folder(name))
        if checkpoint is None:
            raise ConfigError(
                'default_hooks.checkpoint: has left no checkpoint of '
                f'"{name}"; leave save_last on')
        network = self.chain[name]
        metric = work.ledger[name].get('metric', {})
        scope = self.cfg.get('default_scope', 'mmpretrain')
        export_network(
            checkpoint, build_network(network, scope),
            network_config(self.cfg, network), work.own_file(name),
            dict(
                network=name,
                guides=list(self.chain.teachers[name]),
                metric=metric.get('name'),
                last=metric.get('last'),
                best=metric.get('best')), unit, total)
        work.ledger.update(
            name,
            state='done',
            wrote=file_entry(work.own_file(name), work.path))
        self._see_trained(name)
        facts = self._facts[name]
        work.ledger.update(name, params=facts.params, macs=facts.macs)

    def _see_trained(self, name: str) -> None:
        path = self.work.file_of(name)
        if path is not None:
            scope = self.cfg.get('default_scope', 'mmpretrain')
            self._facts[name] = facts_of_trained(self.chain[name],
                                                 self._facts[name], path,
                                                 scope)

    def _progress_hooks(self, name: str) -> List[Hook]:
        names = self.chain.names
        later = [] if self.only else [
            other for other in names[names.index(name) + 1:]
            if self.work.ledger[other]['state'] in ('pending', 'running')
        ]
        costs = {
            other:
            stage_cost(self.chain, self.facts, other) * self._steps(other)
            for other in (name, *later)
        }
        share = sum(costs[other] for other in later) / costs[name]
        index = names.index(name) + 1
        said = ChainProgressHook(index, len(names), name,
                                 self.chain.teachers[name], share)
        live = live_hook(
            self.cfg,
            stage=f'{index}/{len(names)} {name}',
            later_share=share,
            metric=self.chain.metric)
        return [said, live] if live else [said]

    def _steps(self, name: str) -> int:
        train_cfg = self.work.stage_config(name).get('train_cfg') or {}
        return train_cfg.get('max_epochs') or train_cfg.get('max_iters') or 1
