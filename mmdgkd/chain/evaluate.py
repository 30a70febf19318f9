# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Testing and validating trained networks, each in a Runner of its own."""
import logging
import os.path as osp
import tempfile
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from mmdgkd.engine.hooks.predictions_hook import PredictionsHook
from mmdgkd.engine.hooks.visualizer_backends import without_curves
from mmdgkd.engine.runner_cleanup import cleaned_up
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import can_write
from mmdgkd.fileio.predictions import write_predictions
from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.models.utils.weights import load_weights
from mmdgkd.utils.config import reason_of
from mmdgkd.utils.distributed import fit_to_device
from .chain import Chain, Network
from .ledger import file_entry
from .stage_config import network_config
from .work_dir import WorkDir


def test_chain(cfg: Config,
               chain: Chain,
               work: WorkDir,
               network: Optional[str],
               ckpt_path: Optional[str],
               mean: bool,
               runner_type: type = Runner) -> Dict[str, Dict[str, float]]:
    """Test the trained networks of a chain, see :meth:`ChainRunner.test`.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        work (WorkDir): Its work dir.
        network (str, optional): The one to test; None: all that are trained.
        ckpt_path (str, optional): The file of its weights; None: that of the
            work dir.
        mean (bool): Whether to test the mean of their predictions, too.
        runner_type (type): MMEngine's Runner, or a subclass.
            Defaults to Runner.

    Raises:
        ConfigError: If there is nothing to test, or a file does not fit.
    """
    names = [network] if network else [
        name for name in chain.names if work.file_of(name)
    ]
    if not names:
        raise ConfigError(f'work_dir: {work.path!r} holds no trained network '
                          'yet')
    if not can_write(work.path):
        with tempfile.TemporaryDirectory(prefix='mmdgkd_test_') as folder:
            return _test(cfg, chain, work, names, ckpt_path, mean, folder,
                         runner_type)
    return _test(cfg, chain, work, names, ckpt_path, mean, work.path,
                 runner_type)


def _test(cfg: Config, chain: Chain, work: WorkDir, names: List[str],
          ckpt_path: Optional[str], mean: bool, folder: str,
          runner_type: type) -> Dict[str, Dict[str, float]]:
    """Test networks, with the logs of each in a folder."""
    results: Dict[str, Dict[str, float]] = {}
    for name in names:
        own = work.file_of(name)
        path = ckpt_path or own
        if path is None:
            raise ConfigError(f'work_dir: {work.path!r} has no trained '
                              f'"{name}" yet; name its file')
        is_own = own in (path, osp.abspath(path))
        seen = PredictionsHook()
        results[name] = _evaluate(
            network_config(cfg, chain[name]),
            name,
            _loader(path, chain[name] if is_own else None),
            osp.join(folder, name),
            cfg,
            'test',
            runner_type,
            hooks=[seen])
        if is_own and folder == work.path:
            save_predictions(seen, folder, name, path)
    if mean:
        paths = {name: work.file_of(name) for name in names}
        results[f'mean of {len(names)}'] = _test_mean(cfg, chain, paths,
                                                      osp.join(folder, 'mean'),
                                                      runner_type)
    return results


def save_predictions(seen: PredictionsHook, work_dir: str, name: str,
                     path: str) -> None:
    """Write what a network has predicted into its folder, for reports.

    Args:
        seen (PredictionsHook): Its predictions, if there are any.
        work_dir (str): The work dir.
        name (str): The network.
        path (str): The file of its weights.
    """
    if seen.found is not None and is_main_process():
        entry = file_entry(path, work_dir)
        seen.found.weights = entry['sha256'] or path
        try:
            write_predictions(osp.join(work_dir, name), seen.found)
        except OSError as error:
            print_log(
                f'the predictions of "{name}" cannot be written '
                f'({reason_of(error)}); reports do without',
                logger='current',
                level=logging.WARNING)


def _test_mean(cfg: Config, chain: Chain, paths: Mapping[str, str],
               folder: str, runner_type: type) -> Dict[str, float]:
    """The metrics of the mean prediction of several networks."""
    configs = [network_config(cfg, chain[name]) for name in paths]
    alone = configs[0]
    alone.model = dict(
        type='mmrazor.MeanOfNetworks',
        networks=[config.model for config in configs])

    def load(model: nn.Module) -> None:
        for network, (name, path) in zip(model.networks, paths.items()):
            _loader(path, chain[name])(network)

    return _evaluate(alone, 'mean', load, folder, cfg, 'test', runner_type)


def validate_network(
    cfg: Config,
    network: Network,
    path: str,
    folder: str,
    stage: Mapping[str, Any],
    runner_type: type,
    hooks: Sequence[Hook] = ()) -> Dict[str, float]:
    """The metrics of a network by the validation of a stage.

    Args:
        cfg (Config): The whole config.
        network (Network): The network.
        path (str): The file of its weights.
        folder (str): Where its logs go.
        stage (Mapping): The config of the stage.
        runner_type (type): MMEngine's Runner, or a subclass.
        hooks (Sequence[Hook]): More hooks. Defaults to none.

    Returns:
        dict[str, float]: Empty if the stage has no validation.

    Raises:
        ConfigError: If the file does not fit.
    """
    keys = ('val_dataloader', 'val_evaluator', 'val_cfg')
    if any(stage.get(key) is None for key in keys):
        return {}
    alone = network_config(cfg, network)
    for key in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        alone.pop(key, None)
    for key in keys:
        alone[key] = stage[key]
    return _evaluate(alone, network.name, _loader(path), folder, cfg, 'val',
                     runner_type, hooks)


def run_network(cfg: Config, network: Network, path: str, folder: str,
                loader: Mapping[str, Any], runner_type: type,
                hooks: Sequence[Hook]) -> None:
    """Run a network over images, for hooks that read its outputs.

    Args:
        cfg (Config): The whole config.
        network (Network): The network.
        path (str): The file of its weights.
        folder (str): Where its logs go.
        loader (Mapping): The config of a data loader.
        runner_type (type): MMEngine's Runner, or a subclass.
        hooks (Sequence[Hook]): The hooks.

    Raises:
        ConfigError: If the file does not fit.
    """
    alone = network_config(cfg, network)
    # Not by update, which would merge them into those of the config.
    alone.test_dataloader = loader
    alone.test_evaluator = dict(type='mmpretrain.Accuracy')
    alone.test_cfg = dict()
    _evaluate(alone, network.name, _loader(path, network), folder, cfg, 'test',
              runner_type, hooks)


def _loader(path: str, network: Optional[Network] = None) -> Callable:
    """What loads a file, which is the one of a network if that is given."""
    if network is None:
        return lambda model: load_weights(model, path, 'checkpoint')
    return lambda model: load_weights(model, path, 'checkpoint', network.
                                      ckpt_key, network.picked, network.model)


def _evaluate(
    alone: Config,
    name: str,
    load: Callable,
    folder: str,
    cfg: Config,
    loop: str,
    runner_type: type = Runner,
    hooks: Sequence[Hook] = ()) -> Dict[str, float]:
    alone.work_dir = osp.join(folder, loop)
    alone.experiment_name = f'{loop}_{name}'
    alone.launcher = cfg.get('launcher', 'none')
    without_curves(alone)
    fit_to_device(alone)
    runner = runner_type.from_cfg(alone)
    for hook in hooks:
        runner.register_hook(hook)
    with cleaned_up(runner):
        load(unwrapped(runner.model))
        return getattr(runner, loop)()
