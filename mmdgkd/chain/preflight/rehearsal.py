# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The rehearsal: every stage is really run, small, before any training."""
import contextlib
import io
import os
import os.path as osp
import platform
import shutil
import tempfile
import time
import warnings
from dataclasses import replace
from glob import glob
from typing import Any, Dict, Iterator, List, Optional

import torch
from mmengine.config import Config
from mmengine.dist import (all_gather_object, barrier, broadcast_object_list,
                           is_main_process)
from mmengine.registry import DefaultScope
from mmengine.utils import ManagerMixin

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.export.extract import extract_network
from mmdgkd.chain.method import methods_of
from mmdgkd.chain.network import build_network
from mmdgkd.chain.stage_config import named_config
from mmdgkd.chain.stage_training import train_stage
from mmdgkd.chain.work_dir import WorkDir
from mmdgkd.engine.hooks._stop_signals import StopSignals
from mmdgkd.engine.hooks.visualizer_backends import (check_visualizer,
                                                     without_curves)
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import write_weights
from mmdgkd.fileio.shared_folder import SharedFolder
from mmdgkd.utils.random import aside
from .blame import describe
from .few_batches import FewBatches
from .rehearsal_hooks import (FirstRun, MonitorHook, PrunedRun, ResumedRun,
                              Saved)


def rehearse(cfg: Config, chain: Chain, work: WorkDir, names: List[str],
             datasets: Dict[str, Any], signals: StopSignals) -> str:
    """Run stages as they will be run, on a few images, in a folder of its own.

    Each trains for ``chain.preflight['steps']`` steps, the last of which has
    the smallest batch of an epoch, and ends an epoch: it validates, saves,
    resumes and exports. Teachers that are not trained yet are as their own
    rehearsal leaves them. To be called on all ranks; generators and files are
    afterwards as before.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        work (WorkDir): The work dir, which is not written to.
        names (list[str]): The stages to train, in order.
        datasets (dict): The data sets that have been built already.
        signals (StopSignals): The signals that stop the run.

    Returns:
        str: A line that tells what was done.

    Raises:
        ConfigError: If a stage fails. It names stage, config key, reason and,
            where the reason alone may not tell, a file with the traceback.
        TrainingStopped: If a signal has stopped it.
    """
    begin = time.monotonic()
    steps = chain.preflight['steps']
    scope = cfg.default_scope
    with _left_as_before(work) as folder, DefaultScope.overwrite_default_scope(
            scope):
        there = _RehearsalDir(cfg, chain, work, folder)
        data = FewBatches(steps, datasets)
        for name in names:
            with describe(name, there.stage_config(name)):
                _rehearse_stage(there, name, data, signals)
    return (f'rehearsal: {len(names)} stages of {steps} steps each, '
            f'validated, saved, resumed and exported in '
            f'{time.monotonic() - begin:.1f} s')


def _rehearse_stage(work: '_RehearsalDir', name: str, data: FewBatches,
                    signals: StopSignals) -> None:
    cfg, chain = work.cfg, work.chain
    if chain[name].part_of:
        extract_network(cfg, chain, work, name, data.runner_type)
        work.reload()
        return
    pruned = [
        method for method in methods_of(chain[name].model) if method.prunes
    ]
    runs = [PrunedRun(data.steps, chain[name], pruned)] if pruned else []
    for hook in (*runs, FirstRun(data.steps), ResumedRun()):
        if isinstance(hook, FirstRun) and is_main_process():
            shutil.rmtree(work.folder(name), ignore_errors=True)
        work.shared.update()
        with contextlib.suppress(Saved):
            train_stage(cfg, chain, work, name, [hook, MonitorHook()], signals,
                        data.runner_type)
    if is_main_process():
        work.choose_size(name)
        # Those of large networks may not all fit on the disk.
        for path in glob(osp.join(work.folder(name), '*.pth')):
            if path != work.own_file(name):
                os.remove(path)
    work.shared.update()


@contextlib.contextmanager
def _left_as_before(work: WorkDir) -> Iterator[str]:
    """A folder that is removed; generators are restored, nothing is shown."""
    folder = _make_folder(work)
    shared = SharedFolder(folder)
    kinds = [ManagerMixin]
    for kind in kinds:
        kinds += kind.__subclasses__()
    named = [(kind, kind._instance_dict.copy()) for kind in kinds]
    try:
        with (_switches_kept(), warnings.catch_warnings(),
              contextlib.redirect_stdout(io.StringIO()), aside(),
              torch.random.fork_rng()):
            # The training gives them again.
            warnings.simplefilter('ignore')
            yield folder
        barrier()
    finally:
        for kind, instances in named:
            # Loggers and visualizers that a failed Runner has left.
            kind._instance_dict.clear()
            kind._instance_dict.update(instances)
        if shared.writes:
            shutil.rmtree(folder, ignore_errors=True)


