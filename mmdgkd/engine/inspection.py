# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Looking at the networks, files and data of a chain before any training."""
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmdgkd.errors import ConfigError
from mmdgkd.models.distillers import build_distiller
from mmdgkd.models.utils import check_weights, network_weights, read_checkpoint
from .chain import Chain, Network
from .stage_config import stage_config

# What a wrong config raises inside of MMEngine and its family.
_MISTAKES = (AssertionError, FileNotFoundError, ImportError, KeyError, OSError,
             RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a network without training it.

    Attributes:
        params (int): Number of parameters.
        macs (int, optional): Multiply-accumulate operations per image of the
            convolutions and matrix products; None without an input shape.
        classes (int, optional): Length of the logits; None likewise.
    """

    params: int
    macs: Optional[int] = None
    classes: Optional[int] = None


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def build_network(network: Network, scope: str) -> nn.Module:
    """Build a network on the meta device, where it costs no memory.

    Args:
        network (Network): The network.
        scope (str): The default scope of the config.

    Raises:
        ConfigError: If its config builds no model.
    """
    try:
        with DefaultScope.overwrite_default_scope(scope):
            model = MMPRETRAIN_MODELS.build(dict(network.model))
    except _MISTAKES as error:
        raise ConfigError(f'chain.networks.{network.name}.model: cannot be '
                          f'built ({_reason(error)})') from None
    # MMPretrain's backbones compute with real numbers as they are built, so
    # they cannot be built on the meta device in the first place.
    return model.to('meta').eval()


def network_facts(model: nn.Module, name: str,
                  input_shape: Optional[Tuple[int, ...]]) -> NetworkFacts:
    """Count parameters, operations and classes.

    Args:
        model (nn.Module): The network on the meta device.
        name (str): Its name, for the message.
        input_shape (tuple[int], optional): Shape of an image, (C, H, W).

    Raises:
        ConfigError: If the network does not run on such an image.
    """
    params = sum(param.numel() for param in model.parameters())
    if input_shape is None:
        return NetworkFacts(params)
    images = torch.empty(1, *input_shape, device='meta')
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            logits = model(images, mode='tensor')
    except _MISTAKES as error:
        raise ConfigError(
            f'chain.networks.{name}.model: does not run on an image of shape '
            f'{tuple(input_shape)} ({_reason(error)})') from None
    classes = logits.shape[1] if isinstance(logits, torch.Tensor) else None
    return NetworkFacts(params, counter.get_total_flops() // 2, classes)


def image_shape(cfg: Config) -> Optional[Tuple[int, ...]]:
    """Shape (C, H, W) of the images that the pipeline of the config makes.

    Args:
        cfg (Config): The whole config.

    Returns:
        tuple[int], optional: None if the config has no data for validation.

    Raises:
        ConfigError: If the data is not there or cannot be read.
    """
    for key in ('val_dataloader', 'test_dataloader', 'train_dataloader'):
        if cfg.get(key) is None:
            continue
        dataset_cfg = cfg[key]['dataset']
        try:
            with DefaultScope.overwrite_default_scope(
                    cfg.get('default_scope', 'mmpretrain')):
                sample = DATASETS.build(dataset_cfg)[0]
        except _MISTAKES as error:
            raise ConfigError(f'{key}.dataset: {_reason(error)}'
                              f'{_where_to_put(dataset_cfg)}') from None
        return tuple(sample['inputs'].shape)
    return None


def _where_to_put(dataset_cfg: Dict) -> str:
    dataset = DATASETS.get(str(dataset_cfg.get('type')))
    folder = getattr(dataset, 'base_folder', None)
    if folder is None or dataset_cfg.get('data_root') is None:
        return ''
    files = [name for name, _ in dataset.train_list + dataset.test_list]
    return (f'; put the official files ({", ".join(files)}, '
            f'{dataset.meta["filename"]}) into '
            f"'{dataset_cfg['data_root'].rstrip('/')}/{folder}/', or set "
            'data_root to where they are')


def inspect_chain(cfg: Config, chain: Chain) -> Dict[str, NetworkFacts]:
    """Check all that can be checked before any training.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.

    Returns:
        dict[str, NetworkFacts]: By network.

    Raises:
        ConfigError: If a network cannot be built or run, a given file does not
            fit, classes differ, the distiller names what is not there, or the
            data is missing.
    """
    scope = cfg.get('default_scope', 'mmpretrain')
    models = {
        network.name: build_network(network, scope)
        for network in chain.networks
    }
    for network in chain.networks:
        if network.ckpt_path:
            key = f'chain.networks.{network.name}.ckpt_path'
            weights = network_weights(read_checkpoint(network.ckpt_path, key))
            check_weights(models[network.name], weights, network.ckpt_path,
                          key)
    for name, guides in chain.guides.items():
        stage = stage_config(cfg, chain, name, {}, '')
        for guide in guides:
            _check_same_inputs(cfg, chain[name], chain[guide])
        if guides:
            _check_distiller(stage, name, guides, models, scope)
    shape = image_shape(cfg)
    facts = {
        name: network_facts(model, name, shape)
        for name, model in models.items()
    }
    for name, guides in chain.guides.items():
        for guide in guides:
            if facts[guide].classes != facts[name].classes:
                raise ConfigError(
                    f'chain.networks.{guide}.model: has '
                    f'{facts[guide].classes} classes, "{name}", which it '
                    f'guides, has {facts[name].classes}')
    return facts


def _check_same_inputs(cfg: Config, network: Network, guide: Network) -> None:
    """A guide sees what the data preprocessor of its student makes."""
    settings = [
        dict(
            model.get('data_preprocessor') or cfg.get('data_preprocessor')
            or {}) for model in (network.model, guide.model)
    ]
    for key in ('mean', 'std', 'to_rgb'):
        mine, theirs = (setting.get(key) for setting in settings)
        if mine != theirs:
            raise ConfigError(
                f'chain.networks.{guide.name}.model.data_preprocessor.{key}: '
                f'is {theirs}, but "{network.name}", whose inputs it gets as '
                f'its guide, has {mine}; both must be normalized alike')


def _check_distiller(stage: Config, name: str, guides: Tuple[str, ...],
                     models: Dict[str, nn.Module], scope: str) -> None:
    try:
        with DefaultScope.overwrite_default_scope(scope):
            build_distiller(stage.model['distiller'], models[name],
                            {guide: models[guide]
                             for guide in guides})
    except _MISTAKES as error:
        raise ConfigError(
            f'model.distiller: for the stage "{name}": {_reason(error)}'
        ) from None
