# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import BaseAlgorithm, SlimmableNetwork
from mmrazor.models.architectures.dynamic_ops import SwitchableBatchNorm2d
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.methods.peer_logits import check_peer_loss, record_logits
from .widths import find_units, name_of_width, read_widths, slimmable_units

# Its graph is the same for images of any size.
_PARSE = dict(
    _scope_='mmrazor',
    type='ChannelAnalyzer',
    demo_input=(1, 3, 32, 32),
    tracer_type='FxTracer')


@MODELS.register_module()
class JointSlimmable(SlimmableNetwork):
    """MMRazor's ``SlimmableNetwork`` with one loss of all its widths.

    Slimmable Neural Networks (Yu et al., ICLR 2019, arXiv 1812.08928): one set
    of weights of which the first channels alone are a network, too, with batch
    normalization of its own. Each step trains all widths. MMRazor takes a
    backward for each in a ``train_step`` of its own; here they are the mean of
    one loss, the same gradient, so that it can be the student of a
    :class:`DGKD`, whose teachers then run once a step for all widths.

    It predicts as the whole network, which is its widest width.

    Args:
        architecture (dict | BaseModel): The network.
        widths (Sequence[float]): Shares of the channels, with 1 among them.
            Of each unit of n channels the first ``max(1, round(width * n))``
            are left.
        width (float, optional): Be that one width alone, as a plain network
            without MMRazor's modules. Defaults to None: all widths.
        in_place (dict, optional): Teacher each width by the wider ones of the
            same step, too: a loss of ``(preds_S, {name: preds_T})``, such as
            ``DenseKDLoss``, and ``source``, the module that puts the logits
            out, by default ``'head.fc'``. Defaults to None.
        parse_cfg (dict, optional): Of MMRazor's ``ChannelAnalyzer``, which
            finds the channels that go together. Defaults to None: its
            ``FxTracer``, on images of three channels.
        **kwargs: ``data_preprocessor`` and ``init_cfg`` of MMRazor's
            ``BaseAlgorithm``.

    Raises:
        ConfigError: For wrong widths, or a source that is not there; or if a
            batch normalization is of channels that do not go together.
    """

    # One backward, as every network has.
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
            # Nothing is left to choose.
            self.mutator = None
            return
        self._prepare_norms()
        if in_place is not None:
            self._source = in_place.get('source', 'head.fc')
            self._in_place = MODELS.build({
                k: v
                for k, v in in_place.items() if k != 'source'
            })
            if self._source not in dict(self.architecture.named_modules()):
                raise ConfigError(f'model.in_place.source: "{self._source}" '
                                  'is no module of the architecture')
            check_peer_loss(self._in_place, 'model.in_place')
        self.take(next(iter(self._choices)))

    @property
    def width_names(self) -> List[str]:
        """The widths, the widest first, such as ``'0.5'``."""
        return list(self._choices)

    def take(self, name: str) -> None:
        """Be the network of a width.

        Args:
            name (str): One of :attr:`width_names`.
        """
        self.mutator.set_choices(self._choices[name])

    def loss(
        self,
        batch_inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None,
    ) -> Dict[str, torch.Tensor]:
        """The losses of all widths.

        Args:
            batch_inputs (torch.Tensor): A preprocessed batch, shape
                (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Its labels.
        """
        return self.over_networks(
            lambda network: network(batch_inputs, data_samples, mode='loss'))

    def over_networks(
            self, losses_of: Callable[[nn.Module], Dict]) -> Dict[str, Any]:
        """Collect the losses of a step at each width.

        Args:
            losses_of (Callable): Gives the losses of the network, at the width
                that it then has, by name.

        Returns:
            dict[str, Any]: Those of the widest by their names, of the others
            with the width behind it, such as ``loss@0.5``. Each is divided by
            the number of widths, so that a step is as large as one of a
            single network.
        """
        if self.is_deployed:
            return losses_of(self.architecture)
        losses: Dict[str, Any] = {}
        said: Dict[str, torch.Tensor] = {}
        try:
            for name in self._choices:
                self.take(name)
                found = self._losses_of_width(losses_of, name, said)
                suffix = f'@{name}' if losses else ''
                for key, value in found.items():
                    # The terms of a loss by teacher are to add up to it.
                    if 'loss' in key or key.startswith('distill.'):
                        value = _share(value, len(self._choices))
                    losses[key + suffix] = value
        finally:
            # Out of a training step it is always the same network.
            self.take(next(iter(self._choices)))
        return losses

    def _losses_of_width(self, losses_of: Callable[[nn.Module],
                                                   Dict], name: str,
                         said: Dict[str, torch.Tensor]) -> Dict[str, Any]:
        """The losses of a width, that of the wider ones among them."""
        if self._in_place is None:
            return losses_of(self.architecture)
        source = self.architecture.get_submodule(self._source)
        with record_logits(source, name, said):
            found = dict(losses_of(self.architecture))
        wider = {key: logits.detach() for key, logits in said.items()}
        del wider[name]
        if wider:
            found['in_place.loss'] = self._in_place(said[name], wider)
        return found

    def _prepare_norms(self) -> None:
        """Have each batch normalization as many forms as there are widths."""
        for name, norm in self.architecture.named_modules():
            if not isinstance(norm, SwitchableBatchNorm2d):
                continue
            # The whole one is the module itself; MMRazor makes another that
            # nothing trains.
            whole = str(norm.num_features)
            if whole in norm.candidate_bn:
                del norm.candidate_bn[whole]
            for width in self.width_names:
                self.take(width)
                count = norm.activated_channel_num()
                if count != norm.num_features and (str(count)
                                                   not in norm.candidate_bn):
                    raise ConfigError(
                        f'model.architecture.{name}: normalizes channels that '
                        'do not go together; MMRazor has no slimmable form of '
                        'it')


def _share(value: Any, count: int) -> Any:
    if isinstance(value, (list, tuple)):
        return [item / count for item in value]
    return value / count
