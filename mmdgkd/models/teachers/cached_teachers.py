# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import hashlib
import json
from typing import Any, ContextManager, Dict, List, Mapping, Optional

import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.data_preprocessors.batched_data_preprocessor import \
    BatchedDataPreprocessor
from mmdgkd.models.utils.weights import weights_sha256
from mmdgkd.structures.views import BatchViews, views_of
from .frozen_teachers import FrozenTeachers


class CachedTeachers:
    """Runs teachers only on what they have not been asked before.

    Args:
        store (LogitStore): Where the logits are kept.
        teachers (FrozenTeachers): The teachers.
        distiller (MultiTeacherDistiller): Whose recorders hold their outputs.
        facts (Mapping[str, dict]): See :func:`teacher_facts`, by teacher.
        data_preprocessor (nn.Module): What makes the teachers' inputs.

    Raises:
        ConfigError: If the losses need more of the teachers than logits.
    """

    def __init__(self, store: Any, teachers: FrozenTeachers, distiller: Any,
                 facts: Mapping[str,
                                Dict], data_preprocessor: nn.Module) -> None:
        self._store = store
        self._teachers = teachers
        self._distiller = distiller
        self._data_preprocessor = data_preprocessor
        common = dict(
            source=distiller.logits_source(),
            options=teachers.options.facts(),
            inputs=_inputs_facts(data_preprocessor))
        self._facts = {
            name: dict(common, name=name, **facts[name])
            for name in teachers.modules
        }
        # Of the step.
        self._views: Optional[BatchViews] = None
        self._wanted: Dict[str, Dict] = {}
        self._logits: Dict[str, Optional[torch.Tensor]] = {}

    def lookup(self, names: List[str], inputs: torch.Tensor,
               data_samples: Any) -> List[str]:
        """Look up what teachers have said to a batch.

        Args:
            names (list[str]): Those that are active in this step.
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            data_samples (list[DataSample]): Which say what views they are.

        Returns:
            list[str]: Those that have to be run.

        Raises:
            ConfigError: If the samples do not say it, or if the batch is mixed
                of several images.
        """
        if getattr(self._data_preprocessor, 'batch_augments', None):
            raise mixed_batches()
        views = views_of(data_samples)
        if views is None:
            raise ConfigError(
                'train_dataloader.dataset: its samples do not say which views '
                'they are; with a logit store it must be dict(type='
                "'mmpretrain.ViewDataset', dataset=...)")
        self._views = views
        device = inputs.device
        precision = self._teachers.options.running_precision(device.type)
        self._wanted = {
            name: dict(self._facts[name], precision=precision)
            for name in names
        }
        self._logits = {
            name: self._store.lookup(facts, views, device)
            for name, facts in self._wanted.items()
        }
        return [name for name in names if self._logits[name] is None]

    def timing(self, name: str, device: torch.device) -> ContextManager:
        """Take the time of a teacher that has to be run.

        Args:
            name (str): The teacher.
            device (torch.device): Where it runs.
        """
        return self._store.timing(name, device)

    def complete(self) -> None:
        """Have the recorders hold the logits of all, and keep the new ones.

        Raises:
            ConfigError: If what is recorded is no vector per image.
        """
        computed = self._distiller.recorded_logits()
        for name, facts in self._wanted.items():
            if self._logits[name] is None:
                check_logits(name, computed[name])
                self._logits[name] = self._store.keep(facts, self._views,
                                                      computed[name])
        # In one order, whichever of them had to be run.
        self._distiller.supply(self._logits)
        self._logits = {}


def check_logits(name: str, output: Any) -> None:
    """Refuse to remember anything but a vector per image.

    Args:
        name (str): The teacher.
        output (Any): What was recorded of it.

    Raises:
        ConfigError: If it is something else.
    """
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        what = (f'a tensor of shape {tuple(output.shape)}' if isinstance(
            output, torch.Tensor) else type(output).__name__)
        raise ConfigError(
            'model.distiller.teacher_recorders: '
            'a logit store keeps logits of shape '
            f'(N, C), but what is recorded of "{name}" is {what}; set '
            'chain.logit_store=None')


def mixed_batches() -> ConfigError:
    """The refusal of MixUp, CutMix and the like."""
    return ConfigError(
        'data_preprocessor.batch_augments: mixes the images of a batch anew '
        'in each step, so that no logits can be remembered; leave it out, or '
        'set chain.logit_store=None')


def teacher_facts(teacher: nn.Module,
                  build_cfg: Any,
                  ckpt_path: Optional[str] = None) -> Dict[str, Any]:
    """What a teacher's logits depend on in the teacher itself.

    Args:
        teacher (nn.Module): With its weights.
        build_cfg (dict | nn.Module): What it was built from.
        ckpt_path (str, optional): The file of its weights. Defaults to None.

    Returns:
        dict[str, Any]: ``weights``, the sha256 of the weights, ``model``, that
        of the config, and ``path``, which nothing depends on.
    """
    weights = weights_sha256(teacher.state_dict())
    if isinstance(build_cfg, nn.Module):
        # On the meta device, where nothing is stored, a pruned one cannot
        # say what is left of it.
        text = str(build_cfg) if weights else ''
    else:
        text = json.dumps(build_cfg, sort_keys=True, default=str)
    return dict(
        weights=weights,
        model=hashlib.sha256(text.encode()).hexdigest(),
        path=ckpt_path)


def _inputs_facts(data_preprocessor: Optional[nn.Module]) -> Dict[str, Any]:
    """How images become inputs."""
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
