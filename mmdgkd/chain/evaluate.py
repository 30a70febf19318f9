# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Measuring a trained network, in a Runner of its own."""
import os.path as osp
from typing import Any, Callable, Dict, Mapping

from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mmdgkd.engine.hooks.visualizer_backends import without_curves
from mmdgkd.engine.runner_cleanup import cleaned_up
from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.models.utils.weights import load_weights
from mmdgkd.utils.distributed import fit_to_device
from .chain import Chain, Network
from .stage_config import network_config


def test_network(cfg: Config, network: Network, path: str, folder: str,
                 launcher: str) -> Dict[str, float]:
    """The metrics of a network on the test data.

    Args:
        cfg (Config): The whole config.
        network (Network): The network.
        path (str): The file of its weights.
        folder (str): Where its logs go.
        launcher (str): As for a Runner.

    Raises:
        ConfigError: If the file does not fit.
    """
    return _evaluate(
        network_config(cfg, network), network.name, _loader(path), folder,
        launcher, 'test')


def test_mean(cfg: Config, chain: Chain, paths: Mapping[str, str], folder: str,
              launcher: str) -> Dict[str, float]:
    """The metrics of several networks that predict together.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        paths (Mapping[str, str]): The file of the weights of each, by name.
        folder (str): Where its logs go.
        launcher (str): As for a Runner.

    Raises:
        ConfigError: If a file does not fit.
    """
    configs = [network_config(cfg, chain[name]) for name in paths]
    alone = configs[0]
    alone.model = dict(
        type='mmrazor.MeanOfNetworks',
        networks=[config.model for config in configs])

    def load(model: nn.Module) -> None:
        for network, path in zip(model.networks, paths.values()):
            load_weights(network, path, 'checkpoint')

    return _evaluate(alone, 'mean', load, folder, launcher, 'test')


def validate_network(cfg: Config, network: Network, path: str, folder: str,
                     launcher: str, stage: Mapping[str,
                                                   Any]) -> Dict[str, float]:
    """The metrics of a network by the validation of a stage.

    Args:
        cfg (Config): The whole config.
        network (Network): The network.
        path (str): The file of its weights.
        folder (str): Where its logs go.
        launcher (str): As for a Runner.
        stage (Mapping): The config of the stage.

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
    return _evaluate(alone, network.name, _loader(path), folder, launcher,
                     'val')


def _loader(path: str) -> Callable:
    return lambda model: load_weights(model, path, 'checkpoint')


def _evaluate(alone: Config, name: str, load: Callable, folder: str,
              launcher: str, loop: str) -> Dict[str, float]:
    alone.work_dir = osp.join(folder, loop)
    alone.experiment_name = f'{loop}_{name}'
    alone.launcher = launcher
    without_curves(alone)
    fit_to_device(alone)
    runner = Runner.from_cfg(alone)
    with cleaned_up(runner):
        load(unwrapped(runner.model))
        return getattr(runner, loop)()
