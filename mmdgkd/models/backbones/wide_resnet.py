# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Dict, Optional, Tuple

import torch
from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmengine.model import BaseModule, Sequential
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from mmpretrain.registry import MODELS
from torch import nn


class WideBlock(BaseModule):
    """A basic block whose normalization and activation come first.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): Of the first convolution.
        dropout (float): Probability of Dropout between the convolutions.
        conv_cfg (dict, optional): The convolutions.
        norm_cfg (dict): The normalization.
        act_cfg (dict): The activation.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int,
                 dropout: float, conv_cfg: Optional[Dict], norm_cfg: Dict,
                 act_cfg: Dict) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(norm_cfg, in_channels)[1]
        self.act1 = build_activation_layer(act_cfg)
        self.conv1 = build_conv_layer(
            conv_cfg,
            in_channels,
            out_channels,
            3,
            stride=stride,
            padding=1,
            bias=False)
        self.norm2 = build_norm_layer(norm_cfg, out_channels)[1]
        self.act2 = build_activation_layer(act_cfg)
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.conv2 = build_conv_layer(
            conv_cfg, out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = None
        if in_channels != out_channels or stride != 1:
            self.shortcut = build_conv_layer(
                conv_cfg,
                in_channels,
                out_channels,
                1,
                stride=stride,
                bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output.

        Args:
            x (torch.Tensor): Shape (N, in_channels, H, W).

        Returns:
            torch.Tensor: Shape (N, out_channels, H / stride, W / stride).
        """
        # A convolution as the shortcut takes the normalized map.
        out = self.act1(self.norm1(x))
        if self.shortcut is not None:
            x = self.shortcut(out)
        out = self.act2(self.norm2(self.conv1(out)))
        if self.dropout is not None:
            out = self.dropout(out)
        return x + self.conv2(out)


@MODELS.register_module()
class WideResNet(BaseBackbone):
    """The wide ResNets for 32x32 images, WRN-d-k.

    Section 3 of "Wide Residual Networks" (Zagoruyko and Komodakis, BMVC 2016,
    arXiv 1605.07146): a 3x3 stem of 16 channels, three stages of (d - 4) / 6
    pre-activated blocks with 16 k, 32 k and 64 k channels, and a last
    normalization. For 64x64 images (Tiny ImageNet) the maps are twice as
    large, which global pooling does not mind.

    Args:
        depth (int): d, 6n + 4: 10, 16, 22, 28, 40 and so on.
        widen_factor (int): k.
        dropout (float): Probability of Dropout within the blocks.
            Defaults to 0.
        in_channels (int): Channels of the input. Defaults to 3.
        conv_cfg (dict, optional): Defaults to None: Conv2d.
        norm_cfg (dict): Defaults to ``dict(type='BN')``.
        act_cfg (dict): Defaults to ``dict(type='ReLU')``, not in place, so
            that recorders before it work.
        init_cfg (dict, optional): Defaults to None: He's initialization (fan
            out) of the convolutions.

    Attributes:
        feat_dim (int): Channels of the output, the head's ``in_channels``.

    Raises:
        ValueError: If there is no such network.
    """

    def __init__(self,
                 depth: int,
                 widen_factor: int,
                 dropout: float = 0.,
                 in_channels: int = 3,
                 conv_cfg: Optional[Dict] = None,
                 norm_cfg: Dict = dict(type='BN'),
                 act_cfg: Dict = dict(type='ReLU'),
                 init_cfg: Optional[Dict] = None) -> None:
        if type(depth) is not int or depth < 10 or depth % 6 != 4:
            raise ValueError(f'WideResNet.depth: {depth!r} should be 6n + 4, '
                             'such as 10, 16, 22, 28 or 40')
        if type(widen_factor) is not int or widen_factor < 1:
            raise ValueError(f'WideResNet.widen_factor: {widen_factor!r} '
                             'should be an integer, 1 or more')
        super().__init__(init_cfg or [
            dict(type='Kaiming', layer='Conv2d', mode='fan_out'),
            dict(type='Constant', layer='_BatchNorm', val=1)
        ])
        # In a module of its own: folding normalization into the convolution
        # before it must not take the last one for that of the stem.
        self.stem = Sequential(
            build_conv_layer(
                conv_cfg, in_channels, 16, 3, padding=1, bias=False))
        before = 16
        for stage in range(3):
            width = 16 * widen_factor * 2**stage
            blocks = []
            for block in range((depth - 4) // 6):
                stride = 2 if stage and not block else 1
                blocks.append(
                    WideBlock(before, width, stride, dropout, conv_cfg,
                              norm_cfg, act_cfg))
                before = width
            setattr(self, f'layer{stage + 1}', Sequential(*blocks))
        self.norm = build_norm_layer(norm_cfg, before)[1]
        self.act = build_activation_layer(act_cfg)
        self.feat_dim = before

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x (torch.Tensor): Images, shape (N, in_channels, H, W).

        Returns:
            tuple[torch.Tensor]: It, shape (N, 64 k, H / 4, W / 4).
        """
        x = self.stem(x)
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return (self.act(self.norm(x)), )
