# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Tuple, Union

from mmpretrain.models.backbones import VGG
from mmpretrain.registry import MODELS
from torch import nn


@MODELS.register_module()
class SmallVGG(VGG):
    """The VGGs for small images of the distillation papers.

    MMPretrain's ``VGG`` with BN and without the hidden layers of its
    classifier, whose five stages end in a map of 4x4: for 32x32 images there
    is a pooling after each of the first three, as in the code of "Contrastive
    Representation Distillation" (arXiv 1910.10699), whose VGG-13 and VGG-8
    are the usual pair.

    Args:
        depth (int): 8, 11, 13, 16 or 19, counted with the two hidden layers
            that are left out.
        input_size (int): Height and width of the images, 32 or 64; with 64
            there is a pooling after the fourth stage, too. Defaults to 32.
        pool_size (int | tuple[int, int]): Window and stride of the poolings;
            (1, 2) pools along the rows only and keeps all of them.
            Defaults to 2.
        **kwargs (Any): As for MMPretrain's ``VGG``.

    Attributes:
        feat_dim (int): Channels of the output, the head's ``in_channels``.

    Raises:
        ValueError: If there is no such network.
    """

    arch_settings = {8: (1, 1, 1, 1, 1), **VGG.arch_settings}
    feat_dim = 512

    def __init__(self,
                 depth: int,
                 input_size: int = 32,
                 pool_size: Union[int, Tuple[int, int]] = 2,
                 **kwargs: Any) -> None:
        if depth not in self.arch_settings:
            raise ValueError(
                f'SmallVGG.depth: there are '
                f'{", ".join(map(str, self.arch_settings))}, not {depth!r}')
        if input_size not in (32, 64):
            raise ValueError(f'SmallVGG.input_size: {input_size!r} should be '
                             '32 or 64')
        window = (pool_size, ) * 2 if type(pool_size) is int else pool_size
        if (not isinstance(window, (list, tuple)) or len(window) != 2
                or any(type(n) is not int or n < 1 for n in window)):
            raise ValueError(f'SmallVGG.pool_size: {pool_size!r} should be an '
                             'integer, or two, such as (1, 2)')
        super().__init__(
            depth, **{
                'norm_cfg': dict(type='BN'),
                'with_last_pool': False,
                **kwargs
            })
        if input_size == 32:
            fourth = self.range_sub_modules[3][1] - 1
            self.features[fourth] = nn.Identity()
        for module in self.features:
            if isinstance(module, nn.MaxPool2d):
                module.kernel_size = module.stride = tuple(window)
