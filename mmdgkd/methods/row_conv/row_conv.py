# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Tuple, Union

from mmrazor.registry import MODELS
from torch import nn

Size = Union[int, Tuple[int, int]]


@MODELS.register_module('RowConv')
def row_conv(in_channels: int,
             out_channels: int,
             kernel_size: Size,
             stride: Size = 1,
             padding: Size = 0,
             dilation: Size = 1,
             keep_rows: bool = True,
             **kwargs: Any) -> nn.Conv2d:
    """A convolution along rows: 1xN in place of NxN.

    The on-the-fly filter of "Pacemaker: Intermediate Teacher Knowledge
    Distillation For On-The-Fly Convolutional Neural Network"
    (arXiv 2003.03944): each row of the output depends on one row of the input,
    so that it can be computed when that row arrives, and no row is stored.

    As ``conv_cfg=dict(type='mmrazor.RowConv')`` it replaces all convolutions
    of a backbone. It is PyTorch's ``Conv2d``, so that folding, pruning,
    quantization and export support it, and initialization counts its 1 N
    weights.

    The paper's abstract does not define strides across rows; both ways are
    here, and the default is our choice.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int | tuple[int, int]): N. Only the last number of this
            and the next three, that along the row, is used.
        stride (int | tuple[int, int]): Along the row. Defaults to 1.
        padding (int | tuple[int, int]): Along the row. Defaults to 0.
        dilation (int | tuple[int, int]): Along the row. Defaults to 1.
        keep_rows (bool): With a stride s, whether each input row has an output
            row, and maps are taller than those of the NxN network. If not,
            only every s-th has, as in the NxN network; the others are unused,
            3/4 of the image in a ResNet of two strides of 2.
            Defaults to True.
        **kwargs (Any): As for ``torch.nn.Conv2d``.

    Returns:
        nn.Conv2d: A convolution with a kernel of 1 x N.
    """
    kernel_size, stride, padding, dilation = (
        size if isinstance(size, int) else size[-1]
        for size in (kernel_size, stride, padding, dilation))
    return nn.Conv2d(
        in_channels,
        out_channels, (1, kernel_size),
        stride=(1 if keep_rows else stride, stride),
        padding=(0, padding),
        dilation=(1, dilation),
        **kwargs)
