# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import hashlib
import json
import logging
from typing import Any, ContextManager, Dict, List, Mapping, Optional

import torch
from mmengine.logging import print_log
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.data_preprocessors.batched_data_preprocessor import \
    BatchedDataPreprocessor
from mmdgkd.models.recorders.multi_teacher_outputs_recorder import \
    MultiTeacherOutputsRecorder
from mmdgkd.models.utils.logits import plain_source
from mmdgkd.models.utils.networks import network_of
from mmdgkd.models.utils.weights import weights_sha256
from mmdgkd.structures.views import BatchViews, views_of
from .frozen_teachers import FrozenTeachers


class CachedTeachers:
    """Runs teachers only on views whose logits are not cached.

    Args:
        store (LogitStore): The cache.
        teachers (FrozenTeachers): The teachers.
        distiller (MultiTeacherDistiller): Its recorders hold their outputs.
        facts (Mapping[str, dict]): See :func:`teacher_facts`, by teacher.
        data_preprocessor (nn.Module): It makes the inputs of the teachers.

    Raises:
        ConfigError: If the losses need more of the teachers than logits.
    """

    def __init__(self, store: Any, teachers: FrozenTeachers, distiller: Any,
                 facts: Mapping[str,
                                Dict], data_preprocessor: nn.Module) -> None:
        check_top_k(distiller, store.top_k, store.others)
        self._store = store
        self._teachers = teachers
        self._distiller = distiller
        self._data_preprocessor = data_preprocessor
        sources = {
            name: logits_source(distiller, name)
            for name in teachers.modules
        }
        common = dict(
            options=teachers.options.facts(),
            inputs=_inputs_facts(data_preprocessor))
        self._facts = {
            name:
            dict(
                common,
                name=name,
                source=plain_source(network_of(teacher), sources[name]),
                **facts[name])
            for name, teacher in teachers.modules.items()
        }
        # State of one step.
        self._views: Optional[BatchViews] = None
        self._wanted: Dict[str, Dict] = {}
        self._logits: Dict[str, Optional[torch.Tensor]] = {}

    def lookup(self, names: List[str], inputs: torch.Tensor,
               data_samples: Any) -> List[str]:
        """Look up the logits of a batch.

        Args:
            names (list[str]): The active teachers.
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            data_samples (list[DataSample]): They have the views of the batch.

        Returns:
            list[str]: The teachers that have to run.

        Raises:
            ConfigError: If the samples have no views, or if images of the
                batch are mixed.
        """
        if getattr(self._data_preprocessor, 'batch_augments', None):
            raise ConfigError(
                'data_preprocessor.batch_augments, or model.train_cfg.augments'
                ' of the network: mixes the images of a batch anew in each '
                'step, so that no logits can be cached; make it a part of the '
                'views, by ViewDataset.mix, or set chain.logit_store=None')
        views = views_of(data_samples)
        if views is None:
            raise ConfigError(
                'train_dataloader.dataset: its samples have no views; with a '
                'logit store it must be dict(type='
                "'mmpretrain.ViewDataset', dataset=...)")
        self._views = views
        device = inputs.device
        precision = self._teachers.options.running_precision(device.type)
        kernels = kernel_facts(device.type)
        self._wanted = {
            name: dict(self._facts[name], precision=precision, **kernels)
            for name in names
        }
        self._logits = {
            name: self._store.lookup(facts, views, device)
            for name, facts in self._wanted.items()
        }
        return [name for name in names if self._logits[name] is None]

    def timing(self, name: str, device: torch.device) -> ContextManager:
        """Measure the time of a teacher that has to run.

        Args:
            name (str): The teacher.
            device (torch.device): Its device.
        """
        return self._store.timing(name, device)

    def complete(self) -> None:
        """Give the recorders the logits of all teachers; cache the new ones.

        Raises:
            ConfigError: If a record is no vector per image.
        """
        computed = self._distiller.recorded_logits()
        for name, facts in self._wanted.items():
            if self._logits[name] is None:
                check_logits(name, computed[name])
                self._logits[name] = self._store.keep(facts, self._views,
                                                      computed[name])
        # The order does not depend on which of them ran.
        self._distiller.supply(self._logits)
        self._logits = {}


def logits_source(distiller: Any, teacher: str) -> str:
    """The module of a teacher whose output the losses need.

    Args:
        distiller (MultiTeacherDistiller): The distiller of the losses.
        teacher (str): The teacher.

    Returns:
        str: Such as ``'logits'``.

    Raises:
        ConfigError: If they need more than one output of a teacher, so
            that cached logits do not suffice.
    """
    recorders = distiller.teacher_recorders.recorders
    for name, recorder in recorders.items():
        # No subclass: its outputs may change from step to step.
        if type(recorder) is not MultiTeacherOutputsRecorder:
            raise ConfigError(
                'model.distiller.teacher_recorders.'
                f'{name}: a logit store can '
                "take the place of type='mmrazor.MultiTeacherOutputs' "
                'alone; use that, or set chain.logit_store=None')
    sources = sorted(
        {recorder.source_of(teacher)
         for recorder in recorders.values()})
    if len(sources) != 1:
        raise ConfigError('model.distiller.teacher_recorders: '
                          'a logit store keeps one output '
                          f'of each teacher, not {len(sources)} '
                          f'({", ".join(sources) or "none"}); set '
                          'chain.logit_store=None')
    if distiller.deliveries.deliveries:
        raise ConfigError('model.distiller.distill_deliveries: '
                          'a teacher whose logits are '
                          'cached does not run and delivers nothing; set '
                          'chain.logit_store=None')
    return sources[0]


