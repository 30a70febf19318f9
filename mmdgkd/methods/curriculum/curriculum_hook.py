# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from typing import Any, Dict, List, Optional, Sequence

from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.utils.networks import unwrapped

_HERE = 'custom_hooks.CurriculumHook'
_FORMS = ('averaged', 'stacked')
# The square of a rank over a smaller sigma may be no float.
_LEAST_SIGMA = 1e-100


def curriculum_weights(count: int, progress: float,
                       sigma: float) -> List[float]:
    """The weights of all teachers at a time of the training.

    A Gaussian over their ranks, whose centre moves from the first to the last:
    ``w_r ~ exp(-(r - c)^2 / (2 sigma^2))`` with ``c = progress * (m - 1)``.

    Args:
        count (int): Number of teachers, m.
        progress (float): From 0, the beginning of the training, to 1.
        sigma (float): Its width, in ranks.

    Returns:
        list[float]: By rank, the smallest teacher first; their sum is 1.
    """
    centre = progress * (count - 1)
    logs = [-((rank - centre) / sigma)**2 / 2 for rank in range(count)]
    # The nearest is 1, so that a narrow one does not round all of them to 0.
    parts = [math.exp(log - max(logs)) for log in logs]
    return [part / sum(parts) for part in parts]


@HOOKS.register_module()
class CurriculumHook(Hook):
    """Moves the weight from the smallest teacher to the largest.

    A form of this project for several teachers: a student begins with the one
    that is nearest to it, and ends with the best. The weights, see
    :func:`curriculum_weights`, multiply the ``teacher_weights`` of each
    :class:`DenseKDLoss`, whose total weight stays. They are a function of the
    iteration alone, so that they are the same in a resumed training. An
    ensemble has the rank of its largest member. The hook has no effect on a
    stage with one teacher or none.

    Args:
        sigma (float): Width of the weights, in ranks. Defaults to 0.7.
        teachers (Sequence[str], optional): All teachers, the largest first. A
            chain fills it in. Defaults to None.

    Raises:
        ConfigError: If ``sigma`` is no number above 0, or below 1e-100.
    """

    def __init__(self,
                 sigma: float = 0.7,
                 teachers: Optional[Sequence[str]] = None) -> None:
        if type(sigma) not in (int, float) or not sigma >= _LEAST_SIGMA:
            raise ConfigError(f'{_HERE}.sigma: {sigma!r} must be a number '
                              f'above 0, {_LEAST_SIGMA} or more')
        self.sigma = sigma
        self.teachers = teachers
        self._losses: List[Any] = []
        # As the losses have them, the smallest first.
        self._names: List[str] = []

    def before_train(self, runner: Any) -> None:
        """Find the losses.

        Raises:
            ConfigError: If ``teachers`` are not those of the stage, or if no
                loss keeps its total weight.
        """
        self._losses = []
        model = unwrapped(runner.model)
        if not isinstance(model, DGKD) or len(model.teachers) < 2:
            return
        if set(self.teachers or ()) != set(model.teachers):
            raise ConfigError(
                f'{_HERE}.teachers: {self.teachers!r} must list all teachers '
                f'of the stage, the largest first: {", ".join(model.teachers)}'
                '; a chain does it where it is left out')
        self._names = model.distiller.merged_names(self.teachers)[::-1]
        self._losses = [
            loss for loss in model.distiller.distill_losses.values()
            if hasattr(loss, 'teacher_factors')
        ]
        forms = [loss.form for loss in self._losses]
        if not forms or any(form not in _FORMS for form in forms):
            found = ', '.join(map(repr, forms)) or 'no such loss'
            raise ConfigError(
                f'{_HERE}: needs mmrazor.DenseKDLoss with form='
                f"'averaged' or 'stacked', whose total weight stays, not "
                f'{found}')

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Set and log the weights of this iteration."""
        if not self._losses:
            return
        progress = runner.iter / max(1, runner.max_iters - 1)
        factors: Dict[str, float] = dict(
            zip(self._names,
                curriculum_weights(len(self._names), progress, self.sigma)))
        for loss in self._losses:
            loss.teacher_factors = factors
        for name, factor in factors.items():
            runner.message_hub.update_scalar(f'train/curriculum.{name}',
                                             factor)
