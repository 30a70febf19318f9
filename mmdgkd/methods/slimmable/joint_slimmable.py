# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import torch
from mmrazor.models.algorithms import BaseAlgorithm, SlimmableNetwork
from mmrazor.models.architectures.dynamic_ops import SwitchableBatchNorm2d
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.methods.peer_logits import OverNetworks, check_peer_loss
from mmdgkd.models.utils.heads import fit_to_head
from mmdgkd.models.utils.logits import (LOGITS, check_score_source,
                                        recorded_scores)
from .widths import find_units, name_of_width, read_widths, slimmable_units

# The units do not depend on the size of the images.
_PARSE = dict(
    _scope_='mmrazor',
    type='ChannelAnalyzer',
    demo_input=(1, 3, 32, 32),
    tracer_type='FxTracer')


@MODELS.register_module()
class JointSlimmable(OverNetworks, SlimmableNetwork):
    """MMRazor's ``SlimmableNetwork`` with one loss of all its widths.

    Slimmable Neural Networks (Yu et al., ICLR 2019, arXiv 1812.08928): the
    first channels of one set of weights are a network, too, with batch
    normalization of its own. Each step trains all widths. MMRazor runs one
    backward for each in a ``train_step`` of its own; here there is one loss,
    their mean, with the same gradient. So it can be the student of a
    :class:`DGKD`, whose teachers run once a step for all widths.

    It predicts by its widest width, all channels.

    Args:
        architecture (dict | BaseModel): The network.
        widths (Sequence[float]): Shares of the channels, 1 among them. A width
            uses the first ``max(1, round(width * n))`` of the n channels of a
            unit.
        width (float, optional): Be that one width alone, as a plain network
            without MMRazor's modules. Defaults to None: all widths.
        in_place (dict, optional): Distill each width also from the wider ones
            of the same step, as in Universally Slimmable Networks (Yu and
            Huang, ICCV 2019, arXiv 1903.05134): a loss of
            ``(preds_S, {name: preds_T})``, such as ``DenseKDLoss``, and
            ``source``, the module that outputs the logits, by default
            ``'logits'``, whatever computes them. Defaults to None.
        parse_cfg (dict, optional): Config of MMRazor's ``ChannelAnalyzer``,
            which groups dependent channels. Defaults to None: its
            ``FxTracer``, on images of three channels.
        **kwargs: ``data_preprocessor`` and ``init_cfg`` of MMRazor's
            ``BaseAlgorithm``.

    Raises:
        ConfigError: For wrong widths or a missing source; or if a batch
            normalization is of independent channels.
    """

    # One backward, as for any network.
    train_step = BaseAlgorithm.train_step

    def __init__(self,
                 architecture: Any,
                 widths: Sequence[float],
                 width: Optional[float] = None,
                 in_place: Optional[Dict] = None,
                 parse_cfg: Optional[Dict] = None,
                 **kwargs: Any) -> None:
        key = 'model.widths'
        shares = read_widths(widths, key)
        if width is not None and width not in shares:
            raise ConfigError(f'model.width: {width!r} is none of {shares}')
        cfg = architecture if isinstance(architecture, Mapping) else None
        if cfg is not None:
            architecture = MODELS.build(dict(cfg))
        units = slimmable_units(
            find_units(architecture, parse_cfg or _PARSE, cfg), shares, key)
        super().__init__(
            architecture,
            dict(
                type='mmrazor.SlimmableChannelMutator',
                channel_unit_cfg=dict(
                    type='SlimmableChannelUnit', units=units),
                parse_cfg=dict(type='Config')),
            deploy_index=-1 if width is None else shares.index(width),
            **kwargs)
        # From the widest to the narrowest.
        self._choices = {
            name_of_width(share): choices
            for share, choices in reversed(
                list(zip(shares, self.mutator.subnets)))
        }
        self._in_place: Optional[nn.Module] = None
        self._source = ''
        if width is not None:
            self.mutator = None  # nothing is left to choose
            return
        self._prepare_norms()
        if in_place is not None:
            self._source = in_place.get('source', LOGITS)
            self._in_place = MODELS.build({
                k: v
                for k, v in in_place.items() if k != 'source'
            })
            check_score_source(self.architecture, self._source,
                               'model.in_place.source', 'the architecture')
            check_peer_loss(self._in_place, 'model.in_place')
            fit_to_head(self._in_place, self.architecture)
        self.set_width(next(iter(self._choices)))

    @property
    def width_names(self) -> List[str]:
        """The widths, the widest first, such as ``'0.5'``."""
        return list(self._choices)

    def set_width(self, name: str) -> None:
        """Switch to a width.

        Args:
            name (str): One of :attr:`width_names`.
        """
        self.mutator.set_choices(self._choices[name])

    def over_networks(
            self, losses_of: Callable[[nn.Module], Dict]) -> Dict[str, Any]:
        """Collect the losses of a step at each width.

        Args:
            losses_of (Callable): Returns the losses of the network at its
                current width, by name.

        Returns:
            dict[str, Any]: Those of the widest by their names, those of the
            others with the width added, such as ``loss@0.5``. Each is divided
            by the number of widths, so that a step is as large as one of a
            single network.
        """
        if self.is_deployed:
            return losses_of(self.architecture)
        losses: Dict[str, Any] = {}
        logits: Dict[str, torch.Tensor] = {}
        try:
            for name in self._choices:
                self.set_width(name)
                found = self._losses_of_width(losses_of, name, logits)
                suffix = f'@{name}' if losses else ''
                for key, value in found.items():
                    # The terms of a loss by teacher must add up to it.
                    if 'loss' in key or key.startswith('distill.'):
                        value = _share(value, len(self._choices))
                    losses[key + suffix] = value
        finally:
            # Be the same network outside of training steps.
            self.set_width(next(iter(self._choices)))
        return losses

    def _losses_of_width(self, losses_of: Callable[[nn.Module],
                                                   Dict], name: str,
                         logits: Dict[str, torch.Tensor]) -> Dict[str, Any]:
        """The losses of a width, with that from the wider ones."""
        if self._in_place is None:
            return losses_of(self.architecture)
        with recorded_scores(self.architecture, self._source,
                             partial(logits.__setitem__, name)):
            found = dict(losses_of(self.architecture))
        wider = {key: data.detach() for key, data in logits.items()}
        del wider[name]
        if wider:
            found['in_place.loss'] = self._in_place(logits[name], wider)
        return found

    def _prepare_norms(self) -> None:
        """Give each batch normalization one form for each width."""
        for name, norm in self.architecture.named_modules():
            if not isinstance(norm, SwitchableBatchNorm2d):
                continue
            # That of all channels is the module itself; MMRazor adds another
            # that is never trained.
            full = str(norm.num_features)
            if full in norm.candidate_bn:
                del norm.candidate_bn[full]
            for width in self.width_names:
                self.set_width(width)
                count = norm.activated_channel_num()
                if count != norm.num_features and (str(count)
                                                   not in norm.candidate_bn):
                    raise ConfigError(
                        f'model.architecture.{name}: normalizes independent '
                        'channels; MMRazor has no slimmable form of it')


def _share(value: Any, count: int) -> Any:
    if isinstance(value, (list, tuple)):
        return [item / count for item in value]
    return value / count
