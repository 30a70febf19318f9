# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The work dir of a chain, and whether it still fits the config."""
import contextlib
import fcntl
import os
import os.path as osp
import platform
from typing import Iterator, List, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.runner.utils import sync_random_seed

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import require_file
from mmdgkd.fileio.files import can_write, remove_parts, without_locks
from mmdgkd.fileio.shared_folder import SharedFolder
from mmdgkd.fileio.stage_checkpoints import checkpoints_of, latest_checkpoint
from .chain import Chain, Network
from .changed_stage import check_config, check_teachers, is_intact
from .changed_use import check_use
from .ledger import Ledger, file_entry
from .method import METHODS
from .network_file import write_network_config
from .stage_config import named_config, stage_config


class WorkDir:
    """The folder of a chain: its files, its ledger, its configs.

    Args:
        cfg (Config): The whole config, with ``work_dir``.
        chain (Chain): Its chain.
        only (str, optional): The one stage that is trained here; other
            processes may train others. Defaults to None: all.

    Attributes:
        shared (SharedFolder): The folder, on all machines.

    Raises:
        ConfigError: If it holds another chain, or as :class:`SharedFolder`.
    """

    def __init__(self,
                 cfg: Config,
                 chain: Chain,
                 only: Optional[str] = None) -> None:
        if not cfg.get('work_dir'):
            raise ConfigError('work_dir: is missing; name one, or use '
                              '--work-dir')
        self.cfg = cfg
        self.chain = chain
        self.path = osp.abspath(cfg.work_dir)
        self._only = only
        # What is read and written here, and the stages that are this one's.
        self._names = [
            name for name in chain.names
            if only is None or name in (only, *chain.needs(only))
        ]
        given = [each.name for each in chain.networks if each.ckpt_path]
        self._own = None if only is None else {only, *given}
        self.shared = SharedFolder(self.path, self._names)
        # One seed for all stages and resumes, also where none is given.
        seed = (cfg.get('randomness') or {}).get('seed')
        self._drawn = seed is None
        self.seed = sync_random_seed() if self._drawn else seed
        self.reload()

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
        if not can_write(self.path):
            raise ConfigError(f'work_dir: {self.path!r} cannot be written to; '
                              'choose another --work-dir')

    def reload(self) -> None:
        """Read on all ranks what the first one has written."""
        self.shared.update()
        self.ledger = Ledger.open(self.path, self.chain, self._own)
        if self._drawn:
            known = self.ledger.data.get('seed')
            self.seed = self.seed if known is None else known
        self.cfg.randomness = dict(
            self.cfg.get('randomness') or {}, seed=self.seed)

    def begin(self) -> None:
        """Remove unfinished files, and record the settings in the ledger."""
        if is_main_process():
            folders = [self.path, *map(self.folder, self.chain.names)]
            for folder in [self.folder(self._only)] if self._only else folders:
                remove_parts(folder)
        for network in self.chain.networks:
            if network.ckpt_path:
                entry = self.ledger[network.name]
                wrote = file_entry(self.file_of(network.name), self.path)
                if entry.get('wrote') != wrote:
                    self.ledger.clear(network.name)
                entry.update(state='given', wrote=wrote)
                self._write_config_of(network)
        self.ledger.update(
            seed=self.seed,
            guidance=self.chain.guidance,
            holdout=self.chain.holdout,
            folds=self.chain.folds,
            config=self.cfg.filename and osp.basename(self.cfg.filename),
            torch=torch.__version__,
            device=get_device())

    def _write_config_of(self, network: Network) -> None:
        """Write the config of a given network, as a trained one has it."""
        if is_main_process():
            write_network_config(
                self.cfg, network,
                osp.splitext(self.own_file(network.name))[0] + '.py')

    @property
    def has_begun(self) -> bool:
        """Whether there are files of any training."""
        return any(map(self.has_files, self.chain.names))

    # Files -----------------------------------------------------------------

    def folder(self, name: str) -> str:
        """The folder of a stage."""
        return osp.join(self.path, name)

    def own_file(self, name: str) -> str:
        """The path of the file of a trained network, which may not exist."""
        return osp.join(self.path, name, f'{name}.{self.chain.save_as}')

    def file_of(self, name: str) -> Optional[str]:
        """The file of a network's weights, if it exists."""
        given = self.chain[name].ckpt_path
        if given:
            return given if '://' in given else osp.abspath(given)
        done = self.ledger[name]['state'] == 'done'
        path = self.own_file(name)
        return path if done and osp.exists(path) else None

    def source_of(self, name: str) -> Optional[str]:
        """The file from which a part of another network is taken.

        Args:
            name (str): The part.

        Raises:
            ConfigError: If it is one that the stage of the other should have
                kept, and has not.
        """
        network, stage = self.chain[name], self.stage_config(name)
        parent = network.part_of
        for method in METHODS.values():
            path = method.part_file(network, stage)
            if path is not None and not osp.isfile(path):
                raise ConfigError(
                    f'{path!r}: is missing, but "{parent}" is trained: that '
                    f'training has not kept the weights of "{name}"; put the '
                    'file back, or remove '
                    f'{self.folder(parent)!r} to train "{parent}" again')
            if path is not None:
                return path
        return self.file_of(parent)

    # Configs ---------------------------------------------------------------

    def config_as_run(self) -> Config:
        """The whole config in a form that can be run again."""
        cfg = named_config(self.cfg, self.cfg.filename)
        cfg.chain = self.chain.to_cfg()
        cfg.launcher, cfg.resume = 'none', False
        return cfg

    def stage_config(self, name: str) -> Config:
        """The config of the stage of a network, with its teachers' files."""
        name = self.chain.stage_of(name)
        files = {
            teacher: self.file_of(teacher) or self.own_file(teacher)
            for teacher in self.chain.needs(name)
        }
        stage = stage_config(self.cfg, self.chain, name, files, self.path)
        # The chain's, unless the stage has one of its own.
        randomness = dict(stage.get('randomness') or {})
        if randomness.get('seed') is None:
            randomness['seed'] = self.seed
        stage.randomness = randomness
        return stage

    # State -----------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder against a second run. A killed run leaves no lock.

        A run of one stage locks that stage alone.

        Raises:
            ConfigError: If another run holds the lock.
        """
        with contextlib.ExitStack() as stack:
            # Else nothing is trained there.
            if is_main_process() and can_write(self.path):
                if self._only is None:
                    self._lock(stack, '.lock')
                for name in [self._only] if self._only else self.chain.names:
                    self._lock(stack, f'.{name}.lock')
            yield

    def _lock(self, stack: contextlib.ExitStack, name: str) -> None:
        file = stack.enter_context(open(osp.join(self.path, name), 'a+'))
        try:
            # Of the process, not of the file: workers do not inherit it.
            with without_locks(file.name):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise ConfigError(
                f'work_dir: another run, process {file.read(200) or "?"}, '
                f'is training in {self.path!r}; wait for it or end it, or '
                'choose another --work-dir') from None
        file.truncate(0)
        file.write(f'{os.getpid()} on {platform.node()}')
        file.flush()

    def todo(self, resume: bool) -> List[str]:
        """The stages to train, after checking those that are done.

        Args:
            resume (bool): Whether to continue what is there.

        Raises:
            ConfigError: If the folder is in use and ``resume`` is off, if a
                stage or a file has changed, or if a teacher or its file is
                missing.
        """
        self.ledger.check_teachers(self.chain)
        self._check_given()
        names, only = self.chain.names, self._only
        in_use = [name for name in names if self.has_files(name)]
        if in_use and not resume and (only is None or only in in_use):
            done = sum(self.ledger[name]['state'] == 'done' for name in in_use)
            raise ConfigError(
                f'work_dir: {self.path!r} already holds this chain, {done} of '
                f'{len(names)} stages done; add --resume to go on, or choose '
                'another --work-dir')
        finished: List[str] = []
        fresh: List[str] = []
        for name in names:
            if self.chain[name].ckpt_path:
                finished.append(name)
            elif name not in in_use:
                fresh.append(name)
            elif name in self._names:
                check_use(self, name, in_use)
                check_config(self, name)
                check_teachers(self, name, fresh)
                if is_intact(self, name):
                    finished.append(name)
                else:
                    latest_checkpoint(self.folder(name))
        todo = [name for name in names if name not in finished]
        for name in todo:
            if self.chain[name].part_of in finished:
                self.source_of(name)
        if only is not None:
            for teacher in self.chain.needs(only):
                if teacher not in finished:
                    what = 'its teacher ' * (
                        teacher in self.chain.teachers[only])
                    raise ConfigError(
                        f'--stage: "{only}" needs {what}"{teacher}", which '
                        f'is not trained in {self.path!r}; train it first, or '
                        f'give chain.networks.{teacher}.ckpt_path')
            todo = [name for name in todo if name == only]
        return todo

    def _check_given(self) -> None:
        """Refuse networks whose given file is not there."""
        for network in self.chain.networks:
            path = network.ckpt_path
            if path and '://' not in path:
                require_file(path, f'chain.networks.{network.name}.ckpt_path')

    def has_files(self, name: str) -> bool:
        """Whether there are files of a training of a network."""
        if self.chain[name].ckpt_path:
            return False
        # This also refuses a folder with the name of one of the files.
        found = checkpoints_of(self.folder(name))
        return bool(found) or osp.exists(self.own_file(name))
