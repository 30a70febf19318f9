# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks pruned once in a chain, and their sparse files."""
import os.path as osp
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import Method, methods_of, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import write_weights
from mmdgkd.methods.stage_options import Weights, ensure_hook
from .one_shot_pruned import OneShotPruned
from .sparse_weights import dense_weights, size_of, sparse_weights


@dataclass(frozen=True)
class SparseFacts:
    """A file of the weights that are left, and their places.

    Attributes:
        path (str): The file.
        kept (int): Weights that are not 0.
        weights (int): All weights of the pruned layers.
        size (int): Bytes of the file.
        dense (int): Bytes of all tensors without their zeros left out.
    """

    path: str
    kept: int
    weights: int
    size: int
    dense: int

    def __str__(self) -> str:
        return (f'{self.path}: {self.kept:,} of {self.weights:,} weights and '
                f'their places: {self.size:,} bytes; dense tensors: '
                f'{self.dense:,}')


@register_method
class OneShot(Method):
    """:class:`OneShotPruned`: single weights are pruned before the training.
    """

    algorithms = (OneShotPruned, )

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add the hook that prunes, after the weights to begin from."""
        if self in methods_of(stage.model):
            ensure_hook(stage, 'OneShotPruneHook')

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The network itself: zeros are weights as any others."""
        if not isinstance(model, OneShotPruned):
            return ()
        return (model.architecture, )

    def export_extra(self, model: nn.Module, images: torch.Tensor, path: str,
                     save_as: str) -> Optional[SparseFacts]:
        """Write the weights without their zeros, ``<stem>_sparse.*``.

        Raises:
            ConfigError: If the weights read back from it would be others.
        """
        if not isinstance(model, OneShotPruned):
            return None
        path = f'{osp.splitext(path)[0]}_sparse.{save_as}'
        state = {
            name: data.detach().cpu().contiguous()
            for name, data in model.architecture.state_dict().items()
        }
        names = [f'{layer}.weight' for layer in model.layers]
        tensors = sparse_weights(state, names)
        if not _same(dense_weights(tensors), state):
            raise ConfigError(f'{path}: the sparse weights are not those of '
                              'the network; nothing is written')
        write_weights(path, tensors, dict(holds='values and their places'))
        return SparseFacts(
            path=path,
            kept=sum(int(state[name].count_nonzero()) for name in names),
            weights=sum(state[name].numel() for name in names),
            size=osp.getsize(path),
            dense=size_of(state))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(data, other[name]) for name, data in one.items())
