# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a work dir holds, and whether it still is what the config asks for."""
import os
import os.path as osp
from typing import List, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner.utils import sync_random_seed

from mmdgkd.errors import ConfigError
from .chain import Chain
from .export import latest_checkpoint
from .files import sha256_of
from .ledger import Ledger, file_entry
from .stage_config import differences, fingerprint, named_config, stage_config


class WorkDir:
    """The folder of a chain: its files, its ledger, its configs.

    Args:
        cfg (Config): The whole config, with ``work_dir``.
        chain (Chain): Its chain.

    Raises:
        ConfigError: If it holds another chain.
    """

    def __init__(self, cfg: Config, chain: Chain) -> None:
        if not cfg.get('work_dir'):
            raise ConfigError('work_dir: is missing; name one, or use '
                              '--work-dir')
        self.cfg = cfg
        self.chain = chain
        self.path = osp.abspath(cfg.work_dir)
        self.ledger = Ledger.open(self.path, chain)
        # One seed for all stages and resumes, also where none is given.
        seed = (cfg.get('randomness') or {}).get('seed')
        if seed is None:
            seed = self.ledger.data.get('seed')
        self.seed = sync_random_seed() if seed is None else seed

    def make(self) -> None:
        """Make the folder.

        Raises:
            ConfigError: If that is not possible.
        """
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as error:
            raise ConfigError(f'work_dir: {self.path!r} cannot be made '
                              f'({error.strerror})') from None

    def reload(self) -> None:
        """Read the ledger again, which the first rank has written."""
        self.ledger = Ledger.open(self.path, self.chain)

    def begin(self) -> None:
        """Note in the ledger with what the chain is trained."""
        for network in self.chain.networks:
            if network.ckpt_path:
                path = self.file_of(network.name)
                self.ledger[network.name].update(
                    state='given', wrote=file_entry(path, self.path))
        self.ledger.update(
            seed=self.seed,
            guidance=self.chain.guidance,
            config=self.cfg.filename and osp.basename(self.cfg.filename),
            torch=torch.__version__,
            device=get_device())

    # Files -----------------------------------------------------------------

    def folder(self, name: str) -> str:
        """The folder of a stage."""
        return osp.join(self.path, name)

    def own_file(self, name: str) -> str:
        """Where the trained network of a stage belongs."""
        return osp.join(self.path, name, f'{name}.pth')

    def file_of(self, name: str) -> Optional[str]:
        """The file of a network's weights, if there is one by now."""
        given = self.chain[name].ckpt_path
        if given:
            return given if '://' in given else osp.abspath(given)
        done = self.ledger[name]['state'] == 'done'
        path = self.own_file(name)
        return path if done and osp.exists(path) else None

    # Configs ---------------------------------------------------------------

    def config_as_run(self) -> Config:
        """The whole config, such that it can be run again."""
        cfg = named_config(self.cfg, self.cfg.filename)
        cfg.chain = self.chain.to_cfg()
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=self.seed)
        cfg.launcher, cfg.resume = 'none', False
        return cfg

    def stage_config(self, name: str) -> Config:
        """The config of a stage, with the files of its guides."""
        files = {
            guide: self.file_of(guide) or self.own_file(guide)
            for guide in self.chain.guides[name]
        }
        stage = stage_config(self.cfg, self.chain, name, files, self.path)
        stage.randomness = dict(stage.get('randomness') or {}, seed=self.seed)
        return stage

    def what_changed(self, name: str, stage: Config) -> str:
        """How the config of a stage differs from the one that it ran with.

        Args:
            name (str): The stage.
            stage (Config): Its config of now.
        """
        old = osp.join(self.folder(name), 'config.py')
        if not osp.exists(old):
            return 'config.py is gone, so that it cannot be said what differs'
        lines = differences(Config.fromfile(old), stage)
        more = f' (and {len(lines) - 1} more)' if len(lines) > 1 else ''
        return (lines[0] if lines else 'config.py was edited') + more

    # State -----------------------------------------------------------------

    def todo(self, resume: bool, only: Optional[str]) -> List[str]:
        """The stages to train.

        Args:
            resume (bool): Whether to go on with what is there.
            only (str, optional): The one stage to train, or None for all.

        Raises:
            ConfigError: If the folder is in use and ``resume`` is off, if a
                finished stage or a file has changed, or if a guide is missing.
        """
        names = self.chain.names
        in_use = [
            name for name in names if self.ledger[name]['state'] == 'done' or (
                self.ledger[name]['state'] == 'running'
                and latest_checkpoint(self.folder(name)))
        ]
        if in_use and not resume and (only is None or only in in_use):
            done = sum(self.ledger[name]['state'] == 'done' for name in names)
            raise ConfigError(
                f'work_dir: {self.path!r} already holds this chain, {done} of '
                f'{len(names)} stages done; add --resume to go on, or choose '
                'another --work-dir')
        finished = [
            network.name for network in self.chain.networks
            if network.ckpt_path or self.is_finished(network.name)
        ]
        todo = [name for name in names if name not in finished]
        if only is not None:
            for guide in self.chain.guides[only]:
                if guide not in finished:
                    raise ConfigError(
                        f'--stage: "{only}" needs its guide "{guide}", which '
                        f'is not trained in {self.path!r}; train it first, or '
                        f'give chain.networks.{guide}.ckpt_path')
            todo = [name for name in todo if name == only]
        for name in todo:
            if name not in in_use and latest_checkpoint(self.folder(name)):
                raise ConfigError(
                    f'{self.folder(name)!r}: holds checkpoints of which '
                    'chain.json knows nothing; remove it, or choose another '
                    '--work-dir')
        return todo

    def is_finished(self, name: str) -> bool:
        """Whether a stage is done, and done as it would be done now.

        Args:
            name (str): The stage.

        Raises:
            ConfigError: If its config, its file or a guide's has changed.
        """
        entry = self.ledger[name]
        if entry['state'] in ('running', 'done'):
            self._check_guides(name)
        if entry['state'] != 'done':
            return False
        path = self.own_file(name)
        if not osp.exists(path):
            # The checkpoints beside it may still hold what it held.
            entry['state'] = 'running'
            return False
        again = f'remove {self.folder(name)!r} to train it again'
        stage = self.stage_config(name)
        if entry['config_sha256'] != fingerprint(stage):
            raise ConfigError(
                f'{path!r}: was trained with another config: '
                f'{self.what_changed(name, stage)}; take that back, choose '
                f'another --work-dir, or {again}')
        if sha256_of(path) != entry['wrote']['sha256']:
            raise ConfigError(
                f'{path!r}: is not the file that was trained (its sha256 '
                f'differs from chain.json); put it back, or {again}')
        return True

    def _check_guides(self, name: str) -> None:
        for guide, read in self.ledger[name].get('read', {}).items():
            path = self.file_of(guide)
            if path is None or '://' in path or not osp.exists(path):
                continue
            if sha256_of(path) != read['sha256']:
                raise ConfigError(
                    f'{path!r}: has changed since it guided the stage '
                    f'"{name}"; put it back, choose another --work-dir, or '
                    f'remove {self.folder(name)!r} to train that stage again')
