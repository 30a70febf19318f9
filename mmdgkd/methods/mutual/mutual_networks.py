# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional

import torch
from mmengine.model import ModuleDict
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.methods.peer_logits import OverNetworks, check_peer_loss
from mmdgkd.models.utils.heads import fit_to_head
from mmdgkd.models.utils.logits import (LOGITS, check_score_source,
                                        recorded_scores)


def mutual_losses(loss: Callable,
                  logits: Mapping[str, torch.Tensor]) -> Dict[str, Any]:
    """The distillation loss of each network from the others of a step.

    Deep Mutual Learning (Zhang et al., CVPR 2018, arXiv 1706.00384), eq. 8:
    for network k of K, ``1 / (K - 1) sum_l KL(p_l || p_k)``, if the loss is an
    averaged ``DenseKDLoss`` of tau = 1.

    Args:
        loss (Callable): A loss of ``(preds_S, {name: preds_T})``.
        logits (Mapping[str, torch.Tensor]): Of each network, shape (N, C),
            with gradients. As ``preds_T`` they are detached.

    Returns:
        dict[str, torch.Tensor]: The loss of each network, a scalar.
    """
    detached = {name: one.detach() for name, one in logits.items()}
    return {
        name:
        loss(one, {
            other: preds
            for other, preds in detached.items() if other != name
        })
        for name, one in logits.items()
    }


@MODELS.register_module()
class MutualNetworks(OverNetworks, BaseAlgorithm):
    """Several networks that are trained together and teach each other.

    Deep Mutual Learning (Zhang et al., CVPR 2018, arXiv 1706.00384): each has
    its own loss, and is distilled from the others' outputs for the same batch.
    In the student of a :class:`DGKD` each is distilled from the teachers, too,
    which run once a step for all.

    The paper updates one network after the other, from the new outputs of
    those before; here all are updated at once, from the outputs before the
    step. The loss of a network is not divided by their number: its gradient is
    that of a training by itself.

    It predicts by ``architecture``. In a chain the others are networks of
    their own, by ``member_of``.

    Args:
        architecture (dict | BaseModel): The first of the networks.
        peers (dict[str, dict]): The others, by name.
        mutual_loss (dict, optional): A loss of ``(preds_S, {name: preds_T})``.
            Defaults to None: ``DenseKDLoss`` of tau = 1, averaged over the
            others, as in the paper.
        source (str): The module of each network that outputs the logits.
            Defaults to ``'logits'``: whatever computes them.
        **kwargs: ``data_preprocessor``, ``init_cfg`` and ``module_inplace``
            of MMRazor's ``BaseAlgorithm``.

    Raises:
        ConfigError: If there are no peers; if a network is an algorithm or has
            no such source; or for a loss with parameters, weights of single
            teachers or other arguments.
    """

    def __init__(self,
                 architecture: Any,
                 peers: Dict[str, Any],
                 mutual_loss: Optional[Dict] = None,
                 source: str = LOGITS,
                 **kwargs: Any) -> None:
        super().__init__(architecture, **kwargs)
        if not isinstance(peers, Mapping) or not peers:
            raise ConfigError('model.peers: must be a dict of the other '
                              'networks, name -> its model')
        self.peers = ModuleDict({
            name:
            MODELS.build(cfg) if isinstance(cfg, Mapping) else cfg
            # By name: MMEngine sorts the keys of a config that it writes.
            for name, cfg in sorted(peers.items())
        })
        self.source = source
        for name, network in self.networks.items():
            key = f'peers.{name}' if name else 'architecture'
            if isinstance(network, BaseAlgorithm):
                raise ConfigError(f'model.{key}: is a {type(network).__name__}'
                                  '; networks that teach each other are plain')
            check_score_source(network, source, 'model.source', f'model.{key}')
            if name and not self.module_inplace:
                self.set_module_inplace_false(network, f'self.peers["{name}"]')
        self._mutual_loss = MODELS.build(
            mutual_loss or dict(type='mmrazor.DenseKDLoss', form='averaged'))
        check_peer_loss(self._mutual_loss, 'model.mutual_loss')
        for network in self.networks.values():
            fit_to_head(self._mutual_loss, network)
        if getattr(self._mutual_loss, 'form', None) == 'paper':
            raise ConfigError(
                "model.mutual_loss.form: 'paper' also weighs the labels by the"
                " number of teachers; should be 'averaged' or 'released'")
        if getattr(self._mutual_loss, 'teacher_weights', None):
            raise ConfigError(
                'model.mutual_loss.teacher_weights: each network has other '
                'teachers, all of the same weight; leave it out')
        if self._mutual_loss.state_dict():
            raise ConfigError(
                'model.mutual_loss: learns, and each of the networks would '
                'need its own; use a loss without parameters')

    @property
    def networks(self) -> Dict[str, nn.Module]:
        """All of them; the architecture's name is ``''``."""
        return {'': self.architecture, **dict(self.peers.items())}

    def over_networks(
            self, losses_of: Callable[[nn.Module], Dict]) -> Dict[str, Any]:
        """Collect the losses of a step of each network.

        Args:
            losses_of (Callable): Returns the losses of a network, by name.

        Returns:
            dict[str, Any]: Those of the architecture by their names, those of
            a peer with its name added, such as ``loss@resnet8``; and for each
            that of :func:`mutual_losses`, ``mutual.loss``.
        """
        losses: Dict[str, Any] = {}
        logits: Dict[str, torch.Tensor] = {}
        for name, network in self.networks.items():
            with recorded_scores(network, self.source,
                                 partial(logits.__setitem__, name)):
                found = losses_of(network)
            losses.update(
                (_key(key, name), data) for key, data in found.items())
        mutual = mutual_losses(self._mutual_loss, logits)
        losses.update(
            (_key('mutual.loss', name), loss) for name, loss in mutual.items())
        return losses


def _key(key: str, name: str) -> str:
    return f'{key}@{name}' if name else key
