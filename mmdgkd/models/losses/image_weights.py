# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The weights of teachers that differ from image to image."""
from typing import Any, Mapping, Optional

import torch

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import refuse_unknown
from mmdgkd.utils.device import to_device
from .teacher_weights import ca_mkd_gate, is_number, label_gate, unseen_shares

_GATES = dict(label=('type', 's'), ca_mkd=('type', ))
_HERE = 'DenseKDLoss'


class ImageWeights:
    """Weighs the teachers of each image; without its options it is off.

    Args:
        gate (Mapping, optional): ``dict(type='label', s=0.5)``, see
            :func:`label_gate`, or ``dict(type='ca_mkd')``, see
            :func:`ca_mkd_gate`. Defaults to None: equal weights.
        unseen_weight (float, optional): The ``share`` of
            :func:`unseen_shares`. Defaults to None: the images that a teacher
            was trained on make no difference.

    Raises:
        ConfigError: If one of them is something else.
    """

    def __init__(self, gate: Any, unseen_weight: Optional[float]) -> None:
        if gate is not None:
            kind = gate.get('type') if isinstance(gate, Mapping) else None
            if not isinstance(kind, str) or kind not in _GATES:
                raise ConfigError(
                    f"{_HERE}.gate: {gate!r} must be dict(type='label', s=0.5)"
                    " or dict(type='ca_mkd')")
            refuse_unknown(gate, _GATES[kind], f'{_HERE}.gate')
            s = gate.get('s', 1)
            if not is_number(s) or not s > 0:
                raise ConfigError(f'{_HERE}.gate.s: {s!r} must be a number '
                                  'above 0')
        if unseen_weight is not None and not (is_number(unseen_weight)
                                              and 0 <= unseen_weight <= 1):
            raise ConfigError(f'{_HERE}.unseen_weight: {unseen_weight!r} must '
                              'be from 0 to 1, or None')
        self.gate, self.unseen_weight = gate, unseen_weight
        # Of the batch of this step.
        self._labels: Optional[torch.Tensor] = None
        self._unseen: Optional[Mapping[str, torch.Tensor]] = None

    def __bool__(self) -> bool:
        return self.gate is not None or self.unseen_weight is not None

    def begin_batch(self, batch: Any) -> None:
        """Take what the weights depend on.

        Args:
            batch (Batch): The batch of this step.

        Raises:
            ConfigError: If the batch does not have it.
        """
        if self.gate is not None:
            self._labels = batch.labels(f'{_HERE}.gate')
        if self.unseen_weight is not None:
            self._unseen = batch.unseen(f'{_HERE}.unseen_weight')

    def __call__(self, logits: torch.Tensor,
                 weights: Mapping[str, float]) -> torch.Tensor:
        """The weights of all teachers for each image.

        Args:
            logits (torch.Tensor): Of each active teacher, divided by its own
                temperature, shape (m, N, C).
            weights (Mapping[str, float]): Their weights for all images, by
                name, in this order.

        Returns:
            torch.Tensor: Shape (m, N), with sum 1 for each image, or 0 if all
            ``weights`` are 0.

        Raises:
            ConfigError: If nothing is known of the batch, or a gate is given
                maps.
        """
        found = self._gated(logits)
        if any(weight != 1 for weight in weights.values()):
            # Numbers, not a tensor, which would have to be copied to the
            # device.
            found = torch.stack([
                weight * each for weight, each in zip(weights.values(), found)
            ])
            found = found / (found.sum(0) if any(weights.values()) else 1)
        if self.unseen_weight is None:
            return found
        if self._unseen is None:
            raise ConfigError(_without_batch('unseen_weight'))
        unseen = torch.zeros(logits.shape[:2], dtype=torch.bool)
        for row, name in zip(unseen, weights):
            if name in self._unseen:
                row.copy_(self._unseen[name])
        return unseen_shares(found, to_device(unseen, logits.device),
                             self.unseen_weight)

    def _gated(self, logits: torch.Tensor) -> torch.Tensor:
        if self.gate is None:
            return logits.new_full(logits.shape[:2], 1 / len(logits))
        if self._labels is None:
            raise ConfigError(_without_batch('gate'))
        if logits.ndim != 3:
            raise ConfigError(f'{_HERE}.gate: needs logits of shape (N, C), '
                              f'not {tuple(logits.shape[1:])}')
        labels = self._labels.to(logits.device)
        if self.gate['type'] == 'label':
            return label_gate(logits, labels, self.gate.get('s', 0.5))
        return ca_mkd_gate(logits, labels)


def _without_batch(key: str) -> str:
    return (f'{_HERE}.{key}: needs the batch, which only mmrazor.DGKD passes '
            'to the losses of model.distiller; leave it out')
