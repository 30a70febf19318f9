# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, Sequence

from mmengine.model import Sequential
from mmpretrain.models.backbones.resnet import BasicBlock, Bottleneck, ResLayer
from mmpretrain.registry import MODELS
from mmrazor.models.mutables import OneShotMutableOP
from torch import nn

from mmdgkd.models.backbones.resnet_6n2 import ResNet6n2


@MODELS.register_module()
class SearchableResNet6n2(ResNet6n2):
    """A :class:`ResNet6n2` each of whose blocks is a choice: a supernet.

    The search space of SPOS (Guo et al., ECCV 2020, arXiv 1904.00420) is of
    ShuffleNet blocks; this one is our choice.

    The candidates of a block are MMPretrain's basic block (``'basic'``), its
    bottlenecks of several widths (``'bottleneck4'`` is a quarter as wide
    inside as outside) and, where a block changes neither width nor resolution,
    none at all (``'skip'``). A choice is MMRazor's ``OneShotMutableOP``, for
    its ``NasMutator``.

    Args:
        depth (int): Number of layers with all blocks, 6n+2, as for
            :class:`ResNet6n2`.
        bottlenecks (Sequence[int]): Ratios of the outer to the inner width of
            the bottlenecks. Defaults to (2, 4).
        skip (bool): Whether a block may be left out. Defaults to True.
        **kwargs: As for :class:`ResNet6n2`.

    Raises:
        ValueError: If a ratio does not divide the channels of a stage.
    """

    def __init__(self,
                 depth: int,
                 bottlenecks: Sequence[int] = (2, 4),
                 skip: bool = True,
                 **kwargs: Any) -> None:
        self.bottlenecks = tuple(bottlenecks)
        self.skip = skip
        super().__init__(depth, **kwargs)

    def make_res_layer(self, **kwargs: Any) -> Sequential:
        """Build a stage of the network, each of its blocks a choice.

        Args:
            **kwargs: Those of MMPretrain's ``ResLayer``.
        """
        channels = kwargs['out_channels']
        layers = dict(basic=ResLayer(**kwargs))
        for times in self.bottlenecks:
            if type(times) is not int or times < 1 or channels % times:
                raise ValueError(f'bottlenecks: {times!r} should be an integer'
                                 f' that divides {channels} channels')
            layers[f'bottleneck{times}'] = ResLayer(
                **dict(kwargs, block=Bottleneck, expansion=times))
        return Sequential(*(self._choice({
            name: layer[i]
            for name, layer in layers.items()
        }) for i in range(kwargs['num_blocks'])))

    def _choice(self, blocks: Dict[str, nn.Module]) -> OneShotMutableOP:
        basic: BasicBlock = blocks['basic']
        if self.skip and basic.downsample is None:
            blocks['skip'] = nn.Identity()
        choice = OneShotMutableOP(nn.ModuleDict(blocks))
        # MMPretrain's ResNet reads it from the last block.
        choice.out_channels = basic.out_channels
        return choice
