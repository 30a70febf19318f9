# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os
import os.path as osp
from typing import Any, Dict, List, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.utils import sync_random_seed
from mmrazor.registry import RUNNERS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils import load_weights
from .chain import Chain
from .distributed import fit_to_device, start_processes
from .export import export_network, latest_checkpoint
from .files import sha256_of, whole_file
from .hooks import ChainProgressHook, LedgerHook
from .inspection import build_network, inspect_chain
from .ledger import Ledger, file_entry
from .plan import plan_table, result_table, stage_cost, table
from .stage_config import (differences, fingerprint, named_config,
                           network_config, stage_config)


@RUNNERS.register_module()
class ChainRunner:
    """Trains the stages of ``cfg.chain`` in order, each with a Runner.

    It writes an ordinary config for each stage, runs it, and keeps the ledger
    ``chain.json`` in the work dir. All that can be wrong is looked for before
    the first stage begins.

    Args:
        cfg (Config): The config: a ``chain``, the template of the guided
            stages under ``model``, and what an ordinary Runner takes.
        only (str, optional): The one stage to train. Defaults to None.
        key (str): How the user named that stage, for messages.
            Defaults to ``'--stage'``.

    Raises:
        ConfigError: For any mistake in the config, in a file that it names, or
            in the work dir.
    """

    def __init__(self,
                 cfg: Config,
                 only: Optional[str] = None,
                 key: str = '--stage') -> None:
        self.cfg = named_config(cfg, cfg.filename)
        if not self.cfg.get('work_dir'):
            raise ConfigError('work_dir: is missing; name one, or use '
                              '--work-dir')
        self.work_dir = osp.abspath(self.cfg.work_dir)
        start_processes(
            self.cfg.get('launcher', 'none'), self.cfg.get('env_cfg', {}))
        self.chain = Chain.from_cfg(self.cfg.get('chain'))
        self.only = only
        if only is not None:
            network = self.chain.require(only, key)
            if network.ckpt_path:
                raise ConfigError(f'{key}: "{only}" has a ckpt_path, so that '
                                  'there is nothing to train')
        self.facts = inspect_chain(self.cfg, self.chain)
        self.ledger = Ledger.open(self.work_dir, self.chain)
        self._settle_seed()
        self._logger: Optional[MMLogger] = None

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'ChainRunner':
        """Build it from a config, as MMEngine's registry of runners does.

        Args:
            cfg (Config): See the class.
        """
        return cls(cfg)

    def plan(self) -> str:
        """The table of what is to be trained and what is done already."""
        stages = {name: self._stage_config(name) for name in self.chain.names}
        return plan_table(self.chain, self.facts, stages, self.ledger)

    def train(self) -> Ledger:
        """Train what is not done yet.

        Returns:
            Ledger: The record of the chain.

        Raises:
            ConfigError: If the work dir is in use and ``resume`` is off, if a
                finished stage or one of its files has changed, or if a guide
                is not trained yet.
        """
        resume = bool(self.cfg.get('resume'))
        todo = self._todo(resume)
        logger = self._open_log()
        if is_main_process():
            with whole_file(osp.join(self.work_dir, 'config.py')) as file:
                file.write(self._config_as_run().pretty_text)
        self._begin_ledger()
        logger.info(f'The chain in {self.work_dir}:\n{self.plan()}')
        for name in todo:
            self._train_stage(name, resume)
        logger.info(f'The chain in {self.work_dir}:\n'
                    f'{result_table(self.chain, self.facts, self.ledger)}')
        return self.ledger

    def test(self,
             network: Optional[str] = None,
             ckpt_path: Optional[str] = None) -> Dict[str, Dict[str, float]]:
        """Test the trained networks.

        Args:
            network (str, optional): The one to test. Defaults to None: all
                that have been trained or given.
            ckpt_path (str, optional): The file of its weights.
                Defaults to None: that of the work dir.

        Returns:
            dict[str, dict[str, float]]: The metrics by network.

        Raises:
            ConfigError: If there is nothing to test, or a file does not fit.
        """
        names = [network] if network else [
            name for name in self.chain.names if self._file_of(name)
        ]
        if not names:
            raise ConfigError(f'work_dir: {self.work_dir!r} holds no trained '
                              'network yet')
        results: Dict[str, Dict[str, float]] = {}
        for name in names:
            path = ckpt_path or self._file_of(name)
            if path is None:
                raise ConfigError(
                    f'work_dir: {self.work_dir!r} has no trained '
                    f'"{name}" yet; name its file')
            cfg = network_config(self.cfg, self.chain[name])
            cfg.work_dir = osp.join(self.work_dir, name, 'test')
            cfg.experiment_name = f'test_{name}'
            cfg.launcher = self.cfg.get('launcher', 'none')
            fit_to_device(cfg)
            runner = Runner.from_cfg(cfg)
            model = runner.model
            load_weights(
                model.module if is_model_wrapper(model) else model, path,
                'checkpoint')
            results[name] = runner.test()
        rows = []
        for name, metrics in results.items():
            last = self.ledger[name].get('metric', {}).get('last')
            rows.append((name, *(f'{value:.2f}' for value in metrics.values()),
                         '-' if last is None else f'{last:.2f}'))
        columns = ('network', *next(iter(results.values())), 'in the ledger')
        self._open_log().info(f'Tested:\n{table(columns, rows)}')
        return results

    # What is to be done ----------------------------------------------------

    def _todo(self, resume: bool) -> List[str]:
        """The stages to train, after all checks against the work dir."""
        if not resume and self.only is None and self._in_use():
            done = sum(self.ledger[name]['state'] == 'done'
                       for name in self.chain.names)
            raise ConfigError(
                f'work_dir: {self.work_dir!r} already holds this chain, {done} '
                f'of {len(self.chain.names)} stages done; add --resume to go '
                'on, or choose another --work-dir')
        finished = [
            network.name for network in self.chain.networks
            if network.ckpt_path or self._is_finished(network.name)
        ]
        if self.only is None:
            return [name for name in self.chain.names if name not in finished]
        if self.only in finished:
            raise ConfigError(
                f'--stage: "{self.only}" is trained already; to train it '
                f'again remove {osp.join(self.work_dir, self.only)!r}')
        for guide in self.chain.guides[self.only]:
            if guide not in finished:
                raise ConfigError(
                    f'--stage: "{self.only}" needs its guide "{guide}", which '
                    f'is not trained in {self.work_dir!r}; train it first, or '
                    f'give chain.networks.{guide}.ckpt_path')
        return [self.only]

    def _in_use(self) -> bool:
        return any(self.ledger[name]['state'] == 'done'
                   or latest_checkpoint(osp.join(self.work_dir, name))
                   for name in self.ledger.started)

    def _is_finished(self, name: str) -> bool:
        """Whether a stage is done, and done as it would be done now."""
        entry = self.ledger[name]
        if entry['state'] in ('running', 'done'):
            self._check_guides_unchanged(name)
        if entry['state'] != 'done':
            return False
        path = self._own_file(name)
        if not osp.exists(path):
            # The checkpoints beside it may still hold what it held.
            entry['state'] = 'running'
            return False
        stage = self._stage_config(name)
        if entry['config_sha256'] != fingerprint(stage):
            raise ConfigError(
                f'{path!r}: was trained with another config: '
                f'{self._what_changed(name, stage)}; take that back, choose '
                f'another --work-dir, or remove {osp.dirname(path)!r} to '
                'train it again')
        if sha256_of(path) != entry['wrote']['sha256']:
            raise ConfigError(
                f'{path!r}: is not the file that was trained (its sha256 '
                'differs from chain.json); put it back, or remove '
                f'{osp.dirname(path)!r} to train it again')
        return True

    def _check_guides_unchanged(self, name: str) -> None:
        for guide, read in self.ledger[name].get('read', {}).items():
            path = self._file_of(guide)
            if path is None or '://' in path or not osp.exists(path):
                continue
            if sha256_of(path) != read['sha256']:
                raise ConfigError(
                    f'{path!r}: has changed since it guided the stage '
                    f'"{name}"; put it back, choose another --work-dir, or '
                    f"remove '{osp.join(self.work_dir, name)}' to train that "
                    'stage again')

    def _what_changed(self, name: str, stage: Config) -> str:
        old = osp.join(self.work_dir, name, 'config.py')
        if not osp.exists(old):
            return 'config.py is gone, so that it cannot be said what differs'
        lines = differences(Config.fromfile(old), stage)
        more = f' (and {len(lines) - 1} more)' if len(lines) > 1 else ''
        return (lines[0] if lines else 'config.py was edited') + more

    # One stage -------------------------------------------------------------

    def _train_stage(self, name: str, resume: bool) -> None:
        stage = self._stage_config(name)
        folder = osp.join(self.work_dir, name)
        checkpoint = latest_checkpoint(folder)
        running = self.ledger[name]['state'] == 'running'
        if checkpoint and not (running and (resume or self.only)):
            raise ConfigError(
                f'{folder!r}: holds checkpoints that are not of this run; '
                'remove it, or choose another --work-dir')
        if checkpoint and self.ledger[name]['config_sha256'] != fingerprint(
                stage):
            self._open_log().warning(
                f'{name}: goes on with another config than it began with: '
                f'{self._what_changed(name, stage)}')
        if not checkpoint:
            for key in ('metric', 'seconds', 'wrote'):
                self.ledger[name].pop(key, None)
        self.ledger.update(
            name,
            state='running',
            config_sha256=fingerprint(stage),
            read={
                guide: file_entry(self._file_of(guide), self.work_dir)
                for guide in self.chain.guides[name]
            })

        runtime = named_config(stage, stage.filename)
        runtime.launcher = self.cfg.get('launcher', 'none')
        if checkpoint:
            runtime.resume, runtime.load_from = True, checkpoint
        fit_to_device(runtime)
        runner = Runner.from_cfg(runtime)
        if is_main_process():
            # The Runner has written it with what holds for this run alone.
            with whole_file(stage.filename) as file:
                file.write(stage.pretty_text)
        runner.register_hook(LedgerHook(self.ledger, name, self.chain.metric))
        runner.register_hook(self._progress_hook(name))
        runner.train()
        barrier()
        if is_main_process():
            self._finish_stage(name, stage)
        barrier()
        self.ledger = Ledger.open(self.work_dir, self.chain)

    def _finish_stage(self, name: str, stage: Config) -> None:
        """Write the trained network, and only then say that it is done."""
        checkpoint = latest_checkpoint(osp.join(self.work_dir, name))
        if checkpoint is None:
            raise ConfigError(
                'default_hooks.checkpoint: has left no checkpoint of '
                f'"{name}"; leave save_last on')
        network = self.chain[name]
        metric = self.ledger[name].get('metric', {})
        export_network(
            checkpoint,
            build_network(network, self.cfg.get('default_scope',
                                                'mmpretrain')),
            network_config(self.cfg, network), self._own_file(name),
            dict(
                network=name,
                guides=list(self.chain.guides[name]),
                metric=metric.get('name'),
                last=metric.get('last'),
                best=metric.get('best')))
        self.ledger.update(
            name,
            state='done',
            wrote=file_entry(self._own_file(name), self.work_dir))

    def _progress_hook(self, name: str) -> ChainProgressHook:
        names = self.chain.names
        later = [] if self.only else [
            other for other in names[names.index(name) + 1:]
            if not self.chain[other].ckpt_path
            and self.ledger[other]['state'] != 'done'
        ]
        length = self._steps(name)
        own = stage_cost(self.chain, self.facts, name) * length
        share = sum(
            stage_cost(self.chain, self.facts, other) * self._steps(other)
            for other in later) / own
        return ChainProgressHook(
            names.index(name) + 1, len(names), name, self.chain.guides[name],
            share)

    def _steps(self, name: str) -> int:
        train_cfg = self._stage_config(name).get('train_cfg') or {}
        return train_cfg.get('max_epochs') or train_cfg.get('max_iters') or 1

    # Files and settings ----------------------------------------------------

    def _stage_config(self, name: str) -> Config:
        files = {
            guide: self._file_of(guide) or self._own_file(guide)
            for guide in self.chain.guides[name]
        }
        stage = stage_config(self.cfg, self.chain, name, files, self.work_dir)
        randomness = dict(stage.get('randomness') or {})
        randomness['seed'] = self.seed
        stage.randomness = randomness
        return stage

    def _own_file(self, name: str) -> str:
        return osp.join(self.work_dir, name, f'{name}.pth')

    def _file_of(self, name: str) -> Optional[str]:
        """The file of a network's weights, if there is one by now."""
        given = self.chain[name].ckpt_path
        if given:
            return given if '://' in given else osp.abspath(given)
        done = self.ledger[name]['state'] == 'done'
        path = self._own_file(name)
        return path if done and osp.exists(path) else None

    def _settle_seed(self) -> None:
        """One seed for all stages and resumes, also where none is given."""
        seed = (self.cfg.get('randomness') or {}).get('seed')
        if seed is None:
            seed = self.ledger.data.get('seed')
        self.seed = sync_random_seed() if seed is None else seed

    def _config_as_run(self) -> Config:
        cfg = named_config(self.cfg, self.cfg.filename)
        cfg.chain = self.chain.to_cfg()
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=self.seed)
        cfg.launcher, cfg.resume = 'none', False
        return cfg

    def _begin_ledger(self) -> None:
        for network in self.chain.networks:
            if network.ckpt_path:
                self.ledger[network.name].update(
                    state='given',
                    wrote=file_entry(
                        self._file_of(network.name), self.work_dir))
        self.ledger.update(
            seed=self.seed,
            guidance=self.chain.guidance,
            config=self.cfg.filename and osp.basename(self.cfg.filename),
            torch=torch.__version__,
            device=get_device())

    def _open_log(self) -> MMLogger:
        """The chain's own log, beside those of the stages."""
        if self._logger is None:
            try:
                os.makedirs(self.work_dir, exist_ok=True)
            except OSError as error:
                raise ConfigError(f'work_dir: {self.work_dir!r} cannot be '
                                  f'made ({error.strerror})') from None
            self._logger = MMLogger.get_instance(
                f'chain_{id(self)}',
                logger_name='mmdgkd',
                log_file=osp.join(self.work_dir, 'chain.log'),
                file_mode='a')
        return self._logger
