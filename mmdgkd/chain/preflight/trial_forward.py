# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A forward of each stage before any training, to check what it trains."""
import copy
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.recorders.multi_teacher_outputs_recorder import \
    MultiTeacherOutputsRecorder
from mmdgkd.utils.distributed import fit_to_device
from mmdgkd.utils.meta import QuickMeta
from mmdgkd.utils.random import aside
from .data_check import DataFacts


def check_losses(name: str, stage: Config, algorithm: nn.Module,
                 data: DataFacts, outputs: Dict[Tuple[str, str],
                                                List]) -> None:
    """Try a forward of a stage on the meta device, and check what it trains.

    A stage that does not run there, or that has a ``train_step`` of its own,
    is not checked.

    Args:
        name (str): The stage.
        stage (Config): Its config.
        algorithm (nn.Module): Its algorithm, on the meta device.
        data (DataFacts): Its data.
        outputs (dict): The outputs of teachers in earlier stages, by teacher
            and source; it is added to.

    Raises:
        ConfigError: If a loss does not fit its inputs; if the network's own
            loss, or the whole, trains nothing; or if, with several processes,
            DDP would wait for the gradients of parameters that get none.
    """
    steps = getattr(type(algorithm), 'train_step', None)
    if (steps is not BaseModel.train_step or data.shape is None
            or data.sample is None):
        return
    tried = _try_losses(algorithm, data, outputs)
    if tried is None:
        return
    losses, total = tried
    _check_own_loss(name, algorithm, list(losses))
    here = f'for the stage "{name}"'
    if not isinstance(total, torch.Tensor) or not total.requires_grad:
        raise ConfigError(
            f'model: {here}: nothing would be trained: nothing in its losses '
            f'({", ".join(losses)}) with "loss" in the name and a weight above'
            ' 0 depends on a parameter')
    key = key_of_unused(stage)
    if key is None:
        return
    used = _leaves(total)
    unused = [
        path for path, param in algorithm.named_parameters()
        if param.requires_grad and param not in used
    ]
    if unused:
        raise ConfigError(
            f'{key}: {here}: must be on with several processes: '
            f'{len(unused)} parameters get no gradient, the first is '
            f'{unused[0]}; set {key}=True')


def _check_own_loss(name: str, algorithm: nn.Module, own: List[str]) -> None:
    """Check that MMEngine would sum up the network's own losses."""
    weight = 1.0
    if isinstance(algorithm, DGKD):
        own = [key[len('student.'):] for key in own if key[:8] == 'student.']
        weight = (
            algorithm.task_loss_weight * algorithm.distiller.task_weight())
    if own and weight and not any('loss' in key for key in own):
        raise ConfigError(
            f'chain.networks.{name}.model.head: its losses ({", ".join(own)}) '
            'have no "loss" in their names, so that MMEngine would log them '
            f'and train nothing with them; "loss_{own[0]}" would be right')


class _TeachersOnMeta:
    """Stands in for ``FrozenTeachers``, whose autocast knows no meta device.

    Args:
        algorithm (DGKD): The algorithm of the teachers.
        outputs (dict): See :func:`check_losses`. On the meta device a teacher
            has the same outputs in all stages.
    """

    def __init__(self, algorithm: DGKD, outputs: Dict) -> None:
        self.modules = algorithm.teachers
        distiller = algorithm.distiller
        self._recorders = list(distiller.teacher_recorders.recorders.values())
        self._outputs = outputs
        # What other recorders keep is not known.
        self._can_reuse = not distiller.deliveries.deliveries and all(
            type(recorder) is MultiTeacherOutputsRecorder
            for recorder in self._recorders)

    def check(self, *_: Any) -> None:
        """There are no values to compare."""

    def run(self,
            names: List[str],
            *inputs: Any,
            grad: bool = False,
            **_: Any) -> None:
        """Forward the teachers, or record their earlier outputs again."""
        for name in names if grad else ():
            # Earlier outputs are in no graph of these inputs.
            self.modules[name](*inputs, mode='tensor')
        if not grad:
            self._run_or_reuse(names, inputs)

    @torch.no_grad()
    def _run_or_reuse(self, names: List[str], inputs: Tuple) -> None:
        for name in names:
            keys = [(name, recorder.source) for recorder in self._recorders]
            if not self._can_reuse or any(key not in self._outputs
                                          for key in keys):
                self.modules[name](*inputs, mode='tensor')
                if self._can_reuse:
                    for key, recorder in zip(keys, self._recorders):
                        self._outputs[key] = recorder.records_of(name)
                continue
            for key, recorder in zip(keys, self._recorders):
                for outputs in self._outputs[key]:
                    recorder.record(name, outputs)


def _try_losses(algorithm: nn.Module, data: DataFacts,
                outputs: Dict) -> Optional[Tuple[Mapping, Any]]:
    """The losses by name and their total; None if that does not work here."""
    modes = {module: module.training for module in algorithm.modules()}
    teachers = getattr(algorithm, '_teachers', None)
    try:
        inputs = torch.empty(2, *data.shape, device='meta')
        samples = [data.sample.to('meta')] * 2
        if isinstance(algorithm, DGKD):
            # Its connectors, losses and generator, too: a linear layer takes
            # no input from another device.
            algorithm.to('meta')
            algorithm._teachers = _TeachersOnMeta(algorithm, outputs)
        with aside(), QuickMeta():
            algorithm.train()
            losses = algorithm(inputs, samples, mode='loss')
        return losses, algorithm.parse_losses(losses)[0]
    except ConfigError:
        raise
    except Exception:
        return None
    finally:
        for module, mode in modes.items():
            # Not by train(): it may do more than to set this.
            module.training = mode
        if isinstance(algorithm, DGKD):
            algorithm._teachers = teachers
            # Networks are copied for later stages, recorders along with them.
            for distiller in algorithm.distillers:
                distiller.forget()


def _leaves(total: torch.Tensor) -> Set[torch.Tensor]:
    """The parameters that a backward from a tensor reaches, as in DDP."""
    found, passed, nodes = set(), set(), [total.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in passed:
            continue
        passed.add(node)
        if type(node).__name__ == 'AccumulateGrad':
            found.add(node.variable)
        nodes.extend(other for other, _ in node.next_functions)
    return found


def key_of_unused(stage: Config) -> Optional[str]:
    """The key with which DDP does not wait for missing gradients.

    Args:
        stage (Config): The config of a stage.

    Returns:
        str: None with a single process, if it is on, or with another wrapper.
    """
    if stage.get('launcher', 'none') == 'none':
        return None
    runtime = Config(copy.deepcopy(stage.to_dict()))
    fit_to_device(runtime)
    wrapper = runtime.get('model_wrapper_cfg') or {}
    kind = wrapper.get('type', 'MMDistributedDataParallel')
    key = 'find_unused_parameters'
    # With a wrapper_cfg MMEngine does not look at the other key.
    is_on = (wrapper or runtime).get(key, False)
    if is_on or wrapper.get('static_graph') or str(kind).split('.')[-1] != (
            'MMDistributedDataParallel'):
        return None
    return f'model_wrapper_cfg.{key}' if stage.get(
        'model_wrapper_cfg') else key
