# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is known of a network without training it."""
import copy
from dataclasses import dataclass, replace
from typing import Any, Optional, Tuple

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmdgkd.chain.chain import Network
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.models.utils.weights import check_weights, network_weights
from mmdgkd.utils.config import reason_of
from mmdgkd.utils.meta import QuickMeta
from .method import methods_of


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a network without training it.

    Attributes:
        params (int): Number of parameters.
        macs (int, optional): Multiply-accumulate operations per image of the
            convolutions and matrix products; None without an input shape.
        classes (int, optional): Length of the logits; None likewise.
        samples (int, optional): Length of its training data, less what it
            leaves out.
        length (int, optional): With that.
        views (int, optional): How many views there are of a sample in its
            training; None: one an epoch.
        step_macs (int, optional): The operations of all networks in a step,
            where several are trained: all widths, or all peers.
        shape (tuple[int], optional): Shape (C, H, W) of an image.
    """

    params: int
    macs: Optional[int] = None
    classes: Optional[int] = None
    samples: Optional[int] = None
    length: Optional[int] = None
    views: Optional[int] = None
    shape: Optional[Tuple[int, ...]] = None
    step_macs: Optional[int] = None


def build_network(network: Network, scope: str) -> nn.Module:
    """Build a network, on the CPU.

    MMPretrain's backbones compute with real numbers while they are built: they
    cannot be built on the meta device.

    Args:
        network (Network): The network.
        scope (str): The default scope of the config.

    Raises:
        ConfigError: If its config builds no model.
    """
    try:
        with DefaultScope.overwrite_default_scope(scope):
            return MODELS.build(copy.deepcopy(dict(network.model)))
    except Exception as error:
        raise ConfigError(f'chain.networks.{network.name}.model: cannot be '
                          f'built ({reason_of(error)})') from None


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
    try:
        macs, logits = count_macs(model, images, mode='tensor')
    except Exception as error:
        raise ConfigError(
            f'chain.networks.{name}.model: does not run on an image of shape '
            f'{tuple(input_shape)} ({reason_of(error)})') from None
    classes = None
    if isinstance(logits, torch.Tensor) and logits.dim():
        # LeNet-5 leaves out the dimension of a single image.
        classes = logits.shape[min(1, logits.dim() - 1)]
    return NetworkFacts(params, macs, classes)


def count_macs(model: nn.Module, *args: Any, **kwargs: Any) -> Tuple[int, Any]:
    """Run a model without gradients and count its operations.

    Args:
        model (nn.Module): The model.
        *args (Any): Its arguments.
        **kwargs (Any): Its keyword arguments.

    Returns:
        tuple[int, Any]: The multiply-accumulate operations of convolutions
        and matrix products, and the outputs of the model.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, QuickMeta():
        outputs = model(*args, **kwargs)
    return counter.get_total_flops() // 2, outputs


def facts_of_trained(network: Network, facts: NetworkFacts, path: str,
                     scope: str) -> NetworkFacts:
    """What is known of a network after its training.

    Args:
        network (Network): The network.
        facts (NetworkFacts): What was known before it.
        path (str): The file of its weights.
        scope (str): The default scope of the config.

    Returns:
        NetworkFacts: Of the network that is left, if its method decides the
        size in training; else the same.

    Raises:
        ConfigError: If the file is unreadable or does not fit.
    """
    deciding = [
        method for method in methods_of(network.model) if method.decides_size
    ]
    if not deciding:
        return facts
    key = f'chain.networks.{network.name}'
    model = build_network(network, scope)
    weights = network_weights(read_checkpoint(path, key), path, key, model)
    check_weights(model, weights, path, key)
    plain = deciding[0].stand_ins(
        replace(network, ckpt_path=path), model, weights)[-1]
    found = network_facts(plain.to('meta').eval(), network.name, facts.shape)
    return replace(facts, params=found.params, macs=found.macs)
