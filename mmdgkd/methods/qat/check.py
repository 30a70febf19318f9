# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are quantized in their stage, looked at before it."""
from typing import Mapping, Tuple

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmrazor.models.algorithms import MMArchitectureQuant
from mmrazor.models.fake_quants import LearnableFakeQuantize
from mmrazor.models.task_modules import (ModuleInputsRecorder,
                                         ModuleOutputsRecorder)
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.methods.low_bit.few_bit_network import FewBitNetwork
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.recorders.multi_teacher_outputs_recorder import MultiTeacherOutputsRecorder
from mmdgkd.models.utils.networks import (network_of, running_network)
from mmdgkd.utils.config_types import type_of
from mmdgkd.methods.low_bit.check import check_few_bits


def float_networks(model: nn.Module) -> Tuple[nn.Module, ...]:
    """What a quantized network is without its quantizers.

    Args:
        model (nn.Module): A model of the chain.

    Returns:
        tuple[nn.Module]: The network inside; none if it is not quantized.
    """
    if isinstance(model, FewBitNetwork):
        return (model.plain_network(), )
    if not isinstance(model, MMArchitectureQuant):
        return ()
    return (network_of(model), )


def check_quantized(name: str, stage: Config, algorithm: nn.Module,
                    models: Mapping[str, nn.Module]) -> None:
    """See what only a quantized network of a stage does not go with.

    Args:
        name (str): The stage.
        stage (Config): Its config.
        algorithm (nn.Module): The stage, with its networks in float.
        models (Mapping[str, nn.Module]): The models of the chain.

    Raises:
        ConfigError: If a recorder would hear nothing, or for a hook, a loop
            or an option that would fail in the middle of the training.
    """
    if isinstance(models[name], FewBitNetwork):
        check_few_bits(name, stage, models[name])
    if isinstance(models[name], MMArchitectureQuant):
        _check_student(name, stage, models[name])
    if not isinstance(algorithm, DGKD):
        return
    options = (stage.model.get('teacher_options') or {})
    distiller = algorithm.distiller
    if isinstance(models[name], MMArchitectureQuant):
        for key, recorder in distiller.student_recorders.recorders.items():
            if type(recorder) in (ModuleInputsRecorder, ModuleOutputsRecorder):
                _check_called(f'student_recorders.{key}', recorder.source,
                              name, models[name], 'loss')
    for guide in algorithm.teachers:
        quantized = isinstance(models[guide], MMArchitectureQuant)
        if quantized and options.get('compile'):
            raise ConfigError(
                'model.teacher_options.compile: for the stage '
                f'"{name}": cannot be on with the guide "{guide}", which is '
                'quantized; leave it out')
        if not quantized:
            continue
        for key, recorder in distiller.teacher_recorders.recorders.items():
            key, source = f'teacher_recorders.{key}', recorder.source
            if isinstance(recorder, MultiTeacherOutputsRecorder):
                _check_called(key, source, guide, models[guide], 'tensor')
            elif source.startswith(f'{guide}.'):
                _check_called(key, source[len(guide) + 1:], guide,
                              models[guide], 'tensor')


def _check_student(name: str, stage: Config,
                   model: MMArchitectureQuant) -> None:
    here = f'chain.networks.{name}'
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


def _check_called(key: str, source: str, name: str, model: MMArchitectureQuant,
                  mode: str) -> None:
    """A graph calls what computes, but nothing that only holds others."""
    called = {
        node.target
        for node in running_network(model, mode).graph.nodes
        if node.op == 'call_module'
    }
    if source not in called:
        raise ConfigError(
            f'model.distiller.{key}.source: "{source}" is not called in the '
            f'graph of the quantized network "{name}"; use a module that '
            'computes, such as "head.fc"')
