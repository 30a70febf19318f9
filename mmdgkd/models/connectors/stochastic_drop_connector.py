# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Dict, Mapping, Optional, Sequence

import torch
from mmrazor.models.architectures.connectors.base_connector import \
    BaseConnector
from mmrazor.registry import MODELS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.step_clock import StepClock
from .keep_mask import keep_mask

MODES = ('count', 'bernoulli')


@MODELS.register_module()
class StochasticDropConnector(BaseConnector):
    """Drops some teachers in each step (stochastic teaching).

    :class:`DGKD` calls :meth:`begin_step` before it runs any teacher, so that
    a dropped one costs nothing. In another algorithm the connector removes the
    dropped ones from the recorded mapping; the loss is the same. The arguments
    are those of :func:`keep_mask`. The remaining terms are not rescaled.

    Args:
        mode (str): ``'count'`` or ``'bernoulli'``. Defaults to ``'count'``.
        num_drop (int): How many are dropped with ``mode='count'``.
            Defaults to 1.
        keep_prob (float): The probability that one is active with
            ``mode='bernoulli'``. Defaults to 0.75.
        min_keep (int): The least number of active teachers. Defaults to 1.
        protect (Sequence[str]): Teachers that are never dropped.
            Defaults to ().
        seed (int, optional): Seed of the draws. Defaults to None: the seed of
            the Runner.
        init_cfg (dict, optional): As in every MMEngine module.

    Raises:
        ConfigError: For an unknown mode or a number out of its range.
    """

    def __init__(self,
                 mode: str = 'count',
                 num_drop: int = 1,
                 keep_prob: float = 0.75,
                 min_keep: int = 1,
                 protect: Sequence[str] = (),
                 seed: Optional[int] = None,
                 init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        if mode not in MODES:
            raise ConfigError(f'StochasticDropConnector.mode: {mode!r} is '
                              f'none of {MODES}')
        for key, value in (('num_drop', num_drop), ('min_keep', min_keep)):
            if not isinstance(value, int) or value < 0:
                raise ConfigError(f'StochasticDropConnector.{key}: {value!r} '
                                  'must be an integer, 0 or more')
        if not 0 <= keep_prob <= 1:
            raise ConfigError('StochasticDropConnector.keep_prob: '
                              f'{keep_prob!r} must be between 0 and 1')
        if isinstance(protect, str):
            protect = (protect, )
        self.policy = dict(
            mode=mode,
            num_drop=num_drop,
            keep_prob=keep_prob,
            min_keep=min_keep,
            protect=tuple(protect))
        self._clock = StepClock(seed)
        self._mask: Optional[Dict[str, bool]] = None

    def check_teachers(self, names: Sequence[str]) -> None:
        """Refuse settings that do not fit the teachers.

        Args:
            names (Sequence[str]): The teachers of the stage.

        Raises:
            ConfigError: If ``protect`` names another one, or if ``num_drop``
                or ``min_keep`` is too large.
        """
        here = 'StochasticDropConnector'
        for name in self.policy['protect']:
            if name not in names:
                raise ConfigError(f'{here}.protect: "{name}" is no teacher '
                                  f'here; there are: {", ".join(names)}')
        if self.policy['min_keep'] > len(names):
            raise ConfigError(
                f'{here}.min_keep: {self.policy["min_keep"]} is more than the '
                f'{len(names)} teachers ({", ".join(names)})')
        if self.policy['mode'] == 'count':
            least = max(self.policy['min_keep'], len(self.policy['protect']))
            most = len(names) - least
            if self.policy['num_drop'] > most:
                raise ConfigError(
                    f'{here}.num_drop: {self.policy["num_drop"]} must be at '
                    f'most {most}: the stage has {len(names)} teachers '
                    f'({", ".join(names)}) and keeps at least {least}')

    def begin_step(self, names: Sequence[str], step: int) -> Dict[str, bool]:
        """Draw the keep mask of a step, before any forward.

        Args:
            names (Sequence[str]): All teachers of the stage, in order.
            step (int): The iteration, counted from 0.

        Returns:
            dict[str, bool]: For each teacher, whether it is active.
        """
        self._mask = keep_mask(self._clock.seed, step, names, **self.policy)
        return self._mask

    def forward_train(
            self, feature: Mapping[str,
                                   torch.Tensor]) -> Dict[str, torch.Tensor]:
        """Remove the dropped teachers from the recorded mapping.

        Args:
            feature (Mapping[str, torch.Tensor]): The record of a
                :class:`MultiTeacherOutputsRecorder`, by teacher.

        Returns:
            dict[str, torch.Tensor]: The entries of the active teachers.
        """
        mask = self._mask
        if mask is None:
            mask = keep_mask(self._clock.seed, self._clock.tick(),
                             list(feature), **self.policy)
        return {name: data for name, data in feature.items() if mask[name]}
