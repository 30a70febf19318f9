# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import zlib
from typing import Any, Callable, Mapping, Optional, Tuple, Union

import numpy as np
import torch
from mmrazor.registry import TASK_UTILS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.recorders.multi_teacher_outputs_recorder import \
    MultiTeacherOutputsRecorder
from mmdgkd.models.utils.logits import (LOGITS, find_source, is_found,
                                        score_modules)
from mmdgkd.models.utils.step_clock import StepClock
from mmdgkd.utils.device import to_device
from mmdgkd.utils.random import uniforms

# Second half of the Philox key, see keep_mask.
_STREAM = 0x70617373


def pass_masks(seed: int, step: int, name: str, num_passes: int, size: int,
               drop_prob: float) -> np.ndarray:
    """The dropout masks of several passes of a teacher.

    They are a function of the arguments alone, as in :func:`keep_mask`: the
    same on every rank and in a resumed run. The masks of the first passes do
    not depend on the number of passes.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        name (str): The teacher.
        num_passes (int): Number of passes, P.
        size (int): Number of features, D.
        drop_prob (float): Probability that a feature is dropped.

    Returns:
        np.ndarray: Shape (P, D), float32: 0 where a feature is dropped, else
        ``1 / (1 - drop_prob)``.
    """
    draws = uniforms(seed, _STREAM, step, num_passes * size,
                     zlib.crc32(name.encode()))
    keep = draws.reshape(num_passes, size) >= drop_prob
    return (keep / (1 - drop_prob)).astype(np.float32)


@TASK_UTILS.register_module()
class StochasticTeacherOutputsRecorder(MultiTeacherOutputsRecorder):
    """Records the outputs of every teacher for several dropout passes.

    In a config its type is ``'StochasticTeacherOutputs'``. Student-guided
    weighting of stochastic teachers (arXiv 2504.14307, ECML PKDD 2025). The
    input features of a module, such as the classifier, are dropped at random,
    and the module runs on all passes in one batch. The rest of a teacher is
    deterministic and runs once. A pass drops the same features of all images:
    it is one thinned teacher.

    The recorded data is ``{teacher name: outputs}`` of shape (P, N, C), for a
    :class:`StudentGuidedKDLoss`, or the thinned features themselves, (P, N,
    D), for a :class:`StudentGuidedFeatureLoss`. A logit store cannot cache it.

    Args:
        source (str | Mapping[str, str]): The module of each teacher whose
            input is dropped, such as ``'head.fc'``, perhaps by teacher.
            Defaults to ``'logits'``: the last one, whose output is that of
            the teacher.
        num_passes (int): P; 30 in the released code. Defaults to 100 (our
            choice).
        drop_prob (float): Probability that a feature is dropped. Defaults to
            0.5 (our choice).
        seed (int, optional): Seed of the masks. Defaults to None: the seed of
            the Runner.
        features (bool): Whether the input of the module is recorded instead of
            its output, thinned in the same way. Defaults to False.

    Raises:
        ConfigError: For a number out of its range.
    """

    def __init__(self,
                 source: Union[str, Mapping[str, str]] = LOGITS,
                 num_passes: int = 100,
                 drop_prob: float = 0.5,
                 seed: Optional[int] = None,
                 features: bool = False) -> None:
        super().__init__(source)
        here = 'StochasticTeacherOutputs'
        if type(num_passes) is not int or num_passes < 1:
            raise ConfigError(f'{here}.num_passes: {num_passes!r} must be an '
                              'integer, 1 or more')
        if isinstance(drop_prob, bool) or not 0 <= drop_prob < 1:
            raise ConfigError(f'{here}.drop_prob: {drop_prob!r} must be 0 or '
                              'more, and below 1')
        self._num_passes = num_passes
        self._drop_prob = drop_prob
        self._features = features
        self._clock = StepClock(seed)
        self._step = 0

    def __enter__(self) -> None:
        super().__enter__()
        self._step = self._clock.tick()

    def _find(self, name: str,
              teacher: nn.Module) -> Tuple[nn.Module, Callable]:
        source = self.source_of(name)
        if is_found(teacher, source):
            *_, source = ['', *score_modules(teacher)]
            if not source:
                raise ConfigError(
                    f'source: no module of teacher "{name}" is found whose '
                    'output is its class scores; name its last linear layer')
            return find_source(teacher, source, 'tensor')
        return super()._find(name, teacher)

    def _record(self, name: str, module: nn.Module, inputs: tuple,
                outputs: Any) -> None:
        features = inputs[0]
        if not isinstance(features, torch.Tensor) or features.ndim != 2:
            source = self.source_of(name)
            raise ConfigError(
                f'StochasticTeacherOutputs.source: "{source}" of teacher '
                f'"{name}" is not given a vector of features per image; use '
                "the last linear layer, such as 'head.fc'")
        masks = pass_masks(self._clock.seed, self._step, name,
                           self._num_passes, features.shape[1],
                           self._drop_prob)
        masks = to_device(masks, features.device).to(features.dtype)
        thinned = masks[:, None] * features
        if self._features:
            self.record(name, thinned)
            return
        # Not by a call, of which this is a hook.
        logits = module.forward(thinned.flatten(0, 1))
        self.record(name, logits.unflatten(0, thinned.shape[:2]))
