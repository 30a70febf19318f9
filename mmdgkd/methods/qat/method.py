# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are quantized in their stage, looked at before it."""
from typing import Dict, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmrazor.models.algorithms import MMArchitectureQuant
from mmrazor.models.fake_quants import LearnableFakeQuantize
from mmrazor.models.task_modules import (ModuleInputsRecorder,
                                         ModuleOutputsRecorder)
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import have_hook
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.recorders.multi_teacher_outputs_recorder import \
    MultiTeacherOutputsRecorder
from mmdgkd.models.utils.networks import (network_of, running_form,
                                          running_network, static_form,
                                          teaches_as_is)
from mmdgkd.utils.config import algorithm_types, type_of
from .fixed_graph import fixed_graph


def float_networks(model: nn.Module) -> Tuple[nn.Module, ...]:
    """What a quantized network is without its quantizers.

    Args:
        model (nn.Module): A model of the chain.

    Returns:
        tuple[nn.Module]: The network inside; none if it is not quantized.
    """
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
    for teacher in algorithm.teachers:
        quantized = isinstance(models[teacher], MMArchitectureQuant)
        if quantized and options.get('compile'):
            raise ConfigError(
                'model.teacher_options.compile: for the stage '
                f'"{name}": cannot be on with the teacher "{teacher}", which is '
                'quantized; leave it out')
        if not quantized:
            continue
        for key, recorder in distiller.teacher_recorders.recorders.items():
            key, source = f'teacher_recorders.{key}', recorder.source
            if isinstance(recorder, MultiTeacherOutputsRecorder):
                _check_called(key, source, teacher, models[teacher], 'tensor')
            elif source.startswith(f'{teacher}.'):
                _check_called(key, source[len(teacher) + 1:], teacher,
                              models[teacher], 'tensor')


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


@register_method
class QAT(Method):
    """MMRazor's ``MMArchitectureQuant``: quantization in the training."""

    algorithms = (MMArchitectureQuant, )

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add its hook; let its graphs share their weights."""
        if MMArchitectureQuant.__name__ not in algorithm_types(stage.model):
            return
        have_hook(stage, 'QATHook')
        optimizer = stage.get('optim_wrapper') or {}
        if optimizer.get('paramwise_cfg'):
            optimizer['paramwise_cfg'].setdefault('bypass_duplicate', True)

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """The network in float."""
        return float_networks(model)

    def check(self, stage: CheckedStage) -> None:
        """Recorders must name modules that its graphs call."""
        for algorithm in stage.algorithms:
            check_quantized(stage.name, stage.config, algorithm, stage.models)


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
