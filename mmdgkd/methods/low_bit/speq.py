# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

import torch
from mmengine.structures import BaseDataElement
from mmrazor.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from mmdgkd.errors import ConfigError
from mmdgkd.methods.low_bit.quantizers.drawn_bits import drawn_bits
from mmdgkd.methods.peer_logits import check_peer_loss
from mmdgkd.models.utils.logits import (LOGITS, check_score_source,
                                        recorded_scores)
from mmdgkd.models.utils.step_clock import StepClock
from .few_bit_network import FewBitNetwork

NORMS = ('batch', 'running', 'update')


@MODELS.register_module()
class SPEQ(FewBitNetwork):
    """Stochastic precision ensemble: a low-bit network that teaches itself.

    Boo, Shin, Choi and Sung (AAAI-21, arXiv 2009.14502). The teacher is the
    network itself, with the same low-bit weights and with activations whose
    precision is drawn for each layer and step (:func:`drawn_bits`). The
    network is distilled from it by a cosine loss. It costs a forward without
    gradient, and no parameter.

    With more bits a layer has the same largest value, and so a smaller step.
    The last layer keeps its bits. The loss is one of the network's own: in a
    stage with teachers ``student.loss_speq``, with the weight of the task
    loss.

    Args:
        architecture (dict | BaseModel): The network.
        act_bits (int): Of its activations, n_A. Defaults to 2.
        high_bits (int): The other precision in the teacher, n_H, above
            ``act_bits`` and up to 8. Defaults to 8, as in the paper.
        prob (float): Probability u that a layer has ``high_bits``, above 0 and
            at most 1. Defaults to 0.5, as in the paper.
        speq_loss (dict, optional): A loss of (preds_S, preds_T).
            Defaults to None: ``CosineLoss`` with the weight 1, which is our
            choice.
        source (str): The module that outputs the logits.
            Defaults to ``'logits'``: whatever computes them.
        teacher_norm (str): The statistics of batch normalization in the
            teacher: ``'batch'``, those of its batch, or ``'running'``, the
            running ones, both without an update of these; ``'update'``, those
            of its batch, with an update. What the paper does could not be
            found. Defaults to ``'batch'``.
        **kwargs: As for :class:`FewBitNetwork`.

    Raises:
        ConfigError: If a value is out of its range, the source is missing, or
            the loss does not take the logits of two networks.
    """

    def __init__(self,
                 architecture: Any,
                 act_bits: int = 2,
                 high_bits: int = 8,
                 prob: float = 0.5,
                 speq_loss: Optional[Dict] = None,
                 source: str = LOGITS,
                 teacher_norm: str = 'batch',
                 **kwargs: Any) -> None:
        if act_bits is None:
            raise ConfigError('model.act_bits: None; SPEQ draws the precision '
                              'of activations; should be from 2 to 7')
        super().__init__(architecture, act_bits=act_bits, **kwargs)
        if type(high_bits) is not int or not act_bits < high_bits <= 8:
            raise ConfigError(
                f'model.high_bits: {high_bits!r} should be an integer '
                f'above act_bits, {act_bits}, and at most 8')
        if not isinstance(prob, (int, float)) or not 0 < prob <= 1:
            raise ConfigError(f'model.prob: {prob!r} should be above 0 and at '
                              'most 1')
        if teacher_norm not in NORMS:
            raise ConfigError(f'model.teacher_norm: {teacher_norm!r} is none '
                              f'of {", ".join(NORMS)}')
        check_score_source(self.architecture, source, 'model.source',
                           'the network')
        self.act_bits, self.high_bits, self.prob = act_bits, high_bits, prob
        self.source, self.teacher_norm = source, teacher_norm
        self.speq_loss = MODELS.build(
            speq_loss or dict(type='mmrazor.CosineLoss'))
        check_peer_loss(self.speq_loss, 'model.speq_loss', several=False)
        self._clock = StepClock()

    def forward(self,
                inputs: torch.Tensor,
                data_samples: Optional[List[BaseDataElement]] = None,
                mode: str = 'tensor') -> Any:
        """Run the network; in training its teacher, too.

        Args:
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Its labels.
                Defaults to None.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
                Defaults to ``'tensor'``.
        """
        if mode != 'loss' or not self.training:
            return super().forward(inputs, data_samples, mode)
        weights = self.quantized_weights()
        logits: List[torch.Tensor] = []
        with recorded_scores(self.architecture, self.source, logits.append):
            # First, so that recorders get the student's outputs first.
            losses = dict(self._run(weights, inputs, data_samples, mode))
            with torch.no_grad(), self._as_teacher():
                self._run(
                    {
                        name: data.detach()
                        for name, data in weights.items()
                    }, inputs, None, 'tensor')
        losses['loss_speq'] = self.speq_loss(logits[0], logits[-1])
        return losses

    @contextmanager
    def _as_teacher(self) -> Iterator[None]:
        """Draw precisions, and set batch normalization, for a forward."""
        quantizers = {
            name: parts.act
            for name, parts in self.quantizers.items() if 'act' in parts
        }
        drawn = drawn_bits(self._clock.seed, self._clock.tick(),
                           self.inner_layers, self.act_bits, self.high_bits,
                           self.prob)
        norms = [
            module for module in self.architecture.modules()
            if isinstance(module, _BatchNorm)
        ]
        flags = [(norm.training, norm.track_running_stats) for norm in norms]
        try:
            for name, quantizer in quantizers.items():
                quantizer.bits_now = drawn.get(name)
                quantizer.observing = False
            for norm in norms:
                if self.teacher_norm == 'running':
                    norm.training = False
                elif self.teacher_norm == 'batch' and norm.training:
                    norm.track_running_stats = False
            yield
        finally:
            for quantizer in quantizers.values():
                quantizer.bits_now, quantizer.observing = None, True
            for norm, (training, track) in zip(norms, flags):
                norm.training, norm.track_running_stats = training, track
