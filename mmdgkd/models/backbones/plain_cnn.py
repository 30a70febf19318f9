# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from collections import OrderedDict
from typing import Dict, Optional, Tuple

import torch
from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from mmpretrain.registry import MODELS
from torch import nn

# Cn: 3x3 convolution of n channels, BN, ReLU. P: 2x2 max-pooling.
# Fn: fully connected layer of n units, ReLU. The classifier is the head's.
ARCHITECTURES = {
    'cifar100': {
        2: 'C32 P C32 P',
        3: 'C32 C32 P C64 P',
        4: 'C32 C32 P C64 C64 P',
        5: 'C32 C32 P C64 C64 P C128',
        6: 'C32 C32 P C64 C64 P C128 C128',
        7: 'C32 C32 P C64 C64 P C128 C128 P C256 P F64',
        8: 'C32 C32 P C64 C64 P C128 C128 P C256 C256 P F64',
        9: 'C32 C32 P C64 C64 P C128 C128 P C256 C256 C256 P F512',
        10: 'C32 C32 P C64 C64 P C128 C128 P C256 C256 C256 C256 P F512',
    },
    'cifar10': {
        2: 'C16 P C16 P',
        4: 'C16 C16 P C32 C32 P',
        6: 'C16 C16 P C32 C32 P C64 C64 P',
        8: 'C16 C16 P C32 C32 P C64 C64 P C128 C128 P F64',
        10: 'C32 C32 P C64 C64 P C128 C128 P C256 C256 C256 C256 P F128',
    },
}


@MODELS.register_module()
class PlainCNN(BaseBackbone):
    """The plain CNNs of the TAKD and DGKD experiments, for 32x32 images.

    From the code of "Improved Knowledge Distillation via Teacher Assistant"
    (arXiv 1902.03393), which DGKD (arXiv 2009.08825) takes over. The depth
    counts the 3x3 convolutions. The convolutions have a bias and, as there,
    PyTorch's own initialization.

    Args:
        depth (int): 2 to 10 for CIFAR-100; 2, 4, 6, 8 or 10 for CIFAR-10.
        variant (str): ``'cifar100'`` or ``'cifar10'``, whose networks differ.
            Defaults to ``'cifar100'``.
        in_channels (int): Channels of the input. Defaults to 3.
        input_size (int): Height and width of the input, in pixels.
            Defaults to 32.
        conv_cfg (dict, optional): Defaults to None: Conv2d.
        norm_cfg (dict): Defaults to ``dict(type='BN')``.
        act_cfg (dict): Defaults to ``dict(type='ReLU')``.
        init_cfg (dict, optional): As in every MMEngine module.

    Attributes:
        feat_dim (int): Length of the output, the head's ``in_channels``.

    Raises:
        ValueError: If there is no such network.
    """

    def __init__(self,
                 depth: int,
                 variant: str = 'cifar100',
                 in_channels: int = 3,
                 input_size: int = 32,
                 conv_cfg: Optional[Dict] = None,
                 norm_cfg: Dict = dict(type='BN'),
                 act_cfg: Dict = dict(type='ReLU'),
                 init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        networks = ARCHITECTURES.get(variant)
        if networks is None:
            raise ValueError(f'PlainCNN.variant: {variant!r} is none of '
                             f'{", ".join(ARCHITECTURES)}')
        if depth not in networks:
            raise ValueError(f'PlainCNN.depth: for {variant} there are '
                             f'{", ".join(map(str, networks))}, not {depth}')
        features, hidden = [], []
        channels, size = in_channels, input_size
        units = None
        for layer in networks[depth].split():
            width = int(layer[1:] or 0)
            if layer[0] == 'C':
                features.append(
                    nn.Sequential(
                        OrderedDict(
                            conv=build_conv_layer(
                                conv_cfg, channels, width, 3, padding=1),
                            norm=build_norm_layer(norm_cfg, width)[1],
                            act=build_activation_layer(act_cfg))))
                channels = width
            elif layer[0] == 'P':
                features.append(nn.MaxPool2d(2))
                size //= 2
            else:
                units = units or channels * size * size
                hidden += [
                    nn.Linear(units, width),
                    build_activation_layer(act_cfg)
                ]
                units = width
        self.features = nn.Sequential(*features)
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential(*hidden)
        self.feat_dim = units or channels * size * size

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor]:
        """Compute the features.

        Args:
            x (torch.Tensor): Images, shape (N, C, H, W).

        Returns:
            tuple[torch.Tensor]: One feature vector each, (N, feat_dim).
        """
        return (self.hidden(self.flatten(self.features(x))), )
