# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Quantization-aware training in a chain."""
from typing import Tuple

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmrazor.models.algorithms import MMArchitectureQuant
from mmrazor.models.fake_quants import LearnableFakeQuantize
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import Weights, ensure_hook
from mmdgkd.models.utils.networks import (network_of, running_form,
                                          static_form, teaches_as_is)
from mmdgkd.utils.config import algorithm_types, type_of
from .fixed_graph import fixed_graph


@register_method
class QAT(Method):
    """MMRazor's ``MMArchitectureQuant``: quantization in the training."""

    algorithms = (MMArchitectureQuant, )

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add its hook; let its graphs share their weights."""
        if MMArchitectureQuant.__name__ not in algorithm_types(stage.model):
            return
        ensure_hook(stage, 'QATHook')
        optimizer = stage.get('optim_wrapper') or {}
        if optimizer.get('paramwise_cfg'):
            optimizer['paramwise_cfg'].setdefault('bypass_duplicate', True)

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The network in float, without its quantizers."""
        if not isinstance(model, MMArchitectureQuant):
            return ()
        return (network_of(model), )

    def check(self, stage: CheckedStage) -> None:
        """Refuse hooks, loops and options that do not fit.

        They would fail only in the middle of the training, or change the
        quantization without an error.
        """
        if isinstance(stage.model, MMArchitectureQuant):
            _check_student(stage.key, stage.config, stage.model,
                           stage.network.use)


def _check_student(here: str, stage: Config, model: MMArchitectureQuant,
                   use: str) -> None:
    for mode in ('tensor', 'predict', 'loss'):
        if mode not in model.qmodels:
            raise ConfigError(f'{here}.model.forward_modes: has no {mode!r}; '
                              'leave it out')
    loop = stage.get('train_cfg') or {}
    if type_of(loop) in ('QATEpochBasedLoop', 'LSQEpochBasedLoop'):
        raise ConfigError(f'train_cfg.type: {here} needs no loop of its own: '
                          'QATHook does the same; leave it out')
    for hook in stage.get('custom_hooks') or ():
        kind = type_of(hook)
        if kind == 'EMAHook' and use == 'ema':
            raise ConfigError(
                f"{here}.use: 'ema': a quantized network gets the sizes of "
                'its ranges from the first batch, which cannot be averaged; '
                "use 'last' or 'best'")
        if kind == 'EMAHook':
            raise ConfigError(
                f'custom_hooks: EMAHook: {here} gets the sizes of its ranges '
                'from the first batch, which cannot be averaged; leave it out '
                f'in {here}.stage')
        if kind == 'FastNetworkHook' and hook.get('compile'):
            raise ConfigError(f'custom_hooks: FastNetworkHook.compile: {here} '
                              'is quantized; leave it out')
        begins = [
            key for key in ('disable_observer_begin', 'freeze_bn_begin')
            if kind == 'QATHook' and hook.get(key, -1) != -1
        ]
        if begins and 'max_epochs' not in loop:
            raise ConfigError(
                f'custom_hooks: QATHook.{begins[0]}: is an epoch, but {here} '
                'is trained by iterations; leave it out')
    if get_world_size() > 1 and any(
            isinstance(module, LearnableFakeQuantize)
            for module in model.modules()):
        raise ConfigError(
            f'{here}.model.quantizer: LearnableFakeQuantize trains in one '
            'process alone; use FakeQuantize, or one process')


@running_form.register
def _(algorithm: MMArchitectureQuant, mode: str) -> nn.Module:
    # A graph of its own for each mode.
    return algorithm.qmodels[mode] if mode in algorithm.qmodels \
        else algorithm.architecture


@static_form.register
def _(algorithm: MMArchitectureQuant) -> nn.Module:
    return fixed_graph(algorithm)


@teaches_as_is.register
def _(algorithm: MMArchitectureQuant) -> bool:
    # Its levels are those of its own graphs.
    return True
