# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock
from mmpretrain.registry import MODELS

DEPTHS = (8, 14, 20, 26, 32, 44, 56, 110, 1202)


@MODELS.register_module()
class ResNet6n2(ResNet_CIFAR):
    """The ResNets for 32x32 images of 6n+2 layers.

    Section 4.2 of "Deep Residual Learning for Image Recognition"
    (arXiv 1512.03385): a 3x3 stem of 16 channels and three stages of n basic
    blocks with 16, 32 and 64 channels. Where the width changes the shortcut is
    a 1x1 convolution with BN, as in the DGKD and TAKD experiments. The last
    feature map has 64 channels and a quarter of the input's height and width.

    Args:
        depth (int): Number of layers, 6n+2: one of 8, 14, 20, 26, 32, 44, 56,
            110 and 1202.
        **kwargs: As for MMPretrain's ``ResNet_CIFAR``. Unlike there
            ``zero_init_residual`` is off, as in the papers.
    """

    arch_settings = {
        depth: (BasicBlock, ((depth - 2) // 6, ) * 3)
        for depth in DEPTHS
    }

    def __init__(self, depth: int, **kwargs: Any) -> None:
        settings = dict(
            stem_channels=16,
            base_channels=16,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2, ),
            zero_init_residual=False)
        settings.update(kwargs)
        super().__init__(depth, **settings)
