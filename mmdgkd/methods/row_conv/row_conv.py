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
    """A convolution that looks along one row: 1xN in place of NxN.

    The on-the-fly filter of "Pacemaker: Intermediate Teacher Knowledge
    Distillation For On-The-Fly Convolutional Neural Network"
    (arXiv 2003.03944): each row of the output depends on one row of the input,
    so that it can be computed as soon as that row is there, and the rows above
    need not be kept.

    As ``conv_cfg=dict(type='mmrazor.RowConv')`` it takes the place of all
    convolutions of a backbone. What comes out is PyTorch's own ``Conv2d``, so
    that all that knows convolutions (folding, pruning, quantization, export)
    knows it, and rules of initialization count its 1 N weights.

    How a convolution with a stride treats the rows, the paper's abstract does
    not say; both ways are here, and the default is our choice.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int | tuple[int, int]): N. Of this and the next three only
            the last number, that along the row, counts.
        stride (int | tuple[int, int]): Of the columns. Defaults to 1.
        padding (int | tuple[int, int]): Of the columns. Defaults to 0.
        dilation (int | tuple[int, int]): Of the columns. Defaults to 1.
        keep_rows (bool): With a stride s, whether there is an output row for
            each input row, a map taller than the NxN network's. If not, there
            is one for every s-th, as in the NxN network; nothing looks at the
            others any more, which are 3/4 of the image's in a ResNet of two
            strides of 2. Defaults to True.
        **kwargs (Any): As for ``torch.nn.Conv2d``.

    Returns:
        nn.Conv2d: With a kernel of 1 x N.
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