def check_logits(name: str, output: Any) -> None:
    """Refuse to cache anything but a vector per image.

    Args:
        name (str): The teacher.
        output (Any): Its record.

    Raises:
        ConfigError: If it is anything else.
    """
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        what = (f'a tensor of shape {tuple(output.shape)}' if isinstance(
            output, torch.Tensor) else type(output).__name__)
        raise ConfigError(
            'model.distiller.teacher_recorders: a logit store keeps logits of '
            f'shape (N, C), but what is recorded of "{name}" is {what}; set '
            'chain.logit_store=None')


def check_top_k(distiller: Any,
                top_k: Optional[int],
                others: str = 'even') -> None:
    """Refuse to keep only the largest logits for a loss by sigmoid.

    The others keep their softmax together, not the sigmoid of each: the loss
    would be another, without an error. There is a warning where a temperature
    gives the others most of the probability, of which only the sum is known.

    Args:
        distiller (MultiTeacherDistiller): The distiller of the losses.
        top_k (int, optional): See ``LogitStore``.
        others (str): Likewise. Defaults to ``'even'``.

    Raises:
        ConfigError: If both are so; or for ``'zero'`` where logits are
            standardized, averaged in an ensemble, stacked, or used by a gate.
    """
    if others == 'zero' and distiller.by_logits:
        raise ConfigError(
            "chain.logit_store.others: 'zero' gives the other classes no "
            'logits, but they are standardized, averaged in an ensemble, '
            'stacked or used by a gate (StandardizeConnector, ensembles with '
            "mean='logits', DenseKDLoss.form='stacked' or gate); leave it out")
    tau = max(
        (_highest_tau(loss) for loss in distiller.distill_losses.values()),
        default=1)
    if top_k is not None and others == 'even' and tau > 1:
        zero = '' if distiller.by_logits else (
            "chain.logit_store.others='zero', ")
        print_log(
            f'chain.logit_store.top_k: {top_k} leaves classes out whose '
            f'probability at tau = {tau:g} is large, and spreads it evenly: '
            f'the student may learn far less; set {zero}tau = 1, or '
            'chain.views.num_views instead of top_k',
            logger='current',
            level=logging.WARNING)
    if top_k is not None and distiller.by_sigmoid:
        raise ConfigError(
            f'chain.logit_store.top_k: {top_k} keeps the softmax of the other '
            'classes together, but the labels of the student do not exclude '
            "each other (DenseKDLoss.activation='sigmoid'); leave it out")


def _highest_tau(loss: Any) -> float:
    """The highest temperature of any teacher in a loss."""
    own = (getattr(loss, 'teacher_tau', None) or {}).values()
    return (getattr(loss, 'tau', 1) or 1) * max([1, *own])


def teacher_facts(teacher: nn.Module,
                  build_cfg: Any,
                  ckpt_path: Optional[str] = None,
                  input_cfg: Optional[Mapping] = None) -> Dict[str, Any]:
    """The properties of a teacher that its logits depend on.

    Args:
        teacher (nn.Module): The teacher, with its weights.
        build_cfg (dict | nn.Module): Its config, or itself.
        ckpt_path (str, optional): The file of its weights. Defaults to None.
        input_cfg (dict, optional): How its images differ from the student's.
            Defaults to None: they do not.

    Returns:
        dict[str, Any]: ``weights``, the sha256 of the weights, ``model``, that
        of the config, ``input``, if it is given, and ``path``, for messages
        alone.
    """
    weights = weights_sha256(teacher.state_dict())
    if isinstance(build_cfg, nn.Module):
        text = str(build_cfg)
    else:
        text = json.dumps(build_cfg, sort_keys=True, default=str)
    facts = dict(
        weights=weights,
        model=hashlib.sha256(text.encode()).hexdigest(),
        path=ckpt_path)
    if input_cfg:
        facts['input'] = json.dumps(input_cfg, sort_keys=True)
    return facts


def kernel_facts(device: str) -> Dict[str, Any]:
    """The settings of PyTorch that logits depend on beside the precision.

    Args:
        device (str): Type of the device, such as ``'cuda'``.

    Returns:
        dict[str, Any]: Empty on the CPU; else the ``device``, and on a GPU
        whether float32 is computed with 10 bits (TF32), in matrix products
        and in convolutions.
    """
    if device == 'cpu':
        return {}
    facts: Dict[str, Any] = dict(device=device)
    if device == 'cuda':
        backends = torch.backends
        parts = [backends.cuda.matmul, getattr(backends.cudnn, 'conv', None)]
        if all(hasattr(part, 'fp32_precision') for part in parts):
            # PyTorch refuses the older names where the newer are used.
            facts['tf32'] = [part.fp32_precision == 'tf32' for part in parts]
        else:
            facts['tf32'] = [
                backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
            ]
    return facts


def _inputs_facts(data_preprocessor: Optional[nn.Module]) -> Dict[str, Any]:
    """The properties of the data preprocessor that inputs depend on."""
    kind = type(data_preprocessor)
    # Its batched form makes the same inputs.
    kind = ClsDataPreprocessor if kind is BatchedDataPreprocessor else kind
    facts: Dict[str, Any] = dict(type=f'{kind.__module__}.{kind.__name__}')
    if data_preprocessor is not None:
        for name, buffer in data_preprocessor.named_buffers():
            facts[name] = buffer.flatten().tolist()
        for key in ('pad_size_divisor', 'pad_value', 'to_rgb'):
            facts[key] = getattr(data_preprocessor, key, None)
    return facts