def _make_folder(work: WorkDir) -> str:
    """Make an empty folder, if possible one that all processes see."""
    parent = None
    if work.shared.is_shared and len(set(all_gather_object(
            platform.node()))) > 1:
        # The other machines may have no such TMPDIR.
        parent = osp.dirname(work.path)
        while not osp.isdir(parent):
            parent = osp.dirname(parent)
    made = ['', '']
    if is_main_process():
        try:
            made[0] = tempfile.mkdtemp(prefix='mmdgkd_rehearsal_', dir=parent)
        except OSError as error:
            made[1] = str(error)
    broadcast_object_list(made)
    if made[1]:
        raise ConfigError(
            f'chain.preflight: no folder can be made for it ({made[1]}); set '
            'TMPDIR to another, or leave the rehearsal out by False')
    return made[0]


@contextlib.contextmanager
def _switches_kept() -> Iterator[None]:
    """Restore what one stage sets for the whole process."""
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(),
              cudnn.deterministic, cudnn.benchmark)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]


class _RehearsalDir(WorkDir):
    """A work dir of the rehearsal, beside the real one.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        real (WorkDir): The work dir of the chain, which has the files of
            what is trained already.
        folder (str): An empty folder.
    """

    def __init__(self, cfg: Config, chain: Chain, real: WorkDir,
                 folder: str) -> None:
        if chain.logit_store is not None:
            chain = replace(
                chain, logit_store=dict(chain.logit_store, store_dir=None))
        # Of a training that chooses a size it has no validation.
        chain = replace(
            chain,
            networks=tuple(
                replace(network, use='last') if network.use == 'best' and any(
                    method.decides_size
                    for method in methods_of(network.model)) else network
                for network in chain.networks))
        copied = Config(cfg.to_dict(), format_python_code=False)
        copied.work_dir = folder
        super().__init__(copied, chain)
        self._real = real

    def file_of(self, name: str) -> Optional[str]:
        """The file of a network, trained in earnest or in the rehearsal."""
        return self._real.file_of(name) or super().file_of(name)

    def source_of(self, name: str) -> Optional[str]:
        """The file of the whole: what is kept on the way may come later."""
        return self.file_of(self.chain[name].part_of)

    def stage_config(self, name: str) -> Config:
        """The config of a stage, which validates and saves at once."""
        stage = super().stage_config(name)
        train_cfg = stage.get('train_cfg') or {}
        by_epoch = 'max_iters' not in train_cfg
        here = f'for the stage "{name}"'
        for key in ('val_begin', 'val_interval'):
            _check_interval(train_cfg.get(key, 1), f'train_cfg.{key}: {here}')
        if train_cfg:
            train_cfg.val_interval = (1 if by_epoch else
                                      self.chain.preflight['steps'])
            if not self._decides_size(name):
                train_cfg.pop('val_begin', None)
        hooks = stage.get('default_hooks') or {}
        for key in ('checkpoint', 'logger'):
            if hooks.get(key) is not None:
                every = hooks[key].get('interval', 1)
                # -1: only the last checkpoint.
                _check_interval(1 if every == -1 else every,
                                f'default_hooks.{key}.interval: {here}')
                hooks[key].interval = 1
        checkpoint = hooks.get('checkpoint') or {}
        if checkpoint.get('save_last') is False or checkpoint.get('out_dir'):
            raise ConfigError(
                f'default_hooks.checkpoint: {here}: must have save_last on and'
                ' no out_dir: the trained network is taken from the last '
                'checkpoint')
        check_visualizer(stage, here)
        without_curves(stage)
        return named_config(stage, stage.filename, formatted=False)

    def choose_size(self, name: str) -> None:
        """Replace the file of a network of which nothing is chosen yet.

        Its training is too short for that, and teachers need it.
        """
        network, scope = self.chain[name], self.cfg.default_scope
        for method in self._decides_size(name):
            model = build_network(network, scope)
            method.stand_ins(network, model)
            write_weights(self.own_file(name), model.state_dict(), {})

    def _decides_size(self, name: str) -> List:
        model = self.chain[self.chain.stage_of(name)].model
        return [method for method in methods_of(model) if method.decides_size]


def _check_interval(value: Any, here: str) -> None:
    """Check what the rehearsal replaces by 1, so that nothing else does."""
    if type(value) is not int or value < 1:
        raise ConfigError(f'{here}: {value!r} must be an integer, 1 or more')
